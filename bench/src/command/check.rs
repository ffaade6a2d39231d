//! `poolbench check`.

use std::path::PathBuf;

use clap::Args;

use super::output::{print, warn};
use super::run_options::{assignment, variable};
use super::{CommandError, exit};
use crate::rules::Rules;
use crate::scenario::{Reading, Scenario, ScenarioError, counted};

/// The arguments of `poolbench check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The scenario
    file: PathBuf,
    /// Leave the targets alone: without it each GraphQL document is compared with the gateway's
    /// schema, and each SQL statement is prepared on the server; nothing is executed
    #[arg(long)]
    offline: bool,
    /// Sets ${NAME} in the scenario, before the environment's
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = assignment)]
    variables: Vec<(String, String)>,
}

impl Check {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let lookup = |name: &str| crate::nova::or_stack(variable(&self.variables, name), name);
        let reading = Reading { lookup: &lookup, has_duration: false };
        let scenario = Scenario::read(&self.file, &reading)?;
        warn(&scenario.report);
        Rules::read(&scenario).map_err(|errors| scenario.refuse(&errors))?;
        let file = self.file.display().to_string();
        let mut text = String::new();
        if !self.offline {
            let verified = scenario.verify();
            if verified.report.has_errors() {
                return Err(ScenarioError::mistakes(&file, verified.report).into());
            }
            warn(&verified.report);
            verified.lines.iter().for_each(|line| text += &format!("{line}\n"));
        }
        let counts = [
            (scenario.operations.len(), "operation"),
            (scenario.loads.len(), "load"),
            (scenario.thresholds.len(), "threshold"),
            (scenario.checks.len(), "check"),
            (scenario.bands.len(), "band"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| counted(count, what)).collect();
        text += &format!("{file} can be run: {}\n", counts.join(", "));
        print(&text)?;
        Ok(exit::OK)
    }
}
