//! The result as it is written to JSON: everything that the text shows.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use engine::{Nanos, OperationRecording};
use serde::Serialize;
use wire::Code;

use super::{Length, Run};
use crate::arm::Quantiles;
use crate::generator::GeneratorSummary;

/// The result of `pgbench`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    schema: u32,
    command: &'static str,
    /// Seconds since 1970.
    started: f64,
    /// From the start to the last outcome.
    pub(super) duration_ns: Nanos,
    /// What was asked for.
    pub(super) phase_ns: Option<Nanos>,
    pub(super) transactions_per_client: Option<u64>,
    pub(super) seed: u64,
    #[serde(flatten)]
    pub(super) generator: GeneratorSummary,
    #[serde(skip)]
    pub(super) threads: usize,
    pub(super) scale: i64,
    pub(super) protocol: &'static str,
    pub(super) clients: u32,
    pub(super) connects: bool,
    /// `null` has no limit.
    pub(super) tries_max: Option<u32>,
    pub(super) rate: Option<f64>,
    pub(super) latency_limit_ns: Option<Nanos>,
    pub(super) initial_connection_ns: Nanos,
    #[serde(flatten)]
    pub(super) all: Transactions,
    /// Transactions that were tried more than once, and how often in all.
    pub(super) retried: u64,
    pub(super) retries: u64,
    /// Transactions in flight that were broken off at the end: their clients still waited.
    pub(super) interrupted: u64,
    /// Of a rate: those that no client had begun by the end.
    pub(super) unserved: u64,
    /// Connections that were opened again.
    pub(super) reopened: u64,
    pub(super) scripts: Vec<ScriptSummary>,
    #[serde(skip)]
    pub(super) reports_statements: bool,
    #[serde(skip)]
    pub(super) details_failures: bool,
    /// Why a script could not go on.
    pub(crate) script_error: Option<String>,
    /// Whether a signal ended it.
    pub(crate) is_interrupted: bool,
}

/// Transactions, of one script or of all.
#[derive(Debug, Serialize)]
pub(super) struct Transactions {
    /// Those that succeeded.
    pub(super) transactions: u64,
    pub(super) failed: u64,
    pub(super) tps: f64,
    pub(super) errors: BTreeMap<&'static str, u64>,
    pub(super) first_errors: BTreeMap<&'static str, String>,
    /// Of those that took longer than the limit, if there is one.
    pub(super) above_latency_limit: Option<u64>,
    pub(super) response_ns: Quantiles,
    pub(super) response_stddev_ns: f64,
    pub(super) service_ns: Quantiles,
    pub(super) lateness_ns: Quantiles,
}

#[derive(Debug, Serialize)]
pub(super) struct ScriptSummary {
    pub(super) name: String,
    pub(super) weight: u32,
    #[serde(flatten)]
    pub(super) all: Transactions,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) statements: Vec<StatementSummary>,
}

#[derive(Debug, Serialize)]
pub(super) struct StatementSummary {
    pub(super) sql: String,
    pub(super) failed: u64,
    pub(super) service_ns: Quantiles,
}

impl Summary {
    pub(super) fn new(run: &Run<'_>, generator: GeneratorSummary) -> Self {
        let Run { plan, report, .. } = run;
        let stream = &report.streams[0];
        let duration_ns = report.end.saturating_sub(report.start).max(1);
        let (own, statements) = stream.recording.operations.split_at(plan.scripts.len());
        let transactions = |recording: &OperationRecording| {
            Transactions::new(recording, duration_ns, plan.latency_limit_ns)
        };
        let mut left = statements.iter().zip(run.statements);
        let script = |(number, recording): (usize, &OperationRecording)| ScriptSummary {
            name: plan.scripts[number].name.clone(),
            weight: plan.scripts[number].weight,
            all: transactions(recording),
            statements: left
                .by_ref()
                .take(run.statements_of[number])
                .map(|(recording, sql)| StatementSummary {
                    sql: sql.clone(),
                    failed: recording.failed.len(),
                    service_ns: Quantiles::new(&recording.service),
                })
                .collect(),
        };
        Self {
            schema: 1,
            command: "pgbench",
            started: run.begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            duration_ns,
            phase_ns: match plan.length {
                Length::Duration(duration_ns) => Some(duration_ns),
                Length::Transactions(_) => None,
            },
            transactions_per_client: match plan.length {
                Length::Duration(_) => None,
                Length::Transactions(count) => Some(count),
            },
            seed: plan.seed,
            threads: run.threads,
            generator,
            scale: run.scale,
            protocol: plan.protocol.name(),
            clients: plan.clients,
            connects: plan.connects,
            tries_max: plan.tries_max,
            rate: plan.rate,
            latency_limit_ns: plan.latency_limit_ns,
            initial_connection_ns: run.connecting.as_nanos() as Nanos,
            all: transactions(&merged(own)),
            retried: run.script().map_or(0, |script| script.retried),
            retries: run.script().map_or(0, |script| script.retries),
            interrupted: stream.interrupted,
            unserved: stream.unserved + stream.dropped,
            reopened: stream.reopened,
            scripts: own.iter().enumerate().map(script).collect(),
            reports_statements: plan.reports_statements,
            details_failures: plan.details_failures,
            script_error: run.script().and_then(|script| Some(script.error.as_ref()?.to_string())),
            is_interrupted: report.is_interrupted,
        }
    }
}

impl Transactions {
    fn new(
        recording: &OperationRecording,
        duration_ns: Nanos,
        latency_limit_ns: Option<Nanos>,
    ) -> Self {
        let response = &recording.response;
        let above = |limit: Nanos| {
            let above = response.iter_recorded().filter(|value| value.value_iterated_to() > limit);
            above.map(|value| value.count_since_last_iteration()).sum()
        };
        Self {
            transactions: response.len(),
            failed: recording.failed.len(),
            tps: response.len() as f64 * 1e9 / duration_ns as f64,
            errors: recording.failures().map(|(class, count, _)| (class.name(), count)).collect(),
            first_errors: first_errors(recording),
            above_latency_limit: latency_limit_ns.map(above),
            response_ns: Quantiles::new(response),
            response_stddev_ns: if response.is_empty() { 0.0 } else { response.stdev() },
            service_ns: Quantiles::new(&recording.service),
            lateness_ns: Quantiles::new(&recording.lateness),
        }
    }
}

fn first_errors(recording: &OperationRecording) -> BTreeMap<&'static str, String> {
    let words = |failure: &wire::Failure| match failure.code {
        Code::None => failure.message.clone(),
        code => format!("{code} {}", failure.message),
    };
    let failures = recording.failures().filter_map(|(class, _, first)| Some((class, first?)));
    failures.map(|(class, first)| (class.name(), words(first))).collect()
}

/// Several recordings in one.
pub(super) fn merged(recordings: &[OperationRecording]) -> OperationRecording {
    let all = engine::Recording { operations: recordings.to_vec(), above_top: 0 };
    all.whole()
}

pub(super) fn milliseconds(ns: f64) -> f64 {
    ns / 1e6
}
