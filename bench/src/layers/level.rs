//! One of the rates that are compared.

use crate::arm::Arm;
use crate::observe::{Pools, Totals};

/// What was measured at one rate.
pub(super) struct Level {
    /// Arrivals a second that were asked for.
    pub(super) rate: f64,
    pub(super) arms: Vec<Arm>,
    /// For each arm, what the pooler said of each of its blocks; empty where the pooler is not on
    /// the way, or not known.
    pub(super) pool: Vec<Vec<PoolBlock>>,
}

/// What the pooler said of one block.
#[derive(Debug, Clone)]
pub(super) struct PoolBlock {
    /// Counted from its beginning to its end; `None` where the pooler was started anew meanwhile.
    pub(super) totals: Option<Totals>,
    /// Its connections, several times on the way; none where it was not watched.
    pub(super) looks: Vec<Pools>,
    pub(super) is_watched: bool,
}

impl Level {
    /// Without measurements; `arms` have their connections.
    pub(super) fn new(rate: f64, arms: Vec<Arm>) -> Self {
        let pool = vec![Vec::new(); arms.len()];
        Self { rate, arms, pool }
    }
}
