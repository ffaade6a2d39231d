//! A run as it is written to summary.json.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Gaps, Load, Nanos};
use serde::Serialize;

use super::pool::PoolSummary;
use super::{Plan, Verdicts};
use crate::arm::ArmSummary;
use crate::generator::GeneratorSummary;
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
    #[serde(flatten)]
    pub(super) generator: GeneratorSummary,
    pub(super) connections: u32,
    /// The load in words.
    pub(super) load: String,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    #[serde(flatten)]
    pub(crate) verdicts: Verdicts,
    pub(super) arms: Vec<ArmSummary>,
    /// The pooler's connections, where its console could be read.
    pool: Option<PoolSummary>,
}

impl Summary {
    pub(super) fn new(
        scenario: &Scenario,
        plan: &Plan,
        rig: &Rig,
        started: SystemTime,
        watched: &Watched,
        verdicts: Verdicts,
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
            duration_ns: rig.arms.iter().map(|arm| arm.measured_ns).max().unwrap_or(0),
            phase_ns: plan.duration_ns(),
            seed: plan.seed,
            generator: rig.generator(),
            connections: plan.connections(),
            load: {
                let words = plan.loads.iter().map(|load| words(&load.load, load.think_time_ns));
                words.collect::<Vec<_>>().join("; ")
            },
            validity,
            verdicts,
            arms: rig.arms.iter().map(|arm| ArmSummary::new(arm, &names)).collect(),
            pool: PoolSummary::new(&watched.observations),
        }
    }
}

/// The load, for people.
fn words(load: &Load, think_time_ns: (Nanos, Nanos)) -> String {
    let show = |ns| crate::duration::show(ns as f64);
    let gaps = |gaps| match gaps {
        Gaps::Uniform => "evenly spaced",
        Gaps::Poisson => "Poisson",
    };
    let mut words = match load {
        Load::ConstantVus { vus, .. } => format!("{vus} VUs"),
        Load::RampingVus { start_vus, stages, .. } => {
            let ends: Vec<_> = stages.iter().map(|stage| stage.target.to_string()).collect();
            format!("{start_vus} to {} VUs", ends.join(" to "))
        }
        Load::PerVuIterations { vus, iterations, .. } => {
            format!("{iterations} iterations by each of {vus} VUs")
        }
        Load::SharedIterations { vus, iterations, .. } => {
            format!("{iterations} iterations shared by {vus} VUs")
        }
        Load::ConstantArrivalRate { rate, gaps: spacing, .. } => {
            format!("{rate} requests a second, {}", gaps(*spacing))
        }
        Load::RampingArrivalRate { start_rate, stages, gaps: spacing, .. } => {
            let ends: Vec<_> = stages.iter().map(|stage| stage.target.to_string()).collect();
            let ends = ends.join(" to ");
            format!("{start_rate} to {ends} requests a second, {}", gaps(*spacing))
        }
    };
    let (least, most) = think_time_ns;
    if !load.is_open_loop() && most > 0 {
        words += &format!(" thinking {} to {}", show(least), show(most));
    }
    words
}
