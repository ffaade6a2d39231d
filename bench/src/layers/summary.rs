//! The comparison as it is written to summary.json: everything that the table shows.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::Nanos;
use serde::Serialize;

use super::Experiment;
use super::cost::{Cost, costs};
use crate::arm::{Arm, ArmSummary, Quantiles};
use crate::observe::{Pooler, Server};
use crate::rig::RigError;
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
    pub(super) driver: &'static str,
    pub(super) workers: usize,
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
        let completed_through_pooler = through_pooler.map(|arm| arm.completed).sum();
        let counts = pooler_queries
            .map(|pooler_queries| Counts { completed_through_pooler, pooler_queries });
        let costs = costs(&self.rig.arms, self.plan.seed);
        Ok(Summary {
            schema: 1,
            command: "layers",
            scenario: self.scenario.name.clone(),
            started: started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            duration_ns,
            phase_ns: self.plan.block_ns,
            seed: self.plan.seed,
            driver: "uring",
            workers: self.rig.workers,
            connections: self.plan.connections,
            gaps: match self.plan.gaps {
                engine::Gaps::Uniform => "uniform",
                engine::Gaps::Poisson => "poisson",
            },
            servers,
            validity: self.validity(),
            before_after: self.before_after(),
            arms,
            costs: costs.iter().flat_map(CostSummary::all).collect(),
            counts,
        })
    }

    fn validity(&self) -> Validity {
        let mut validity = Validity::default();
        for arm in &self.rig.arms {
            validity.judge(arm);
            if arm.blocks.len() < validity::BLOCKS_MIN {
                validity.suspect(format!(
                    "{}: {} blocks are too few for its intervals: give --duration more time",
                    arm.kind.name,
                    arm.blocks.len()
                ));
            }
        }
        validity
    }

    fn before_after(&self) -> Option<BeforeAfter> {
        let arm = |name: &str| self.rig.arms.iter().find(|arm| arm.kind.name == name);
        let arms = [arm("gateway+direct")?, arm("gateway+pooler")?];
        let connect = |name| {
            let histogram = arm(name)?.connect.as_ref().filter(|connect| !connect.is_empty())?;
            Some(Quantiles::new(histogram).p95)
        };
        Some(BeforeAfter {
            backend_connections: arms.map(|arm| arm.backends().map(|(mean, _)| mean)),
            connection_latency_p95_ns: [connect("direct"), connect("pooler")],
            throughput: arms.map(Arm::rate),
            postgres_cpu_ns_per_request: arms.map(|arm| arm.cpu_ns_per_request("postgres")),
            connection_errors: arms.map(Arm::connection_errors),
        })
    }
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
