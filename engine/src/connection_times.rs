//! How long the steps of connections took that are opened for one request each.

use hdrhistogram::Histogram;

use crate::{Nanos, recording::histogram};

/// The steps of connections that are opened for one request each, of those that came so far, in ns.
/// A step begins where the one before it ended.
#[derive(Clone, Debug)]
pub struct ConnectionTimes {
    /// Until the transport is up: a TCP handshake, or a Unix socket's queue.
    pub connect: Histogram<u64>,
    /// From there until TLS is up. Empty where there is none.
    pub tls: Histogram<u64>,
    /// From there until requests may be sent. Empty where the protocol has no login.
    pub login: Histogram<u64>,
    /// All of them together: until requests may be sent.
    pub open: Histogram<u64>,
    /// From there to the end of the reply to the connection's request, of those that succeeded.
    pub first_query: Histogram<u64>,
}

impl Default for ConnectionTimes {
    fn default() -> Self {
        let [connect, tls, login, open, first_query] = std::array::from_fn(|_| histogram());
        Self { connect, tls, login, open, first_query }
    }
}

impl ConnectionTimes {
    /// Adds another worker's, or those of other connections.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.connect, &other.connect),
            (&mut self.tls, &other.tls),
            (&mut self.login, &other.login),
            (&mut self.open, &other.open),
            (&mut self.first_query, &other.first_query),
        ] {
            ours.add(theirs).expect("all histograms share their bounds");
        }
    }

    /// Empties them without giving up their memory.
    pub(crate) fn reset(&mut self) {
        let Self { connect, tls, login, open, first_query } = self;
        [connect, tls, login, open, first_query].into_iter().for_each(Histogram::reset);
    }

    /// The transport is up.
    pub(crate) fn connected(&mut self, step_ns: Nanos) {
        self.connect.saturating_record(step_ns);
    }

    /// TLS is up.
    pub(crate) fn secured(&mut self, step_ns: Nanos) {
        self.tls.saturating_record(step_ns);
    }

    /// Requests may be sent, `whole_ns` after the connection began to open; the login took
    /// `step_ns`, if there is one.
    pub(crate) fn ready(&mut self, step_ns: Option<Nanos>, whole_ns: Nanos) {
        if let Some(step_ns) = step_ns {
            self.login.saturating_record(step_ns);
        }
        self.open.saturating_record(whole_ns);
    }

    /// The reply is there, and good.
    pub(crate) fn answered(&mut self, step_ns: Nanos) {
        self.first_query.saturating_record(step_ns);
    }
}
