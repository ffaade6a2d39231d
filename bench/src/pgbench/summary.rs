//! The result as it is written to JSON: everything that the text shows.

use std::collections::BTreeMap;

use engine::pgbench::{CommandFailures, Conflicts};
use engine::{Nanos, OperationRecording, Recording};
use serde::Serialize;
use wire::{Class, Code, Failure};

use super::comparison::{self, Comparison, CostSummary, ThroughputCost};
use super::experiment::Scripts;
use super::tables::Tables;
use super::target::Target;
use super::workload::CommandLine;
use super::{GAPS, Length, Plan};
use crate::arm::{Arm, ArmSummary, Quantiles};
use crate::head::Head;
use crate::observe::{Observations, ObserversSummary};
use crate::validity::{Evidence, Offered, Purpose, Sharing, Steady, Validity};

/// The result of `pgbench`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// A phase is one target's; 0 where a number of transactions was asked for.
    #[serde(flatten)]
    pub(super) head: Head,
    pub(super) transactions_per_client: Option<u64>,
    #[serde(skip)]
    pub(super) threads: usize,
    pub(super) protocol: &'static str,
    pub(super) clients: u32,
    connects: bool,
    /// `null` has no limit.
    pub(super) tries_max: Option<u32>,
    pub(super) rate: Option<f64>,
    pub(super) latency_limit_ns: Option<Nanos>,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    /// `null` where no console was given.
    pub(super) observers: Option<ObserversSummary>,
    /// The targets.
    pub(super) arms: Vec<PgbenchArm>,
    pub(super) costs: Vec<CostSummary>,
    pub(super) throughput_costs: Vec<ThroughputCost>,
    #[serde(skip)]
    pub(super) reports_commands: bool,
    #[serde(skip)]
    pub(super) details_failures: bool,
    #[serde(skip)]
    pub(super) has_progress: bool,
    /// Clients that have gone, since their scripts could not go on, on all targets.
    pub(crate) aborted_clients: u64,
    /// Why the first of them has.
    pub(crate) script_error: Option<String>,
    /// Whether a signal ended it.
    pub(crate) is_interrupted: bool,
}

/// What came of the scripts on one target. Its requests are the transactions.
#[derive(Debug, Serialize)]
pub(super) struct PgbenchArm {
    #[serde(flatten)]
    pub(super) arm: ArmSummary,
    #[serde(flatten)]
    pub(super) tables: Tables,
    /// Until every client had its connection.
    pub(super) initial_connection_ns: Nanos,
    /// Of each transaction's own connection, if they have one.
    pub(super) mean_connection_ns: Option<f64>,
    /// What its console showed, if it has one.
    pub(super) pool: Option<Sharing>,
    #[serde(flatten)]
    pub(super) all: Transactions,
    #[serde(skip)]
    pub(super) measured_ns: Nanos,
    /// Transactions in flight that were broken off at the end: their clients still waited.
    pub(super) interrupted: u64,
    /// By class of failure: who failed, as far as the first one says so.
    pub(super) error_layers: BTreeMap<&'static str, &'static str>,
    /// Which commands failed, and how.
    pub(super) failures: Vec<FailureSummary>,
    pub(super) scripts: Vec<ScriptSummary>,
    /// By script.
    #[serde(skip)]
    pub(super) recording: Recording,
}

/// Transactions, of one script or of all.
#[derive(Debug, Serialize)]
pub(super) struct Transactions {
    /// Those that succeeded.
    pub(super) transactions: u64,
    pub(super) failed: u64,
    pub(super) tps: f64,
    /// Those that were tried more than once, and how often in all.
    pub(super) retried: u64,
    pub(super) retries: u64,
    /// Those that failed so in the end.
    pub(super) serialization_failures: u64,
    pub(super) deadlock_failures: u64,
    /// Those that took longer than the limit, if there is one.
    pub(super) above_latency_limit: Option<u64>,
    pub(super) response_stddev_ns: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct ScriptSummary {
    pub(super) name: String,
    pub(super) weight: u32,
    #[serde(flatten)]
    pub(super) all: Transactions,
    errors: BTreeMap<&'static str, u64>,
    pub(super) response_ns: Quantiles,
    service_ns: Quantiles,
    lateness_ns: Quantiles,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) commands: Vec<CommandSummary>,
}

/// Failures of one class in one line of a script, those included after which the transaction was tried
/// again.
#[derive(Debug, Serialize)]
pub(super) struct FailureSummary {
    pub(super) script: String,
    pub(super) line: u32,
    pub(super) class: &'static str,
    /// Who failed, as far as the error says so.
    pub(super) layer: &'static str,
    pub(super) count: u64,
    /// The first one's words.
    pub(super) first: String,
}

