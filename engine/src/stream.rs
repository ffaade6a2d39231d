//! One scenario of a run: a load on one target.

use std::sync::Arc;

use crate::{Load, LoadError, Mix, Nanos};

/// A load on one target; several may run at the same time (k6's `scenarios`).
#[derive(Clone, Debug)]
pub struct Stream {
    /// Which of the fleet's targets.
    pub target: usize,
    /// What the requests hold.
    pub mix: Arc<Mix>,
    /// When iterations start.
    pub load: Load,
    /// In a closed loop: the least and the most time between a virtual user's iterations in ns,
    /// uniform between; equal for a constant one. Drawn from (seed, user, iteration).
    pub think_time_ns: (Nanos, Nanos),
    /// When it starts, in ns after the phase's start (k6's `startTime`).
    pub start_ns: Nanos,
    /// How long requests in flight at its end are waited for, in ns; then they are interrupted,
    /// and counted as such (k6's `gracefulStop`).
    pub graceful_stop_ns: Nanos,
    /// With a request's number, decides what it holds; with an arrival's, when it is due.
    pub seed: u64,
}

impl Stream {
    /// When its iterations stop to begin, in ns after the phase's start.
    pub fn end_ns(&self) -> Nanos {
        self.start_ns.saturating_add(self.load.duration_ns())
    }

    /// Whether it can be run.
    pub fn check(&self) -> Result<(), LoadError> {
        let (least, most) = self.think_time_ns;
        if least > most {
            return Err(LoadError::ThinkTime(least, most));
        }
        self.load.check()
    }
}
