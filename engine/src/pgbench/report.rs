//! What came of scripts, beside what every load has.

use std::fmt;

use wire::{Class, Code, Failure, Outcome};

use super::{ScriptError, Value, Workload};
use crate::Nanos;

/// Why a transaction that failed may be tried again (manual page of pgbench, "Failures and
/// Serialization/Deadlock Retries").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// SQLSTATE 40001, serialization_failure.
    Serialization,
    /// SQLSTATE 40P01, deadlock_detected.
    Deadlock,
}

impl Conflict {
    /// What a failure says, if it is one of those.
    pub fn of(failure: &Failure) -> Option<Self> {
        let Code::SqlState(state) = &failure.code else { return None };
        match state {
            b"40001" => Some(Self::Serialization),
            b"40P01" => Some(Self::Deadlock),
            _ => None,
        }
    }
}

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
    /// If it failed so.
    pub conflict: Option<Conflict>,
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
        let mut text = Vec::new();
        value.write(&mut text);
        write!(f, " {}", String::from_utf8_lossy(&text))
    }
}

/// How often a script's transactions were in one another's way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// Transactions that were tried more than once.
    pub retried: u64,
    /// How often they were tried again, all together.
    pub retries: u64,
    /// Transactions that failed in the end by [`Conflict::Serialization`].
    pub serialization_failures: u64,
    /// Transactions that failed in the end by [`Conflict::Deadlock`].
    pub deadlock_failures: u64,
}

impl Conflicts {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.retried += other.retried;
        self.retries += other.retries;
        self.serialization_failures += other.serialization_failures;
        self.deadlock_failures += other.deadlock_failures;
    }
}

/// Failures of one class in one line of a script, those included after which the transaction was
/// tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandFailures {
    /// In which script, from 0 on.
    pub script: u32,
    /// In which line the command begins, from 1 on.
    pub line: u32,
    /// Of which class.
    pub class: Class,
    /// How many.
    pub count: u64,
    /// The first one's words.
    pub first: Failure,
}

/// What came of scripts, beside what every load has.
#[derive(Clone, Debug, Default)]
pub struct ScriptReport {
    /// By script.
    pub conflicts: Vec<Conflicts>,
    /// How often a failure of each command had its transaction tried again, by
    /// [`super::Command::recording`]; empty where commands are not recorded.
    pub command_retries: Vec<u64>,
    /// By script: transactions that succeeded, and took longer than
    /// [`Workload::latency_limit_ns`].
    pub above_limit: Vec<u64>,
    /// Which commands failed, and how.
    pub failures: Vec<CommandFailures>,
    /// Why clients have gone: at most one error of each.
    pub aborted: Vec<ScriptError>,
    /// The first calls of `debug`, at most [`ScriptReport::DEBUGGED_MAX`] in the time reported on.
    pub debugged: Vec<Debugged>,
    /// How many calls of `debug` came after those.
    pub debugged_more: u64,
    /// Every transaction, where that was asked for, in the interval in which it ended; the report on
    /// a whole phase has none.
    pub samples: Vec<Sample>,
}

impl ScriptReport {
    /// So many calls of `debug` are kept.
    pub const DEBUGGED_MAX: usize = 1000;

    /// An empty one for these scripts.
    pub(crate) fn new(workload: &Workload) -> Self {
        let scripts = workload.programs.len();
        Self {
            conflicts: vec![Conflicts::default(); scripts],
            above_limit: vec![0; scripts],
            command_retries: vec![0; workload.recordings() - scripts],
            ..Self::default()
        }
    }

    /// Of all scripts together.
    pub fn all_conflicts(&self) -> Conflicts {
        let mut all = Conflicts::default();
        self.conflicts.iter().for_each(|conflicts| all.add(conflicts));
        all
    }

    /// A transaction of this script was tried again so often, and in the end failed by a conflict if
    /// it is given.
    pub(super) fn ended(&mut self, script: u32, retries: u32, conflict: Option<Conflict>) {
        let Some(own) = self.conflicts.get_mut(script as usize) else { return };
        own.retried += u64::from(retries > 0);
        own.retries += u64::from(retries);
        own.serialization_failures += u64::from(conflict == Some(Conflict::Serialization));
        own.deadlock_failures += u64::from(conflict == Some(Conflict::Deadlock));
    }

    /// A transaction of this script took longer than the limit.
    pub(super) fn was_above_limit(&mut self, script: u32) {
        if let Some(count) = self.above_limit.get_mut(script as usize) {
            *count += 1;
        }
    }

    /// A command failed: in this script, in this line, with this class.
    pub(super) fn failed(&mut self, place: (u32, u32, Class), failure: &Failure) {
        self.add_failures(place, 1, failure);
    }

    fn add_failures(
        &mut self,
        (script, line, class): (u32, u32, Class),
        count: u64,
        first: &Failure,
    ) {
        let is_it =
            |own: &&mut CommandFailures| (own.script, own.line, own.class) == (script, line, class);
        match self.failures.iter_mut().find(is_it) {
            Some(own) => own.count += count,
            None => {
                let first = first.clone();
                self.failures.push(CommandFailures { script, line, class, count, first });
            }
        }
    }

    /// A failure of the command with this recording has its transaction tried again.
    pub(crate) fn retries(&mut self, recording: u32) {
        if let Some(count) = self.command_retries.get_mut(recording as usize) {
            *count += 1;
        }
    }

    pub(crate) fn debugged(&mut self, calls: impl Iterator<Item = Debugged>) {
        for call in calls {
            match self.debugged.len() < Self::DEBUGGED_MAX {
                true => self.debugged.push(call),
                false => self.debugged_more += 1,
            }
        }
    }

    /// Adds another one of the same scripts.
    pub fn add(&mut self, other: &Self) {
        self.conflicts.resize_with(other.conflicts.len(), Conflicts::default);
        self.conflicts.iter_mut().zip(&other.conflicts).for_each(|(own, other)| own.add(other));
        self.command_retries.resize(other.command_retries.len(), 0);
        let retries = self.command_retries.iter_mut().zip(&other.command_retries);
        retries.for_each(|(own, other)| *own += other);
        self.above_limit.resize(other.above_limit.len(), 0);
        let above_limit = self.above_limit.iter_mut().zip(&other.above_limit);
        above_limit.for_each(|(own, other)| *own += other);
        for CommandFailures { script, line, class, count, first } in &other.failures {
            self.add_failures((*script, *line, *class), *count, first);
        }
        self.aborted.extend_from_slice(&other.aborted);
        self.debugged(other.debugged.iter().copied());
        self.debugged_more += other.debugged_more;
        self.samples.extend_from_slice(&other.samples);
    }

    pub(crate) fn reset(&mut self) {
        self.conflicts.fill(Conflicts::default());
        self.command_retries.fill(0);
        self.above_limit.fill(0);
        self.failures.clear();
        self.aborted.clear();
        self.debugged.clear();
        self.debugged_more = 0;
        self.samples.clear();
    }
}
