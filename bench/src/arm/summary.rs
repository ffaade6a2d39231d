//! What was measured on an arm, as it is written to summary.json.

use std::collections::BTreeMap;

use engine::{Nanos, OperationRecording};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::queries::{CopiedSummary, QueriesSummary};
use super::{Arm, Logins, Securities, SessionParameters};
use crate::limiter::Limiter;
use crate::series::Second;

/// One arm's results. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct ArmSummary {
    pub(crate) name: String,
    layers: &'static [&'static str],
    pub(crate) blocks: usize,
    pub(crate) requests: u64,
    /// With the warm-up.
    completed: u64,
    pub(crate) rate: f64,
    pub(crate) planned_rate: f64,
    /// What was asked for, where several rates are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offered_rate: Option<f64>,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    /// The first failure of each class, in the server's words.
    pub(crate) first_errors: BTreeMap<&'static str, String>,
    wrong_replies: u64,
    /// Arrivals that found no free connection.
    late: u64,
    pub(crate) dropped: u64,
    pub(crate) unserved: u64,
    resent: u64,
    pub(crate) reopened: u64,
    /// Over all connections that were lost, until each was there again.
    #[serde(skip_serializing_if = "is_zero")]
    disconnected_ns: Nanos,
    /// The longest time from a connection's failure to the next success, or to the end.
    #[serde(skip_serializing_if = "is_zero")]
    outage_ns: Nanos,
    /// Whether no success came any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_out: bool,
    /// Whether prepared statements were sent unnamed in the end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fell_back_to_unnamed: bool,
    /// Statements, where requests had several.
    #[serde(skip_serializing_if = "Option::is_none")]
    queries: Option<QueriesSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copied: Option<CopiedSummary>,
    /// NOTICE, WARNING and their like, from Postgres or the pooler.
    #[serde(skip_serializing_if = "is_zero")]
    notices: u64,
    pub(crate) response_ns: Quantiles,
    pub(crate) service_ns: Quantiles,
    pub(crate) lateness_ns: Quantiles,
    /// How long replies lay with the kernel; a count of 0 where it was not asked.
    pub(crate) receive_delay_ns: Quantiles,
    /// What the gateway says of its own time (Server-Timing); null where it says nothing.
    pub(crate) server_timing_ns: Option<ServerTimingSummary>,
    failed_ns: Quantiles,
    pub(crate) connect_ns: Quantiles,
    /// What was negotiated; null for connections without TLS.
    pub(crate) tls: Securities,
    /// How the servers asked who logs in.
    logins: Logins,
    /// How often SCRAM had the password hashed at each login, each count once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scram_iterations: Vec<u32>,
    /// The settings of its sessions that the server tells of (ParameterStatus).
    pub(crate) parameters: SessionParameters,
    pub(crate) operations: BTreeMap<String, OperationSummary>,
    pub(crate) backend_connections: Option<Backends>,
    pub(crate) cpu_ns_per_request: BTreeMap<&'static str, f64>,
    #[serde(flatten)]
    pub(crate) observed: Option<ObservedSummary>,
}

