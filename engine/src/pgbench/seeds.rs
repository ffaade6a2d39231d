//! What pgbench draws from a run's seed.

use super::{Workload, Xoroshiro};

/// What pgbench draws from a run's seed, in its order.
#[derive(Clone, Debug)]
pub struct Seeds {
    /// One for each client.
    pub clients: Vec<u64>,
    /// The variable `default_seed`, where nothing else sets it.
    pub default: Option<u64>,
    /// What comes next.
    base: Xoroshiro,
}

impl Seeds {
    /// Those of so many clients.
    pub fn new(workload: &Workload, seed: u64, clients: usize) -> Self {
        let mut base = Xoroshiro::new(seed);
        let clients = (0..clients).map(|_| base.draw()).collect();
        let default = (!workload.presets("default_seed")).then(|| base.draw());
        Self { clients, default, base }
    }

    /// A thread's: for the choice of scripts, for its schedule, and for its samples.
    pub fn thread(&self, thread: usize) -> [u64; 3] {
        let mut base = self.base.clone();
        (0..3 * thread).for_each(|_| _ = base.draw());
        [base.draw(), base.draw(), base.draw()]
    }
}
