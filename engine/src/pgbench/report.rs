//! What came of scripts, beside what every load has.

use std::fmt;

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

/// A call of `debug`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Debugged {
    /// In which script, from 0 on.
    pub script: u32,
    /// In which of its commands, from 1 on.
    pub command: u32,
    /// What it was given.
    pub value: Value,
}

impl fmt::Display for Debugged {
    /// As pgbench writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { script, command, value } = self;
        write!(f, "debug(script={script},command={command}): {}", value.type_name())?;
        if *value == Value::Null {
            return Ok(());
        }
        let mut text = String::new();
        value.write(&mut text);
        write!(f, " {text}")
    }
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
    /// How many calls of `debug` came after those.
    pub debugged_more: u64,
    /// Every transaction, where that was asked for.
    pub samples: Vec<Sample>,
}

impl ScriptReport {
    /// So many calls of `debug` are kept.
    pub const DEBUGGED_MAX: usize = 1000;

    pub(crate) fn debugged(&mut self, calls: impl Iterator<Item = Debugged>) {
        for call in calls {
            match self.debugged.len() < Self::DEBUGGED_MAX {
                true => self.debugged.push(call),
                false => self.debugged_more += 1,
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
        self.debugged_more += other.debugged_more;
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
