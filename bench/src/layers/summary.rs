//! The comparison as it is written to summary.json: everything that the table shows.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::Nanos;
use serde::Serialize;

use super::Experiment;
use super::cost::{Cost, costs};
use crate::arm::{Arm, ArmSummary, Quantiles, difference};
use crate::generator::GeneratorSummary;
use crate::observe::{Pooler, Server};
use crate::rig::RigError;
use crate::scenario::OperationFile;
use crate::validity::{self, Validity};

/// The result of `layers`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    schema: u32,
    command: &'static str,
    pub(super) scenario: String,
    /// Seconds since 1970.
    started: f64,
    duration_ns: Nanos,
    pub(super) phase_ns: Nanos,
    pub(super) seed: u64,
    #[serde(flatten)]
    pub(super) generator: GeneratorSummary,
    pub(super) connections: u32,
    pub(super) gaps: &'static str,
    /// Versions of the servers, as they say them.
    pub(super) servers: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    pub(super) arms: Vec<ArmSummary>,
    pub(super) costs: Vec<CostSummary>,
    pub(super) before_after: Option<BeforeAfter>,
    pub(super) counts: Option<Counts>,
}

#[derive(Debug, Serialize)]
pub(super) struct CostSummary {
    pub(super) layer: &'static str,
    pub(super) given: Vec<&'static str>,
    pub(super) quantile: f64,
    pub(super) ns: f64,
    pub(super) ci_ns: [f64; 2],
    blocks: usize,
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

/// Whether the pooler saw what was sent through it, the warm-up included.
#[derive(Debug, Serialize)]
pub(super) struct Counts {
    /// Requests, and where these have several statements, each of those.
    pub(super) completed_through_pooler: u64,
    pub(super) pooler_queries: u64,
}

impl Experiment<'_> {
    pub(super) fn summary(
        mut self,
        started: SystemTime,
        duration_ns: Nanos,
        pooler_queries: Option<u64>,
    ) -> Result<Summary, RigError> {
        let mut servers = BTreeMap::new();
        if let Some(version) = self.pooler.as_mut().map(Pooler::version).transpose()? {
            servers.insert("pooler", version);
        }
        if let Some(version) = self.server.as_mut().map(Server::version).transpose()? {
            servers.insert("postgres", version);
        }
        let names: Vec<_> = self.scenario.operations.iter().map(|op| op.name.as_str()).collect();
        let arms: Vec<_> = self.rig.arms.iter().map(|arm| ArmSummary::new(arm, &names)).collect();
        let through_pooler = self.rig.arms.iter().filter(|arm| arm.kind.has("pooler"));
        let completed_through_pooler = through_pooler.map(|arm| arm.queries).sum();
        // PgBouncer counts what comes before the first reply as one query.
        let is_pipelined = |operation: &OperationFile| {
            operation.sql.as_ref().is_some_and(|statements| statements.is_pipelined())
        };
        let has_pipelines = self.scenario.operations.iter().any(is_pipelined);
        let counts = pooler_queries
            .filter(|_| !has_pipelines)
            .map(|pooler_queries| Counts { completed_through_pooler, pooler_queries });
        let costs = costs(&self.rig.arms, self.plan.seed);
        let mut validity = validity(&self.rig.arms);
        let lost_names = self.rig.arms.iter().filter_map(|arm| self.rig.lost_names(arm));
        lost_names.for_each(|line| validity.suspect(line));
        Ok(Summary {
            schema: 1,
            command: "layers",
            scenario: self.scenario.name.clone(),
            started: started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            duration_ns,
            phase_ns: self.plan.block_ns,
            seed: self.plan.seed,
            generator: self.rig.generator(),
            connections: self.plan.connections,
            gaps: match self.plan.gaps {
                engine::Gaps::Uniform => "uniform",
                engine::Gaps::Poisson => "poisson",
            },
            servers,
            validity,
            before_after: before_after(&self.rig.arms),
            arms,
            costs: costs.iter().flat_map(CostSummary::all).collect(),
            counts,
        })
    }
}

