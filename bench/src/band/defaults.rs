//! The bands that are built in: how the load tests of a GraphQL stack on PgBouncer are read.

use super::Band;
use crate::cursor::Cursor;
use crate::metric::{Aggregation, Metric};
use crate::threshold::Bound;

/// Metric, statistic, success, failure, advice, and what to do where it was not measured. What lies
/// between is a warning; without a bound for failure there is none.
struct Default(Metric, Aggregation, &'static str, Option<&'static str>, &'static str, &'static str);

const DEFAULTS: [Default; 5] = [
    Default(
        Metric::HttpReqDuration,
        Aggregation::Percentile(95.0),
        "<100",
        // From 200 to 300 ms the users notice, and nothing is broken: a warning still.
        Some(">300"),
        "find the layer that takes the time with `poolbench layers`: if clients wait for a server \
         connection (cl_waiting), enlarge the pool; if Postgres is slow, look for the query in \
         pg_stat_statements; else look at the gateway's CPU",
        "the load went to no gateway, or nothing of it succeeded",
    ),
    Default(
        Metric::Errors,
        Aggregation::Rate,
        "<0.01",
        Some(">0.05"),
        "read the errors by class in this summary, the commonest first: auth is a token or a \
         password, capacity is max_client_conn or max_connections, wait_timeout is a pool that is \
         too small, unavailable is a server that is down",
        "no request got an outcome",
    ),
    Default(
        Metric::ClWaiting,
        Aggregation::Max,
        "==0",
        Some(">20"),
        "clients wait for a server connection: raise default_pool_size as far as Postgres' \
         max_connections has room, or shorten the transactions that hold connections (look for \
         `idle in transaction` in pg_stat_activity)",
        "give the pooler's target a `console` to have it measured",
    ),
    Default(
        Metric::BackendConnections,
        Aggregation::Max,
        "<100",
        Some(">200"),
        "Postgres has a process for each of many connections: lower default_pool_size, and lead \
         clients that go around the pooler through it (pg_stat_activity, by application_name)",
        "give the postgres target an `observer` (or `conninfo`) to have it measured",
    ),
    Default(
        Metric::MultiplexingRatio,
        Aggregation::Avg,
        ">5",
        None,
        "few clients share a server connection, so the pool saves little: check that pool_mode is \
         transaction and that default_pool_size is well below the number of clients",
        "give the pooler's target a `console` to have it measured",
    ),
];

/// All of them.
pub(super) fn bands() -> Vec<Band> {
    let band = |Default(metric, aggregation, success, failure, advice, unknown): &Default| Band {
        name: metric.name().into(),
        submetric: (*metric).into(),
        aggregation: *aggregation,
        success: bound(success),
        warning: None,
        failure: failure.map(bound),
        advice: (*advice).into(),
        unknown: (*unknown).into(),
    };
    DEFAULTS.iter().map(band).collect()
}

fn bound(text: &str) -> Bound {
    Bound::read(&mut Cursor::new(text)).expect("a bound of the table above")
}
