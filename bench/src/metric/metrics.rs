//! A run's measurements, to be asked for by metric, selector and aggregation.

use engine::{Nanos, OperationRecording, Recording};
use hdrhistogram::Histogram;
use wire::Class;

use super::{Aggregation, Gauges, Kind, Metric, Submetric, Tag, Tally, Values};

/// What a load goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// GraphQL over HTTP.
    Gateway,
    /// A pooler of Postgres connections.
    Pooler,
    Postgres,
}

impl Layer {
    /// Its name as a tag's value.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Pooler => "pooler",
            Self::Postgres => "postgres",
        }
    }
}

/// One load's measurements, with what they are tagged with.
#[derive(Debug, Clone)]
pub(crate) struct Measured<'a> {
    /// The load's name.
    pub(crate) scenario: &'a str,
    pub(crate) target: &'a str,
    pub(crate) layer: Layer,
    /// In the order of the recording.
    pub(crate) operations: &'a [String],
    /// By the place at which they are counted.
    pub(crate) checks: &'a [String],
    pub(crate) tally: &'a Tally,
    /// From the first packet to the end of the login, of the target's connections.
    pub(crate) connect: Option<&'a Histogram<u64>>,
}

/// A run's measurements so far.
#[derive(Debug, Clone)]
pub(crate) struct Metrics<'a> {
    /// Since the measured phase began.
    pub(crate) elapsed_ns: Nanos,
    pub(crate) measured: Vec<Measured<'a>>,
    pub(crate) gauges: &'a Gauges,
}

impl Measured<'_> {
    fn matches(&self, submetric: &Submetric) -> bool {
        submetric.selects(&Tag::Scenario, self.scenario)
            && submetric.selects(&Tag::Target, self.target)
            && submetric.selects(&Tag::Layer, self.layer.name())
            && match submetric.metric {
                Metric::HttpReqDuration
                | Metric::HttpReqResponseTime
                | Metric::HttpReqs
                | Metric::HttpReqFailed => self.layer == Layer::Gateway,
                Metric::PgQueryDuration | Metric::PgResponseTime | Metric::PgConnectDuration => {
                    self.layer != Layer::Gateway
                }
                _ => true,
            }
    }

    fn operations<'a>(
        &'a self,
        submetric: &'a Submetric,
    ) -> impl Iterator<Item = &'a OperationRecording> {
        let Recording { operations: recordings, .. } = &self.tally.recording;
        let named = self.operations.iter().zip(recordings);
        let selected = named.filter(|(name, _)| submetric.selects(&Tag::Operation, name));
        selected.map(|(_, recording)| recording)
    }
}

impl<'a> Metrics<'a> {
    /// One number; times in ms. `None` where the metric has no samples: an empty trend or rate, a
    /// gauge that was never seen, a count of something that never happened.
    pub(crate) fn query(&self, submetric: &Submetric, aggregation: Aggregation) -> Option<f64> {
        self.values(submetric)?.aggregate(aggregation)
    }

    /// All its numbers; `None` where it has no samples.
    pub(crate) fn values(&self, submetric: &Submetric) -> Option<Values> {
        let values = match submetric.metric.kind() {
            Kind::Trend => Values::Trend(Box::new(self.trend(submetric)?)),
            Kind::Counter => {
                let count = self.count(submetric)? as f64;
                Values::Counter { count, elapsed_ns: self.elapsed_ns }
            }
            Kind::Rate => {
                let (hits, total) = self.rate(submetric);
                (total > 0).then_some(Values::Rate { hits, total })?
            }
            Kind::Gauge => Values::Gauge(self.gauges.get(submetric.metric)?),
        };
        Some(values)
    }

    fn matching(&'a self, submetric: &'a Submetric) -> impl Iterator<Item = &'a Measured<'a>> {
        self.measured.iter().filter(|measured| measured.matches(submetric))
    }

