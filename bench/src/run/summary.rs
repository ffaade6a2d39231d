//! A run as it is written to summary.json.

use std::time::SystemTime;

use engine::{Gaps, Load, Nanos};
use serde::Serialize;

use super::pool::PoolSummary;
use super::{Plan, Seen, Verdicts};
use crate::arm::{Arm, ArmSummary};
use crate::head::Head;
use crate::limiter::Limiter;
use crate::observe::ObserversSummary;
use crate::rig::Rig;
use crate::scenario::Scenario;
use crate::series::Second;
use crate::validity::{Comparison, Evidence, Purpose, Steady, Validity};

/// The result of `run`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    pub(super) head: Head,
    pub(super) connections: u32,
    /// The load in words.
    pub(super) load: String,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    #[serde(flatten)]
    pub(crate) verdicts: Verdicts,
    pub(super) arms: Vec<ArmSummary>,
    /// The connections of the pooler that all loads go through, where its console could be read. Of
    /// several poolers the series tells.
    pool: Option<PoolSummary>,
    pub(super) observers: ObserversSummary,
    /// The resource that ran out first; null where nothing of what was seen ran out.
    pub(super) limiter: Option<Limiter>,
    /// Second by second: what is below the other in a column happened one after the other, what is
    /// beside it at the same time.
    pub(super) series: Vec<Second>,
}

impl Summary {
    pub(super) fn new(
        scenario: &Scenario,
        plan: &Plan,
        rig: &Rig,
        started: SystemTime,
        seen: Seen<'_>,
        verdicts: Verdicts,
    ) -> Self {
        let Seen { observations, pooler, end_ns, series, asked } = seen;
        let names: Vec<_> = scenario.operations.iter().map(|op| op.name.as_str()).collect();
        let duration_ns = rig.arms.iter().map(|arm| arm.measured_ns).max().unwrap_or(0);
        let phase = (plan.duration_ns(), plan.seed);
        let time = (started, duration_ns);
        let head = Head::new("run", &scenario.name, time, phase, rig.generator());
        let arms: Vec<_> = rig.arms.iter().map(Arm::label).collect();
        let steady = asked.is_steady.then(|| Steady::new(arms.join(", "), &series));
        let validity = Validity::of(&Evidence {
            busiest: &head.generator.busiest,
            machine: &head.generator.machine,
            arms: &rig.arms,
            offered: asked.offered,
            comparison: Comparison::Apart,
            steady: steady.into_iter().collect(),
            observations: vec![observations],
            lost_names: rig.all_lost_names(),
            purpose: Purpose::Load,
        });
        Self {
            head,
            connections: plan.connections(),
            load: {
                let words = plan.loads.iter().map(|load| words(&load.load, load.think_time_ns));
                words.collect::<Vec<_>>().join("; ")
            },
            validity,
            verdicts,
            arms: rig.arms.iter().map(|arm| ArmSummary::new(arm, &names)).collect(),
            pool: pooler.and_then(|name| PoolSummary::new(observations, name, end_ns)),
            observers: ObserversSummary::new(observations),
            limiter: Limiter::find(&series),
            series,
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
