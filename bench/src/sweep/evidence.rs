//! Whether a cell can be trusted.

use engine::Nanos;

use super::cell::Cell;
use super::experiment::GAPS;
use super::table;
use crate::arm::Arm;
use crate::generator::GeneratorSummary;
use crate::observe::Gaps;
use crate::validity::{Comparison, Evidence, Offered, Purpose, Validity};

/// What a cell was measured with.
pub(super) struct CellEvidence<'a> {
    pub(super) generator: &'a GeneratorSummary,
    /// With what was measured on it.
    pub(super) arm: Arm,
    /// As long as the load was.
    pub(super) cell_ns: Nanos,
    pub(super) lost_names: Option<String>,
    /// Looks at the pooler that came to nothing, where it was looked at.
    pub(super) gaps: Option<&'a Gaps>,
    /// Whether what the pooler counts began anew meanwhile.
    pub(super) has_begun_anew: bool,
}

impl Cell {
    /// Whether it can be trusted. Where its pool was too slow for its goals with what was sent, that is
    /// its result. Else, where a rate was too much for its clients, it was not offered, and the cell is
    /// not about it.
    pub(super) fn judge(&mut self, evidence: CellEvidence<'_>) {
        let CellEvidence { generator, mut arm, cell_ns, lost_names, gaps, has_begun_anew } =
            evidence;
        self.generator_share = generator.busiest.share;
        arm.kind.name = table::label(&self.setting).into();
        let offered = self.setting.rate.map(|rate| Offered::new(rate, GAPS, cell_ns));
        self.validity = Validity::of(&Evidence {
            busiest: &generator.busiest,
            machine: &generator.machine,
            arms: &[arm],
            offered: vec![offered],
            comparison: Comparison::Apart,
            // The reference point shows what changes from cell to cell; one alone is too short.
            steady: Vec::new(),
            // The console is asked by the cell itself.
            observations: Vec::new(),
            lost_names: lost_names.into_iter().collect(),
            purpose: match self.goals.iter().all(|goal| goal.result.is_met_by_service) {
                true => Purpose::PoolSizes,
                false => Purpose::Overload,
            },
        });
        if let Some(gaps) = gaps {
            self.validity.judge_gaps("the pooler's console", gaps);
        }
        if has_begun_anew {
            self.validity.suspect(
                "what the pooler counted began anew meanwhile (a restart, or a reset of its \
                 statistics): its counts are missing"
                    .into(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::{Recording, SECOND, StreamReport};
    use wire::{Failure, Outcome};

    use super::*;
    use crate::arm::{ArmKind, Block};
    use crate::limit::GoalResult;
    use crate::sweep::cell::CellGoal;
    use crate::sweep::summary::tests::surface;
    use crate::validity::{Level, Machine};

    /// The verdict on a cell of 1000 requests a second, with what is changed of it.
    fn judged(
        share: f64,
        machine: Machine,
        is_met_by_service: bool,
        change: impl FnOnce(&mut StreamReport, &mut CellEvidence<'_>),
    ) -> (Level, String) {
        let mut recording = Recording::new(1);
        for _ in 0..1000 {
            recording.record(0, Outcome::Ok, &Failure::default(), (0, 0, 300_000));
        }
        let mut stream = StreamReport { planned: 1000, ..StreamReport::new(recording) };
        let mut cell = surface().0.remove(0);
        cell.setting.rate = Some(1000.0);
        let result = GoalResult {
            goal: "p(95)<100".into(),
            is_met: is_met_by_service,
            value: Some(50.0),
            is_met_by_service,
        };
        cell.goals =
            vec![CellGoal { result, value_ci: None, is_surely_met: false, may_be_met: false }];
        let generator = GeneratorSummary::example_of(share, machine);
        let mut evidence = CellEvidence {
            generator: &generator,
            arm: Arm::new(&ArmKind::of("pooler"), None),
            cell_ns: SECOND,
            lost_names: None,
            gaps: None,
            has_begun_anew: false,
        };
        change(&mut stream, &mut evidence);
        evidence.arm.push(Block::of(stream, SECOND, 0));
        cell.judge(evidence);
        assert_eq!(cell.generator_share, share);
        (cell.validity.valid, cell.validity.reasons.join("; "))
    }

    fn at_ease(
        is_met_by_service: bool,
        change: impl FnOnce(&mut StreamReport, &mut CellEvidence<'_>),
    ) -> (Level, String) {
        judged(0.1, Machine::default(), is_met_by_service, change)
    }

    #[test]
    fn a_cell_is_judged_by_all_that_it_was_measured_with() {
        assert_eq!(at_ease(true, |_, _| {}), (Level::Valid, String::new()));
        let (level, reason) = judged(0.95, Machine::default(), true, |_, _| {});
        assert_eq!(level, Level::Invalid);
        assert!(reason.contains("a worker of the generator worked 95 %"), "{reason}");
        let (level, reason) = judged(0.1, Machine::loud(), true, |_, _| {});
        assert_eq!(level, Level::Invalid);
        assert!(reason.contains("slept for 2.00 s"), "{reason}");
        let (level, reason) = at_ease(true, |stream, _| stream.planned = 900);
        assert_eq!(level, Level::Invalid);
        assert!(reason.contains("900 requests came due where 1000"), "{reason}");
        let (level, reason) =
            at_ease(true, |_, evidence| evidence.lost_names = Some("names were lost".into()));
        assert_eq!((level, reason.as_str()), (Level::Suspect, "names were lost"));
    }

    #[test]
    fn what_a_pool_was_too_slow_for_is_its_result_and_what_was_never_offered_is_none() {
        let unsent = |is_met| at_ease(is_met, |stream, _| stream.unserved = 200);
        let (level, reason) = unsent(true);
        assert_eq!(level, Level::Invalid);
        assert!(reason.contains("200 of 1000 requests were never sent"), "{reason}");
        assert_eq!(unsent(false).0, Level::Valid);
    }

    #[test]
    fn what_the_console_did_not_show_is_told() {
        let error = Some("the console did not answer".to_owned());
        let gaps = Gaps { questions: 10, failures: 3, error };
        let mut cell = surface().0.remove(0);
        let generator = GeneratorSummary::example();
        cell.judge(CellEvidence {
            generator: &generator,
            arm: Arm::new(&ArmKind::of("pooler"), None),
            cell_ns: SECOND,
            lost_names: None,
            gaps: Some(&gaps),
            has_begun_anew: true,
        });
        assert_eq!(cell.validity.valid, Level::Suspect);
        let [gaps, anew] = &cell.validity.reasons[..] else { panic!("{:?}", cell.validity) };
        assert!(gaps.contains("did not answer: 3 of 10 looks"), "{gaps}");
        assert!(anew.starts_with("what the pooler counted began anew"), "{anew}");
    }
}
