//! What the command lines of experiments have in common.

use std::path::PathBuf;

use clap::Args;
use engine::Gaps;

use super::CommandError;
use super::output::{self, Output};
use super::run_options::{assignment, variable};
use crate::arm::ARMS;
use crate::generator::GeneratorOptions;
use crate::pace::Pace;
use crate::scenario::{Reading, Scenario, TargetFile};
use crate::{nova, stack};

/// The scenario of an experiment that brings its own load.
#[derive(Debug, Args)]
pub(crate) struct ScenarioOptions {
    /// The scenario; without one, the nova scenario on the stack that `poolbench stack up` started
    pub(super) file: Option<PathBuf>,
    /// Sets ${NAME} in the scenario, before the environment's
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = assignment)]
    variables: Vec<(String, String)>,
}

/// Of every experiment that brings its own load.
#[derive(Debug, Args)]
pub(crate) struct ExperimentOptions {
    #[command(flatten)]
    pub(super) scenario: ScenarioOptions,
    /// Decides contents and instants of all requests, and the order of what is measured
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    #[command(flatten)]
    pub(super) generator: GeneratorOptions,
    #[command(flatten)]
    pub(super) output: Output,
}

impl ScenarioOptions {
    /// Reads it, and says on stderr what is odd about it.
    pub(super) fn read(&self) -> Result<Scenario, CommandError> {
        let scenario = match &self.file {
            // The file's loads are not run: they need no duration.
            Some(file) => Scenario::read(
                file,
                &Reading { lookup: &|name| self.lookup(name), has_duration: true },
            )?,
            None => match stack::attach()? {
                Some(info) => nova::scenario(&info)?,
                None => return Err(CommandError::NothingToMeasure),
            },
        };
        output::warn(&scenario.report);
        Ok(scenario)
    }

    /// What `${NAME}` stands for: -e, the environment, the stack that is up.
    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        nova::or_stack(variable(&self.variables, name), name)
    }
}

/// Which of the scenario's targets are measured.
#[derive(Debug, Args)]
pub(crate) struct TargetOptions {
    /// Only this target, by its name in the scenario; several with several of these
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
}

impl TargetOptions {
    /// Those that are named, or all that `can_be`: the way that most requests go first, and what has
    /// no place in it last.
    pub(super) fn of(
        &self,
        scenario: &Scenario,
        can_be: impl Fn(&TargetFile) -> bool,
    ) -> Result<Vec<String>, CommandError> {
        if !self.target.is_empty() {
            for name in &self.target {
                scenario.target(name)?;
            }
            return Ok(self.target.clone());
        }
        let all = scenario.targets.iter().filter(|(_, target)| can_be(target));
        let mut names: Vec<_> = all.map(|(name, _)| name.clone()).collect();
        let place = |target: &String| ARMS.iter().position(|kind| kind.target == **target);
        names.sort_by_key(|target| place(target).unwrap_or(ARMS.len()));
        Ok(names)
    }
}

/// How often something is begun.
#[derive(Debug, Args)]
pub(crate) struct PaceOptions {
    /// Open loop: so many are begun a second, whatever becomes of them
    #[arg(long, conflicts_with = "vus", value_parser = super::rate)]
    rate: Option<f64>,
    /// Closed loop: so many clients, each beginning the next when its last has ended
    #[arg(short = 'u', long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    vus: u32,
    /// How many of an open loop may be under way at once; those past it wait, and their wait counts
    #[arg(long, default_value_t = 50, requires = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Poisson gaps in an open loop, as of many independent users, instead of even ones
    #[arg(long, requires = "rate")]
    poisson: bool,
}

impl PaceOptions {
    pub(super) fn pace(&self) -> Pace {
        match self.rate {
            Some(rate) => {
                Pace::Rate { rate, gaps: gaps(self.poisson), connections: self.connections }
            }
            None => Pace::Clients(self.vus),
        }
    }
}

/// How arrivals are spaced.
pub(super) fn gaps(is_poisson: bool) -> Gaps {
    if is_poisson { Gaps::Poisson } else { Gaps::Uniform }
}
