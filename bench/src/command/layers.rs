//! `poolbench layers`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use engine::{Gaps, Nanos};

use super::output::{Output, say};
use super::{CommandError, exit};
use crate::generator::GeneratorOptions;
use crate::layers::{self, Plan, Summary};
use crate::scenario::Scenario;
use crate::validity::Level;
use crate::{duration, nova, stack};

/// The arguments of `poolbench layers`.
#[derive(Debug, Args)]
pub(crate) struct Layers {
    /// The scenario; without one, the nova scenario on the stack that `poolbench stack up` started
    file: Option<PathBuf>,
    #[command(flatten)]
    comparison: Comparison,
    #[command(flatten)]
    output: Output,
}

/// How the arms are compared.
#[derive(Debug, Args)]
pub(crate) struct Comparison {
    /// Requests a second, in each block
    #[arg(long, default_value_t = 2000.0, value_parser = super::rate)]
    rate: f64,
    /// Time for all blocks of all arms together
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    duration: Nanos,
    /// Time for one block; shorter ones are more alike, longer ones hold more requests
    #[arg(long, default_value = "300ms", value_parser = duration::parse)]
    block: Nanos,
    /// Connections to each arm, kept open throughout
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// How arrivals are spaced
    #[arg(long, value_enum, default_value_t = GapsArgument::Poisson)]
    gaps: GapsArgument,
    /// Decides contents and instants of all requests, and the order of the blocks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    generator: GeneratorOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GapsArgument {
    /// As of many independent users
    Poisson,
    /// All the same
    Uniform,
}

impl Layers {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let scenario = match &self.file {
            Some(file) => Scenario::read(file)?,
            None => match stack::attach()? {
                Some(info) => nova::scenario(&info)?,
                None => return Err(CommandError::NothingToMeasure),
            },
        };
        let summary = self.comparison.run(&scenario)?;
        self.output.show(&summary, &layers::text(&summary))?;
        Ok(code(&summary))
    }
}

impl Comparison {
    pub(super) fn run(&self, scenario: &Scenario) -> Result<Summary, CommandError> {
        let plan = Plan {
            rate: self.rate,
            gaps: match self.gaps {
                GapsArgument::Poisson => Gaps::Poisson,
                GapsArgument::Uniform => Gaps::Uniform,
            },
            duration_ns: self.duration,
            block_ns: self.block,
            connections: self.connections,
            generator: self.generator.clone(),
            seed: self.seed,
        };
        Ok(layers::run(scenario, &plan, &mut say)?)
    }
}

/// What the process ends with after this result.
pub(super) fn code(summary: &Summary) -> u8 {
    match summary.validity.valid {
        Level::Invalid => exit::INVALID_RUN,
        Level::Valid | Level::Suspect => exit::OK,
    }
}
