//! The run's clock.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::{Nanos, SECOND};

/// The run's own monotonic clock, shared by all workers and by whoever samples beside them.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: Instant,
}

impl Clock {
    /// A clock that shows 0 now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    pub fn start() -> Self {
        Self { zero: Instant::now() }
    }

    /// Nanoseconds since the clock's start.
    pub fn now(&self) -> Nanos {
        self.zero.elapsed().as_nanos() as Nanos
    }
}

/// CPU time of the calling thread, in ns.
pub fn thread_cpu_ns() -> Nanos {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as Nanos * SECOND + time.tv_nsec as Nanos
}
