//! A run as it is written to summary.json.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Load, Nanos};
use serde::Serialize;

use super::Plan;
use super::pool::PoolSummary;
use crate::arm::ArmSummary;
use crate::observe::Watched;
use crate::rig::Rig;
use crate::scenario::Scenario;
use crate::validity::Validity;

/// The result of `run`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    schema: u32,
    command: &'static str,
    pub(super) scenario: String,
    /// Seconds since 1970.
    started: f64,
    pub(super) duration_ns: Nanos,
    phase_ns: Nanos,
    pub(super) seed: u64,
    driver: &'static str,
    workers: usize,
    pub(super) connections: u32,
    /// The load in words.
    pub(super) load: String,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    pub(super) arms: Vec<ArmSummary>,
    /// The pooler's connections, where its console could be read.
    pub(super) pool: Option<PoolSummary>,
}

impl Summary {
    pub(super) fn new(
        scenario: &Scenario,
        plan: &Plan,
        rig: &Rig,
        started: SystemTime,
        watched: &Watched,
    ) -> Self {
        let names: Vec<_> = scenario.operations.iter().map(|op| op.name.as_str()).collect();
        let mut validity = Validity::default();
        rig.arms.iter().for_each(|arm| validity.judge(arm));
        if let Some(error) = &watched.error {
            validity
                .suspect(format!("{error}: what came after is missing from the pool's figures"));
        }
        Self {
            schema: 1,
            command: "run",
            scenario: scenario.name.clone(),
            started: started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            duration_ns: rig.arms.iter().map(|arm| arm.measured_ns).sum(),
            phase_ns: plan.duration_ns,
            seed: plan.seed,
            driver: "uring",
            workers: rig.workers,
            connections: plan.connections,
            load: words(plan.load),
            validity,
            arms: rig.arms.iter().map(|arm| ArmSummary::new(arm, &names)).collect(),
            pool: PoolSummary::new(&watched.observations),
        }
    }
}

fn words(load: Load) -> String {
    match load {
        Load::ConstantVus { vus, think_time_ns: (0, 0) } => format!("{vus} VUs"),
        Load::ConstantVus { vus, think_time_ns: (least, most) } => {
            let show = |ns| crate::duration::show(ns as f64);
            format!("{vus} VUs thinking {} to {}", show(least), show(most))
        }
        Load::ConstantArrivalRate { rate, gaps: engine::Gaps::Uniform } => {
            format!("{rate} requests a second, evenly spaced")
        }
        Load::ConstantArrivalRate { rate, gaps: engine::Gaps::Poisson } => {
            format!("{rate} requests a second, Poisson")
        }
    }
}
