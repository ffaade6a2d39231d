//! The result as it is written to summary.json: everything that the table shows.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Nanos, StreamReport};
use serde::Serialize;

use super::{Measured, Moment, Plan, Recovery};
#[cfg(test)]
use crate::arm::Arm;
use crate::arm::ArmKind;
use crate::generator::GeneratorSummary;
use crate::scenario::Scenario;
use crate::validity::{Comparison, Evidence, Purpose, Validity};

/// The result of `limit --step`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    schema: u32,
    command: &'static str,
    pub(super) scenario: String,
    /// Seconds since 1970.
    started: f64,
    /// Before and after the step, and in it.
    pub(super) rates: [f64; 2],
    pub(super) before_ns: Nanos,
    pub(super) during_ns: Nanos,
    pub(super) connections: u32,
    pub(super) seed: u64,
    #[serde(flatten)]
    pub(super) generator: Option<GeneratorSummary>,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    /// Of each target.
    pub(super) steps: Vec<Step>,
}

/// What a step did to one target.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    /// The arm's name.
    pub(super) target: String,
    #[serde(flatten)]
    pub(super) recovery: Option<Recovery>,
    pub(super) errors: BTreeMap<&'static str, u64>,
    pub(super) planned: u64,
    /// Arrivals that found no free connection: they waited with us, and not in the pool.
    pub(super) late: u64,
    /// Arrivals that were never sent.
    pub(super) unsent: u64,
    pub(super) moments: Vec<Moment>,
}

impl Step {
    pub(super) fn new(
        kind: &ArmKind,
        recovery: Option<Recovery>,
        stream: &StreamReport,
        moments: Vec<Moment>,
    ) -> Self {
        let whole = stream.recording.whole();
        Self {
            target: kind.name.to_string(),
            recovery,
            errors: whole.failures().map(|(class, count, _)| (class.name(), count)).collect(),
            planned: stream.planned,
            late: stream.late,
            unsent: stream.dropped + stream.unserved,
            moments,
        }
    }

    fn judge(&self, connections: u32, validity: &mut Validity) {
        let Self { target, late, unsent, .. } = self;
        if *unsent == 0 && *late > 0 {
            validity.suspect(format!(
                "{target}: {late} requests waited for one of the {connections} connections, so that \
                 the pool saw only a part of the queue; raise --connections to see all of it there"
            ));
        }
        if self.recovery.as_ref().is_none_or(|recovery| recovery.p99_back_ns.is_none()) {
            validity.suspect(format!(
                "{target}: it was not back when the time for that was over; raise --after"
            ));
        }
    }
}

impl Measured {
    /// Whether what was measured on its target can be trusted.
    fn validity(&self) -> Validity {
        let mut validity = Validity::of(&Evidence {
            busiest: &self.generator.busiest,
            machine: &self.generator.machine,
            arms: std::slice::from_ref(&self.arm),
            // It changes with the step, and so do the replies.
            offered: vec![None],
            steady: Vec::new(),
            // How the targets fail under it is what is measured.
            comparison: Comparison::Apart,
            // The console is asked by the step itself.
            observations: Vec::new(),
            lost_names: self.lost_names.iter().cloned().collect(),
            purpose: Purpose::Load,
        });
        if let Some(sharing) = self.sharing {
            validity.judge_sharing(&self.arm.label(), sharing);
        }
        if let Some(gaps) = &self.pool_gaps {
            validity.judge_gaps("the pooler's console", gaps);
        }
        validity
    }
}

impl Summary {
    pub(super) fn new(
        scenario: &Scenario,
        plan: &Plan,
        started: SystemTime,
        measured: Vec<Measured>,
        steps: Vec<Step>,
    ) -> Self {
        let mut validity = Validity::default();
        measured.iter().for_each(|own| validity.merge(own.validity()));
        let arms: Vec<_> = measured.iter().map(|own| own.arm.clone()).collect();
        validity.compare_sessions(&arms);
        let generator = measured.into_iter().next_back().map(|own| own.generator);
        steps.iter().for_each(|step| step.judge(plan.connections, &mut validity));
        Self {
            schema: 1,
            command: "limit --step",
            scenario: scenario.name.clone(),
            started: started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            rates: [plan.rates.0, plan.rates.1],
            before_ns: plan.before_ns,
            during_ns: plan.during_ns,
            connections: plan.connections,
            seed: plan.seed,
            generator,
            validity,
            steps,
        }
    }
}

#[cfg(test)]
impl Summary {
    /// A queue that grows and drains.
    pub(crate) fn example() -> Self {
        use super::recovery::tests::{plan, queue};

        Self::of(&plan(), queue())
    }

    /// These moments of a pooler, in which three requests found no connection.
    pub(super) fn of(plan: &Plan, moments: Vec<Moment>) -> Self {
        use engine::Recording;

        let stream = StreamReport {
            planned: moments.iter().map(|moment| moment.planned).sum(),
            late: 3,
            ..StreamReport::new(Recording::new(1))
        };
        let kind = ArmKind::of("pooler");
        let step = Step::new(&kind, Recovery::new(plan, &moments), &stream, moments);
        let scenario = Scenario { name: "nova".into(), ..Scenario::default() };
        Self::new(&scenario, plan, UNIX_EPOCH, vec![Measured::example(&kind)], vec![step])
    }
}

#[cfg(test)]
impl Measured {
    fn example(kind: &ArmKind) -> Self {
        Self {
            arm: Arm::new(kind, None),
            generator: GeneratorSummary::example(),
            lost_names: None,
            sharing: None,
            pool_gaps: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validity::{Level, Sharing};

    #[test]
    fn a_queue_at_a_pool_that_nobody_shares_is_suspect() {
        let judged = |servers| {
            let sharing = Some(Sharing { clients: 20.0, servers });
            let measured = Measured { sharing, ..Measured::example(&ArmKind::of("pooler")) };
            measured.validity()
        };
        assert_eq!(judged(2.0).valid, Level::Valid);
        let Validity { valid, reasons } = judged(20.0);
        assert_eq!(valid, Level::Suspect);
        assert!(
            reasons[0].starts_with("pooler: 20 server connections for 20 clients"),
            "{reasons:?}"
        );
    }
}
