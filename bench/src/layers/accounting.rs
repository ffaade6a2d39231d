//! Where the pool's time goes: in its queue, in its own work, in Postgres; and whether that adds up.

use engine::{Nanos, SECOND};
use serde::Serialize;

use super::arms::Pair;
use super::cost::ratio;
use super::hops::{GENERATOR, Hop, Over};
use super::level::{Level, PoolBlock};
use crate::arm::{Arm, Measured};
use crate::observe::{Counters, Pools, Totals};
use crate::statistics::{Estimate, estimates, in_system};

/// What the pooler counted for one arm, in the blocks in which it did. Times in ns; what it did not
/// count is null.
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
    /// Requests of ours under way on average: all times from being sent to the outcome, over the
    /// time.
    pub(super) in_flight: f64,
    /// As many clients waited in the pooler or had a server, by Little's law: transactions' rate
    /// times their time, which the pooler counts from the first query on. A server connection is its
    /// client's for all of a transaction; where it is for all of a session, this is null.
    pub(super) in_pool_counted: Option<f64>,
    /// Clients that were seen to wait (cl_waiting) or to have a server (sv_active; cl_active holds
    /// idle clients too), on average.
    pub(super) in_pool_seen: Option<f64>,
    /// What was seen less what was counted.
    pub(super) in_pool_residual: Option<f64>,
    /// Requests of ours that were under way and not there: on the network, in the pooler's own hands,
    /// in the gateway. Below 0 where a gateway sends several queries for a request at once.
    pub(super) outside_pool: Option<f64>,
}

