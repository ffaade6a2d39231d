//! `poolbench churn`.

use std::path::PathBuf;

use clap::Args;
use engine::{Gaps, Nanos};

use super::output::{self, Output, say};
use super::run_options::{assignment, choose, variable};
use super::{CommandError, exit};
use crate::arm::ARMS;
use crate::churn::{self, Plan};
use crate::generator::GeneratorOptions;
use crate::pace::Pace;
use crate::scenario::{Reading, Scenario};
use crate::validity::Level;
use crate::{duration, nova, stack};

const HELP: &str = "\
Each connection is opened, logs in, sends one of the scenario's operations and closes, as an \
application without a pool does. Its steps are timed apart: connect, login, first query. Response \
times run from the instant at which a connection was due.

Where we close first, TIME_WAIT keeps the port for a minute. To a server on this machine the kernel \
lends it out again after a second, which is enough for thousands of connections a second; to one \
elsewhere 28,000 ports are 470 connections a second, and --reset goes on.

Examples:
  poolbench churn --vus 20                     the stack of `poolbench stack up`, all its layers
  poolbench churn bench.toml --rate 500 --target pooler --target postgres";

/// The arguments of `poolbench churn`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Churn {
    /// The scenario; without one, the nova scenario on the stack that `poolbench stack up` started
    file: Option<PathBuf>,
    /// Only this target, by its name in the scenario; several with several of these
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Open loop: connections a second, whatever becomes of them
    #[arg(long, conflicts_with = "vus", value_parser = super::rate)]
    rate: Option<f64>,
    /// Closed loop: so many clients, each opening its next connection when its last is closed
    #[arg(short = 'u', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    vus: u32,
    /// How many connections of an open loop may be under way at once; those past it wait, and their
    /// wait counts
    #[arg(long, default_value_t = 50, requires = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Poisson gaps in an open loop, as of many independent users, instead of even ones
    #[arg(long, requires = "rate")]
    poisson: bool,
    /// How long each target is measured
    #[arg(short = 'd', long, default_value = "10s", value_parser = length)]
    duration: Nanos,
    /// Before that, uncounted, with one connection at a time
    #[arg(long, default_value = "300ms", value_parser = duration::parse)]
    warm_up: Nanos,
    /// Only this operation; several with several of these
    #[arg(long, value_name = "NAME")]
    operation: Vec<String>,
    /// Close connections with a reset instead of in order: no port waits
    #[arg(long)]
    reset: bool,
    /// Decides contents and instants of all requests
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

impl Churn {
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
        scenario.is_closing = true;
        output::warn(&scenario.report);
        choose(&self.operation, &mut scenario.operations)?;
        let plan = self.plan(&scenario)?;
        let summary = churn::run(&scenario, &plan, &mut say)?;
        self.output.show(&summary, &churn::text(&summary))?;
        Ok(match summary.validity.valid {
            Level::Invalid => exit::INVALID_RUN,
            Level::Valid | Level::Suspect => exit::OK,
        })
    }

    fn plan(&self, scenario: &Scenario) -> Result<Plan, CommandError> {
        let mut targets = self.target.clone();
        if targets.is_empty() {
            targets.extend(scenario.targets.keys().cloned());
            // The way that most requests go first, and what has no place in it last.
            let place = |target: &String| ARMS.iter().position(|kind| kind.target == **target);
            targets.sort_by_key(|target| place(target).unwrap_or(ARMS.len()));
        }
        for name in &targets {
            scenario.target(name)?;
        }
        let gaps = if self.poisson { Gaps::Poisson } else { Gaps::Uniform };
        let connections = self.connections;
        let pace = match self.rate {
            Some(rate) => Pace::Rate { rate, gaps, connections },
            None => Pace::Clients(self.vus),
        };
        let mut generator = self.generator.clone();
        generator.reset = self.reset;
        Ok(Plan {
            targets,
            pace,
            duration_ns: self.duration,
            warm_up_ns: self.warm_up,
            generator,
            seed: self.seed,
        })
    }
}

fn length(text: &str) -> Result<Nanos, String> {
    match duration::parse(text)? {
        0 => Err("0 s measure nothing".into()),
        duration_ns => Ok(duration_ns),
    }
}
