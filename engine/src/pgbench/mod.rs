//! pgbench's scripts, compiled: what a client does next, without I/O and without a clock.
//!
//! A [`Workload`] is all scripts of a run. [`Clients`] are one worker's part of the clients that run
//! them, each with its variables and random numbers. With one worker and the same seed they draw what
//! pgbench 15 draws with `-j 1`.

mod client;
mod clients;
mod expression;
mod random;
mod report;
mod seeds;
mod value;
mod variables;

use std::sync::Arc;

use thiserror::Error;
use wire::{Class, Code, Failure};

pub use client::{Action, Client};
pub use clients::Clients;
pub use expression::{ARGUMENTS_MAX, EvaluationError, Expression, Function};
pub use random::Xoroshiro;
pub use report::{CommandFailures, Conflict, Conflicts, Debugged, Sample, ScriptReport};
pub use seeds::Seeds;
pub use value::Value;
pub use variables::{Slot, Variables, is_variable_name};

use crate::Nanos;

/// All scripts of a run, and what its clients begin with.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The scripts, at least one.
    pub programs: Vec<Program>,
    /// The names of all variables, by [`Slot`].
    pub variables: Arc<[Box<[u8]>]>,
    /// Variables that are set from the start, and their texts (`-D`).
    pub presets: Vec<(Slot, String)>,
    /// How many clients there are, over all workers.
    pub clients: u32,
    /// How often a transaction is tried that fails by a serialization error or a deadlock; `None` for
    /// as often as it takes.
    pub tries_max: Option<u32>,
    /// Whether nothing is tried again once the load's time is over.
    pub is_timed: bool,
    /// Transactions that take longer are counted, and are not tried again, in ns.
    pub latency_limit_ns: Option<Nanos>,
    /// Whether commands are recorded too: see [`Command::recording`].
    pub records_commands: bool,
    /// Whether every transaction is told of by itself.
    pub keeps_samples: bool,
    /// How many commands have a recording.
    pub recorded_commands: u32,
    /// Whether an undefined variable stays in the text as it is written (the simple protocol), or is
    /// NULL.
    pub is_verbatim: bool,
}

/// One script.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name in reports.
    pub name: String,
    /// How often it runs, relative to the others.
    pub weight: u32,
    /// Its commands, in order.
    pub commands: Vec<Command>,
}

/// One command of a script.
#[derive(Clone, Debug)]
pub struct Command {
    /// The line in which it begins in its script, from 1 on.
    pub line: u32,
    /// Its place in that line, in characters from 1 on.
    pub column: u32,
    /// Which of the script's commands it is as pgbench counts them, from 1 on.
    pub number: u32,
    /// If it is one that takes time: as which operation behind the scripts it is recorded.
    pub recording: Option<u32>,
    /// What it does.
    pub step: Step,
}

/// What a command does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends a statement and waits for its reply.
    Statement {
        /// Which of the target's operations.
        operation: u32,
        /// The variables that fill its holes.
        parameters: Box<[Slot]>,
        /// What becomes of the rows.
        rows: Option<KeepRows>,
    },
    /// `\set`.
    Set(Slot, Expression),
    /// `\if` and `\elif`: goes on at this command if the condition does not hold.
    Unless(Expression, usize),
    /// The end of a branch: goes on at this command.
    Jump(usize),
    /// `\sleep`: so many units of so many ns.
    Sleep(Amount, Nanos),
    /// `\startpipeline`.
    StartPipeline,
    /// `\syncpipeline`.
    SyncPipeline,
    /// `\endpipeline`.
    EndPipeline,
}

/// How long to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So long.
    Constant(i64),
    /// As long as a variable says.
    Variable(Slot),
}

/// `\gset` and `\aset`: the columns of the last row become variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepRows {
    /// What the variables' names begin with.
    pub prefix: Box<str>,
    /// Whether it is `\gset`: the last result must have one row, and no other is looked at.
    pub is_single: bool,
}

/// A client's script can't go on, by its own fault: the client has gone, as with pgbench.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("client {client} aborted in command {command} at {script}:{line}:{column}: {fault}")]
pub struct ScriptError {
    /// Which client.
    pub client: u32,
    /// The script's name.
    pub script: String,
    /// Which of the script's commands, from 0 on, as pgbench's messages count them.
    pub command: u32,
    /// The command's line.
    pub line: u32,
    /// The command's place in that line.
    pub column: u32,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a script that runs.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Fault {
    /// An expression has no value.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// `\gset` needs one row.
    #[error(
        "\\gset needs one row, and the last statement gave {0}: \\aset takes the last of several, and \
         goes on without one"
    )]
    Rows(u64),
    /// The server refuses a statement, and would again.
    #[error("{code}: {message}")]
    Statement {
        /// The server's code.
        code: Code,
        /// The server's words.
        message: Box<str>,
    },
    /// A row is too long to be kept.
    #[error("the reply is too long for \\gset and \\aset: 16 MiB a row is the limit")]
    RowTooLong,
    /// A column's name is none for a variable.
    #[error("\\gset and \\aset cannot make a variable {0:?}: name the column, as in 1 AS one")]
    VariableName(Box<str>),
    /// The script ends in the middle of a transaction.
    #[error("the script ends with its transaction still open: end it with COMMIT or ROLLBACK")]
    OpenTransaction,
    /// The script ends in the middle of a pipeline.
    #[error("the script ends with its pipeline still open: end it with \\endpipeline")]
    OpenPipeline,
    /// A pipeline where there is none.
    #[error("pipelines need -M extended or -M prepared")]
    SimplePipeline,
    /// A pipeline in a pipeline.
    #[error("\\startpipeline in a pipeline: end the one before with \\endpipeline")]
    Nested,
    /// A pipeline's end without its beginning.
    #[error("\\{0} without \\startpipeline before it")]
    NoPipeline(&'static str),
    /// `\gset` and `\aset` need the reply at once.
    #[error("\\gset and \\aset cannot be used in a pipeline: end it before with \\endpipeline")]
    RowsInPipeline,
    /// `\sleep` of a variable that is no number.
    #[error("\\sleep needs a number, and the variable \"{name}\" is \"{text}\"")]
    SleepTime {
        /// The variable.
        name: Box<str>,
        /// Its text.
        text: Box<str>,
    },
}

impl Fault {
    /// What is wrong with the script where its statement failed so; `None` where that is not the
    /// script's fault: the connection, the pooler or the server was not there for it, or it may
    /// succeed when its transaction is tried again.
    pub(crate) fn of(class: Class, failure: &Failure) -> Option<Self> {
        let is_own = match class {
            Class::Sql => true,
            Class::Retryable => Conflict::of(failure).is_none(),
            _ => false,
        };
        let message = || failure.message.as_str().into();
        is_own.then(|| Self::Statement { code: failure.code, message: message() })
    }

    /// Whether its transaction had come to an end of its own.
    pub fn has_outcome(&self) -> bool {
        matches!(self, Self::Statement { .. } | Self::OpenTransaction)
    }
}

impl Workload {
    /// Whether a variable is set from the start.
    pub fn presets(&self, name: &str) -> bool {
        self.presets.iter().any(|(slot, _)| *self.variables[slot.0 as usize] == *name.as_bytes())
    }

    /// How many operations are recorded: the scripts, and their commands if those are asked for.
    pub fn recordings(&self) -> usize {
        let commands = if self.records_commands { self.recorded_commands as usize } else { 0 };
        self.programs.len() + commands
    }
}
