//! Where the pool's time goes: in its queue, in its own work, in Postgres; and whether that adds up.

use engine::Nanos;
use serde::Serialize;

use super::arms::Pair;
use super::cost::{merger, ratio};
use super::level::{Level, PoolBlock};
use crate::arm::Arm;
use crate::observe::Totals;
use crate::statistics::{Estimate, estimates, in_system};

/// What the pooler counted for one arm. Times in ns; what it did not count is null.
#[derive(Debug, Serialize)]
pub(super) struct PoolSummary {
    pub(super) arm: String,
    /// Offered, in 1/s.
    pub(super) rate: f64,
    /// How many queries of the pooler's a request became, and so on.
    pub(super) queries_per_request: Option<f64>,
    pub(super) transactions_per_request: Option<f64>,
    pub(super) server_assignments_per_request: Option<f64>,
    /// In the queue for a server connection, for a request.
    pub(super) wait_ns_per_request: Option<f64>,
    /// Servers at work, for a request.
    pub(super) server_ns_per_request: Option<f64>,
    /// The longest wait of a client that was seen.
    pub(super) maxwait_ns: Option<Nanos>,
    /// Requests of ours under way on average, by Little's law: rate times service time.
    pub(super) in_flight: f64,
    /// As many of them were in the pooler's queue or with its servers: rate times their time there.
    pub(super) in_pool_counted: Option<f64>,
    /// Clients that were seen to wait (cl_waiting) or to have a server (sv_active; cl_active holds
    /// idle clients too), on average.
    pub(super) in_pool_seen: Option<f64>,
    /// What was seen less what was counted.
    pub(super) in_pool_residual: Option<f64>,
}

/// The mean of a request's service time that the pool adds, and what it consists of, in ns.
#[derive(Debug, Serialize)]
pub(super) struct Accounting {
    /// The arms that are compared.
    pub(super) with: String,
    pub(super) without: String,
    pub(super) rate: f64,
    pub(super) added: Estimate,
    /// In the pool's queue.
    pub(super) wait_ns: f64,
    /// CPU time of the pooler; null where its process is not known.
    pub(super) pooler_cpu_ns: Option<f64>,
    /// One more hop: the round trip to the pooler; null where it is not TCP.
    pub(super) round_trip_ns: Option<f64>,
    /// How much longer Postgres takes when it is asked through the pool.
    pub(super) postgres_ns: f64,
    /// What all of these leave unexplained.
    pub(super) residual_ns: f64,
}

/// What it costs an arm that its pooler is watched: the difference of blocks with and without.
#[derive(Debug, Serialize)]
pub(super) struct ObserverCost {
    pub(super) arm: String,
    pub(super) rate: f64,
    pub(super) quantile: f64,
    pub(super) ns: f64,
    pub(super) ci_ns: [f64; 2],
}

/// How often a server connection was assigned to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Assignments {
    /// The pooler counts them (PgBouncer from 1.23 on).
    Counted,
    /// It counts transactions, and each has one assigned to it: so it is in every pool's mode.
    Transactions,
    Unknown,
}

impl Assignments {
    /// By what the pooler has counted so far. A client that sends several transactions before the
    /// first reply keeps one server for them all: with `has_pipelines` the one count does not stand
    /// for the other.
    pub(super) fn new(counted: &Totals, by_transaction: bool, has_pipelines: bool) -> Self {
        match counted.get(ASSIGNMENTS) {
            Some(_) => Self::Counted,
            None if by_transaction && !has_pipelines => Self::Transactions,
            None => Self::Unknown,
        }
    }

    /// How many there are among these.
    pub(super) fn count(self, totals: &Totals) -> Option<u64> {
        match self {
            Self::Counted => totals.get(ASSIGNMENTS),
            Self::Transactions => totals.get(TRANSACTIONS),
            Self::Unknown => None,
        }
    }
}

/// The names of counters, as in [`Totals`].
const ASSIGNMENTS: &str = "server_assignment_count";
pub(super) const TRANSACTIONS: &str = "xact_count";

/// For each arm with the pooler on its way, what the pooler counted.
pub(super) fn pools(level: &Level, assignments: Assignments) -> Vec<PoolSummary> {
    let arms = level.arms.iter().zip(&level.pool);
    arms.filter_map(|(arm, blocks)| pool(level.rate, arm, blocks, assignments)).collect()
}

