//! A run as it is written to summary.json.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Load, Nanos};
use serde::Serialize;

use super::{Plan, Verdicts};
use crate::arm::ArmSummary;
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
    #[serde(flatten)]
    pub(crate) verdicts: Verdicts,
    pub(super) arms: Vec<ArmSummary>,
}

impl Summary {
    pub(super) fn new(
        scenario: &Scenario,
        plan: &Plan,
        rig: &Rig,
        started: SystemTime,
        verdicts: Verdicts,
    ) -> Self {
        let names: Vec<_> = scenario.operations.iter().map(|op| op.name.as_str()).collect();
        let mut validity = Validity::default();
        rig.arms.iter().for_each(|arm| validity.judge(arm));
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
            verdicts,
            arms: rig.arms.iter().map(|arm| ArmSummary::new(arm, &names)).collect(),
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
