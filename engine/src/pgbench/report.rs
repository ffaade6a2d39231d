//! What came of scripts, beside what every load has.

use wire::Outcome;

use super::{ScriptError, Value};
use crate::Nanos;

/// One transaction, with instants on the run's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Which client ran it.
    pub client: u32,
    /// How many the client ran before it.
    pub number: u64,
    /// Which script.
    pub script: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// When it was due.
    pub intended: Nanos,
    /// When it began.
    pub sent: Nanos,
    /// When it ended.
    pub done: Nanos,
    /// How often it was tried again.
    pub retries: u32,
}

/// What came of scripts, beside what every load has.
#[derive(Clone, Debug, Default)]
pub struct ScriptReport {
    /// Transactions that were tried more than once.
    pub retried: u64,
    /// How often they were tried again, all together.
    pub retries: u64,
    /// Why the first script that could not go on stopped.
    pub error: Option<ScriptError>,
    /// The first calls of `debug`, at most [`ScriptReport::DEBUGGED_MAX`] in the time reported on.
    pub debugged: Vec<Value>,
    /// Every transaction, where that was asked for.
    pub samples: Vec<Sample>,
}

impl ScriptReport {
    /// So many calls of `debug` are kept.
    pub const DEBUGGED_MAX: usize = 1000;

    pub(crate) fn debugged(&mut self, calls: impl Iterator<Item = Value>) {
        let room = Self::DEBUGGED_MAX.saturating_sub(self.debugged.len());
        // Those past the limit are taken too: they must not come up later.
        for (number, call) in calls.enumerate() {
            if number < room {
                self.debugged.push(call);
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.retried += other.retried;
        self.retries += other.retries;
        if self.error.is_none() {
            self.error.clone_from(&other.error);
        }
        self.debugged(other.debugged.iter().copied());
        self.samples.extend_from_slice(&other.samples);
    }

    pub(crate) fn reset(&mut self) {
        let mut debugged = std::mem::take(&mut self.debugged);
        let mut samples = std::mem::take(&mut self.samples);
        debugged.clear();
        samples.clear();
        *self = Self { debugged, samples, ..Self::default() };
    }
}