/// A command of a script. Those that neither wait for a reply nor sleep have a count of 0.
#[derive(Debug, Serialize)]
pub(super) struct CommandSummary {
    pub(super) text: String,
    /// Failures that ended their transaction.
    pub(super) failed: u64,
    /// Failures after which it was tried again.
    pub(super) retries: u64,
    pub(super) service_ns: Quantiles,
}

/// What a summary is made of.
pub(super) struct Results<'a> {
    pub(super) plan: &'a Plan,
    pub(super) arms: &'a [Arm],
    pub(super) targets: &'a [Target],
    pub(super) scripts: &'a [Scripts],
    pub(super) threads: usize,
    /// Of the only target, second by second.
    pub(super) steady: Vec<Steady>,
    pub(super) observations: Option<&'a Observations>,
    /// What the rig says of targets whose pooler lost the names of prepared statements.
    pub(super) lost_names: Vec<String>,
    /// Whether it came to its end.
    pub(super) is_whole: bool,
}

impl Results<'_> {
    pub(super) fn summary(self, head: Head) -> Summary {
        let Self { plan, arms, targets, scripts, threads, steady, .. } = self;
        let Self { observations, lost_names, is_whole, .. } = self;
        let Comparison { costs, throughput } = Comparison::new(plan, arms, scripts);
        let offered = plan.rate.zip(plan.load(0).1).filter(|_| is_whole);
        let offered = offered.map(|(rate, block_ns)| Offered::new(rate, GAPS, block_ns));
        let mut validity = Validity::of(&Evidence {
            busiest: &head.generator.busiest,
            machine: &head.generator.machine,
            arms,
            offered: vec![offered; arms.len()],
            comparison: comparison::turns(plan, arms, scripts),
            steady,
            observations: observations.into_iter().collect(),
            lost_names,
            purpose: if plan.connects { Purpose::Connecting } else { Purpose::Load },
        });
        for arm in arms {
            if arm.requests() > 0 && arm.blocks.iter().all(|block| block.succeeded == 0) {
                validity.invalid(format!("{}: no transaction succeeded", arm.label()));
            }
        }
        let all = arms.iter().zip(targets).zip(scripts);
        let aborted = || scripts.iter().flat_map(|scripts| &scripts.report.aborted);
        Summary {
            head,
            transactions_per_client: match plan.length {
                Length::Duration(_) => None,
                Length::Transactions(count) => Some(count),
            },
            threads,
            protocol: plan.protocol.name(),
            clients: plan.clients,
            connects: plan.connects,
            tries_max: plan.tries_max,
            rate: plan.rate,
            latency_limit_ns: plan.latency_limit_ns,
            validity,
            observers: observations.map(ObserversSummary::new),
            arms: all
                .map(|((arm, target), scripts)| {
                    let pool = observations.and_then(|seen| Sharing::on_the_way(arm, arms, seen));
                    PgbenchArm { pool, ..PgbenchArm::new(plan, arm, target, scripts, threads) }
                })
                .collect(),
            costs,
            throughput_costs: throughput,
            reports_commands: plan.reports_commands,
            details_failures: plan.details_failures,
            has_progress: plan.progress_ns.is_some(),
            aborted_clients: aborted().count() as u64,
            script_error: aborted().next().map(ToString::to_string),
            is_interrupted: false,
        }
    }
}

impl PgbenchArm {
    fn new(plan: &Plan, arm: &Arm, target: &Target, scripts: &Scripts, threads: usize) -> Self {
        let names: Vec<_> = plan.scripts.iter().map(|script| script.name.as_str()).collect();
        let empty = Recording::new(names.len());
        let recording = arm.whole.as_ref().unwrap_or(&empty);
        let transactions = |recording: &OperationRecording, conflicts: Conflicts, above: u64| {
            let above = plan.latency_limit_ns.map(|_| above);
            Transactions::new(recording, conflicts, arm.measured_ns, above)
        };
        let above = &scripts.report.above_limit;
        let script = |(number, recording): (usize, &OperationRecording)| {
            let conflicts = scripts.report.conflicts.get(number).copied().unwrap_or_default();
            let errors = recording.failures().map(|(class, count, _)| (class.name(), count));
            let commands =
                target.commands[number].iter().map(|one| CommandSummary::new(one, scripts));
            ScriptSummary {
                name: names[number].into(),
                weight: plan.scripts[number].weight,
                all: transactions(recording, conflicts, above.get(number).copied().unwrap_or(0)),
                errors: errors.collect(),
                response_ns: Quantiles::new(&recording.response),
                service_ns: Quantiles::new(&recording.service),
                lateness_ns: Quantiles::new(&recording.lateness),
                commands: if plan.reports_commands { commands.collect() } else { Vec::new() },
            }
        };
        let failure = |own: &CommandFailures| {
            let CommandFailures { script, line, class, count, first } = own;
            FailureSummary {
                script: names[*script as usize].into(),
                line: *line,
                class: class.name(),
                layer: layer(*class, first.code),
                count: *count,
                first: words(first),
            }
        };
        let whole = recording.whole();
        let error_layer = |(class, _, first): (Class, u64, Option<&Failure>)| {
            (class.name(), layer(class, first.map_or(Code::None, |first| first.code)))
        };
        // Each thread opens one connection after the other.
        let connecting = arm
            .connect
            .as_ref()
            .map_or(0.0, |connect| connect.mean() * connect.len() as f64 / threads.max(1) as f64);
        Self {
            arm: ArmSummary::new(arm, &names),
            tables: target.tables.clone(),
            initial_connection_ns: connecting as Nanos,
            mean_connection_ns: plan.connects.then(|| scripts.opened.mean()),
            pool: None,
            all: transactions(&whole, scripts.report.all_conflicts(), above.iter().sum()),
            measured_ns: arm.measured_ns,
            interrupted: scripts.interrupted,
            error_layers: whole.failures().map(error_layer).collect(),
            failures: scripts.report.failures.iter().map(failure).collect(),
            scripts: recording.operations.iter().enumerate().map(script).collect(),
            recording: recording.clone(),
        }
    }
}

