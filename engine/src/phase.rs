//! A stretch of load on one target, and what came of it.

use std::sync::Arc;

use hdrhistogram::Histogram;
use wire::{Failure, Outcome, tls::Security};

use crate::{Load, Mix, Nanos, Recording, recording::histogram};

/// A stretch of load on one target.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Which of the fleet's targets.
    pub target: usize,
    /// What the requests hold.
    pub mix: Arc<Mix>,
    /// When they are due.
    pub load: Load,
    /// With a request's number, decides what it holds; with an arrival's, when it is due.
    pub seed: u64,
    /// How long arrivals are generated, in ns.
    pub duration_ns: Nanos,
    /// How long arrivals that wait for a connection are still served after that, in ns; those that
    /// wait longer are counted as unserved. Requests that were sent are always waited for, up to
    /// the target's time limit.
    pub drain_ns: Nanos,
    /// How many arrivals may wait for a connection; those past it are dropped, and counted.
    pub waiting_max: usize,
}

/// What one worker, or all of them together, did in a phase.
#[derive(Clone, Debug)]
pub struct PhaseReport {
    /// The measurements.
    pub recording: Recording,
    /// Arrivals that came due.
    pub planned: u64,
    /// Requests handed to a connection, those sent again after a stale connection included.
    pub sent: u64,
    /// Arrivals dropped, since too many were waiting for a connection.
    pub dropped: u64,
    /// Arrivals still waiting when the drain was over.
    pub unserved: u64,
    /// Queries sent again, since the server had closed the idle connection they were written to.
    pub resent: u64,
    /// Connections opened again, for whatever reason.
    pub reopened: u64,
    /// When the first arrival could be due.
    pub start: Nanos,
    /// When the last request had its outcome.
    pub end: Nanos,
    /// CPU time of the workers in the phase, in ns.
    pub cpu_ns: Nanos,
    /// Whether it was stopped before its time.
    pub is_interrupted: bool,
}

impl PhaseReport {
    /// Adds another worker's report of the same phase.
    pub fn merge(&mut self, other: &Self) {
        self.recording.merge(&other.recording);
        self.planned += other.planned;
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.unserved += other.unserved;
        self.resent += other.resent;
        self.reopened += other.reopened;
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.cpu_ns += other.cpu_ns;
        self.is_interrupted |= other.is_interrupted;
    }
}

/// What opening all connections came to, per target.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Connections that are ready.
    pub connections: u64,
    /// From the first packet to the end of the login, in ns.
    pub connect: Histogram<u64>,
    /// What was negotiated, each of it once; `None` stands for connections without TLS.
    pub security: Vec<Option<Security>>,
}

impl Default for Opened {
    fn default() -> Self {
        Self { connections: 0, connect: histogram(), security: Vec::new() }
    }
}

impl Opened {
    /// Adds another worker's connections to the same target.
    pub fn merge(&mut self, other: &Self) {
        self.connections += other.connections;
        self.connect.add(&other.connect).expect("all histograms share their bounds");
        other.security.iter().cloned().for_each(|security| self.add_security(security));
    }

    pub(crate) fn add_security(&mut self, security: Option<Security>) {
        if !self.security.contains(&security) {
            self.security.push(security);
        }
    }
}

/// A target that could not be opened.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Which target.
    pub target: usize,
    /// Its class.
    pub outcome: Outcome,
    /// The peer's words, or the system's.
    pub failure: Failure,
}
