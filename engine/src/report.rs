//! What came of a phase, whole or second by second.

use wire::Counts;

use crate::pgbench::ScriptReport;
use crate::{CancelTimes, ConnectionTimes, Nanos, Recording, Script, Stream};

/// Virtual users of a stream. In an open loop a user is what carries one request at a time: those
/// pre-allocated, and those added while all were busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vus {
    /// At the end of the time reported on.
    pub current: u32,
    /// The most at once within it.
    pub max: u32,
}

/// What one stream did in a stretch of time: in a phase, or in an interval of it.
#[derive(Clone, Debug)]
pub struct StreamReport {
    /// The measurements.
    pub recording: Recording,
    /// The steps of its connections, of a stream that reconnects ([`crate::Stream::reconnect`]).
    pub connections: Option<Box<ConnectionTimes>>,
    /// What became of its requests, of a stream that cancels them ([`crate::Stream::cancel`]).
    pub cancels: Option<Box<CancelTimes>>,
    /// Arrivals that came due, or iterations that virtual users began.
    pub planned: u64,
    /// Requests handed to a connection, those sent again after a stale connection included.
    pub sent: u64,
    /// Iterations that came to their end, whatever their outcome.
    pub iterations: u64,
    /// Arrivals that found no free connection and had to wait for one, or were dropped.
    pub late: u64,
    /// Arrivals dropped, since too many were waiting for a connection.
    pub dropped: u64,
    /// Arrivals still waiting when the drain was over.
    pub unserved: u64,
    /// Iterations broken off: their user had to go, or the time to end gracefully was over.
    pub interrupted: u64,
    /// Queries sent again, since the server had closed the idle connection they were written to.
    pub resent: u64,
    /// Connections opened again, for whatever reason.
    pub reopened: u64,
    /// From the end of a connection until it was there again, over all that were lost, in ns.
    pub disconnected_ns: Nanos,
    /// The longest time from a failure of a connection or of whoever hands it out
    /// ([`wire::Class::is_of_connection`]) to the next success, as one worker saw it, in ns.
    pub outage_ns: Nanos,
    /// Whether such a time had not come to its end.
    pub is_out: bool,
    /// Bytes written to connections, logins on the way included.
    pub data_sent: u64,
    /// Bytes read from connections.
    pub data_received: u64,
    /// What requests of several statements came to, notices, and what was copied.
    pub counts: Counts,
    /// What only pgbench's scripts have.
    pub script: Option<Box<ScriptReport>>,
    /// Virtual users.
    pub vus: Vus,
}

impl StreamReport {
    /// These measurements, and nothing counted.
    pub fn new(recording: Recording) -> Self {
        Self {
            recording,
            connections: None,
            cancels: None,
            planned: 0,
            sent: 0,
            iterations: 0,
            late: 0,
            dropped: 0,
            unserved: 0,
            interrupted: 0,
            resent: 0,
            reopened: 0,
            disconnected_ns: 0,
            outage_ns: 0,
            is_out: false,
            data_sent: 0,
            data_received: 0,
            counts: Counts::default(),
            script: None,
            vus: Vus::default(),
        }
    }

    /// Statements that were sent for the requests that got their outcome; a request over HTTP is one.
    pub fn queries(&self) -> u64 {
        (self.recording.completed() + self.counts.queries).saturating_sub(self.counts.requests)
    }

    /// An empty one for `stream`.
    pub(crate) fn of(stream: &Stream) -> Self {
        let connections = stream.reconnect.then(Box::default);
        let script = match &stream.script {
            Script::Mix(_) => None,
            Script::Pgbench(workload) => Some(Box::new(ScriptReport::new(workload))),
        };
        let cancels = stream.cancel.map(|_| Box::default());
        let recording = Recording::new(stream.script.recordings());
        Self { connections, cancels, script, ..Self::new(recording) }
    }

    /// Adds what another worker did in the same time.
    pub fn merge(&mut self, other: &Self) {
        self.add(other);
        self.vus.current += other.vus.current;
        self.vus.max += other.vus.max;
        self.is_out |= other.is_out;
    }

    /// Adds what the same workers did next.
    pub fn append(&mut self, later: &Self) {
        self.add(later);
        self.vus.current = later.vus.current;
        self.vus.max = self.vus.max.max(later.vus.max);
        self.is_out = later.is_out;
    }

    /// Empties it without giving up its memory.
    pub(crate) fn reset(&mut self) {
        let mut recording = std::mem::replace(&mut self.recording, Recording::new(0));
        recording.reset();
        let mut connections = self.connections.take();
        connections.iter_mut().for_each(|connections| connections.reset());
        let mut script = self.script.take();
        script.iter_mut().for_each(|script| script.reset());
        let mut cancels = self.cancels.take();
        cancels.iter_mut().for_each(|cancels| cancels.reset());
        *self = Self { connections, cancels, script, ..Self::new(recording) };
    }

    fn add(&mut self, other: &Self) {
        self.recording.merge(&other.recording);
        if let Some(theirs) = &other.connections {
            self.connections.get_or_insert_default().merge(theirs);
        }
        if let Some(theirs) = &other.cancels {
            self.cancels.get_or_insert_default().merge(theirs);
        }
        self.planned += other.planned;
        self.sent += other.sent;
        self.iterations += other.iterations;
        self.late += other.late;
        self.dropped += other.dropped;
        self.unserved += other.unserved;
        self.interrupted += other.interrupted;
        self.resent += other.resent;
        self.reopened += other.reopened;
        self.disconnected_ns += other.disconnected_ns;
        self.outage_ns = self.outage_ns.max(other.outage_ns);
        self.data_sent += other.data_sent;
        self.data_received += other.data_received;
        self.counts.add(&other.counts);
        if let Some(theirs) = &other.script {
            self.script.get_or_insert_default().add(theirs);
        }
    }
}

/// What a worker's thread did in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerTime {
    /// The kernel's number of the thread (gettid(2)); 0 of a worker that had nothing to do any more.
    pub thread: u32,
    /// CPU time that was work and no spinning, in ns.
    pub busy_ns: Nanos,
}

impl WorkerTime {
    /// Adds what the same thread did next.
    pub fn append(&mut self, later: Self) {
        self.thread = later.thread;
        self.busy_ns += later.busy_ns;
    }
}

/// What one worker, or all of them together, did in a phase.
#[derive(Clone, Debug)]
pub struct PhaseReport {
    /// Per stream, in the phase's order.
    pub streams: Vec<StreamReport>,
    /// When the first arrival could be due, on the run's clock.
    pub start: Nanos,
    /// When the last request had its outcome, on the run's clock.
    pub end: Nanos,
    /// CPU time of the workers in the phase, in ns.
    pub cpu_ns: Nanos,
    /// As much of it was spent spinning for deadlines, in ns.
    pub spun_ns: Nanos,
    /// What each of them did.
    pub workers: Vec<WorkerTime>,
    /// Whether it was stopped before its time by the stop flag.
    pub is_interrupted: bool,
    /// Whether it was stopped before its time by whoever was told of its intervals.
    pub is_aborted: bool,
}

impl PhaseReport {
    /// Adds another worker's report of the same phase.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.streams.iter_mut().zip(&other.streams) {
            ours.merge(theirs);
        }
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.cpu_ns += other.cpu_ns;
        self.spun_ns += other.spun_ns;
        self.is_interrupted |= other.is_interrupted;
        self.is_aborted |= other.is_aborted;
    }

    /// Requests that got their outcome, over all streams.
    pub fn completed(&self) -> u64 {
        self.streams.iter().map(|stream| stream.recording.completed()).sum()
    }
}
