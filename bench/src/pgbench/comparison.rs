//! What each target costs more than the first.

use engine::Nanos;
use serde::Serialize;

use super::Plan;
use super::experiment::Scripts;
use crate::arm::Arm;
use crate::layers::Pair;
use crate::layers::cost::{QUANTILES, latencies, ratio, rounds};
use crate::statistics::{CONFIDENCE, Estimate, estimates};
use crate::validity::{self, Blocks};

/// The difference of a quantile of the transactions' latencies, in ns.
#[derive(Debug, Serialize)]
pub(super) struct CostSummary {
    /// The target.
    pub(super) layer: String,
    /// Always empty: what else lies on the way is not known here.
    given: [String; 0],
    /// The first target.
    pub(super) against: String,
    pub(super) quantile: f64,
    pub(super) ns: f64,
    pub(super) ci_ns: [f64; 2],
    blocks: usize,
}

/// The difference of the transactions a second.
#[derive(Debug, Serialize)]
pub(super) struct ThroughputCost {
    /// The target.
    pub(super) layer: String,
    /// The first target.
    pub(super) against: String,
    pub(super) tps: f64,
    pub(super) ci_tps: [f64; 2],
}

/// What the others cost more than the first.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) costs: Vec<CostSummary>,
    pub(super) throughput: Vec<ThroughputCost>,
}

/// How the targets took turns, for their verdict.
pub(super) fn turns(plan: &Plan, arms: &[Arm], scripts: &[Scripts]) -> validity::Comparison {
    if arms.len() == 1 {
        return validity::Comparison::Apart;
    }
    let length_ns: f64 = scripts[0].blocks.iter().map(|(_, length_ns)| length_ns).sum();
    let block_ns = length_ns / scripts[0].blocks.len().max(1) as f64;
    validity::Comparison::Blocks(Blocks {
        connections: plan.clients,
        count: rounds(arms),
        // A target has --time by itself.
        round_ns: block_ns as Nanos,
        option: "--time",
    })
}

impl Comparison {
    /// From all rounds in which every target had its block; nothing where there is one target.
    pub(super) fn new(plan: &Plan, arms: &[Arm], scripts: &[Scripts]) -> Self {
        if arms.len() == 1 {
            return Self::default();
        }
        let seed = plan.seed;
        let pair = |with| Pair { layer: None, given: Vec::new(), with, without: 0 };
        let pairs: Vec<_> = (1..arms.len()).map(pair).collect();
        let (found, _) = latencies(arms, &pairs, None, &QUANTILES, (CONFIDENCE, seed));
        let against = arms[0].kind.name.to_string();
        let blocks = rounds(arms);
        let of_pair = |(pair, estimates): (&Pair, &Option<Vec<Estimate>>)| {
            let one = |(estimate, quantile): (&Estimate, f64)| CostSummary {
                layer: arms[pair.with].kind.name.to_string(),
                given: [],
                against: against.clone(),
                quantile,
                ns: estimate.value,
                ci_ns: [estimate.low, estimate.high],
                blocks,
            };
            let estimates = estimates.iter().flatten().zip(QUANTILES);
            estimates.map(one).collect::<Vec<_>>()
        };
        let throughput = |pair: &Pair| {
            let of = |arm: usize| {
                let block = |(count, length_ns): &(f64, f64)| (*count, length_ns / 1e9);
                scripts[arm].blocks[..blocks].iter().map(block).collect::<Vec<_>>()
            };
            let (with, without) = (of(pair.with), of(pair.without));
            let found = estimates(blocks, seed, |times| {
                Some(vec![ratio(&with, times)? - ratio(&without, times)?])
            });
            let estimate = found?[0];
            Some(ThroughputCost {
                layer: arms[pair.with].kind.name.to_string(),
                against: against.clone(),
                tps: estimate.value,
                ci_tps: [estimate.low, estimate.high],
            })
        };
        Self {
            costs: pairs.iter().zip(&found).flat_map(of_pair).collect(),
            throughput: pairs.iter().filter_map(throughput).collect(),
        }
    }
}
