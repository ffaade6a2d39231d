//! `poolbench layers`.

use clap::{Args, ValueEnum};
use engine::{Gaps, Nanos};

use super::CommandError;
use super::experiment_options::ScenarioOptions;
use super::output::{Output, say};
use crate::arm::ArmKind;
use crate::duration;
use crate::generator::GeneratorOptions;
use crate::layers::{self, Plan, Summary};
use crate::scenario::Scenario;
use crate::statistics::FixedWidth;

/// The arguments of `poolbench layers`.
#[derive(Debug, Args)]
pub(crate) struct Layers {
    #[command(flatten)]
    scenario: ScenarioOptions,
    /// Prepared statements are sent unnamed once the pooler has lost one's name, as
    /// unnamed_fallback = true in [targets.NAME]
    #[arg(long)]
    unnamed_fallback: bool,
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
    /// The same comparison at several rates, as in 500,1000,2000,4000: a layer's cost as a curve,
    /// and the rates at which two arms are equally fast
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = super::rate, conflicts_with = "rate")]
    rates: Vec<f64>,
    /// Which arms to compare, of gateway+pooler, gateway+direct, pooler and direct [default: all
    /// that the scenario has targets for]. One that is named twice, as in pooler,pooler, is compared
    /// with itself: no difference should be found
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = layers::parse_arm)]
    arms: Vec<ArmKind>,
    /// Time for all blocks of all arms together
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    duration: Nanos,
    /// Ends before that once each cost is known so well: its quantile and the width of its 95 %
    /// interval, as in p95:50us. The intervals are a little wider then, so that they hold the truth
    /// in 95 of 100 although their width chose the moment
    #[arg(long, value_name = "QUANTILE:WIDTH", value_parser = until)]
    until: Option<FixedWidth>,
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
        let mut scenario = self.scenario.read()?;
        if self.unnamed_fallback {
            scenario.targets.values_mut().for_each(|target| target.unnamed_fallback = true);
        }
        let summary = self.comparison.run(&scenario)?;
        self.output.finish(&summary, &layers::text(&summary))
    }
}

impl Comparison {
    /// In rising order, each once.
    fn rates(&self) -> Vec<f64> {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }

    pub(super) fn run(&self, scenario: &Scenario) -> Result<Summary, CommandError> {
        let plan = Plan {
            arms: self.arms.clone(),
            rates: if self.rates.is_empty() { vec![self.rate] } else { self.rates() },
            until: self.until,
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

/// Reads what is to be known, and how well.
fn until(text: &str) -> Result<FixedWidth, String> {
    let wrong = || format!("{text} is not a quantile with a width: write it as in p95:50us");
    let (quantile, width) = text.split_once(':').ok_or_else(wrong)?;
    let percent = quantile.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
    let percent = percent.filter(|percent| *percent > 0.0 && *percent < 100.0).ok_or_else(wrong)?;
    let width_ns = duration::parse(width)?;
    if width_ns == 0 {
        return Err("an interval has no width of 0: ask for one above it".into());
    }
    // 99.9 / 100 is not 0.999.
    Ok(FixedWidth { quantile: (percent * 1e6).round() / 1e8, width_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_known_is_a_quantile_and_a_width() {
        let found = |quantile, width_ns| Ok(FixedWidth { quantile, width_ns });
        assert_eq!(until("p95:50us"), found(0.95, 50_000));
        assert_eq!(until("p99.9:1ms"), found(0.999, 1_000_000));
        for wrong in ["95:50us", "p95", "p95:", "p0:1ms", "p100:1ms", "px:1ms", "p50:0s", "p50:5 s"]
        {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }
}