/// What was seen of the servers beside an arm's load.
#[derive(Debug, Serialize)]
pub(crate) struct ObservedSummary {
    /// The resource that ran out first; null where nothing of what was seen ran out.
    pub(crate) limiter: Option<Limiter>,
    /// Second by second, or block by block where several arms take turns.
    pub(crate) series: Vec<Second>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OperationSummary {
    pub(crate) requests: u64,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    pub(crate) response_ns: Quantiles,
    service_ns: Quantiles,
    lateness_ns: Quantiles,
}

/// A server's own account of its time, of requests that succeeded.
#[derive(Debug, Serialize)]
pub(crate) struct ServerTimingSummary {
    pub(crate) total: Quantiles,
    /// In its database, as the server sees it.
    pub(crate) database: Quantiles,
}

/// Absent values are 0, with a count of 0.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    pub(crate) p99_9: u64,
    pub(crate) max: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Backends {
    pub(crate) mean: f64,
    pub(crate) max: u64,
}

impl Quantiles {
    pub(crate) fn new(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        // The highest value of a bucket can lie above the maximum; a percentile never does.
        let at = |quantile| histogram.value_at_quantile(quantile).min(histogram.max());
        Self {
            count: histogram.len(),
            mean: histogram.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            max: histogram.max(),
        }
    }
}

impl Quantiles {
    /// p50, p90, p95, p99 and p99.9 for people.
    pub(crate) fn shown(&self) -> [String; 5] {
        [self.p50, self.p90, self.p95, self.p99, self.p99_9]
            .map(|ns| if self.count == 0 { "-".into() } else { crate::duration::show(ns as f64) })
    }
}

impl ArmSummary {
    /// Of everything that the arm measured; `names` are the operations'.
    pub(crate) fn new(arm: &Arm, names: &[&str]) -> Self {
        let recording = arm.whole.as_ref();
        let whole = recording.map(engine::Recording::whole);
        let quantiles = |pick: fn(&OperationRecording) -> &Histogram<u64>| {
            whole.as_ref().map(|whole| Quantiles::new(pick(whole))).unwrap_or_default()
        };
        let errors = whole.as_ref().map(errors).unwrap_or_default();
        let operations = recording.map_or(&[][..], |recording| &recording.operations);
        let layers = ["gateway", "pooler", "postgres", "generator"];
        let cpu = layers.map(|layer| Some((layer, arm.cpu_ns_per_request(layer)?)));
        Self {
            name: arm.kind.name.to_string(),
            layers: arm.kind.layers,
            blocks: arm.blocks.len(),
            requests: arm.requests(),
            completed: arm.completed,
            rate: arm.rate(),
            offered_rate: arm.offered_rate,
            planned_rate: arm.planned as f64 * 1e9 / arm.measured_ns.max(1) as f64,
            wrong_replies: errors.get(wire::Class::WrongReply.name()).copied().unwrap_or_default(),
            errors,
            first_errors: whole.as_ref().map(first_errors).unwrap_or_default(),
            late: arm.late,
            dropped: arm.dropped,
            unserved: arm.unserved,
            resent: arm.resent,
            reopened: arm.reopened,
            disconnected_ns: arm.disconnected_ns,
            outage_ns: arm.outage_ns,
            is_out: arm.is_out,
            fell_back_to_unnamed: arm.is_unnamed(),
            queries: QueriesSummary::new(arm.requests(), &arm.counts),
            copied: CopiedSummary::new(&arm.counts),
            notices: arm.counts.notices,
            response_ns: quantiles(|whole| &whole.response),
            service_ns: quantiles(|whole| &whole.service),
            lateness_ns: quantiles(|whole| &whole.lateness),
            receive_delay_ns: quantiles(|whole| &whole.receive_delay),
            server_timing_ns: whole.as_ref().and_then(server_timing),
            failed_ns: quantiles(|whole| &whole.failed),
            connect_ns: arm.connect.as_ref().map(Quantiles::new).unwrap_or_default(),
            tls: arm.security.clone(),
            logins: arm.logins.clone(),
            scram_iterations: arm.logins.iterations(),
            parameters: arm.parameters.clone(),
            operations: names
                .iter()
                .zip(operations)
                .map(|(name, recording)| ((*name).to_owned(), OperationSummary::new(recording)))
                .collect(),
            backend_connections: arm.backends().map(|(mean, max)| Backends { mean, max }),
            cpu_ns_per_request: cpu.into_iter().flatten().collect(),
            observed: (!arm.series.is_empty()).then(|| ObservedSummary {
                limiter: Limiter::find(&arm.series),
                series: arm.series.clone(),
            }),
        }
    }
}

impl ArmSummary {
    /// Its name, with its rate where there are several.
    pub(crate) fn label(&self) -> String {
        match self.offered_rate {
            Some(rate) => format!("{} at {rate}/s", self.name),
            None => self.name.clone(),
        }
    }

