//! The metrics that there are.

use std::fmt;

/// What kind of numbers a metric has: k6's four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A distribution.
    Trend,
    /// A sum.
    Counter,
    /// A share.
    Rate,
    /// A value that comes and goes.
    Gauge,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trend => "trend",
            Self::Counter => "counter",
            Self::Rate => "rate",
            Self::Gauge => "gauge",
        })
    }
}

/// What a metric's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Milliseconds, as in k6.
    Time,
    /// Bytes.
    Data,
    None,
}

/// What a part of a metric is selected by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The operation's name.
    Operation,
    /// The target's name.
    Target,
    /// The layer that the load goes to: gateway, pooler or postgres.
    Layer,
    /// The load's name, where there are several.
    Scenario,
    /// The check's name.
    Check,
    /// As in k6: `true`, the default, are the requests that succeeded, `false` those that failed.
    ExpectedResponse,
    /// One of the scenario's own.
    Own(String),
}

impl Tag {
    /// Its name in a selector.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Operation => "operation",
            Self::Target => "target",
            Self::Layer => "layer",
            Self::Scenario => "scenario",
            Self::Check => "check",
            Self::ExpectedResponse => "expected_response",
            Self::Own(name) => name,
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Iterations that got their outcome; one is one request.
    Iterations,
    /// From the instant at which it was due to its outcome, of every iteration.
    IterationDuration,
    /// Arrivals that were never sent, since every connection was busy.
    DroppedIterations,
    /// From sending to reply, of HTTP requests that succeeded.
    HttpReqDuration,
    /// From the instant at which it was due to the reply, of HTTP requests that succeeded.
    HttpReqResponseTime,
    /// HTTP requests that got an outcome.
    HttpReqs,
    /// HTTP requests without a reply of status 2xx; what GraphQL reports in one counts as `errors`.
    HttpReqFailed,
    /// From sending to reply, of statements that succeeded.
    PgQueryDuration,
    /// From the instant at which it was due to the reply, of statements that succeeded.
    PgResponseTime,
    /// From the first packet to the end of the login.
    PgConnectDuration,
    /// From the instant at which it was due to its sending, of every request.
    ScheduleLag,
    /// Requests that failed, whatever the reason.
    Errors,
    /// Replies that belonged to another request.
    WrongReplies,
    /// Checks that passed.
    Checks,
    DataSent,
    DataReceived,
    /// Virtual users at work.
    Vus,
    /// The most that there were.
    VusMax,
    /// Clients that wait for a server connection (PgBouncer, SHOW POOLS).
    ClWaiting,
    /// Clients that are linked to a server connection, or have nothing to ask (SHOW POOLS).
    ClActive,
    /// Server connections that are linked to a client (SHOW POOLS).
    SvActive,
    /// Postgres' backends for clients (pg_stat_activity).
    BackendConnections,
    /// The pooler's clients for each of its server connections.
    MultiplexingRatio,
}

/// A metric's name, kind, unit and tags.
struct Definition(Metric, &'static str, Kind, Unit, &'static [Tag]);

const STREAM: &[Tag] = &[Tag::Target, Tag::Layer, Tag::Scenario];
const REQUEST: &[Tag] = &[Tag::Operation, Tag::Target, Tag::Layer, Tag::Scenario];
const LATENCY: &[Tag] =
    &[Tag::Operation, Tag::Target, Tag::Layer, Tag::Scenario, Tag::ExpectedResponse];
const CHECK: &[Tag] = &[Tag::Check, Tag::Operation, Tag::Target, Tag::Layer, Tag::Scenario];
const CONNECT: &[Tag] = &[Tag::Target, Tag::Layer];

/// In the order of the enum.
const DEFINITIONS: [Definition; 23] = {
    use Kind::{Counter, Gauge, Rate, Trend};
    use Metric as M;
    use Unit::{Data, None, Time};
    [
        Definition(M::Iterations, "iterations", Counter, None, STREAM),
        Definition(M::IterationDuration, "iteration_duration", Trend, Time, REQUEST),
        Definition(M::DroppedIterations, "dropped_iterations", Counter, None, STREAM),
        Definition(M::HttpReqDuration, "http_req_duration", Trend, Time, LATENCY),
        Definition(M::HttpReqResponseTime, "http_req_response_time", Trend, Time, LATENCY),
        Definition(M::HttpReqs, "http_reqs", Counter, None, REQUEST),
        Definition(M::HttpReqFailed, "http_req_failed", Rate, None, REQUEST),
        Definition(M::PgQueryDuration, "pg_query_duration", Trend, Time, LATENCY),
        Definition(M::PgResponseTime, "pg_response_time", Trend, Time, LATENCY),
        Definition(M::PgConnectDuration, "pg_connect_duration", Trend, Time, CONNECT),
        Definition(M::ScheduleLag, "schedule_lag", Trend, Time, REQUEST),
        Definition(M::Errors, "errors", Rate, None, REQUEST),
        Definition(M::WrongReplies, "wrong_replies", Counter, None, REQUEST),
        Definition(M::Checks, "checks", Rate, None, CHECK),
        Definition(M::DataSent, "data_sent", Counter, Data, STREAM),
        Definition(M::DataReceived, "data_received", Counter, Data, STREAM),
        Definition(M::Vus, "vus", Gauge, None, &[]),
        Definition(M::VusMax, "vus_max", Gauge, None, &[]),
        Definition(M::ClWaiting, "cl_waiting", Gauge, None, &[]),
        Definition(M::ClActive, "cl_active", Gauge, None, &[]),
        Definition(M::SvActive, "sv_active", Gauge, None, &[]),
        Definition(M::BackendConnections, "backend_connections", Gauge, None, &[]),
        Definition(M::MultiplexingRatio, "multiplexing_ratio", Gauge, None, &[]),
    ]
};

impl Metric {
    /// Every metric.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        DEFINITIONS.iter().map(|definition| definition.0)
    }

    fn definition(self) -> &'static Definition {
        &DEFINITIONS[self as usize]
    }

    /// Its name in thresholds and reports.
    pub(crate) fn name(self) -> &'static str {
        self.definition().1
    }

    pub(crate) fn kind(self) -> Kind {
        self.definition().2
    }

    pub(crate) fn unit(self) -> Unit {
        self.definition().3
    }

    /// What a part of it can be selected by, the scenario's own tags aside.
    pub(crate) fn tags(self) -> &'static [Tag] {
        self.definition().4
    }

    /// The metric of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all().find(|metric| metric.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_found_by_its_name() {
        for (number, metric) in Metric::all().enumerate() {
            assert_eq!(metric as usize, number, "the table is in the order of the enum");
            assert_eq!(Metric::named(metric.name()), Some(metric));
        }
        assert_eq!(Metric::named("http_req"), None);
    }
}
