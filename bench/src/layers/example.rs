//! Made-up measurements, through the same code as real ones.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use engine::{MILLISECOND, Nanos, Recording, SECOND, StreamReport};
use wire::{Class, Code, Failure, Outcome};

use super::accounting::Assignments;
use super::amplification::Amplification;
use super::arms::{choose, pairs};
use super::cost::QUANTILES;
use super::counts::Counts;
use super::experiment::Measured;
use super::hops::{Hop, Over};
use super::level::{Level, PoolBlock};
use super::observer_cost::observer_costs;
use super::stopping::{Ended, EndedBy};
use super::summary::{Results, Summary};
use super::{Plan, schedule};
use crate::arm::{Arm, ArmKind, Block};
use crate::generator::GeneratorSummary;
use crate::observe::{Backends, Observations, Pools, Totals};
use crate::series::Second;
use crate::statistics::FixedWidth;
use crate::validity::Sessions;

impl Summary {
    /// Four rounds of four arms.
    pub(crate) fn example() -> Self {
        Self::of(&plan(), None)
    }

    /// The pooler against itself, at two rates, until enough is known.
    pub(super) fn example_of_itself() -> Self {
        let pooler = super::parse_arm("pooler").unwrap();
        let until = FixedWidth { quantile: 0.95, width_ns: 50_000 };
        let plan = Plan {
            arms: vec![super::parse_arm("direct").unwrap(), pooler.clone(), pooler],
            rates: vec![1000.0, 2000.0],
            until: Some(until),
            ..plan()
        };
        let ended = Ended {
            by: EndedBy::Width,
            rounds_max: 80,
            quantile: 0.95,
            width_ns: 50_000,
            widest_ns: Some(41_000.0),
        };
        Self::of(&plan, Some(ended))
    }

    fn of(plan: &Plan, ended: Option<Ended>) -> Self {
        let kinds = choose(&plan.arms, |_| true).unwrap();
        let levels: Vec<_> = plan.rates.iter().map(|rate| level(&kinds, *rate, plan)).collect();
        let results = Results {
            plan,
            scenario: "nova",
            operations: &["getUser"],
            has_pipelines: false,
            generator: GeneratorSummary::example(),
            lost_names: Vec::new(),
            servers: BTreeMap::from([
                ("pooler", "PgBouncer 1.18.0".into()),
                ("postgres", "15.18".into()),
            ]),
            pairs: &pairs(&kinds),
            levels: &levels,
        };
        let amplification = Amplification {
            operation: "getUser".into(),
            requests: 40,
            queries_per_request: Some(1.0),
            transactions_per_request: Some(1.0),
            server_assignments_per_request: Some(1.0),
        };
        let summary = results.summary(Measured {
            started: UNIX_EPOCH,
            duration_ns: 3_000_000_000,
            counts: Some(Counts { completed_through_pooler: 8000, pooler_queries: 8000 }),
            ended,
            assignments: Assignments::Transactions,
            by_transaction: true,
            amplification: vec![amplification],
            hops: hops(&kinds),
            sessions: Sessions {
                differences: Vec::new(),
                unknown: vec![
                    "whether gateway is connected to the pooler with the same TLS as the other \
                     ways was not compared: give targets.gateway its `backends`, the \
                     application_name of its connections"
                        .into(),
                ],
            },
            observations: Observations {
                cpu_ns: Some(30 * MILLISECOND),
                length_ns: 10 * SECOND,
                ..Observations::default()
            },
        });
        let long = plan.rates.iter().map(|rate| {
            let mut level = level(&kinds, *rate, plan);
            (0..kinds.len()).for_each(|arm| (0..7).for_each(|_| fill(&mut level, arm)));
            observer_costs(&level, &QUANTILES)
        });
        // Of four rounds they would not be known.
        Self { observer_costs: long.flatten().collect(), ..summary }
    }
}

