//! `poolbench doctor`.

use std::path::PathBuf;

use clap::Args;

use super::output::Output;
use super::run_options::RunOptions;
use super::{CommandError, exit};
use crate::doctor::{self, Diagnosis};
use crate::generator::GeneratorOptions;
use crate::scenario::{Reading, Scenario};
use crate::{nova, stack};

/// The arguments of `poolbench doctor`: those of `poolbench run` that say what would be run.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The scenario; without one, the nova scenario on the stack that `poolbench stack up` started,
    /// and without a stack this machine alone
    file: Option<PathBuf>,
    /// Also try whether session state leaks between the clients of each target that takes SQL: SET,
    /// temporary tables, advisory locks and prepared names. A handful of clients leave such things
    /// and take them away again
    #[arg(long)]
    isolation: bool,
    #[command(flatten)]
    options: RunOptions,
    #[command(flatten)]
    generator: GeneratorOptions,
    #[command(flatten)]
    output: Output,
}

impl Doctor {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let scenario = match &self.file {
            Some(file) => {
                let lookup = |name: &str| nova::or_stack(self.options.variable(name), name);
                let has_duration = self.options.has_duration();
                Some(Scenario::read(file, &Reading { lookup: &lookup, has_duration })?)
            }
            None => stack::attach()?.map(|info| nova::scenario(&info)).transpose()?,
        };
        let scenario = scenario.map(|scenario| self.loaded(scenario)).transpose()?;
        let diagnosis = Diagnosis::new(scenario.as_ref(), &self.generator, self.isolation);
        self.output.show(&diagnosis, &doctor::text(&diagnosis))?;
        Ok(if diagnosis.has_problem() { exit::FAILED } else { exit::OK })
    }

    /// The scenario with what the command line says. One without a load is not given one: it may be
    /// meant for `layers`, and has no target to choose then.
    fn loaded(&self, mut scenario: Scenario) -> Result<Scenario, CommandError> {
        if !scenario.loads.is_empty() || self.options.says_load() {
            self.options.apply(&mut scenario)?;
        }
        Ok(scenario)
    }
}