impl Transactions {
    fn new(
        recording: &OperationRecording,
        conflicts: Conflicts,
        duration_ns: Nanos,
        above_latency_limit: Option<u64>,
    ) -> Self {
        let response = &recording.response;
        let Conflicts { retried, retries, serialization_failures, deadlock_failures } = conflicts;
        Self {
            transactions: response.len(),
            failed: recording.failed.len(),
            tps: response.len() as f64 * 1e9 / duration_ns.max(1) as f64,
            retried,
            retries,
            serialization_failures,
            deadlock_failures,
            above_latency_limit,
            response_stddev_ns: if response.is_empty() { 0.0 } else { response.stdev() },
        }
    }
}

impl CommandSummary {
    fn new(line: &CommandLine, scripts: &Scripts) -> Self {
        let at = line.recording.map(|recording| recording as usize);
        let recording = at.and_then(|at| scripts.commands.operations.get(at));
        let retries = at.and_then(|at| scripts.report.command_retries.get(at)).copied();
        let retries = retries.unwrap_or_default();
        Self {
            text: line.text.clone(),
            failed: recording.map_or(0, |own| own.failed.len()).saturating_sub(retries),
            retries,
            service_ns: recording.map(|own| Quantiles::new(&own.service)).unwrap_or_default(),
        }
    }
}

/// Which layer a failure is of, as far as its class and code say so.
pub(super) fn layer(class: Class, code: Code) -> &'static str {
    match (class, code) {
        (Class::WaitTimeout | Class::PoolingIncompatible | Class::PoolerOther, _) => "pooler",
        (Class::Sql | Class::Retryable | Class::Cancelled | Class::WrongCancel, _) => "server",
        // By these a pooler means itself.
        (Class::Auth | Class::Capacity | Class::Unavailable, Code::SqlState(state))
            if matches!(&state, b"08P01" | b"58000") =>
        {
            "pooler"
        }
        (Class::Auth | Class::Capacity | Class::Unavailable, _) => "server or pooler",
        _ => "connection",
    }
}

/// A failure in the words of whoever tells of it; empty where nobody does.
pub(super) fn words(failure: &Failure) -> String {
    format!("{} {}", failure.code, failure.message).trim().into()
}

/// Several recordings in one.
pub(super) fn merged(recordings: &[OperationRecording]) -> OperationRecording {
    let all = Recording { operations: recordings.to_vec(), above_top: 0 };
    all.whole()
}

pub(super) fn milliseconds(ns: f64) -> f64 {
    ns / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_of_the_layer_that_its_class_and_code_speak_of() {
        let state = |code: &[u8; 5]| Code::SqlState(*code);
        for (class, code, expected) in [
            (Class::Sql, state(b"22012"), "server"),
            (Class::Retryable, state(b"40001"), "server"),
            (Class::WaitTimeout, state(b"08P01"), "pooler"),
            (Class::PoolingIncompatible, state(b"26000"), "pooler"),
            (Class::Unavailable, state(b"08P01"), "pooler"),
            // A pooler of a later version has this code too.
            (Class::Capacity, state(b"53300"), "server or pooler"),
            (Class::Disconnected, Code::None, "connection"),
            (Class::Timeout, Code::None, "connection"),
        ] {
            assert_eq!(layer(class, code), expected, "{class:?} {code:?}");
        }
    }
}
