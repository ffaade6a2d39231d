//! One of the rates that are compared.

use engine::Nanos;

use crate::arm::Arm;
use crate::observe::{Observations, Pools, Totals};
use crate::series::{self, LoadSecond};

/// What was measured at one rate.
pub(super) struct Level {
    /// Arrivals a second that were asked for.
    pub(super) rate: f64,
    pub(super) arms: Vec<Arm>,
    /// For each arm, what the pooler said of each of its blocks, in their order; empty where the pooler
    /// is not on the way, or not known.
    pub(super) pool: Vec<Vec<PoolBlock>>,
    /// For each arm, its blocks that were observed.
    pub(super) observed: Vec<Vec<LoadSecond>>,
}

/// What the pooler said of one block.
#[derive(Debug, Clone)]
pub(super) struct PoolBlock {
    /// Counted from its beginning to its end; `None` where the console did not answer, or what it
    /// counts began anew meanwhile. Nothing is under way at either instant.
    pub(super) totals: Option<Totals>,
    /// Whether the counters began anew: a restart, or a reset of its statistics.
    pub(super) is_anew: bool,
    /// Its connections, several times while the load went on; none where it was not watched.
    pub(super) looks: Vec<Pools>,
    pub(super) is_watched: bool,
}

impl Level {
    /// Without measurements; `arms` have their connections.
    pub(super) fn new(rate: f64, arms: Vec<Arm>) -> Self {
        let (pool, observed) = (vec![Vec::new(); arms.len()], vec![Vec::new(); arms.len()]);
        Self { rate, arms, pool, observed }
    }

    /// Gives each arm what was seen beside its blocks, in a comparison that began at `start_ns`.
    pub(super) fn lay(&mut self, observations: &Observations, start_ns: Nanos) {
        for (arm, blocks) in self.arms.iter_mut().zip(&mut self.observed) {
            arm.series = series::lay_blocks(std::mem::take(blocks), observations, start_ns);
        }
    }
}