    /// What was seen beside its load, if it was observed by itself.
    pub(crate) fn series(&self) -> &[Second] {
        self.observed.as_ref().map_or(&[], |observed| &observed.series)
    }

    /// What is to be known of its statements and connections, if anything is: a line each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let queries = self.queries.iter().map(QueriesSummary::line);
        let copied = self.copied.iter().map(CopiedSummary::line);
        let notices = (self.notices > 0).then(|| format!("notices: {}", self.notices));
        queries.chain(copied).chain(notices).chain(self.connections()).collect()
    }

    fn connections(&self) -> Vec<String> {
        let show = |ns| crate::duration::show(ns as f64);
        let mut lines = Vec::new();
        if self.disconnected_ns > 0 {
            let times = if self.reopened == 1 { "time" } else { "times" };
            let (reopened, lost) = (self.reopened, show(self.disconnected_ns));
            let mut line =
                format!("connections: opened again {reopened} {times}, {lost} without them in all");
            if self.is_out {
                line += &format!("; not recovered {} after a failure", show(self.outage_ns));
            } else if self.outage_ns > 0 {
                line += &format!("; recovered {} after a failure", show(self.outage_ns));
            }
            lines.push(line);
        }
        if self.fell_back_to_unnamed {
            lines.push(
                "prepared statements: the pooler lost their names (SQLSTATE 26000, 42P05); they \
                 were sent unnamed from then on"
                    .into(),
            );
        }
        lines
    }
}

fn server_timing(whole: &OperationRecording) -> Option<ServerTimingSummary> {
    let times = whole.server_times.as_deref()?;
    let [total, database] = [&times.total, &times.database].map(Quantiles::new);
    Some(ServerTimingSummary { total, database })
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn errors(recording: &OperationRecording) -> BTreeMap<&'static str, u64> {
    recording.failures().map(|(class, count, _)| (class.name(), count)).collect()
}

fn first_errors(recording: &OperationRecording) -> BTreeMap<&'static str, String> {
    let words = |failure: &wire::Failure| format!("{} {}", failure.code, failure.message);
    let failures = recording.failures().filter_map(|(class, _, first)| Some((class, first?)));
    failures.map(|(class, first)| (class.name(), words(first).trim().to_owned())).collect()
}

impl OperationSummary {
    fn new(recording: &OperationRecording) -> Self {
        Self {
            requests: recording.completed(),
            errors: errors(recording),
            response_ns: Quantiles::new(&recording.response),
            service_ns: Quantiles::new(&recording.service),
            lateness_ns: Quantiles::new(&recording.lateness),
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::{MILLISECOND, SECOND};

    use super::*;
    use crate::arm::ARMS;

    #[test]
    fn connections_are_spoken_of_only_where_some_were_lost() {
        let mut arm = Arm::new(&ARMS[2], None);
        let lines = |arm: &Arm| ArmSummary::new(arm, &[]).connections();
        assert_eq!(lines(&arm), [] as [&str; 0]);
        (arm.reopened, arm.disconnected_ns) = (1, 40 * MILLISECOND);
        assert_eq!(lines(&arm), ["connections: opened again 1 time, 40.0 ms without them in all"]);
        (arm.reopened, arm.outage_ns) = (3, 2 * SECOND);
        assert_eq!(
            lines(&arm),
            [
                "connections: opened again 3 times, 40.0 ms without them in all; recovered 2.00 s after \
              a failure"
            ]
        );
        arm.is_out = true;
        assert_eq!(
            lines(&arm),
            [
                "connections: opened again 3 times, 40.0 ms without them in all; not recovered 2.00 s \
              after a failure"
            ]
        );
    }
}
