//! The pooler's connections while a block runs.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use engine::Nanos;
use engine::driver::Clock;

use crate::observe::{Aside, Pending, Poolers, Pools};

/// A pooler's connections at one instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLook {
    /// On the workers' clock.
    pub(crate) at_ns: Nanos,
    pub(crate) pools: Pools,
}

/// Looks every few milliseconds, until it ends.
pub(crate) struct Watch {
    end: Sender<()>,
    seen: Pending<Vec<PoolLook>>,
}

/// A look costs us 170 us and PgBouncer 50: of a second an eighth of a percent.
pub(crate) const INTERVAL: Duration = Duration::from_millis(150);

/// So many looks fall into a block; the first comes half an interval after its beginning.
pub(crate) fn looks_within(block_ns: Nanos) -> u64 {
    let interval_ns = INTERVAL.as_nanos() as Nanos;
    (block_ns + interval_ns / 2) / interval_ns
}

impl Aside<Poolers> {
    /// Watches the pooler's connections from now on.
    pub(crate) fn watch(&mut self, clock: Clock) -> Option<Watch> {
        let (end, ended) = mpsc::channel();
        let seen = self.begin(move |poolers| {
            let mut seen = Vec::new();
            let started = Instant::now();
            for number in 1.. {
                let due = INTERVAL * number - INTERVAL / 2;
                let wait = due.saturating_sub(started.elapsed());
                if ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                let pools = poolers.pools()?;
                seen.push(PoolLook { at_ns: clock.now(), pools });
            }
            Ok(seen)
        });
        Some(Watch { end, seen: seen? })
    }

    /// What was seen since; nothing where one of the looks failed.
    pub(crate) fn seen(&mut self, Watch { end, seen }: Watch) -> Vec<PoolLook> {
        // A thread that has ended shows in its answer.
        let _ = end.send(());
        self.end(seen).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_blocks_are_looked_at_too() {
        let looks = [300, 100, 75, 74].map(|ms| looks_within(ms * engine::MILLISECOND));
        assert_eq!(looks, [2, 1, 1, 0]);
    }
}
