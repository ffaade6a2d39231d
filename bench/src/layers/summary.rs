//! The comparison as it is written to summary.json: everything that the table shows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Plan;
use super::accounting::{Accounting, Assignments, PoolSummary, accounting, pools};
use super::amplification::Amplification;
use super::arms::{Pair, square};
use super::cost::{CPU_LAYERS, Costs, judge_cpu};
use super::counts::{self, Counts};
use super::curve::{SameLatency, same_latencies};
use super::experiment::{Experiment, Measured};
use super::hops::Hop;
use super::level::Level;
use super::observer_cost::{ObserverCost, observer_costs};
use super::schedule::looks_within;
use super::stopping::Ended;
use crate::arm::{Arm, ArmKind, ArmSummary, Quantiles};
use crate::generator::GeneratorSummary;
use crate::head::Head;
use crate::observe::{Observations, ObserversSummary};
use crate::pace::gaps_name;
use crate::statistics::Estimate;
use crate::validity::{Blocks, Comparison, Evidence, Offered, Purpose, Validity};

/// The result of `layers`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// A phase is a block.
    #[serde(flatten)]
    pub(super) head: Head,
    pub(super) connections: u32,
    pub(super) gaps: &'static str,
    pub(super) rates: Vec<f64>,
    /// Versions of the servers, as they say them.
    pub(super) servers: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    pub(super) arms: Vec<ArmSummary>,
    pub(super) ended: Option<Ended>,
    /// The quantile that is told where only one is.
    pub(super) named_quantile: f64,
    pub(super) costs: Vec<CostSummary>,
    /// How much more the pool costs with a gateway in front than without; as much more does the
    /// gateway cost with the pool.
    pub(super) interactions: Vec<Interaction>,
    pub(super) cpu_costs: Vec<CpuCost>,
    pub(super) same_latencies: Vec<SameLatency>,
    pub(super) before_after: Option<BeforeAfter>,
    pub(super) pool: Vec<PoolSummary>,
    /// Where the server assignments are from.
    pub(super) assignments: Assignments,
    pub(super) accounting: Vec<Accounting>,
    /// In what arms may differ, since it could not be asked for, with the remedy.
    pub(super) uncompared: Vec<String>,
    pub(super) hops: Vec<Hop>,
    pub(super) amplification: Vec<Amplification>,
    pub(super) observer_costs: Vec<ObserverCost>,
    pub(super) observers: ObserversSummary,
    pub(super) counts: Option<Counts>,
}

#[derive(Debug, Serialize)]
pub(super) struct CostSummary {
    /// `none` for two arms of the same layers.
    pub(super) layer: &'static str,
    pub(super) given: Vec<&'static str>,
    /// Offered.
    pub(super) rate: f64,
    pub(super) quantile: f64,
    pub(super) ns: f64,
    pub(super) ci_ns: [f64; 2],
    blocks: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Interaction {
    pub(super) rate: f64,
    pub(super) quantile: f64,
    /// The quantile itself with both, with the gateway alone, with the pooler alone, with none.
    pub(super) arms_ns: [u64; 4],
    pub(super) ns: f64,
    pub(super) ci_ns: [f64; 2],
}

/// CPU time a request that a layer costs.
#[derive(Debug, Serialize)]
pub(super) struct CpuCost {
    pub(super) layer: &'static str,
    pub(super) given: Vec<&'static str>,
    pub(super) rate: f64,
    /// Where it is spent, or saved: `servers` for all of them together.
    pub(super) of: &'static str,
    pub(super) ns: f64,
    pub(super) ci_ns: [f64; 2],
}

/// The stack before the pool and after, by way of the gateway.
#[derive(Debug, Serialize)]
pub(super) struct BeforeAfter {
    pub(super) backend_connections: [Option<f64>; 2],
    pub(super) connection_latency_p95_ns: [Option<u64>; 2],
    pub(super) throughput: [f64; 2],
    pub(super) postgres_cpu_ns_per_request: [Option<f64>; 2],
    pub(super) connection_errors: [u64; 2],
}

impl Experiment<'_> {
    pub(super) fn summary(self, measured: Measured) -> Summary {
        let names: Vec<_> = self.scenario.operations.iter().map(|op| op.name.as_str()).collect();
        let results = Results {
            plan: self.plan,
            scenario: &self.scenario.name,
            operations: &names,
            has_pipelines: self.has_pipelines(),
            generator: self.rig.generator(),
            lost_names: {
                let arms = self.levels.iter().flat_map(|level| &level.arms);
                arms.filter_map(|arm| self.rig.lost_names(arm)).collect()
            },
            servers: measured.observations.versions(),
            pairs: &self.pairs,
            levels: &self.levels,
        };
        let mut summary = results.summary(measured);
        self.beside.gaps().into_iter().for_each(|line| summary.validity.suspect(line));
        summary
    }
}

