//! When a comparison ends that is to end once enough is known.

use serde::Serialize;

use super::arms::Pair;
use super::level::Level;
use super::{Plan, cost};
use crate::statistics::{Estimate, FixedWidth};

/// How such a comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Ended {
    pub(super) by: EndedBy,
    /// The most rounds that the time had room for.
    pub(super) rounds_max: u64,
    pub(super) quantile: f64,
    /// What was asked for.
    pub(super) width_ns: u64,
    /// The widest interval of a cost in the end, in ns; null where a cost is not known at all, since
    /// nothing succeeded on one of its arms.
    pub(super) widest_ns: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EndedBy {
    /// Every interval had become narrow enough.
    Width,
    /// The time was up.
    Time,
}

impl Plan {
    /// Whether it ends after so many rounds of the most that there is time for, and how. Nothing where
    /// it is to go on, and where it goes on until its time is up whatever is known.
    pub(super) fn end_after(
        &self,
        rounds: u64,
        rounds_max: u64,
        pairs: &[Pair],
        levels: &[Level],
    ) -> Option<Ended> {
        let goal = self.until?;
        let is_last = rounds == rounds_max;
        // A look that is not due may end nothing: it would be one chance more.
        let may_end = FixedWidth::looks_after(rounds);
        if !may_end && !is_last {
            return None;
        }
        let known = self.known(goal.quantile, pairs, levels);
        let is_met = may_end && known.as_ref().is_some_and(|known| goal.is_met(known));
        (is_met || is_last).then(|| Ended {
            by: if is_met { EndedBy::Width } else { EndedBy::Time },
            rounds_max,
            quantile: goal.quantile,
            width_ns: goal.width_ns,
            widest_ns: known.map(|known| goal.widest(&known)),
        })
    }

    /// The costs at this quantile, at all rates; nothing where one of them is not known.
    fn known(&self, quantile: f64, pairs: &[Pair], levels: &[Level]) -> Option<Vec<Estimate>> {
        let drawn = (self.confidence(), self.seed);
        let mut all = Vec::new();
        for level in levels {
            let (costs, _) = cost::latencies(&level.arms, pairs, None, &[quantile], drawn);
            for cost in costs {
                all.extend(cost?);
            }
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ArmKind;
    use crate::layers::arms::pairs;
    use crate::layers::example::level_of;
    use crate::statistics::Sample;

    /// How a comparison of so many rounds stands that is to know its costs to `width_ns`.
    fn end_after(rounds: u64, width_ns: u64, is_failing: bool) -> Option<Ended> {
        let kinds = ["pooler", "postgres", "gateway"].map(ArmKind::of);
        let mut level = level_of(&kinds);
        if is_failing {
            let blocks = level.arms[1].blocks.iter_mut();
            blocks.for_each(|block| block.response = Sample::of(std::iter::empty()));
        }
        let until = Some(FixedWidth { quantile: 0.5, width_ns });
        let plan = Plan { until, ..Plan::example() };
        plan.end_after(rounds, 30, &pairs(&kinds), &[level])
    }

    #[test]
    fn it_ends_when_every_cost_is_known_well_enough_or_its_time_is_up() {
        let by = |rounds, width_ns| end_after(rounds, width_ns, false).map(|ended| ended.by);
        assert_eq!(by(20, 1_000_000), Some(EndedBy::Width));
        assert_eq!(by(20, 1), None);
        assert_eq!(by(21, 1_000_000), None, "a look that is not due");
        assert_eq!(by(30, 1_000_000), Some(EndedBy::Time), "nor is it the last one's");
        let ended = end_after(30, 1, false).unwrap();
        assert_eq!((ended.by, ended.rounds_max, ended.width_ns), (EndedBy::Time, 30, 1));
        assert!(ended.widest_ns > Some(1.0), "{ended:?}");
        let plan = Plan::example();
        assert_eq!(plan.end_after(20, 20, &[], &[]), None, "nothing was asked for");
    }

    #[test]
    fn a_cost_that_is_not_known_at_all_is_not_known_well_enough() {
        assert_eq!(end_after(20, 1_000_000, true), None);
        let ended = end_after(30, 1_000_000, true).unwrap();
        assert_eq!((ended.by, ended.widest_ns), (EndedBy::Time, None));
    }
}
