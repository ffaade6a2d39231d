//! The pool as a surface: clients, pool size, pool mode and protocol, and what to set.

mod advice;
mod cell;
mod configuration;
mod evidence;
mod experiment;
mod export;
mod grid;
mod heat_map;
mod ini;
mod page;
mod published;
mod resample;
mod summary;
mod table;

use engine::Nanos;
use md5::{Digest, Md5};

pub(crate) use self::configuration::ModeChange;
pub(crate) use self::experiment::{run, run_as_it_is};
pub(crate) use self::export::csv;
pub(crate) use self::grid::{Grid, Mode, Steps, WireProtocol};
pub(crate) use self::page::page;
pub(crate) use self::published::{Published, PublishedError};
pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::generator::GeneratorOptions;
use crate::limit::Goal;
use crate::scenario::Scenario;

/// How the surface is sampled.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) grid: Grid,
    /// The pooler's target, and Postgres' own where cells without a pool are wanted.
    pub(crate) pooler: String,
    pub(crate) direct: Option<String>,
    /// What a rate must keep to.
    pub(crate) goals: Vec<Goal>,
    /// How long a cell is measured, in ns.
    pub(crate) cell_ns: Nanos,
    /// After so many cells the reference point is measured again.
    pub(crate) reference_every: usize,
    pub(crate) mode_change: ModeChange,
    /// The table whose settings these are, with what was published.
    pub(crate) published: Option<Published>,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

impl Plan {
    /// A digest of all that decides what is measured, and on what: a log of another one is not gone
    /// on with.
    pub(crate) fn digest(&self, scenario: &Scenario) -> String {
        let Self { grid, pooler, direct, goals, cell_ns, reference_every, seed, .. } = self;
        let goals: Vec<_> = goals.iter().map(Goal::to_string).collect();
        let places: Vec<_> =
            scenario.targets.iter().map(|(name, target)| (name, &target.conninfo)).collect();
        let weights: Vec<_> = scenario
            .operations
            .iter()
            .map(|operation| (&operation.name, operation.weight))
            .collect();
        let text = format!(
            "{grid:?}{pooler}{direct:?}{goals:?}{cell_ns}{reference_every}{seed}{}{places:?}{weights:?}",
            scenario.name
        );
        Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
