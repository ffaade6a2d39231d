//! `poolbench pgbench`: pgbench's scripts on the engine.

mod builtin;
mod comparison;
#[cfg(test)]
mod example;
mod experiment;
mod histograms;
mod log;
mod progress;
mod script;
mod summary;
mod tables;
mod target;
mod text;
mod workload;

use std::io;
use std::path::PathBuf;

use engine::{Arrivals, DURATION_MAX_NS, Gaps, Load, Nanos, Random, SECOND};
use thiserror::Error;
use wire::postgres::Protocol;

use self::experiment::Experiment;
use self::target::Target;
use crate::conninfo::{Conninfo, ConninfoError};
use crate::generator::GeneratorOptions;
use crate::observe::{self, ObserveError};
use crate::rig::RigError;

pub(crate) use builtin::{BUILTINS, find};
pub(crate) use histograms::histograms;
pub(crate) use log::LogPlan;
pub(crate) use script::{ScriptMistake, invalid_name};
pub(crate) use summary::Summary;
pub(crate) use text::text;
pub(crate) use workload::Source;

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// At least one.
    pub(crate) targets: Vec<PlannedTarget>,
    /// With several targets: how long each has its turn, about, in ns.
    pub(crate) block_ns: Nanos,
    pub(crate) scripts: Vec<Source>,
    /// Whether one of them is a built-in, which needs pgbench's tables.
    pub(crate) has_builtin: bool,
    pub(crate) protocol: Protocol,
    pub(crate) clients: u32,
    pub(crate) length: Length,
    /// Transactions in flight at the end have so long to finish.
    pub(crate) graceful_stop_ns: Nanos,
    /// Transactions a second, over all clients.
    pub(crate) rate: Option<f64>,
    /// A connection for each transaction.
    pub(crate) connects: bool,
    /// Those that took longer are counted.
    pub(crate) latency_limit_ns: Option<Nanos>,
    /// Of transactions that fail by a serialization error or a deadlock; `None` has no limit.
    pub(crate) tries_max: Option<u32>,
    pub(crate) scale: Option<i64>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) reports_commands: bool,
    pub(crate) details_failures: bool,
    pub(crate) vacuum: Vacuum,
    pub(crate) log: Option<LogPlan>,
    /// How often progress is shown.
    pub(crate) progress_ns: Option<Nanos>,
    pub(crate) has_timestamps: bool,
    /// Shows where it connects.
    pub(crate) is_debug: bool,
    /// Shows failures while it runs.
    pub(crate) shows_failures: bool,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// For so long, in ns.
    Duration(Nanos),
    /// So many transactions for each client.
    Transactions(u64),
}

/// Which of pgbench's tables are vacuumed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vacuum {
    None,
    Small,
    All,
}

/// Where the load goes.
#[derive(Clone, Debug)]
pub(crate) struct PlannedTarget {
    pub(crate) name: String,
    /// Connection strings, of which the first that says a thing decides.
    pub(crate) conninfo: Vec<String>,
    /// If it is a pooler, of its console: one for each of its processes.
    pub(crate) consoles: Vec<String>,
}

