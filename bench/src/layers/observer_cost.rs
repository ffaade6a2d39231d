//! What looking at the servers costs, from blocks without it.

use serde::Serialize;

use super::level::{Level, PoolBlock};
use super::schedule::is_observed;
use crate::arm::Arm;
use crate::statistics::{Estimate, difference};

/// How much longer an arm's requests took in blocks that were looked at than in those that were not: the
/// difference of a quantile of each block, in the mean.
#[derive(Debug, Serialize)]
pub(super) struct ObserverCost {
    pub(super) arm: String,
    pub(super) rate: f64,
    pub(super) of: Looking,
    pub(super) quantile: f64,
    pub(super) ns: f64,
    pub(super) ci_ns: [f64; 2],
}

/// Who looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Looking {
    /// At the pool, all through a block.
    Watching,
    /// At everything else, twice in a block.
    Observing,
}

/// For each arm both of them at each of these quantiles, the watching where there was some.
pub(super) fn observer_costs(level: &Level, quantiles: &[f64]) -> Vec<ObserverCost> {
    let mut costs = Vec::new();
    for (arm, pool) in level.arms.iter().zip(&level.pool) {
        for of in [Looking::Watching, Looking::Observing] {
            let sides: Vec<_> = (0..arm.blocks.len()).map(|round| of.side(round, pool)).collect();
            costs.extend(quantiles.iter().filter_map(|quantile| {
                let found = found(arm, &sides, *quantile)?;
                Some(ObserverCost {
                    arm: arm.kind.name.to_string(),
                    rate: level.rate,
                    of,
                    quantile: *quantile,
                    ns: found.value,
                    ci_ns: [found.low, found.high],
                })
            }));
        }
    }
    costs
}

impl Looking {
    /// Whether it went on in this round; nothing where the round would hold the other's cost too.
    fn side(self, round: usize, pool: &[PoolBlock]) -> Option<bool> {
        let is_watched = pool.get(round).is_some_and(|block| block.is_watched);
        let is_pool_watched = pool.iter().any(|block| block.is_watched);
        let is_observed = is_observed(round as u64);
        match self {
            Self::Watching => (!is_observed).then_some(is_watched),
            Self::Observing => (is_watched == is_pool_watched).then_some(is_observed),
        }
    }
}

/// Fewer rounds with it, or without, say no more than which of the machine's moods they fell into.
const ROUNDS_MIN: usize = 3;

/// The difference between rounds with it and without; `None` of too few of either.
fn found(arm: &Arm, sides: &[Option<bool>], quantile: f64) -> Option<Estimate> {
    let of = |wanted: bool| {
        let blocks = arm.blocks.iter().zip(sides).filter(|(_, side)| **side == Some(wanted));
        let each = blocks.filter_map(|(block, _)| block.response.quantile(quantile));
        each.map(|ns| ns as f64).collect::<Vec<_>>()
    };
    let (with, without) = (of(true), of(false));
    let is_enough = with.len().min(without.len()) >= ROUNDS_MIN;
    is_enough.then(|| difference(&with, &without)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Summary, cost, schedule::is_watched};

    #[test]
    fn blocks_that_differ_in_one_kind_of_looking_are_compared() {
        let block = |round| PoolBlock {
            totals: None,
            is_anew: false,
            looks: Vec::new(),
            is_watched: is_watched(round),
        };
        let pool: Vec<_> = (0..8).map(block).collect();
        let sides = |of: Looking, pool: &[PoolBlock]| {
            (0..8).map(|round| of.side(round, pool)).collect::<Vec<_>>()
        };
        let (on, off) = (Some(true), Some(false));
        assert_eq!(sides(Looking::Watching, &pool), [None, on, on, off, on, on, on, off]);
        assert_eq!(sides(Looking::Observing, &pool), [on, off, off, None, off, off, off, None]);
        // Where there is no pool to watch, all the others are without.
        assert_eq!(sides(Looking::Watching, &[]), [None, off, off, off, off, off, off, off]);
        assert_eq!(sides(Looking::Observing, &[]), [on, off, off, off, off, off, off, off]);
    }

    #[test]
    fn each_arm_has_the_cost_of_what_looked_at_it() {
        let summary = Summary::example();
        let of = |arm: &str, of: Looking| {
            let costs = summary.observer_costs.iter();
            let costs = costs.filter(|cost| cost.arm == arm && cost.of == of);
            costs.map(|cost| cost.ns).collect::<Vec<_>>()
        };
        // A request of each of four blocks takes 1 us longer than one of the block before: the fourth,
        // which is not watched, 3 to 1 longer than the others.
        let watching = of("pooler", Looking::Watching);
        assert_eq!(watching.len(), cost::QUANTILES.len());
        assert!(watching.iter().all(|ns| (-3100.0..=-900.0).contains(ns)), "{watching:?}");
        assert!(of("direct", Looking::Watching).is_empty(), "there is no pool to watch");
        for arm in ["pooler", "direct"] {
            let observing = of(arm, Looking::Observing);
            assert_eq!(observing.len(), cost::QUANTILES.len());
            assert!(observing.iter().all(|ns| (-2100.0..=1100.0).contains(ns)), "{observing:?}");
        }
    }
}