fn pool(
    rate: f64,
    arm: &Arm,
    blocks: &[PoolBlock],
    assignments: Assignments,
) -> Option<PoolSummary> {
    let totals = sum(blocks)?;
    let requests = Some(arm.requests()).filter(|requests| *requests > 0)? as f64;
    let each = |count: Option<u64>| count.map(|count| count as f64 / requests);
    let (wait, query) = (each(totals.wait_ns()), each(totals.query_ns()));
    // PgBouncer counts a query's time from when its client sent it, its wait included.
    let server = query.map(|query| (query - wait.unwrap_or_default()).max(0.0));
    let counted = query.map(|query| in_system(arm.rate(), query));
    let looks = blocks.iter().flat_map(|block| &block.looks);
    let seen = mean(looks.clone().filter_map(|look| Some(look.sv_active? + look.cl_waiting?)));
    Some(PoolSummary {
        arm: arm.kind.name.to_string(),
        rate,
        queries_per_request: each(totals.queries()),
        transactions_per_request: each(totals.get(TRANSACTIONS)),
        server_assignments_per_request: each(assignments.count(&totals)),
        wait_ns_per_request: wait,
        server_ns_per_request: server,
        maxwait_ns: looks.filter_map(|look| look.maxwait_ns).max(),
        in_flight: in_system(arm.rate(), service_ns(arm)?),
        in_pool_counted: counted,
        in_pool_seen: seen,
        in_pool_residual: seen.zip(counted).map(|(seen, counted)| seen - counted),
    })
}

fn sum(blocks: &[PoolBlock]) -> Option<Totals> {
    let totals: Vec<_> = blocks.iter().map(|block| block.totals.clone()).collect::<Option<_>>()?;
    (!totals.is_empty()).then(|| Totals::sum(&totals))
}