/// Why there is no result.
#[derive(Debug, Error)]
pub(crate) enum PgbenchError {
    #[error(transparent)]
    Script(#[from] ScriptMistake),
    #[error(transparent)]
    Conninfo(#[from] ConninfoError),
    #[error(transparent)]
    Console(#[from] ObserveError),
    #[error(transparent)]
    Rig(#[from] RigError),
    /// A file of results can't be written.
    #[error("cannot write {}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
}

impl From<(PathBuf, io::Error)> for PgbenchError {
    fn from((path, error): (PathBuf, io::Error)) -> Self {
        Self::File(path, error)
    }
}

/// How arrivals are spaced, as pgbench does it.
const GAPS: Gaps = Gaps::Poisson;
/// Transactions of each client are dealt out to so many blocks.
const ROUNDS_OF_TRANSACTIONS: u64 = 20;

impl Plan {
    /// What pgbench calls the type of transaction.
    fn title(&self) -> &str {
        if let [script] = &*self.scripts { &script.name } else { "multiple scripts" }
    }

    /// As pgbench shows it with -d.
    fn debug_line(&self, conninfo: &Conninfo) -> String {
        let length = match self.length {
            Length::Duration(ns) => format!("duration: {}", ns as f64 / SECOND as f64),
            Length::Transactions(each) => format!("nxacts: {each}"),
        };
        let ((host, port), clients) = (conninfo.host_and_port(), self.clients);
        format!(
            "poolbench: pghost: {host} pgport: {port} nclients: {clients} {length} dbName: {}",
            conninfo.database()
        )
    }

    /// How many times each target has its turn.
    fn rounds(&self) -> u64 {
        match self.length {
            _ if self.targets.len() == 1 => 1,
            Length::Duration(duration_ns) => (duration_ns / self.block_ns).max(2),
            Length::Transactions(each) => each.min(ROUNDS_OF_TRANSACTIONS),
        }
    }

    /// The load on one target in one round; for so long, in ns, if that is given by a time.
    fn load(&self, round: u64) -> (Load, Option<Nanos>) {
        let (vus, rounds) = (self.clients, self.rounds());
        let iterations = match self.length {
            Length::Duration(_) => 0,
            Length::Transactions(each) => each * (round + 1) / rounds - each * round / rounds,
        };
        match (self.length, self.rate) {
            (Length::Duration(duration_ns), None) => {
                let duration_ns = duration_ns / rounds;
                (Load::ConstantVus { vus, duration_ns }, Some(duration_ns))
            }
            (Length::Transactions(_), None) => {
                let max_duration_ns = DURATION_MAX_NS;
                (Load::PerVuIterations { vus, iterations, max_duration_ns }, None)
            }
            (length, Some(rate)) => {
                let load = |duration_ns| Load::ConstantArrivalRate {
                    rate,
                    gaps: GAPS,
                    duration_ns,
                    pre_allocated_vus: vus,
                    max_vus: vus,
                };
                let duration_ns = match length {
                    Length::Duration(duration_ns) => duration_ns / rounds,
                    // Until the one behind the last would come.
                    Length::Transactions(_) => {
                        let all =
                            Arrivals::new(&load(DURATION_MAX_NS), self.seed(round), 0, (0, 1));
                        let count = iterations.saturating_mul(vus.into()) as usize;
                        let behind = all.and_then(|mut all| all.nth(count));
                        behind.map_or(DURATION_MAX_NS, |arrival| arrival.intended.max(2) - 1)
                    }
                };
                (load(duration_ns), Some(duration_ns))
            }
        }
    }

    /// What a round draws, on each target the same; the first round the run's own seed.
    fn seed(&self, round: u64) -> u64 {
        if round == 0 { self.seed } else { Random::new(self.seed, round).draw() }
    }
}

/// Runs it. `say` shows progress.
pub(crate) fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<Summary, PgbenchError> {
    // Scripts are read before anything is sent.
    workload::compile(&plan.scripts, plan.protocol, &plan.variables, plan.clients)?;
    let poolers = plan.targets.iter().filter(|target| !target.consoles.is_empty());
    let consoles = poolers.map(|target| observe::Source::pooler(&target.name, &target.consoles));
    let consoles = consoles.collect::<Result<_, _>>()?;
    let targets = plan.targets.iter().map(|target| Target::prepare(plan, target, say));
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    Experiment::open(plan, targets, consoles)?.measure(say)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(targets: &[&str], length: Length, rate: Option<f64>) -> Plan {
        Plan { length, rate, ..Plan::example(targets) }
    }

    #[test]
    fn one_target_has_one_block_and_the_seed_that_was_given() {
        let plan = plan(&["pgbench"], Length::Transactions(7), None);
        assert_eq!((plan.rounds(), plan.seed(0)), (1, plan.seed));
        assert!(matches!(plan.load(0), (Load::PerVuIterations { iterations: 7, .. }, None)));
    }

    #[test]
    fn blocks_of_several_targets_are_together_what_was_asked_for() {
        let by_time = plan(&["a", "b"], Length::Duration(engine::SECOND), None);
        let rounds = by_time.rounds();
        let time: Nanos = (0..rounds).filter_map(|round| by_time.load(round).1).sum();
        assert!((engine::SECOND - rounds..=engine::SECOND).contains(&time), "{time}");
        for each in [1, 7, 20, 333] {
            let plan = plan(&["a", "b"], Length::Transactions(each), None);
            let iterations = (0..plan.rounds()).map(|round| match plan.load(round) {
                (Load::PerVuIterations { iterations, .. }, None) => iterations,
                load => panic!("{load:?}"),
            });
            let iterations: Vec<_> = iterations.collect();
            assert_eq!(iterations.iter().sum::<u64>(), each);
            assert!(iterations.iter().all(|count| *count > 0), "{iterations:?}");
        }
    }

    #[test]
    fn a_number_of_transactions_at_a_rate_is_that_number() {
        let plan = plan(&["pgbench"], Length::Transactions(50), Some(1000.0));
        let (load, _) = plan.load(0);
        let arrivals = Arrivals::new(&load, plan.seed(0), 0, (0, 1)).expect("an open loop");
        assert_eq!(arrivals.count(), 50 * plan.clients as usize);
    }
}