fn validity(arms: &[Arm]) -> Validity {
    let mut validity = Validity::default();
    arms.iter().for_each(|arm| validity.judge(arm));
    for (number, one) in arms.iter().enumerate() {
        let others = arms[number + 1..].iter();
        others.filter_map(|other| difference(one, other)).for_each(|line| validity.suspect(line));
    }
    let blocks = arms.iter().map(|arm| arm.blocks.len()).min().unwrap_or_default();
    if blocks < validity::BLOCKS_MIN {
        validity.suspect(format!(
            "{blocks} blocks an arm are too few for the intervals: give --duration more time"
        ));
    }
    validity
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

impl CostSummary {
    fn all(cost: &Cost) -> Vec<Self> {
        let one = |(quantile, estimate): &(f64, crate::statistics::Estimate)| Self {
            layer: cost.layer,
            given: cost.given.clone(),
            quantile: *quantile,
            ns: estimate.value,
            ci_ns: [estimate.low, estimate.high],
            blocks: cost.blocks,
        };
        cost.quantiles.iter().map(one).collect()
    }
}

#[cfg(test)]
impl Summary {
    /// Two rounds of made-up measurements, through the same code as real ones.
    pub(super) fn example() -> Self {
        use engine::{MILLISECOND, PhaseReport, Recording, StreamReport};
        use wire::{Class, Code, Failure, Outcome};

        use crate::arm::{ARMS, Block};

        let mut arms: Vec<Arm> = ARMS.iter().map(|kind| Arm::new(kind, Some("b".into()))).collect();
        for (index, arm) in arms.iter_mut().enumerate() {
            let us = [700, 650, 250, 200][index] * 1000;
            let mut connect = engine::histogram();
            connect.saturating_record(us * 10);
            arm.connect = Some(connect);
            for round in 0..2 {
                let mut recording = Recording::new(1);
                let mut failure = Failure::default();
                failure.set(Code::SqlState(*b"53300"), b"sorry, too many clients already");
                for number in 0..1000 {
                    let is_refused = index == 3 && number % 250 == 0;
                    let class = Outcome::Failed(Class::Capacity);
                    let outcome = if is_refused { class } else { Outcome::Ok };
                    let done = us + us * number / 500 + round * 1000;
                    recording.record(0, outcome, &failure, (0, 1000, done));
                }
                let report = PhaseReport {
                    streams: vec![StreamReport {
                        planned: 1000,
                        sent: 1000,
                        ..StreamReport::new(recording)
                    }],
                    start: 0,
                    end: 300 * MILLISECOND,
                    cpu_ns: 12_000_000,
                    spun_ns: 0,
                    is_interrupted: false,
                    is_aborted: false,
                };
                let cpu = vec![(arm.kind.target.to_string(), 50_000_000)];
                let backends = BTreeMap::from([("b".to_owned(), [9, 50, 9, 50][index])]);
                arm.push(Block::new(report, 300 * MILLISECOND, cpu));
                arm.saw(Some(&backends));
            }
        }
        let names = ["getUser"];
        Self {
            schema: 1,
            command: "layers",
            scenario: "nova".into(),
            started: 0.0,
            duration_ns: 3_000_000_000,
            phase_ns: 300 * MILLISECOND,
            seed: 1,
            generator: GeneratorSummary::example(),
            connections: 50,
            gaps: "poisson",
            servers: BTreeMap::from([
                ("pooler", "PgBouncer 1.18.0".into()),
                ("postgres", "15.18".into()),
            ]),
            validity: validity(&arms),
            before_after: before_after(&arms),
            costs: costs(&arms, 1).iter().flat_map(CostSummary::all).collect(),
            counts: Some(Counts { completed_through_pooler: 4000, pooler_queries: 4000 }),
            arms: arms.iter().map(|arm| ArmSummary::new(arm, &names)).collect(),
        }
    }
}