fn mean(values: impl Iterator<Item = u64>) -> Option<f64> {
    let (sum, count) = values.fold((0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum as f64 / count as f64)
}

fn services(arm: &Arm) -> Vec<(f64, f64)> {
    arm.blocks.iter().map(|block| (block.service_ns, block.succeeded as f64)).collect()
}

/// The mean service time, in ns.
fn service_ns(arm: &Arm) -> Option<f64> {
    ratio(&services(arm), &vec![1; arm.blocks.len()])
}

/// What the pool adds where nothing but the pool is between two arms.
pub(super) fn accounting(
    level: &Level,
    pairs: &[Pair],
    round_trips: &[Option<Nanos>],
    seed: u64,
) -> Option<Accounting> {
    let pair = pairs.iter().find(|pair| pair.layer == Some("pooler") && pair.given.is_empty())?;
    let (with, without) = (&level.arms[pair.with], &level.arms[pair.without]);
    let pool = pool(level.rate, with, &level.pool[pair.with], Assignments::Unknown)?;
    let rounds = with.blocks.len().min(without.blocks.len());
    let (through, directly) = (services(with), services(without));
    let added = estimates(rounds, seed, |times| {
        Some(vec![ratio(&through, times)? - ratio(&directly, times)?])
    })?[0];
    let wait_ns = pool.wait_ns_per_request?;
    let postgres_ns = pool.server_ns_per_request? - service_ns(without)?;
    let pooler_cpu_ns = with.cpu_ns_per_request("pooler");
    let round_trip_ns = round_trips.get(pair.with).copied().flatten().map(|ns| ns as f64);
    let explained = wait_ns
        + postgres_ns
        + pooler_cpu_ns.unwrap_or_default()
        + round_trip_ns.unwrap_or_default();
    Some(Accounting {
        with: with.kind.name.to_string(),
        without: without.kind.name.to_string(),
        rate: level.rate,
        added,
        wait_ns,
        pooler_cpu_ns,
        round_trip_ns,
        postgres_ns,
        residual_ns: added.value - explained,
    })
}

/// What the watching costs, at each of these quantiles.
pub(super) fn observer_costs(level: &Level, quantiles: &[f64], seed: u64) -> Vec<ObserverCost> {
    let arms = level.arms.iter().zip(&level.pool);
    let watched = arms.filter(|(_, pool)| pool.iter().any(|block| block.is_watched));
    watched.flat_map(|(arm, pool)| observer_cost(level.rate, arm, pool, quantiles, seed)).collect()
}

fn observer_cost(
    rate: f64,
    arm: &Arm,
    pool: &[PoolBlock],
    quantiles: &[f64],
    seed: u64,
) -> Vec<ObserverCost> {
    let rounds = arm.blocks.len().min(pool.len());
    let merger = merger(arm, rounds);
    let found = estimates(rounds, seed, |times| {
        let those = |wanted: bool| {
            let chosen = times.iter().zip(pool);
            let chosen = chosen.map(|(times, block)| times * u32::from(block.is_watched == wanted));
            merger.quantiles(&chosen.collect::<Vec<_>>(), quantiles)
        };
        let pairs = those(true)?.into_iter().zip(those(false)?);
        Some(pairs.map(|(watched, alone)| watched as f64 - alone as f64).collect())
    });
    let found = found.into_iter().flatten().zip(quantiles);
    found
        .map(|(estimate, quantile)| ObserverCost {
            arm: arm.kind.name.to_string(),
            rate,
            quantile: *quantile,
            ns: estimate.value,
            ci_ns: [estimate.low, estimate.high],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Summary;

    fn is_about(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6 * other.abs().max(1.0)
    }

    #[test]
    fn what_the_pool_adds_is_the_sum_of_its_parts() {
        let summary = Summary::example();
        let part = &summary.accounting[0];
        let known = part.pooler_cpu_ns.unwrap() + part.round_trip_ns.unwrap();
        let all = part.wait_ns + part.postgres_ns + known + part.residual_ns;
        assert!(is_about(all, part.added.value), "{part:?}");
        // Service times are 250 us and as much again through the pool, 200 us and so on directly.
        assert!((part.added.value - 100e3).abs() < 1e3, "{part:?}");
        assert_eq!((part.wait_ns, part.round_trip_ns), (5000.0, Some(14_000.0)));
    }

    #[test]
    fn littles_law_says_how_many_are_in_the_pool() {
        let summary = Summary::example();
        let pool = summary.pool.iter().find(|pool| pool.arm == "pooler").unwrap();
        // 2000 a second that are there for 150 us, of which they wait for 5.
        assert!(is_about(pool.in_pool_counted.unwrap(), 0.30), "{pool:?}");
        assert_eq!(pool.server_ns_per_request, Some(145_000.0));
        let residual = pool.in_pool_seen.unwrap() - 0.30;
        assert!(is_about(pool.in_pool_residual.unwrap(), residual), "{pool:?}");
        assert_eq!(pool.queries_per_request, Some(1.0));
        assert_eq!(pool.server_assignments_per_request, Some(1.0), "one a transaction");
    }

    #[test]
    fn assignments_are_transactions_where_each_has_one_and_nobody_counts_them() {
        let counted = Totals::of(&[("xact_count", 7), ("server_assignment_count", 5)]);
        let assignments = Assignments::new(&counted, true, false);
        assert_eq!((assignments, assignments.count(&counted)), (Assignments::Counted, Some(5)));
        let old = Totals::of(&[("xact_count", 7)]);
        let count = |by_transaction, has_pipelines| {
            Assignments::new(&old, by_transaction, has_pipelines).count(&old)
        };
        assert_eq!(
            (count(true, false), count(true, true), count(false, false)),
            (Some(7), None, None)
        );
    }

    #[test]
    fn blocks_with_and_without_watching_are_compared() {
        let summary = Summary::example();
        let of_pooler = |arm: &str| {
            let costs = summary.observer_costs.iter();
            costs.filter(|cost| cost.arm == arm).collect::<Vec<_>>()
        };
        // The fourth block has no watching, and its requests take 3 us longer than the first one's.
        let costs = of_pooler("pooler");
        assert_eq!(costs.len(), super::super::cost::QUANTILES.len());
        assert!(costs.iter().all(|cost| (-3100.0..0.0).contains(&cost.ns)), "{costs:?}");
        assert!(of_pooler("direct").is_empty());
    }
}
