//! The run's clock.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::{Nanos, SECOND};

/// The run's own monotonic clock, shared by all workers and by whoever samples beside them.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What the kernel's monotonic clock showed at the start, in ns.
    zero: Nanos,
}

impl Clock {
    /// A clock that shows 0 now.
    pub fn start() -> Self {
        Self { zero: nanos(clock_gettime(ClockId::Monotonic)) }
    }

    /// Nanoseconds since the clock's start.
    pub fn now(&self) -> Nanos {
        nanos(clock_gettime(ClockId::Monotonic)).saturating_sub(self.zero)
    }

    /// What the kernel's monotonic clock will show when this one shows `at`, in ns. Its timers take
    /// that, and then what happens between reading a clock and setting them does not make them late.
    pub(super) fn monotonic(&self, at: Nanos) -> Nanos {
        self.zero.saturating_add(at)
    }
}

/// CPU time of the calling thread, in ns.
pub fn thread_cpu_ns() -> Nanos {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

fn nanos(time: Timespec) -> Nanos {
    time.tv_sec as Nanos * SECOND + time.tv_nsec as Nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_clock_and_ours_agree_about_an_instant() {
        let clock = Clock::start();
        let before = nanos(clock_gettime(ClockId::Monotonic));
        let at = clock.monotonic(clock.now());
        let after = nanos(clock_gettime(ClockId::Monotonic));
        assert!((before..=after).contains(&at), "{before} {at} {after}");
    }
}
