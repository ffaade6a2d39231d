//! The result as it is written to summary.json: everything that the table shows.

use engine::{CancelTimes, Nanos};
use serde::Serialize;
use wire::Class;

use super::Plan;
use crate::arm::{Arm, ArmSummary, Quantiles};
use crate::head::Head;
use crate::observe::{Observations, ObserversSummary};
use crate::pace::PaceSummary;
use crate::validity::{Comparison, Evidence, Purpose, Validity};

/// The result of `cancel`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// A phase is one target's.
    #[serde(flatten)]
    pub(super) head: Head,
    /// Of statements.
    #[serde(flatten)]
    pub(super) pace: PaceSummary,
    /// Clients that sent the same statements and cancelled none.
    pub(super) bystanders: u32,
    /// How long each statement runs by itself.
    pub(super) length_ns: Nanos,
    /// How long after it was sent each is cancelled.
    pub(super) after_ns: Nanos,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    pub(super) arms: Vec<CancelArm>,
}

/// What was measured on one target. Its requests are the statements, the bystanders' too; among
/// its errors are those that were cancelled as asked for.
#[derive(Debug, Serialize)]
pub(super) struct CancelArm {
    #[serde(flatten)]
    pub(super) arm: ArmSummary,
    /// CancelRequests that were sent; each has one of the four outcomes that follow.
    pub(super) cancels: u64,
    /// The statement ended by it.
    pub(super) hit: u64,
    /// The statement ran, and on to its end.
    pub(super) lost: u64,
    /// The statement still waited for a server connection.
    pub(super) queued: u64,
    /// The statement failed of something else.
    pub(super) failed: u64,
    /// Statements that ended before their cancel could be sent.
    pub(super) unsent: u64,
    /// Statements that were cancelled, and for which no cancel had been sent.
    pub(super) wrong_client: u64,
    /// Of the hits, from when the CancelRequest was sent to the statement's end.
    pub(super) effect_ns: Quantiles,
    /// Of those that were queued, from when it was sent until they had run, or were given up.
    pub(super) queued_ns: Quantiles,
    /// Of the lost, from when it was sent to the statement's end.
    pub(super) lost_ns: Quantiles,
    observers: ObserversSummary,
}

impl Summary {
    pub(super) fn new(
        head: Head,
        plan: &Plan,
        (arms, lost_names): (&[Arm], Vec<String>),
        measured: &[CancelTimes],
        observations: &[Observations],
    ) -> Self {
        let mut validity = Validity::of(&Evidence {
            busiest: &head.generator.busiest,
            machine: &head.generator.machine,
            arms,
            // Bystanders come on top of a rate.
            offered: vec![
                plan.pace.offered(plan.duration_ns).filter(|_| plan.bystanders == 0);
                arms.len()
            ],
            // That they fail is what is measured.
            comparison: Comparison::Sessions,
            steady: Vec::new(),
            observations: observations.iter().collect(),
            lost_names,
            purpose: Purpose::Cancelling,
        });
        let all = arms.iter().zip(measured).zip(observations);
        let arms: Vec<_> =
            all.map(|((arm, times), seen)| CancelArm::new(arm, times, seen)).collect();
        arms.iter().for_each(|arm| arm.judge(&mut validity));
        Self {
            head,
            pace: plan.pace.summary(),
            bystanders: plan.bystanders,
            length_ns: plan.cancel.length_ns,
            after_ns: plan.cancel.after_ns,
            validity,
            arms,
        }
    }
}

impl CancelArm {
    fn new(arm: &Arm, times: &CancelTimes, observations: &Observations) -> Self {
        let arm = ArmSummary::new(arm, &[]);
        Self {
            cancels: times.sent(),
            hit: times.hit.len(),
            lost: times.lost.len(),
            queued: times.queued.len(),
            failed: times.failed,
            unsent: times.unsent,
            wrong_client: arm.errors.get(Class::WrongCancel.name()).copied().unwrap_or_default(),
            effect_ns: Quantiles::new(&times.hit),
            queued_ns: Quantiles::new(&times.queued),
            lost_ns: Quantiles::new(&times.lost),
            observers: ObserversSummary::new(observations),
            arm,
        }
    }

    fn judge(&self, validity: &mut Validity) {
        if self.cancels == 0 {
            validity.invalid(format!(
                "{}: no cancel was sent: every statement ended before (raise --length or lower \
                 --after)",
                self.arm.name
            ));
        }
    }
}

#[cfg(test)]
impl Summary {
    /// Made-up measurements of a pooler with a queue and of a Postgres, through the same code as
    /// real ones.
    pub(crate) fn example(pace: crate::pace::Pace) -> Self {
        use engine::{Cancel, MILLISECOND, Recording, SECOND, StreamReport};
        use wire::{Code, Failure, Outcome};

        use crate::arm::{ArmKind, Block};
        use crate::generator::GeneratorOptions;

        let plan = Plan {
            targets: ["pooler", "postgres"].map(Into::into).into(),
            pace,
            cancel: Cancel { after_ns: 50 * MILLISECOND, length_ns: 200 * MILLISECOND },
            bystanders: 2,
            duration_ns: SECOND,
            generator: GeneratorOptions::default(),
            seed: 1,
        };
        let mut arms = Vec::new();
        let mut measured = Vec::new();
        for (index, target) in plan.targets.iter().enumerate() {
            let mut recording = Recording::new(1);
            let mut times = CancelTimes::default();
            let mut failure = Failure::default();
            for number in 0..100_u64 {
                let outcome = match number % 10 {
                    0 | 1 => Outcome::Ok,
                    2 if index == 0 => Outcome::Ok,
                    3 if index == 0 => Outcome::Failed(Class::WrongCancel),
                    _ => Outcome::Failed(Class::Cancelled),
                };
                failure.set(Code::SqlState(*b"57014"), b"canceling statement due to user request");
                recording.record(0, outcome, &failure, (0, 0, 60 * MILLISECOND));
                match (number % 10, outcome) {
                    (0, _) => times.unsent += 1,
                    (1, _) => times.lost.saturating_record(150 * MILLISECOND),
                    (2, Outcome::Ok) => times.queued.saturating_record(300 * MILLISECOND),
                    (_, Outcome::Failed(Class::Cancelled)) => {
                        times.hit.saturating_record((number + 1) * 10_000);
                    }
                    _ => {}
                }
            }
            let stream = StreamReport { planned: 100, ..StreamReport::new(recording) };
            let mut arm = Arm::new(&ArmKind::of(target), None);
            arm.push(Block::of(stream, SECOND, 25_000_000));
            arms.push(arm);
            measured.push(times);
        }
        let observations = vec![Observations::default(); arms.len()];
        let arms = (&arms[..], Vec::new());
        Self::new(Head::example("cancel", SECOND), &plan, arms, &measured, &observations)
    }
}