/// What a summary is made of.
pub(super) struct Results<'a> {
    pub(super) plan: &'a Plan,
    pub(super) scenario: &'a str,
    pub(super) operations: &'a [&'a str],
    /// PgBouncer counts what comes before the first reply as one query.
    pub(super) has_pipelines: bool,
    pub(super) generator: GeneratorSummary,
    /// What the rig says of arms whose pooler lost the names of prepared statements.
    pub(super) lost_names: Vec<String>,
    pub(super) servers: BTreeMap<&'static str, String>,
    pub(super) pairs: &'a [Pair],
    pub(super) levels: &'a [Level],
}

impl Results<'_> {
    /// Whether the numbers can be trusted.
    fn validity(&self, observations: &Observations) -> Validity {
        let Self { plan, levels, .. } = self;
        let mut validity = Validity::default();
        for level in *levels {
            let offered = Offered::new(level.rate, plan.gaps, plan.block_ns);
            validity.merge(Validity::of(&Evidence {
                busiest: &self.generator.busiest,
                machine: &self.generator.machine,
                arms: &level.arms,
                offered: vec![Some(offered); level.arms.len()],
                comparison: Comparison::Blocks(Blocks {
                    connections: plan.connections,
                    count: super::cost::rounds(&level.arms),
                    round_ns: plan.round_ns(level.arms.len()),
                    option: "--duration",
                }),
                steady: Vec::new(),
                observations: vec![observations],
                lost_names: self.lost_names.clone(),
                purpose: Purpose::Load,
            }));
        }
        let blocks = levels.iter().flat_map(|level| &level.pool).flatten();
        let watched: Vec<_> = blocks.filter(|block| block.is_watched).collect();
        let looks: usize = watched.iter().map(|block| block.looks.len()).sum();
        let due = looks_within(plan.block_ns) * watched.len() as u64;
        validity.judge_looks("the pooler's console", looks as u64, due);
        for level in *levels {
            counts::judge_restarts(level, &mut validity);
            judge_cpu(&level.arms, &mut validity);
            if !self.has_pipelines {
                counts::judge(level, &mut validity);
            }
        }
        validity
    }

    pub(super) fn summary(self, measured: Measured) -> Summary {
        let Self { plan, pairs, levels, .. } = self;
        let (seed, quantiles) = (plan.seed, plan.quantiles());
        let drawn = (plan.confidence(), seed);
        let kinds: Vec<ArmKind> = levels[0].arms.iter().map(|arm| arm.kind.clone()).collect();
        let square = square(&kinds);
        let costs: Vec<_> = levels
            .iter()
            .map(|level| Costs::new(&level.arms, pairs, square, &quantiles, drawn))
            .collect();
        let all = || levels.iter().zip(&costs);
        let arms = || levels.iter().flat_map(|level| &level.arms);
        let named_quantile = plan.until.map_or(0.95, |until| until.quantile);
        Summary {
            validity: {
                let mut validity = self.validity(&measured.observations);
                measured.sessions.differences.into_iter().for_each(|line| validity.suspect(line));
                all().for_each(|(level, costs)| itself(level, costs, pairs, &mut validity));
                validity
            },
            head: Head::new(
                "layers",
                self.scenario,
                (measured.started, measured.duration_ns),
                (plan.block_ns, seed),
                self.generator,
            ),
            connections: plan.connections,
            gaps: gaps_name(plan.gaps),
            rates: plan.rates.clone(),
            servers: self.servers,
            arms: arms().map(|arm| ArmSummary::new(arm, self.operations)).collect(),
            ended: measured.ended,
            named_quantile,
            costs: all()
                .flat_map(|(level, costs)| latency_costs(level, costs, pairs, &quantiles))
                .collect(),
            interactions: all()
                .flat_map(|(level, costs)| interactions(level, costs, square, &quantiles))
                .collect(),
            cpu_costs: all().flat_map(|(level, costs)| cpu_costs(level, costs, pairs)).collect(),
            same_latencies: same_latencies(levels, pairs, named_quantile, seed),
            before_after: if let [level] = levels { before_after(&level.arms) } else { None },
            pool: levels
                .iter()
                .flat_map(|level| pools(level, measured.assignments, measured.by_transaction))
                .collect(),
            assignments: measured.assignments,
            accounting: levels
                .iter()
                .flat_map(|level| accounting(level, pairs, &measured.hops, seed))
                .collect(),
            uncompared: measured.sessions.unknown,
            hops: measured.hops,
            amplification: measured.amplification,
            observers: ObserversSummary::new(&measured.observations),
            observer_costs: levels
                .iter()
                .flat_map(|level| observer_costs(level, &quantiles))
                .collect(),
            counts: measured.counts,
        }
    }
}

