//! What came of scripts, beside what every load has.

use super::{ScriptError, Value};

/// What `debug` was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Debugged {
    /// By which of its worker's clients.
    pub client: u32,
    /// The value.
    pub value: Value,
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
    pub debugged: Vec<Debugged>,
}

impl ScriptReport {
    /// So many calls of `debug` are kept.
    pub const DEBUGGED_MAX: usize = 1000;

    pub(crate) fn debugged(&mut self, calls: impl Iterator<Item = Debugged>) {
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
    }

    pub(crate) fn reset(&mut self) {
        *self = Self { debugged: std::mem::take(&mut self.debugged), ..Self::default() };
        self.debugged.clear();
    }
}