    fn trend(&self, submetric: &Submetric) -> Option<Histogram<u64>> {
        let has_failed = !submetric.selects(&Tag::ExpectedResponse, "true");
        let mut whole = engine::histogram();
        let mut add = |histogram: &Histogram<u64>| {
            whole.add(histogram).expect("all histograms share their bounds");
        };
        if submetric.metric == Metric::PgConnectDuration {
            self.matching(submetric).filter_map(|measured| measured.connect).for_each(&mut add);
        } else {
            let operations = self.matching(submetric).flat_map(|m| m.operations(submetric));
            for operation in operations {
                match submetric.metric {
                    Metric::HttpReqDuration | Metric::PgQueryDuration => add(&operation.service),
                    Metric::HttpReqResponseTime | Metric::PgResponseTime if has_failed => {
                        add(&operation.failed);
                    }
                    Metric::HttpReqResponseTime | Metric::PgResponseTime => {
                        add(&operation.response)
                    }
                    Metric::IterationDuration => {
                        add(&operation.response);
                        add(&operation.failed);
                    }
                    _ => add(&operation.lateness),
                }
            }
        }
        (!whole.is_empty()).then_some(whole)
    }

    fn count(&self, submetric: &Submetric) -> Option<u64> {
        let sum = |of: &dyn Fn(&Measured<'_>) -> u64| self.matching(submetric).map(of).sum::<u64>();
        let completed =
            |m: &Measured<'_>| m.operations(submetric).map(OperationRecording::completed).sum();
        let happened = |count: u64| (count > 0).then_some(count);
        match submetric.metric {
            Metric::Iterations => happened(sum(&|m| m.tally.iterations)),
            Metric::HttpReqs => happened(sum(&completed)),
            Metric::DataSent => happened(sum(&|m| m.tally.data_sent)),
            Metric::DataReceived => happened(sum(&|m| m.tally.data_received)),
            // That these did not happen is an observation, once anything has.
            Metric::DroppedIterations => {
                let dropped = sum(&|m| m.tally.dropped);
                happened(dropped + sum(&|m| m.tally.iterations)).map(|_| dropped)
            }
            _ => {
                let wrong = |class| class == Class::WrongReply;
                let count = sum(&|m| m.operations(submetric).map(|o| failures(o, wrong)).sum());
                happened(sum(&completed)).map(|_| count)
            }
        }
    }

    /// Hits and total.
    fn rate(&self, submetric: &Submetric) -> (u64, u64) {
        let mut rate = (0, 0);
        for measured in self.matching(submetric) {
            for operation in measured.operations(submetric) {
                let (hits, total) = match submetric.metric {
                    Metric::Checks => checks(operation, measured.checks, submetric),
                    Metric::HttpReqFailed => {
                        (failures(operation, is_http_failure), operation.completed())
                    }
                    _ => (operation.failed.len(), operation.completed()),
                };
                rate = (rate.0 + hits, rate.1 + total);
            }
        }
        rate
    }
}

fn checks(operation: &OperationRecording, names: &[String], submetric: &Submetric) -> (u64, u64) {
    let selected =
        names.iter().enumerate().filter(|(_, name)| submetric.selects(&Tag::Check, name));
    selected.fold((0, 0), |(passes, total), (place, _)| {
        let checked = operation.check(place);
        (passes + checked.passes, total + checked.passes + checked.fails)
    })
}

fn failures(operation: &OperationRecording, is_one: impl Fn(Class) -> bool) -> u64 {
    operation.failures().filter(|(class, ..)| is_one(*class)).map(|(_, count, _)| count).sum()
}

/// Whether no reply of status 2xx came.
fn is_http_failure(class: Class) -> bool {
    !matches!(
        class,
        Class::GraphqlError
            | Class::GraphqlPartial
            | Class::NoData
            | Class::NotGraphql
            | Class::ContentEncoding
            | Class::MediaType
            | Class::WrongReply
            | Class::EmptyReply
    )
}

#[cfg(test)]
mod tests {
    use engine::SECOND;
    use wire::{Check, Condition, Failure, Outcome, Reply};

    use super::*;
    use crate::metric::{Known, Load, Loads};

    fn load(scenario: &str, target: &str, layer: Layer) -> Load {
        Load { scenario: scenario.into(), target: target.into(), layer, connect: None }
    }

