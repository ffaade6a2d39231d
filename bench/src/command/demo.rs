//! `poolbench demo`.

use clap::Args;

use super::CommandError;
use super::layers::Comparison;
use super::output::{Output, say};
use crate::stack::{Options, Stack};
use crate::{layers, nova};

/// The arguments of `poolbench demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    comparison: Comparison,
    #[command(flatten)]
    output: Output,
}

impl Demo {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let stack = Stack::start(&self.options, &mut say)?;
        let summary = self.comparison.run(&nova::scenario(stack.info())?)?;
        stack.stop()?;
        self.output.finish(&summary, &layers::text(&summary))
    }
}
