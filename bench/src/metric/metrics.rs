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