    fn loads() -> Loads {
        let mut connect = engine::histogram();
        connect.record(5_000_000).unwrap();
        let pooler = load("sql", "pooler", Layer::Pooler);
        Loads {
            loads: vec![
                load("web", "gateway", Layer::Gateway),
                Load { connect: Some(connect), ..pooler },
            ],
            operations: vec!["read".into(), "write".into()],
            checks: vec!["fast".into(), "right".into()],
        }
    }

    /// Of each operation ten replies of `ms` milliseconds, and one failure of each class.
    fn tally(ms: u64, failures: &[Class]) -> Tally {
        let mut recording = Recording::new(2);
        let check = |place, condition| Check { place, condition };
        let checks = [check(0, Condition::Latency(1)), check(1, Condition::NoErrors)];
        let failed = failures.iter().map(|class| Outcome::Failed(*class));
        for outcome in std::iter::repeat_n(Outcome::Ok, 10).chain(failed) {
            for operation in 0..2 {
                let times = (0, 1_000_000, ms * 1_000_000);
                recording.record(operation, outcome, &Failure::default(), times);
                recording.check(operation, &checks, &Reply { outcome, service_ns: 9, http: None });
            }
        }
        let iterations = recording.completed();
        Tally { recording, iterations, dropped: 4, data_sent: 1000, data_received: 0 }
    }

    #[test]
    fn each_metric_comes_from_the_loads_and_operations_that_are_selected() {
        let loads = loads();
        let failures = [Class::GraphqlError, Class::Unavailable, Class::WrongReply];
        let tallies = [tally(20, &failures), tally(5, &[Class::Sql])];
        let mut gauges = Gauges::default();
        gauges.push(Metric::ClWaiting, 3.0);
        let metrics = loads.metrics(2 * SECOND, &tallies, &gauges);
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let known = Known {
            operations: loads.operations.clone(),
            targets: list(&["gateway", "pooler"]),
            layers: list(&["gateway", "pooler"]),
            scenarios: list(&["web", "sql"]),
            checks: loads.checks.clone(),
            ..Known::default()
        };
        for (metric, aggregation, expected) in [
            ("iterations", "count", Some(48.0)),
            ("iterations", "rate", Some(24.0)),
            ("iterations{scenario:sql}", "count", Some(22.0)),
            ("dropped_iterations{target:gateway}", "count", Some(4.0)),
            ("http_reqs", "count", Some(26.0)),
            ("http_reqs{operation:read}", "count", Some(13.0)),
            ("http_reqs{layer:pooler}", "count", None),
            ("http_req_duration", "count", Some(20.0)),
            ("http_req_duration", "max", Some(19.0)),
            ("http_req_response_time", "max", Some(20.0)),
            ("http_req_response_time{expected_response:false}", "count", Some(6.0)),
            ("pg_query_duration{operation:write}", "count", Some(10.0)),
            ("pg_response_time", "max", Some(5.0)),
            ("pg_connect_duration", "med", Some(5.0)),
            ("schedule_lag", "max", Some(1.0)),
            ("iteration_duration", "count", Some(48.0)),
            // A GraphQL error and another's reply came with status 200.
            ("http_req_failed", "rate", Some(2.0 / 26.0)),
            ("errors", "rate", Some(8.0 / 48.0)),
            ("errors{layer:pooler,operation:read}", "rate", Some(1.0 / 11.0)),
            ("wrong_replies", "count", Some(2.0)),
            ("wrong_replies{scenario:sql}", "count", Some(0.0)),
            ("checks{check:fast}", "rate", Some(0.0)),
            ("checks{check:right,target:pooler}", "rate", Some(20.0 / 22.0)),
            ("data_sent", "count", Some(2000.0)),
            ("data_received", "count", None),
            ("cl_waiting", "value", Some(3.0)),
            ("sv_active", "value", None),
        ] {
            let submetric = Submetric::parse(metric, &known).unwrap();
            let mut cursor = crate::cursor::Cursor::new(aggregation);
            let found = metrics.query(&submetric, Aggregation::read(&mut cursor).unwrap());
            let is_near = match (found, expected) {
                // A histogram is 0.1 % off at most.
                (Some(found), Some(expected)) => (found - expected).abs() <= expected * 0.001,
                (found, expected) => found == expected,
            };
            assert!(is_near, "{metric} {aggregation}: {found:?}, not {expected:?}");
        }
    }
}
