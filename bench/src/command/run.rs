//! `poolbench run`.

use std::path::PathBuf;

use clap::Args;
use engine::Nanos;

use super::output::{Output, say};
use super::run_options::RunOptions;
use super::{CommandError, exit};
use crate::run::{self, Plan};
use crate::scenario::{Reading, Scenario, WARM_UP_NS};
use crate::validity::Level;
use crate::{duration, nova, stack};

const TOKEN_HELP: &str = "\
The gateways' token is the scenario's [auth] jwt; else what its [auth.login] gives, renewed before \
it expires; else JWT_TOKEN, from -e or the environment.";

/// The arguments of `poolbench run`. What is given here goes before what the scenario says.
#[derive(Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct Run {
    /// The scenario; without one, the nova scenario on the stack that `poolbench stack up` started
    file: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
    /// Before the measured phase, uncounted [default: 1s]
    #[arg(long, value_parser = duration::parse)]
    warm_up: Option<Nanos>,
    /// Decides contents and instants of all requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Worker threads, each on a core of its own [default: all cores but one]
    #[arg(long)]
    workers: Option<usize>,
    #[command(flatten)]
    output: Output,
}

impl Run {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let mut scenario = match &self.file {
            Some(file) => {
                let lookup = |name: &str| nova::or_stack(self.options.variable(name), name);
                let has_duration = self.options.has_duration();
                Scenario::read_with(file, &Reading { lookup: &lookup, has_duration })?
            }
            None => match stack::attach()? {
                Some(info) => nova::scenario(&info)?,
                None => return Err(CommandError::NothingToMeasure),
            },
        };
        super::output::warn(&scenario.report);
        self.options.apply(&mut scenario)?;
        let plan = Plan {
            loads: scenario.loads.clone(),
            warm_up_ns: self.warm_up.or(scenario.warm_up_ns).unwrap_or(WARM_UP_NS),
            workers: self.workers,
            seed: self.seed,
        };
        let summary = run::run(&scenario, &plan, &mut say)?;
        self.output.show(&summary, &run::text(&summary))?;
        Ok(match summary.validity.valid {
            Level::Invalid => exit::INVALID_RUN,
            Level::Valid | Level::Suspect => exit::OK,
        })
    }
}
