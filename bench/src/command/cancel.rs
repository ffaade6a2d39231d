//! `poolbench cancel`.

use clap::Args;
use engine::{Cancel as Cancelling, MILLISECOND, Nanos};

use super::CommandError;
use super::experiment_options::{ExperimentOptions, PaceOptions, TargetOptions};
use super::output::say;
use crate::cancel::{self, Plan};
use crate::duration;
use crate::scenario::{OperationFile, Scenario};

const HELP: &str = "\
Each client sends SELECT pg_sleep(LENGTH) and, once AFTER is over, a CancelRequest over a connection \
of its own, which the server closes when it has taken note. The next statement waits for that. A \
worker has 64 such connections at most. The outcomes:

  hit           the statement ended by it (SQLSTATE 57014, \"due to user request\")
  lost          the statement ran when it was sent, and on to its end
  queued        the statement still waited for a server connection when it was sent, and ran later, \
or the pooler gave up waiting
  failed        the statement failed of something else
  too late      the statement ended before its cancel could be sent: nothing is sent then
  wrong client  a statement was cancelled for which no cancel had been sent

Examples:
  poolbench cancel --vus 50                    the stack of `poolbench stack up`: pooler and Postgres
  poolbench cancel bench.toml --rate 200 --length 1s --after 100ms --target pooler";

/// The arguments of `poolbench cancel`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Cancel {
    #[command(flatten)]
    targets: TargetOptions,
    #[command(flatten)]
    pace: PaceOptions,
    /// How long a statement runs by itself
    #[arg(long, default_value = "200ms", value_parser = above_zero)]
    length: Nanos,
    /// How long after it was sent a statement is cancelled
    #[arg(long, default_value = "50ms", value_parser = above_zero)]
    after: Nanos,
    /// So many more clients send the same statements and cancel none: whatever ends theirs hit the
    /// wrong client
    #[arg(long, value_name = "N", default_value_t = 2)]
    bystanders: u32,
    /// How long each target is measured
    #[arg(short = 'd', long, default_value = "10s", value_parser = above_zero)]
    duration: Nanos,
    #[command(flatten)]
    experiment: ExperimentOptions,
}

impl Cancel {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let mut scenario = self.experiment.scenario.read()?;
        scenario.operations = vec![OperationFile::sleep(self.length)];
        let plan = self.plan(&scenario)?;
        let summary = cancel::run(&scenario, &plan, &mut say)?;
        self.experiment.output.finish(&summary, &cancel::text(&summary))
    }

    fn plan(&self, scenario: &Scenario) -> Result<Plan, CommandError> {
        let targets = self.targets.of(scenario, |target| target.conninfo.is_some())?;
        for name in &targets {
            if scenario.target(name)?.conninfo.is_none() {
                return Err(CommandError::NoCancel(name.clone()));
            }
        }
        if targets.is_empty() {
            return Err(CommandError::NoCancel(scenario.target_names()));
        }
        Ok(Plan {
            targets,
            pace: self.pace.pace(),
            cancel: Cancelling { after_ns: self.after, length_ns: self.length },
            bystanders: self.bystanders,
            duration_ns: self.duration,
            generator: self.experiment.generator.clone(),
            seed: self.experiment.seed,
        })
    }
}

fn above_zero(text: &str) -> Result<Nanos, String> {
    match duration::parse(text)? {
        ns if ns < MILLISECOND => Err("less than a millisecond can't be kept to".into()),
        ns => Ok(ns),
    }
}