/// What each kind of hop can be.
fn hops(kinds: &[ArmKind]) -> Vec<Hop> {
    let hop = |from: &str, to: &str, over: Over| {
        let is_on_its_way = |kind: &&ArmKind| match from {
            "generator" => kind.target == to,
            "pooler" => kind.has("pooler"),
            gateway => kind.target == gateway,
        };
        let arms = kinds.iter().filter(is_on_its_way).map(|kind| kind.name.to_string());
        Hop { from: from.into(), to: to.into(), arms: arms.collect(), over }
    };
    let tcp = |us: Nanos| Over::Tcp { round_trip_ns: us * 1000 };
    let problem = "[processes] does not name gateway-direct".into();
    let all = [
        hop("generator", "gateway", tcp(21)),
        hop("gateway", "pooler", tcp(9)),
        hop("pooler", "postgres", Over::Unix),
        hop("generator", "gateway-direct", tcp(14)),
        hop("gateway-direct", "postgres", Over::Unknown { problem }),
        hop("generator", "pooler", tcp(14)),
        hop("generator", "postgres", tcp(7)),
    ];
    all.into_iter().filter(|hop| !hop.arms.is_empty()).collect()
}

/// Blocks are as long as [`fill`] makes them.
fn plan() -> Plan {
    Plan { block_ns: SECOND / 2, ..Plan::example() }
}

/// As [`Summary::example`] has it, of these arms.
pub(super) fn level_of(kinds: &[ArmKind]) -> Level {
    let plan = plan();
    level(kinds, plan.rates[0], &plan)
}

fn level(kinds: &[ArmKind], rate: f64, plan: &Plan) -> Level {
    let mut arms: Vec<_> = kinds.iter().map(|kind| Arm::new(kind, Some("b".into()))).collect();
    for arm in &mut arms {
        arm.offered_rate = (plan.rates.len() > 1).then_some(rate);
    }
    let mut level = Level::new(rate, arms);
    for index in 0..kinds.len() {
        fill(&mut level, index);
    }
    level
}

fn fill(level: &mut Level, index: usize) {
    let (arm, requests) = (&mut level.arms[index], level.rate as u64 / 2);
    let (us, backends) = match &*arm.kind.target {
        "gateway" => (700_000, 9),
        "gateway-direct" => (650_000, 50),
        "pooler" => (250_000, 9),
        _ => (200_000, 50),
    };
    // Twice the load makes it half as long again.
    let us = us * (requests + 1000) / 2000;
    let mut connect = engine::histogram();
    connect.saturating_record(us * 10);
    arm.connect = Some(connect);
    arm.series = (0..5).map(Second::at_ease).collect();
    if arm.kind.target == "pooler" {
        arm.series.iter_mut().for_each(Second::fill_pool);
    }
    for round in 0..4 {
        let mut recording = Recording::new(1);
        let mut failure = Failure::default();
        failure.set(Code::SqlState(*b"53300"), b"sorry, too many clients already");
        for number in 0..requests {
            let is_refused = arm.kind.target == "postgres" && number % 250 == 0;
            let class = Outcome::Failed(Class::Capacity);
            let outcome = if is_refused { class } else { Outcome::Ok };
            let done = us + 2 * us * number / requests + round * 1000;
            recording.record(0, outcome, &failure, (0, 1000, done));
        }
        let stream =
            StreamReport { planned: requests, sent: requests, ..StreamReport::new(recording) };
        let cpu = arm.kind.layers.iter().map(|layer| {
            let (process, us) = match *layer {
                "gateway" => (&*arm.kind.target, 120),
                "pooler" => (*layer, 30),
                _ => (*layer, if arm.kind.has("pooler") { 110 } else { 170 }),
            };
            (process.to_owned(), us * requests * 1000 + round)
        });
        let cpu = cpu.collect();
        arm.push(Block::of(stream, 500 * MILLISECOND, 12 * requests * 1000).with_cpu(cpu));
        arm.saw(Some(&Backends::of("b", backends)));
        if arm.kind.has("pooler") {
            let is_watched = schedule::is_watched(round);
            let look = Pools {
                cl_waiting: Some(0),
                sv_active: Some(round),
                maxwait_ns: Some(2_000_000),
                ..Pools::default()
            };
            level.pool[index].push(PoolBlock {
                totals: Some(Totals::of(&[
                    ("query_count", requests),
                    ("xact_count", requests),
                    ("wait_time", requests * 5),
                    // With the wait, as PgBouncer has it.
                    ("query_time", requests * 445),
                    ("xact_time", requests * 450),
                ])),
                is_anew: false,
                looks: if is_watched { vec![look; 2] } else { Vec::new() },
                is_watched,
            });
        }
    }
}
