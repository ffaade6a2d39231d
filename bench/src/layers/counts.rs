//! Whether the pooler counted what was sent through it.

use serde::Serialize;

use super::level::Level;
use crate::observe::Counters;
use crate::validity::Validity;

/// Queries that were sent through the pooler and that it counted, the warm-up's included. What passed
/// while its counters began anew, or before it was first asked, is in neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Requests, and where these have several statements, each of those.
    pub(super) completed_through_pooler: u64,
    pub(super) pooler_queries: u64,
}

/// Adds up what passes from one look at the pooler's counters to the next.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Counts,
    last: Option<(Counters, u64)>,
}

impl Tally {
    /// What the pooler has counted by now, and as many queries have been sent through it.
    pub(super) fn look(&mut self, counters: &Counters, sent: u64) {
        if let Some((earlier, sent_earlier)) = self.last.replace((counters.clone(), sent))
            && let Some(queries) = counters.since(&earlier).and_then(|counted| counted.queries())
        {
            self.counts.completed_through_pooler += sent - sent_earlier;
            self.counts.pooler_queries += queries;
        }
    }

    /// What passes until the next look is in neither.
    pub(super) fn pause(&mut self) {
        self.last = None;
    }

    /// If there was anything to count.
    pub(super) fn counts(&self) -> Option<Counts> {
        (self.counts != Counts::default()).then_some(self.counts)
    }
}

/// So much may differ: what was given up or sent again is counted on one side alone.
const DIFFERENCE_MAX: f64 = 0.01;

/// Compares the counts of each way to the pooler itself, over the blocks in which it counted. A gateway
/// makes of a request what it likes.
pub(super) fn judge(level: &Level, validity: &mut Validity) {
    for (arm, blocks) in level.arms.iter().zip(&level.pool) {
        let known = arm.blocks.iter().zip(blocks);
        let known = known
            .filter_map(|(ours, pool)| Some((ours.queries, pool.totals.as_ref()?.queries()?)))
            .filter(|_| !arm.kind.has("gateway"));
        let (sent, counted) = known.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let failed = arm.whole.as_ref().map_or(0, engine::Recording::failed);
        let allowed = DIFFERENCE_MAX * sent as f64 + (failed + arm.resent) as f64;
        if (sent as f64 - counted as f64).abs() > allowed {
            let why = match counted > sent {
                true => "somebody else uses it",
                false => "it does not count each",
            };
            validity.suspect(format!(
                "{}: {sent} queries were sent to the pooler and it counted {counted}: {why}, or the \
                 console is another pooler's",
                arm.label()
            ));
        }
    }
}

/// Tells of blocks in which the pooler's counters began anew.
pub(super) fn judge_restarts(level: &Level, validity: &mut Validity) {
    for (arm, blocks) in level.arms.iter().zip(&level.pool) {
        let anew = blocks.iter().filter(|block| block.is_anew).count();
        if anew > 0 {
            validity.suspect(format!(
                "{}: what the pooler counts began anew in {anew} of {} blocks (a restart, or a reset \
                 of its statistics): what is told of the pool leaves them out",
                arm.label(),
                blocks.len()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ArmKind;
    use crate::layers::example;
    use crate::observe::Totals;

    #[test]
    fn what_passes_while_counters_begin_anew_is_on_neither_side() {
        let mut tally = Tally::default();
        let counters = |queries| Counters::of(&[("query_count", queries)]);
        tally.look(&counters(100), 0);
        assert_eq!(tally.counts(), None);
        for (queries, sent) in [(110, 10), (3, 25), (8, 30), (18, 40)] {
            tally.look(&counters(queries), sent);
        }
        // What we ask for ourselves is nobody's load.
        tally.pause();
        tally.look(&counters(20), 40);
        let (completed_through_pooler, pooler_queries) = (25, 25);
        assert_eq!(tally.counts(), Some(Counts { completed_through_pooler, pooler_queries }));
    }

    #[track_caller]
    fn assert_judged(target: &str, change: impl FnOnce(&mut Level), expected: &[&str]) {
        let mut level = example::level_of(&[ArmKind::of(target)]);
        change(&mut level);
        let mut validity = Validity::default();
        judge(&level, &mut validity);
        judge_restarts(&level, &mut validity);
        assert_eq!(validity.reasons, expected);
    }

    #[test]
    fn counts_that_disagree_are_told_and_blocks_without_counts_are_not_compared() {
        let queries = |level: &mut Level, queries| {
            level.pool[0][0].totals = Some(Totals::of(&[("query_count", queries)]));
        };
        assert_judged("pooler", |_| {}, &[]);
        assert_judged("pooler", |level| queries(level, 1030), &[]);
        assert_judged(
            "pooler",
            |level| queries(level, 1050),
            &["pooler: 4000 queries were sent to the pooler and it counted 4050: somebody else \
               uses it, or the console is another pooler's"],
        );
        assert_judged(
            "pooler",
            |level| queries(level, 900),
            &[
                "pooler: 4000 queries were sent to the pooler and it counted 3900: it does not count \
               each, or the console is another pooler's",
            ],
        );
        assert_judged("gateway", |level| queries(level, 9000), &[]);
        assert_judged("pooler", |level| level.pool[0][1].totals = None, &[]);
    }

    #[test]
    fn a_reset_is_told() {
        let reset = |level: &mut Level| {
            (level.pool[0][1].totals, level.pool[0][1].is_anew) = (None, true);
        };
        assert_judged(
            "pooler",
            reset,
            &["pooler: what the pooler counts began anew in 1 of 4 blocks (a restart, or a reset \
               of its statistics): what is told of the pool leaves them out"],
        );
    }
}
