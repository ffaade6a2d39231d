//! The highest load that still meets its goals, of one target after the other.

mod beyond;
mod experiment;
mod goal;
mod log;
mod page;
mod search;
pub(crate) mod step;
mod summary;
mod table;
mod trial;

use std::time::SystemTime;

use engine::{Gaps, Nanos};
use md5::{Digest, Md5};
use thiserror::Error;

use self::experiment::Experiment;
pub(crate) use self::goal::{DEFAULTS, Goal, GoalResult};
pub(crate) use self::log::{Log, LogError};
pub(crate) use self::page::page;
pub(crate) use self::search::Settings;
pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
pub(crate) use self::trial::Trial;
use crate::check::Checks;
use crate::generator::GeneratorOptions;
use crate::rig::RigError;
use crate::scenario::Scenario;

/// How limits are searched.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// In this order.
    pub(crate) targets: Vec<TargetPlan>,
    pub(crate) variable: Variable,
    pub(crate) search: Settings,
    /// Connections of an open loop, at first and at most.
    pub(crate) connections: (u32, u32),
    /// For all targets together.
    pub(crate) budget_ns: Option<Nanos>,
    pub(crate) checks: Checks,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

/// A target, and what its load must keep to.
#[derive(Debug, Clone)]
pub(crate) struct TargetPlan {
    pub(crate) name: String,
    pub(crate) goals: Vec<Goal>,
}

/// What is raised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Variable {
    /// Arrivals a second.
    Rate { gaps: Gaps },
    /// Virtual users, each waiting for its reply.
    Vus,
    /// Open connections that take turns with so many requests a second.
    Connections { rate: f64 },
}

impl Variable {
    /// Its name in summary.json.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rate { .. } => "rate",
            Self::Vus => "vus",
            Self::Connections { .. } => "connections",
        }
    }

    /// Whether each trial has connections of its own number.
    fn is_connections(self) -> bool {
        !matches!(self, Self::Rate { .. })
    }
}

/// Why there is no limit.
#[derive(Debug, Error)]
pub(crate) enum LimitError {
    #[error(transparent)]
    Rig(#[from] RigError),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Plan {
    /// A digest of all that decides what is tried, and on what: a log of another one is not gone on
    /// with. The budget is not part of it, so that a later command may have more time.
    pub(crate) fn digest(&self, scenario: &Scenario) -> String {
        let Self { targets, variable, search, connections, seed, .. } = self;
        let goals: Vec<_> = targets
            .iter()
            .map(|target| {
                (&target.name, target.goals.iter().map(Goal::to_string).collect::<Vec<_>>())
            })
            .collect();
        let places: Vec<_> = scenario
            .targets
            .iter()
            .map(|(name, target)| (name, &target.url, &target.conninfo))
            .collect();
        let weights: Vec<_> = scenario
            .operations
            .iter()
            .map(|operation| (&operation.name, operation.weight))
            .collect();
        let text = format!(
            "{goals:?}{variable:?}{search:?}{connections:?}{seed}{}{places:?}{weights:?}",
            scenario.name
        );
        Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Searches; `say` gets a line of progress for each trial.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    log: &mut Log<Trial>,
    say: &mut dyn FnMut(&str),
) -> Result<Summary, LimitError> {
    let started = SystemTime::now();
    if log.left() > 0 {
        say(&format!("going on after {} trials of the log", log.left()));
    }
    let mut outcomes = Vec::new();
    let mut spent_ns: Nanos = 0;
    for (number, target) in plan.targets.iter().enumerate() {
        let targets_left = (plan.targets.len() - number) as u64;
        let budget_ns =
            plan.budget_ns.map(|budget_ns| budget_ns.saturating_sub(spent_ns) / targets_left);
        let outcome = Experiment::new(scenario, plan, target)?.run(budget_ns, log, say)?;
        spent_ns += outcome.trials.iter().map(|trial| trial.elapsed_ns).sum::<Nanos>();
        outcomes.push(outcome);
    }
    Ok(Summary::new(scenario, plan, started, outcomes))
}
