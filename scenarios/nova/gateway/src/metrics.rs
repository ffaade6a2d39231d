//! What the gateway counts, as Prometheus text.

use std::sync::atomic::{AtomicU64, Ordering};

use deadpool_postgres::Status;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often [`increment`](Self::increment) was called.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters of a process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// POST /graphql answered, whatever the answer.
    pub(crate) requests: Counter,
    /// Of those, the ones whose answer holds errors, refusals included.
    pub(crate) errors: Counter,
    /// SQL statements sent to the database.
    pub(crate) statements: Counter,
}

impl Metrics {
    /// The Prometheus text exposition, with the pool's state as gauges.
    pub(crate) fn exposition(&self, pool: &Status) -> String {
        let rows = [
            (
                "nova_graphql_requests_total",
                "counter",
                "POST /graphql answered, whatever the answer.",
                self.requests.value(),
            ),
            (
                "nova_graphql_errors_total",
                "counter",
                "POST /graphql answered with errors.",
                self.errors.value(),
            ),
            (
                "nova_sql_statements_total",
                "counter",
                "SQL statements sent to the database.",
                self.statements.value(),
            ),
            ("nova_pool_connections", "gauge", "Database connections open.", pool.size as u64),
            ("nova_pool_idle", "gauge", "Database connections not in use.", pool.available as u64),
            ("nova_pool_waiting", "gauge", "Requests waiting for one.", pool.waiting as u64),
        ];
        rows.iter()
            .map(|(name, kind, help, value)| {
                format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposition_lists_every_counter() {
        let metrics = Metrics::default();
        metrics.requests.increment();
        metrics.requests.increment();
        metrics.errors.increment();
        let pool = Status { max_size: 5, size: 4, available: 3, waiting: 0 };
        insta::assert_snapshot!(metrics.exposition(&pool), @"
        # HELP nova_graphql_requests_total POST /graphql answered, whatever the answer.
        # TYPE nova_graphql_requests_total counter
        nova_graphql_requests_total 2
        # HELP nova_graphql_errors_total POST /graphql answered with errors.
        # TYPE nova_graphql_errors_total counter
        nova_graphql_errors_total 1
        # HELP nova_sql_statements_total SQL statements sent to the database.
        # TYPE nova_sql_statements_total counter
        nova_sql_statements_total 0
        # HELP nova_pool_connections Database connections open.
        # TYPE nova_pool_connections gauge
        nova_pool_connections 4
        # HELP nova_pool_idle Database connections not in use.
        # TYPE nova_pool_idle gauge
        nova_pool_idle 3
        # HELP nova_pool_waiting Requests waiting for one.
        # TYPE nova_pool_waiting gauge
        nova_pool_waiting 0
        ");
    }
}
