//! What each layer costs: the same load on several arms, in short blocks side by side.

mod accounting;
mod amplification;
mod arms;
mod beside;
pub(crate) mod cost;
mod counts;
mod curve;
#[cfg(test)]
mod example;
mod experiment;
mod hops;
mod level;
mod observer_cost;
mod schedule;
mod stopping;
mod summary;
mod table;
#[cfg(test)]
mod virtual_time;

use engine::{Gaps, MILLISECOND, Nanos};

pub(crate) use self::arms::{Pair, parse as parse_arm};
pub(crate) use self::schedule::shuffled;
pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::arm::ArmKind;
use crate::generator::GeneratorOptions;
use crate::rig::RigError;
use crate::scenario::Scenario;
use crate::statistics::{CONFIDENCE, FixedWidth};

/// How the comparison is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Which arms; none for all that the scenario has targets for.
    pub(crate) arms: Vec<ArmKind>,
    /// Arrivals a second in each block; with several, each arm has a block at each rate in a round.
    pub(crate) rates: Vec<f64>,
    pub(crate) gaps: Gaps,
    /// Of all blocks together, in ns.
    pub(crate) duration_ns: Nanos,
    /// How well the costs are to be known; then it ends before its time.
    pub(crate) until: Option<FixedWidth>,
    /// Of one block, in ns.
    pub(crate) block_ns: Nanos,
    /// To each target.
    pub(crate) connections: u32,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

/// The pause between blocks that sampling takes, about; it only decides how many blocks fit.
const PAUSE_NS: Nanos = 15 * MILLISECOND;

impl Plan {
    /// How many times each arm has its turn at each rate.
    pub(crate) fn rounds(&self, arms: usize) -> u64 {
        (self.duration_ns / self.round_ns(arms)).max(2)
    }

    /// How long a round takes, about, in ns.
    fn round_ns(&self, arms: usize) -> Nanos {
        (arms * self.rates.len()) as u64 * (self.block_ns + PAUSE_NS)
    }

    /// At which confidence intervals of costs are computed, so that they hold the truth in 95 of 100
    /// however the comparison ends.
    fn confidence(&self) -> f64 {
        self.until.map_or(CONFIDENCE, |_| FixedWidth::CONFIDENCE)
    }

    /// The quantiles whose differences are told: the usual ones, and what is to be known well.
    fn quantiles(&self) -> Vec<f64> {
        let mut quantiles = cost::QUANTILES.to_vec();
        quantiles.extend(self.until.map(|until| until.quantile));
        quantiles.sort_by(f64::total_cmp);
        quantiles.dedup();
        quantiles
    }
}

/// Runs the comparison; `say` gets a line of progress now and then.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<Summary, RigError> {
    experiment::Experiment::prepare(scenario, plan, say)?.measure(say)
}

#[cfg(test)]
impl Plan {
    /// Four arms at one rate, as the command does without options.
    fn example() -> Self {
        Self {
            arms: Vec::new(),
            rates: vec![2000.0],
            gaps: Gaps::Poisson,
            duration_ns: 30 * engine::SECOND,
            until: None,
            block_ns: 300 * MILLISECOND,
            connections: 50,
            generator: GeneratorOptions::default(),
            seed: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_seconds_hold_at_least_twenty_blocks_an_arm() {
        let plan = Plan::example();
        assert!(plan.rounds(4) >= 20, "{}", plan.rounds(4));
        let rates = vec![500.0, 1000.0, 2000.0, 4000.0];
        let curve = Plan { rates, duration_ns: 120 * engine::SECOND, ..plan };
        assert!(curve.rounds(4) >= 20, "{}", curve.rounds(4));
    }

    #[test]
    fn what_is_to_be_known_well_is_among_what_is_told() {
        let until = |quantile| Some(FixedWidth { quantile, width_ns: 1 });
        let quantiles = |until| Plan { until, ..Plan::example() }.quantiles();
        assert_eq!(quantiles(None), cost::QUANTILES);
        assert_eq!(quantiles(until(0.95)), cost::QUANTILES);
        assert_eq!(quantiles(until(0.75)), [0.5, 0.75, 0.9, 0.95, 0.99]);
    }
}
