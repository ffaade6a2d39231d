//! What a virtual user does in one iteration.

use std::sync::Arc;

use crate::Mix;
use crate::pgbench::Workload;

/// What a virtual user does in one iteration.
#[derive(Clone, Debug)]
pub enum Script {
    /// One request of a mix, on any connection.
    Mix(Arc<Mix>),
    /// A transaction of pgbench: requests on one connection, each decided by the replies before.
    Pgbench(Arc<Workload>),
}

impl Script {
    /// How many operations are recorded.
    pub fn recordings(&self) -> usize {
        match self {
            Self::Mix(mix) => mix.len(),
            Self::Pgbench(workload) => workload.recordings(),
        }
    }
}
