//! What one layer costs: the difference of two arms that differ in it alone.

use crate::arm::Arm;
use crate::statistics::{Estimate, differences};

/// The cost of `layer` where `given` are the other layers, at each of [`QUANTILES`].
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) layer: &'static str,
    /// The other layers of both arms, Postgres left out: it is always there.
    pub(super) given: Vec<&'static str>,
    pub(super) quantiles: Vec<(f64, Estimate)>,
    pub(super) blocks: usize,
}

/// The quantiles whose differences are told. The 99.9th has too few values in a short run.
pub(super) const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// The layer, the arm with it, and the arm without it.
const PAIRS: [(&str, &str, &str); 4] = [
    ("gateway", "gateway+pooler", "pooler"),
    ("gateway", "gateway+direct", "direct"),
    ("pooler", "gateway+pooler", "gateway+direct"),
    ("pooler", "pooler", "direct"),
];

/// The cost of each layer, once with and once without the other.
pub(super) fn costs(arms: &[Arm], seed: u64) -> Vec<Cost> {
    let arm = |name: &str| arms.iter().find(|arm| arm.kind.name == name);
    let cost = |(layer, with, without): (&'static str, &str, &str)| {
        let (with, without) = (arm(with)?, arm(without)?);
        let estimates = differences(&with.blocks, &without.blocks, &QUANTILES, seed)?;
        let given = without.kind.layers.iter().copied().filter(|other| *other != "postgres");
        Some(Cost {
            layer,
            given: given.collect(),
            quantiles: QUANTILES.into_iter().zip(estimates).collect(),
            blocks: with.blocks.len().min(without.blocks.len()),
        })
    };
    PAIRS.into_iter().filter_map(cost).collect()
}
