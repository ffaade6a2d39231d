//! `poolbench churn`.

use clap::Args;
use engine::Nanos;

use super::CommandError;
use super::experiment_options::{ExperimentOptions, PaceOptions, TargetOptions};
use super::output::say;
use super::run_options::choose;
use crate::churn::{self, Plan};
use crate::duration;
use crate::scenario::Scenario;

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
    #[command(flatten)]
    targets: TargetOptions,
    #[command(flatten)]
    pace: PaceOptions,
    /// How long each target is measured
    #[arg(short = 'd', long, default_value = "10s", value_parser = super::length)]
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
    #[command(flatten)]
    experiment: ExperimentOptions,
}

impl Churn {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let mut scenario = self.experiment.scenario.read()?;
        scenario.is_closing = true;
        choose(&self.operation, &mut scenario.operations)?;
        let plan = self.plan(&scenario)?;
        let summary = churn::run(&scenario, &plan, &mut say)?;
        self.experiment.output.finish(&summary, &churn::text(&summary))
    }

    fn plan(&self, scenario: &Scenario) -> Result<Plan, CommandError> {
        let mut generator = self.experiment.generator.clone();
        generator.reset = self.reset;
        Ok(Plan {
            targets: self.targets.of(scenario, |_| true)?,
            pace: self.pace.pace(),
            duration_ns: self.duration,
            warm_up_ns: self.warm_up,
            generator,
            seed: self.experiment.seed,
        })
    }
}
