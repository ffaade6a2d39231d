//! `poolbench run`.

use std::path::PathBuf;

use clap::Args;
use engine::{Gaps, Load, Nanos, SECOND};

use super::output::{self, Output};
use super::{CommandError, exit};
use crate::metric::Aggregation;
use crate::rules::Rules;
use crate::run::{self, Plan, Progress, Summary};
use crate::scenario::{Executor, Scenario, ScenarioError};
use crate::validity::Level;
use crate::{duration, nova, stack};

/// The arguments of `poolbench run`. What is given here goes before what the scenario's `[load]`
/// says.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The scenario; without one, the nova scenario on the stack that `poolbench stack up` started
    file: Option<PathBuf>,
    /// The target, by its name in the scenario [default: the only one]
    #[arg(long)]
    target: Option<String>,
    /// Closed loop: so many virtual users, each waiting for its reply
    #[arg(long, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    vus: Option<u32>,
    /// Open loop: requests a second, whatever the replies do
    #[arg(long, value_parser = super::rate)]
    rate: Option<f64>,
    /// Poisson gaps in an open loop, as of many independent users, instead of even ones
    #[arg(long)]
    poisson: bool,
    /// A virtual user's pause after each reply: one duration, or the least and the most as in
    /// 500ms,3s
    #[arg(long, value_delimiter = ',', num_args = 1, value_parser = duration::parse)]
    think_time: Option<Vec<Nanos>>,
    /// Of the measured phase [default: 10s]
    #[arg(long, value_parser = duration::parse)]
    duration: Option<Nanos>,
    /// Before it, uncounted
    #[arg(long, default_value = "1s", value_parser = duration::parse)]
    warm_up: Nanos,
    /// Connections in an open loop; each virtual user has one of its own
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Decides contents and instants of all requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Worker threads, each on a core of its own [default: all cores but one]
    #[arg(long)]
    workers: Option<usize>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// The statistics of trends in the summary [default: avg,min,med,max,p(90),p(95)]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    summary_trend_stats: Option<Vec<Aggregation>>,
    /// Write the summary to FILE in the JSON shape of k6's option of this name
    #[arg(long, value_name = "FILE")]
    summary_export: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Run {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let scenario = match &self.file {
            Some(file) => Scenario::read(file)?,
            None => match stack::attach()? {
                Some(info) => nova::scenario(&info)?,
                None => return Err(CommandError::NothingToMeasure),
            },
        };
        let plan = self.plan(&scenario)?;
        let rules = Rules::read(&scenario)?;
        let mut progress = if self.quiet { Progress::quiet() } else { Progress::new() };
        let summary = run::run(&scenario, &plan, &rules, &mut progress)?;
        progress.clear();
        let stats = self.summary_trend_stats.as_deref().unwrap_or(&run::STATS);
        if let Some(file) = &self.summary_export {
            let text = run::export(&summary.verdicts, stats);
            output::write(file, text)?;
        }
        self.output.show(&summary, &run::text(&summary, stats))?;
        Ok(exit_code(&summary))
    }

    fn plan(&self, scenario: &Scenario) -> Result<Plan, CommandError> {
        let load = self.load(scenario)?;
        let connections = match load {
            Load::ConstantVus { vus, .. } => vus,
            Load::ConstantArrivalRate { .. } => self.connections,
        };
        Ok(Plan {
            target: self.target(scenario)?,
            load,
            duration_ns: match (self.duration, scenario.load.duration()?) {
                (Some(duration), _) | (None, Some(duration)) => duration,
                (None, None) => 10 * SECOND,
            },
            warm_up_ns: self.warm_up,
            connections,
            workers: self.workers,
            seed: self.seed,
        })
    }

    fn target(&self, scenario: &Scenario) -> Result<String, ScenarioError> {
        let mut names = scenario.targets.keys();
        match (&self.target, names.next(), names.next()) {
            (Some(name), ..) | (None, Some(name), None) => Ok(name.clone()),
            _ => {
                let names: Vec<_> = scenario.targets.keys().map(String::as_str).collect();
                Err(ScenarioError::WhichTarget(names.join(", ")))
            }
        }
    }

    fn load(&self, scenario: &Scenario) -> Result<Load, ScenarioError> {
        let file = &scenario.load;
        let think_time_ns = match self.think_time.as_deref() {
            Some([both]) => (*both, *both),
            Some([least, most, ..]) => (*least, *most),
            _ => file.think_time()?.unwrap_or((0, 0)),
        };
        let gaps = if self.poisson { Gaps::Poisson } else { Gaps::Uniform };
        let closed = |vus| Load::ConstantVus { vus, think_time_ns };
        Ok(match (self.vus, self.rate, file.executor) {
            (Some(vus), ..) => closed(vus),
            (_, Some(rate), _) => Load::ConstantArrivalRate { rate, gaps },
            (_, _, Executor::ConstantVus) => closed(file.vus.unwrap_or(1)),
            (_, _, Executor::ConstantArrivalRate) => {
                Load::ConstantArrivalRate { rate: file.rate()?, gaps }
            }
        })
    }
}

/// What can't be trusted decides nothing: whether the numbers are valid comes first.
fn exit_code(summary: &Summary) -> u8 {
    match (summary.validity.valid, &summary.verdicts) {
        (Level::Invalid, _) => exit::INVALID_RUN,
        (_, verdicts) if verdicts.aborted_by.is_some() => exit::ABORTED,
        (_, verdicts) if !verdicts.are_thresholds_ok() => exit::THRESHOLDS,
        (Level::Valid | Level::Suspect, _) => exit::OK,
    }
}