/// The mean of a request's service time that the pool adds, and what it consists of, in ns. What is not
/// known is null, and within the residual.
#[derive(Debug, Serialize)]
pub(super) struct Accounting {
    /// The arms that are compared.
    pub(super) with: String,
    pub(super) without: String,
    /// Whether both have the gateway in front.
    pub(super) given: Vec<&'static str>,
    pub(super) rate: f64,
    pub(super) added: Estimate,
    /// In the pool's queue.
    pub(super) wait_ns: Option<f64>,
    /// CPU time of the pooler, where its process is known.
    pub(super) pooler_cpu_ns: Option<f64>,
    /// One more hop: the round trip to the pooler, where that is TCP.
    pub(super) round_trip_ns: Option<f64>,
    /// How much longer Postgres takes when it is asked through the pool. How long it takes otherwise
    /// we see, or the gateway tells (`Server-Timing`).
    pub(super) postgres_ns: Option<f64>,
    /// What all of these leave unexplained.
    pub(super) residual_ns: f64,
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
    pub(super) fn new(counted: &Counters, by_transaction: bool, has_pipelines: bool) -> Self {
        match counted.have(ASSIGNMENTS) {
            true => Self::Counted,
            false if by_transaction && !has_pipelines => Self::Transactions,
            false => Self::Unknown,
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

/// For each arm with the pooler on its way, what the pooler counted. With `by_transaction` a server
/// connection is assigned to each transaction anew.
pub(super) fn pools(
    level: &Level,
    assignments: Assignments,
    by_transaction: bool,
) -> Vec<PoolSummary> {
    let arms = level.arms.iter().zip(&level.pool);
    let summary = |(arm, blocks): (&Arm, &Vec<PoolBlock>)| {
        let counted = Counted::new(arm, blocks)?;
        let each = |count: Option<u64>| count.map(|count| counted.each(count));
        let in_pool = counted.in_pool().filter(|_| by_transaction);
        let seen = counted.looks().filter_map(|look| Some(look.sv_active? + look.cl_waiting?));
        let (seen, in_flight) = (mean(seen), counted.in_flight());
        Some(PoolSummary {
            arm: arm.kind.name.to_string(),
            rate: level.rate,
            queries_per_request: each(counted.totals.queries()),
            transactions_per_request: each(counted.totals.get(TRANSACTIONS)),
            server_assignments_per_request: each(assignments.count(&counted.totals)),
            wait_ns_per_request: counted.wait_ns(),
            server_ns_per_request: counted.server_ns(),
            maxwait_ns: counted.looks().filter_map(|look| look.maxwait_ns).max(),
            in_flight,
            in_pool_counted: in_pool,
            in_pool_seen: seen,
            in_pool_residual: seen.zip(in_pool).map(|(seen, counted)| seen - counted),
            outside_pool: in_pool.map(|in_pool| in_flight - in_pool),
        })
    };
    arms.filter_map(summary).collect()
}

/// One arm's blocks in which the pooler counted.
struct Counted<'a> {
    blocks: Vec<(&'a Measured, &'a PoolBlock)>,
    totals: Totals,
    requests: f64,
    length_ns: f64,
}

impl<'a> Counted<'a> {
    fn new(arm: &'a Arm, pool: &'a [PoolBlock]) -> Option<Self> {
        let blocks = arm.blocks.iter().zip(pool).filter(|(_, pool)| pool.totals.is_some());
        let blocks: Vec<_> = blocks.collect();
        let totals: Vec<_> = blocks.iter().filter_map(|(_, pool)| pool.totals.clone()).collect();
        let requests = blocks.iter().map(|(ours, _)| ours.requests).sum::<u64>() as f64;
        let length_ns = blocks.iter().map(|(ours, _)| ours.length_ns).sum::<Nanos>() as f64;
        let totals = Totals::sum(&totals);
        (requests > 0.0).then_some(Self { blocks, totals, requests, length_ns })
    }

    /// For each request.
    fn each(&self, count: u64) -> f64 {
        count as f64 / self.requests
    }

    /// A request's time in the queue for a server connection.
    fn wait_ns(&self) -> Option<f64> {
        Some(self.each(self.totals.wait_ns()?))
    }

    /// How long servers worked on a request: its queries' time without the wait that is in it.
    fn server_ns(&self) -> Option<f64> {
        let wait_ns = self.totals.wait_ns().unwrap_or_default();
        Some(self.each(self.totals.query_ns()?.saturating_sub(wait_ns)))
    }

    /// Clients that waited or had a server, on average.
    fn in_pool(&self) -> Option<f64> {
        // Where the wait is not measured, it is not in the other times.
        self.totals.wait_ns()?;
        let ns = self.totals.query_ns()?.max(self.totals.transaction_ns().unwrap_or_default());
        let rate = self.requests * SECOND as f64 / self.length_ns;
        Some(in_system(rate, self.each(ns)))
    }

    fn in_flight(&self) -> f64 {
        self.blocks.iter().map(|(ours, _)| ours.in_flight_ns).sum::<f64>() / self.length_ns
    }

    fn looks(&self) -> impl Iterator<Item = &'a Pools> {
        self.blocks.iter().flat_map(|(_, pool)| &pool.looks)
    }
}

fn mean(values: impl Iterator<Item = u64>) -> Option<f64> {
    let (sum, count) = values.fold((0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum as f64 / count as f64)
}

fn services(arm: &Arm) -> Vec<(f64, f64)> {
    arm.blocks.iter().map(|block| (block.service_ns, block.succeeded as f64)).collect()
}

/// How long Postgres takes for a request of an arm without the pool, as we see it or its gateway does;
/// not where the gateway does not tell it of every request: those that it tells of are others then.
fn postgres_ns(arm: &Arm) -> Option<f64> {
    if !arm.kind.has("gateway") {
        return ratio(&services(arm), &vec![1; arm.blocks.len()]);
    }
    let whole = arm.whole.as_ref()?.whole();
    let database = &whole.server_times.as_ref()?.database;
    let is_of_each = !database.is_empty() && database.len() == whole.service.len();
    is_of_each.then(|| database.mean())
}

/// What the pool adds where nothing but the pool is between two arms: with a gateway in front, and
/// without.
pub(super) fn accounting(
    level: &Level,
    pairs: &[Pair],
    hops: &[Hop],
    seed: u64,
) -> Vec<Accounting> {
    let pairs = pairs.iter().filter(|pair| pair.layer == Some("pooler"));
    pairs.filter_map(|pair| of_pair(level, pair, hops, seed)).collect()
}

fn of_pair(level: &Level, pair: &Pair, hops: &[Hop], seed: u64) -> Option<Accounting> {
    let (with, without) = (&level.arms[pair.with], &level.arms[pair.without]);
    let counted = Counted::new(with, &level.pool[pair.with])?;
    let rounds = with.blocks.len().min(without.blocks.len());
    let (through, directly) = (services(with), services(without));
    let added = estimates(rounds, seed, |times| {
        Some(vec![ratio(&through, times)? - ratio(&directly, times)?])
    })?[0];
    let wait_ns = counted.wait_ns();
    let times = counted.server_ns().zip(postgres_ns(without));
    let postgres_ns = times.map(|(through, directly)| through - directly);
    let pooler_cpu_ns = with.cpu_ns_per_request("pooler");
    let from = if with.kind.has("gateway") { &*with.kind.target } else { GENERATOR };
    let hop = hops.iter().find(|hop| hop.from == from && hop.to == "pooler");
    let round_trip_ns = hop.and_then(|hop| match hop.over {
        Over::Tcp { round_trip_ns } => Some(round_trip_ns as f64),
        Over::Unix | Over::Unknown { .. } => None,
    });
    let known = [wait_ns, postgres_ns, pooler_cpu_ns, round_trip_ns];
    Some(Accounting {
        with: with.kind.name.to_string(),
        without: without.kind.name.to_string(),
        given: pair.given.clone(),
        rate: level.rate,
        added,
        wait_ns,
        pooler_cpu_ns,
        round_trip_ns,
        postgres_ns,
        residual_ns: added.value - known.into_iter().flatten().sum::<f64>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ArmKind;
    use crate::layers::arms::pairs;
    use crate::layers::{Summary, example};

    fn is_about(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6 * other.abs().max(1.0)
    }

    #[test]
    fn what_the_pool_adds_is_the_sum_of_its_parts() {
        let summary = Summary::example();
        let [behind_gateway, part] = &summary.accounting[..] else { panic!("two pairs") };
        let known = part.pooler_cpu_ns.unwrap() + part.round_trip_ns.unwrap();
        let all = part.wait_ns.unwrap() + part.postgres_ns.unwrap() + known + part.residual_ns;
        assert!(is_about(all, part.added.value), "{part:?}");
        // Service times are 250 us and as much again through the pool, 200 us and so on directly.
        assert!((part.added.value - 100e3).abs() < 1e3, "{part:?}");
        assert_eq!((part.wait_ns, part.round_trip_ns), (Some(5000.0), Some(14_000.0)));
        // Servers work for 440 us of what takes 400 us without the pool: the wait is in the queue alone.
        assert!((part.postgres_ns.unwrap() - 40e3).abs() < 1e3, "{part:?}");
        assert!((part.residual_ns - 11e3).abs() < 1e3, "{part:?}");
        // The hop is the gateway's, and what it does not tell of its database is in the residual.
        let Accounting { round_trip_ns, postgres_ns, residual_ns, .. } = behind_gateway;
        assert_eq!((*round_trip_ns, *postgres_ns), (Some(9000.0), None));
        let rest = behind_gateway.added.value - 5000.0 - 30_000.0 - 9000.0;
        assert!(is_about(*residual_ns, rest), "{behind_gateway:?}");
    }

    fn parts(level: &Level) -> Accounting {
        let kinds: Vec<_> = level.arms.iter().map(|arm| arm.kind.clone()).collect();
        accounting(level, &pairs(&kinds), &[], 1).pop().unwrap()
    }

    #[test]
    fn where_the_wait_is_not_counted_it_is_within_the_residual() {
        let mut level = example::level_of(&["pooler", "postgres"].map(ArmKind::of));
        let totals = Totals::of(&[("query_count", 1000), ("query_time", 440_000)]);
        level.pool[0].iter_mut().for_each(|block| block.totals = Some(totals.clone()));
        let part = parts(&level);
        assert_eq!((part.wait_ns, part.round_trip_ns), (None, None));
        let known = part.pooler_cpu_ns.unwrap() + part.postgres_ns.unwrap();
        assert!(is_about(part.residual_ns, part.added.value - known), "{part:?}");
    }

    #[test]
    fn what_a_gateway_tells_of_some_requests_is_not_the_mean_of_all() {
        let mut level = example::level_of(&["gateway", "gateway-direct"].map(ArmKind::of));
        let requests = level.arms[1].requests();
        let mut tell = |times: u64| {
            let timing = wire::http::ServerTiming::new(None, Some(100_000));
            let whole = level.arms[1].whole.as_mut().unwrap();
            (0..times).for_each(|_| whole.timed(0, timing));
            parts(&level).postgres_ns
        };
        assert_eq!((tell(0), tell(requests - 1)), (None, None));
        let told = tell(1);
        assert!(told.is_some_and(|ns| (ns - 340e3).abs() < 1e3), "{told:?}");
        assert_eq!(tell(1), None, "some were told twice");
    }

    #[test]
    fn littles_law_says_how_many_are_in_the_pool() {
        let summary = Summary::example();
        let pool = summary.pool.iter().find(|pool| pool.arm == "pooler").unwrap();
        // 2000 transactions a second that take 450 us; the queries in them 445, of which they wait for 5.
        assert!(is_about(pool.in_pool_counted.unwrap(), 0.9), "{pool:?}");
        assert_eq!(pool.server_ns_per_request, Some(440_000.0));
        let residual = pool.in_pool_seen.unwrap() - 0.9;
        assert!(is_about(pool.in_pool_residual.unwrap(), residual), "{pool:?}");
        // From sent to done it is 500 us.
        assert!((pool.in_flight - 1.0).abs() < 0.01, "{pool:?}");
        assert!(is_about(pool.outside_pool.unwrap(), pool.in_flight - 0.9), "{pool:?}");
        assert_eq!(pool.queries_per_request, Some(1.0));
        assert_eq!(pool.server_assignments_per_request, Some(1.0), "one a transaction");
    }

    #[test]
    fn a_block_that_was_not_counted_is_left_out_with_its_requests_and_its_time() {
        let mut level = example::level_of(&[ArmKind::of("pooler")]);
        let whole = |level: &Level| pools(level, Assignments::Transactions, true).pop().unwrap();
        let before = whole(&level);
        level.pool[0][2].totals = None;
        let after = whole(&level);
        assert_eq!(after.queries_per_request, before.queries_per_request);
        assert_eq!(after.in_pool_counted, before.in_pool_counted);
        assert!((after.in_flight / before.in_flight - 1.0).abs() < 0.01, "{after:?}");
        level.pool[0].iter_mut().for_each(|block| block.totals = None);
        assert!(pools(&level, Assignments::Transactions, true).is_empty());
    }

    #[test]
    fn where_a_client_keeps_its_server_littles_law_of_transactions_says_nothing() {
        let level = example::level_of(&[ArmKind::of("pooler")]);
        let pool = pools(&level, Assignments::Unknown, false).pop().unwrap();
        assert_eq!((pool.in_pool_counted, pool.in_pool_residual), (None, None));
        assert!(pool.in_pool_seen.is_some() && pool.wait_ns_per_request.is_some());
    }

    #[test]
    fn assignments_are_transactions_where_each_has_one_and_nobody_counts_them() {
        let counted = Counters::of(&[("xact_count", 7), ("server_assignment_count", 5)]);
        let assignments = Assignments::new(&counted, true, false);
        let count = assignments.count(&counted.together());
        assert_eq!((assignments, count), (Assignments::Counted, Some(5)));
        let old = Counters::of(&[("xact_count", 7)]);
        let count = |by_transaction, has_pipelines| {
            Assignments::new(&old, by_transaction, has_pipelines).count(&old.together())
        };
        assert_eq!(
            (count(true, false), count(true, true), count(false, false)),
            (Some(7), None, None)
        );
    }
}
