//! One or several streams that run together.

use crate::{LoadError, Nanos, Stream};

/// One or several streams that run together.
#[derive(Clone, Debug)]
pub struct Phase {
    streams: Vec<Stream>,
    /// How long arrivals that wait for a connection are still served after their stream's end, in
    /// ns (and at most for the stream's graceful stop); those that wait longer are counted as
    /// unserved.
    pub drain_ns: Nanos,
    /// How many of a stream's arrivals may wait for a connection, over all workers; those past it
    /// are dropped, and counted. k6 drops as soon as `maxVUs` are busy: that is a limit of 0.
    pub waiting_max: usize,
    /// How often an [`crate::Interval`] is reported, in ns; `None` for never.
    pub interval_ns: Option<Nanos>,
}

impl Phase {
    /// These streams, without a drain, a limit to waiting and reports of intervals. Refuses loads
    /// that make no sense.
    pub fn new(streams: Vec<Stream>) -> Result<Self, LoadError> {
        if streams.is_empty() {
            return Err(LoadError::NoStreams);
        }
        streams.iter().try_for_each(Stream::check)?;
        Ok(Self { streams, drain_ns: 0, waiting_max: usize::MAX, interval_ns: None })
    }

    /// What runs.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// When the last stream's iterations stop to begin, in ns after the start.
    pub fn duration_ns(&self) -> Nanos {
        self.streams.iter().map(Stream::end_ns).max().unwrap_or_default()
    }
}
