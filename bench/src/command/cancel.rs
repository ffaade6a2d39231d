//! `poolbench cancel`.

use std::path::PathBuf;

use clap::Args;
use engine::{Cancel as Cancelling, Gaps, MILLISECOND, Nanos};

use super::output::{self, Output, say};
use super::run_options::{assignment, variable};
use super::{CommandError, exit};
use crate::arm::ARMS;
use crate::cancel::{self, Plan};
use crate::generator::GeneratorOptions;
use crate::pace::Pace;
use crate::scenario::{OperationFile, Reading, Scenario};
use crate::validity::Level;
use crate::{duration, nova, stack};

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
    /// The scenario, for its targets; without one, the stack that `poolbench stack up` started
    file: Option<PathBuf>,
    /// Only this target, by its name in the scenario; several with several of these
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Open loop: statements a second, whatever becomes of them
    #[arg(long, conflicts_with = "vus", value_parser = super::rate)]
    rate: Option<f64>,
    /// Closed loop: so many clients, each sending its next statement when its last has ended
    #[arg(short = 'u', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    vus: u32,
    /// How many connections an open loop has; statements past them wait
    #[arg(long, default_value_t = 50, requires = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Poisson gaps in an open loop, as of many independent users, instead of even ones
    #[arg(long, requires = "rate")]
    poisson: bool,
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
    /// Decides the instants of an open loop
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sets ${NAME} in the scenario, before the environment's
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = assignment)]
    variables: Vec<(String, String)>,
    #[command(flatten)]
    generator: GeneratorOptions,
    #[command(flatten)]
    output: Output,
}

impl Cancel {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let mut scenario = match &self.file {
            Some(file) => {
                let lookup = |name: &str| nova::or_stack(variable(&self.variables, name), name);
                // The file's loads are not run: they need no duration.
                Scenario::read_with(file, &Reading { lookup: &lookup, has_duration: true })?
            }
            None => match stack::attach()? {
                Some(info) => nova::scenario(&info)?,
                None => return Err(CommandError::NothingToMeasure),
            },
        };
        output::warn(&scenario.report);
        scenario.operations = vec![OperationFile::sleep(self.length)];
        let plan = self.plan(&scenario)?;
        let summary = cancel::run(&scenario, &plan, &mut say)?;
        self.output.show(&summary, &cancel::text(&summary))?;
        Ok(match summary.validity.valid {
            Level::Invalid => exit::INVALID_RUN,
            Level::Valid | Level::Suspect => exit::OK,
        })
    }

    fn plan(&self, scenario: &Scenario) -> Result<Plan, CommandError> {
        let mut targets = self.target.clone();
        if targets.is_empty() {
            let all = scenario.targets.iter().filter(|(_, target)| target.conninfo.is_some());
            targets.extend(all.map(|(name, _)| name.clone()));
            let place = |target: &String| ARMS.iter().position(|kind| kind.target == **target);
            targets.sort_by_key(|target| place(target).unwrap_or(ARMS.len()));
        }
        for name in &targets {
            if scenario.target(name)?.conninfo.is_none() {
                return Err(CommandError::NoCancel(name.clone()));
            }
        }
        if targets.is_empty() {
            return Err(CommandError::NoCancel(scenario.target_names()));
        }
        let gaps = if self.poisson { Gaps::Poisson } else { Gaps::Uniform };
        let connections = self.connections;
        let pace = match self.rate {
            Some(rate) => Pace::Rate { rate, gaps, connections },
            None => Pace::Clients(self.vus),
        };
        Ok(Plan {
            targets,
            pace,
            cancel: Cancelling { after_ns: self.after, length_ns: self.length },
            bystanders: self.bystanders,
            duration_ns: self.duration,
            generator: self.generator.clone(),
            seed: self.seed,
        })
    }
}

fn above_zero(text: &str) -> Result<Nanos, String> {
    match duration::parse(text)? {
        ns if ns < MILLISECOND => Err("less than a millisecond can't be kept to".into()),
        ns => Ok(ns),
    }
}
