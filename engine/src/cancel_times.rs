//! What became of requests that were cancelled on purpose.

use hdrhistogram::Histogram;
use wire::{Class, Outcome};

use crate::{Nanos, recording::histogram};

/// How a stream cancels its requests ([`crate::Stream::cancel`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// A request without its answer so long after it was sent is cancelled, in ns.
    pub after_ns: Nanos,
    /// How long a request runs at the server if nothing ends it, in ns. One that ends so late that
    /// it began after its CancelRequest had still been queued, before a pooler's server
    /// connections, when that was sent.
    pub length_ns: Nanos,
}

/// What became of requests for which a CancelRequest was sent (Postgres manual, 55.2.8 "Canceling
/// Requests in Progress"). Times run from when it was sent to the request's end, in ns.
#[derive(Clone, Debug)]
pub struct CancelTimes {
    /// Ended by it ([`Class::Cancelled`]): the time to its effect.
    pub hit: Histogram<u64>,
    /// Ran when it was sent, and on to their own end.
    pub lost: Histogram<u64>,
    /// Still waited for a server connection when it was sent: they ran later, all the same, or the
    /// pooler gave up waiting ([`Class::WaitTimeout`]).
    pub queued: Histogram<u64>,
    /// Failed of something else after it was sent.
    pub failed: u64,
    /// Ended before it could be sent.
    pub unsent: u64,
}

impl Default for CancelTimes {
    fn default() -> Self {
        let [hit, lost, queued] = std::array::from_fn(|_| histogram());
        Self { hit, lost, queued, failed: 0, unsent: 0 }
    }
}

impl CancelTimes {
    /// Requests for which a CancelRequest was sent.
    pub fn sent(&self) -> u64 {
        self.hit.len() + self.lost.len() + self.queued.len() + self.failed
    }

    /// Adds another worker's.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.hit, &other.hit),
            (&mut self.lost, &other.lost),
            (&mut self.queued, &other.queued),
        ] {
            ours.add(theirs).expect("all histograms share their bounds");
        }
        self.failed += other.failed;
        self.unsent += other.unsent;
    }

    /// Empties them without giving up their memory.
    pub(crate) fn reset(&mut self) {
        let Self { hit, lost, queued, failed, unsent } = self;
        [hit, lost, queued].into_iter().for_each(Histogram::reset);
        (*failed, *unsent) = (0, 0);
    }

    /// A request has its outcome at `done`; its CancelRequest was sent at `sent`, if it was.
    pub(crate) fn ended(
        &mut self,
        outcome: Outcome,
        sent: Option<Nanos>,
        done: Nanos,
        length_ns: Nanos,
    ) {
        let Some(sent) = sent else {
            self.unsent += 1;
            return;
        };
        let began_later = done.saturating_sub(length_ns) > sent;
        let times = match outcome {
            Outcome::Failed(Class::Cancelled) => &mut self.hit,
            Outcome::Failed(Class::WaitTimeout) => &mut self.queued,
            Outcome::Ok if began_later => &mut self.queued,
            Outcome::Ok => &mut self.lost,
            Outcome::Failed(_) => {
                self.failed += 1;
                return;
            }
        };
        times.saturating_record(done.saturating_sub(sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_up_and_a_reset_leaves_nothing() {
        let times = |outcome, sent| {
            let mut times = CancelTimes::default();
            times.ended(outcome, sent, 1_000_000, 600_000);
            times
        };
        let mut whole = CancelTimes::default();
        for (class, sent) in [
            (Some(Class::Cancelled), Some(300_000)),
            // It began at 400 us: before its cancel, and after.
            (None, Some(500_000)),
            (None, Some(300_000)),
            (Some(Class::WaitTimeout), Some(900_000)),
            (Some(Class::Disconnected), Some(900_000)),
            (None, None),
        ] {
            whole.merge(&times(class.map_or(Outcome::Ok, Outcome::Failed), sent));
        }
        let counts = |times: &CancelTimes| {
            let CancelTimes { hit, lost, queued, failed, unsent } = times;
            [hit.len(), lost.len(), queued.len(), *failed, *unsent]
        };
        assert_eq!((counts(&whole), whole.sent()), ([1, 1, 2, 1, 1], 5));
        assert!(
            whole.hit.max().abs_diff(700_000) < 1000 && whole.lost.max().abs_diff(500_000) < 1000
        );
        whole.reset();
        assert_eq!(counts(&whole), [0; 5]);
    }
}
