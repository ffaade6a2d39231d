//! The subcommands, one file each.

mod cancel;
mod check;
mod churn;
mod demo;
mod doctor;
mod experiment_options;
mod layers;
mod limit;
mod output;
mod pgbench;
mod run;
mod run_options;
mod stack;
mod sweep;
mod verdict;

use std::io;

use clap::{Parser, Subcommand};
use engine::Nanos;

use self::run_options::OptionsError;
use crate::duration;
use crate::limit::{LimitError, LogError};
use crate::pgbench::PgbenchError;
use crate::rig::RigError;
use crate::scenario::ScenarioError;
use crate::stack::StackError;
use crate::sweep::PublishedError;

/// Plays one operation against any layer of a stack and says what each layer costs
#[derive(Debug, Parser)]
#[command(name = "poolbench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A private stack to measure: Postgres, PgBouncer and two gateways
    Stack(stack::Stack),
    /// A load, or several at once, judged by thresholds, checks and bands: the way of k6
    Run(Box<run::Run>),
    /// Whether a scenario can be run: its file, and what its targets say to it
    Check(check::Check),
    /// What will spoil a run, with reason and remedy, before it is started
    Doctor(doctor::Doctor),
    /// What the gateway costs and what the pool costs, on a scenario of your own or on the stack
    Layers(layers::Layers),
    /// The highest load that still meets its goals, of each layer, and what comes past it
    Limit(Box<limit::Limit>),
    /// The pool as a surface: clients, pool size, mode and protocol; and what to set
    Sweep(Box<sweep::Sweep>),
    /// What it costs to connect: connections opened for one query each, before and after the pool
    Churn(Box<churn::Churn>),
    /// pgbench's scripts and options, with percentiles, and a load that goes on where a pooler ends it
    Pgbench(Box<pgbench::Pgbench>),
    /// What becomes of cancel requests: hit, lost, still queued, or hit the wrong client
    Cancel(Box<cancel::Cancel>),
    /// The whole of it: start a private stack, compare its layers for 30 s, stop it
    Demo(demo::Demo),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// A stack did not start or stop.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The scenario cannot be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The command line does not fit the scenario.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// An experiment has no result.
    #[error(transparent)]
    Rig(#[from] RigError),
    /// The command line of `pgbench` can't be used.
    #[error(transparent)]
    PgbenchOptions(#[from] pgbench::PgbenchOptionsError),
    /// `pgbench` has no result.
    #[error(transparent)]
    Pgbench(crate::pgbench::PgbenchError),
    /// A goal that can't be read.
    #[error("--goal '{goal}': {problem}")]
    Goal { goal: String, problem: String },
    /// Nothing that a load could miss.
    #[error(
        "no goal is about the {layer} that {target} is: give one with --goal, as in 'p(95)<100', or \
         choose other targets with --target"
    )]
    NoGoal { target: String, layer: &'static str },
    /// More pooler processes than a stack has names for.
    #[error("--poolers {0}: a stack has at most 8 of them behind one port")]
    Poolers(u32),
    /// They can't be measured on the user's own pooler.
    #[error(
        "several pooler processes are compared on stacks that are started for it: leave out the scenario \
         file and --log"
    )]
    PoolersAlone,
    /// A published table that there is not.
    #[error(transparent)]
    Published(#[from] PublishedError),
    /// The log of trials or cells can't be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// No scenario was given, and no stack is up.
    #[error(
        "no scenario file was given and no stack is up: `poolbench stack up` starts one, \
         `poolbench demo` does all of it"
    )]
    NothingToMeasure,
    /// Cancel requests are the Postgres protocol's.
    #[error(
        "there are no cancel requests in GraphQL: {0} can't be measured, name targets with a conninfo"
    )]
    NoCancel(String),
    /// The result could not be written.
    #[error("cannot write {what}: {source}")]
    Output { what: String, source: io::Error },
}

impl From<LimitError> for CommandError {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Rig(error) => Self::Rig(error),
            LimitError::Log(error) => Self::Log(error),
        }
    }
}

impl From<PgbenchError> for CommandError {
    fn from(error: PgbenchError) -> Self {
        match error {
            PgbenchError::Rig(error) => Self::Rig(error),
            error => Self::Pgbench(error),
        }
    }
}

/// Exit codes, k6's where it has one.
pub(crate) mod exit {
    /// All is well.
    pub(crate) const OK: u8 = 0;
    /// Anything that has no code of its own.
    pub(crate) const FAILED: u8 = 1;
    /// A threshold failed.
    pub(crate) const THRESHOLDS: u8 = 99;
    /// The command line cannot be understood.
    pub(crate) const INVALID: u8 = 104;
    /// A threshold ended the run.
    pub(crate) const ABORTED: u8 = 108;
    /// The generator, or the stack itself, spoilt the run: its numbers are not about the target.
    pub(crate) const INVALID_RUN: u8 = 111;
    /// Clients of `pgbench` have gone, since their scripts could not go on: pgbench's own code.
    pub(crate) const ABORTED_CLIENTS: u8 = 2;
    /// A script can't be read.
    pub(crate) const SCRIPT: u8 = 107;
    /// Stopped by a signal.
    pub(crate) const INTERRUPTED: u8 = 105;
}

impl CommandError {
    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Stack(StackError::Interrupted) | Self::Rig(RigError::Interrupted) => {
                exit::INTERRUPTED
            }
            Self::Pgbench(PgbenchError::Script(_)) => exit::SCRIPT,
            Self::Pgbench(PgbenchError::File(..)) => exit::FAILED,
            Self::Scenario(_)
            | Self::Options(_)
            | Self::Goal { .. }
            | Self::NoGoal { .. }
            | Self::Log(_)
            | Self::Published(_)
            | Self::Poolers(_)
            | Self::PoolersAlone
            | Self::NoCancel(_)
            | Self::NothingToMeasure => exit::INVALID,
            Self::Rig(RigError::Fleet(_)) => exit::FAILED,
            Self::Rig(_) | Self::Pgbench(_) | Self::PgbenchOptions(_) => exit::INVALID,
            Self::Stack(_) | Self::Output { .. } => exit::FAILED,
        }
    }
}

impl Cli {
    /// Runs the chosen command and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        match self.command {
            Command::Stack(stack) => stack.run(),
            Command::Run(run) => run.run(),
            Command::Check(check) => check.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Layers(layers) => layers.run(),
            Command::Limit(limit) => limit.run(),
            Command::Sweep(sweep) => sweep.run(),
            Command::Churn(churn) => churn.run(),
            Command::Pgbench(pgbench) => pgbench.run(),
            Command::Cancel(cancel) => cancel.run(),
            Command::Demo(demo) => demo.run(),
        }
    }
}

/// Reads a rate of the command line.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("a rate is a number above 0, in requests a second".into()),
    }
}

/// Reads how long something is measured.
fn length(text: &str) -> Result<Nanos, String> {
    match duration::parse(text)? {
        0 => Err("0 s measure nothing".into()),
        duration_ns => Ok(duration_ns),
    }
}