fn latency_costs(
    level: &Level,
    costs: &Costs,
    pairs: &[Pair],
    quantiles: &[f64],
) -> Vec<CostSummary> {
    let of_pair = |(pair, estimates): (&Pair, &Option<Vec<Estimate>>)| {
        let estimates = estimates.iter().flatten().zip(quantiles);
        let one = |(estimate, quantile): (&Estimate, &f64)| CostSummary {
            layer: pair.layer.unwrap_or("none"),
            given: pair.given.clone(),
            rate: level.rate,
            quantile: *quantile,
            ns: estimate.value,
            ci_ns: [estimate.low, estimate.high],
            blocks: super::cost::rounds(&level.arms),
        };
        estimates.map(one).collect::<Vec<_>>()
    };
    pairs.iter().zip(&costs.latency).flat_map(of_pair).collect()
}

fn interactions(
    level: &Level,
    costs: &Costs,
    square: Option<[usize; 4]>,
    quantiles: &[f64],
) -> Vec<Interaction> {
    let rounds = super::cost::rounds(&level.arms);
    let found = costs.interaction.iter().flatten().zip(quantiles);
    let one = |(estimate, quantile): (&Estimate, &f64)| {
        let arm_ns = |arm: usize| {
            let blocks = super::cost::merger(&level.arms[arm], rounds);
            blocks.quantiles(&vec![1; rounds], &[*quantile]).map_or(0, |found| found[0])
        };
        Some(Interaction {
            rate: level.rate,
            quantile: *quantile,
            arms_ns: square?.map(arm_ns),
            ns: estimate.value,
            ci_ns: [estimate.low, estimate.high],
        })
    };
    found.filter_map(one).collect()
}

fn cpu_costs(level: &Level, costs: &Costs, pairs: &[Pair]) -> Vec<CpuCost> {
    let [gateway, pooler, postgres] = CPU_LAYERS;
    let names = ["servers", gateway, pooler, postgres];
    let of_pair = |(pair, estimates): (&Pair, &[Option<Estimate>; 4])| {
        let known = names.into_iter().zip(*estimates);
        let known = known.filter_map(|(of, estimate)| Some((of, estimate?)));
        let one = |(of, estimate): (&'static str, Estimate)| CpuCost {
            layer: pair.layer.unwrap_or("none"),
            given: pair.given.clone(),
            rate: level.rate,
            of,
            ns: estimate.value,
            ci_ns: [estimate.low, estimate.high],
        };
        known.map(one).collect::<Vec<_>>()
    };
    pairs.iter().zip(&costs.cpu).flat_map(of_pair).collect()
}

/// An arm that differs from itself says that the others' differences are no better. By chance one of
/// its intervals is wrong now and then; hardly ever are two.
fn itself(level: &Level, costs: &Costs, pairs: &[Pair], validity: &mut Validity) {
    for (pair, estimates) in pairs.iter().zip(&costs.latency) {
        let estimates = estimates.iter().flatten();
        let wrong = estimates.filter(|estimate| !estimate.holds(0.0)).count();
        if pair.layer.is_none() && wrong > 1 {
            let (one, other) = (&level.arms[pair.without], &level.arms[pair.with]);
            validity.suspect(format!(
                "{} and {} are the same layers and differ at {wrong} quantiles: do not trust the \
                 other differences more than that",
                one.label(),
                other.label()
            ));
        }
    }
}

fn before_after(arms: &[Arm]) -> Option<BeforeAfter> {
    let arm = |name: &str| arms.iter().find(|arm| arm.kind.name == name);
    let both = [arm("gateway+direct")?, arm("gateway+pooler")?];
    let connect = |name| {
        let histogram = arm(name)?.connect.as_ref().filter(|connect| !connect.is_empty())?;
        Some(Quantiles::new(histogram).p95)
    };
    Some(BeforeAfter {
        backend_connections: both.map(|arm| arm.backends().map(|(mean, _)| mean)),
        connection_latency_p95_ns: [connect("direct"), connect("pooler")],
        throughput: both.map(Arm::rate),
        postgres_cpu_ns_per_request: both.map(|arm| arm.cpu_ns_per_request("postgres")),
        connection_errors: both.map(Arm::connection_errors),
    })
}
