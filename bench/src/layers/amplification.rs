//! What becomes of a request on its way: queries, transactions and server connections.

use std::sync::Arc;

use engine::{Load, SECOND, Script, Stream, StreamReport};
use serde::Serialize;

use super::accounting::{Assignments, TRANSACTIONS};
use super::experiment::Experiment;
use crate::rig::RigError;

/// What one operation becomes in the pooler, sent alone through the gateway. What the pooler does
/// not count is null.
///
/// The comparison's blocks hold all operations in about the same proportions, so that a regression
/// on what was counted in them could hardly tell one operation from another. Each operation alone
/// needs no model: what was counted is its own.
#[derive(Debug, Serialize)]
pub(super) struct Amplification {
    pub(super) operation: String,
    pub(super) requests: u64,
    pub(super) queries_per_request: Option<f64>,
    pub(super) transactions_per_request: Option<f64>,
    pub(super) server_assignments_per_request: Option<f64>,
}

/// So many requests of each operation.
const REQUESTS: u64 = 40;
/// One after the other on so many connections.
const VUS: u32 = 4;

impl Experiment<'_> {
    /// Sends each operation alone through gateway and pooler; nothing where one of them is missing.
    pub(super) fn amplify(
        &mut self,
        assignments: Assignments,
    ) -> Result<Vec<Amplification>, RigError> {
        let arms = &self.rig.arms;
        let is_whole = |kind: &crate::arm::ArmKind| kind.has("gateway") && kind.has("pooler");
        let Some(arm) = arms.iter().position(|arm| is_whole(&arm.kind)) else {
            return Ok(Vec::new());
        };
        let scenario = self.scenario;
        let mut found = Vec::new();
        for (number, operation) in scenario.operations.iter().enumerate() {
            if operation.weight == 0 {
                continue;
            }
            let Some(before) = self.totals() else { continue };
            let load = Load::SharedIterations {
                vus: VUS.min(self.plan.connections),
                iterations: REQUESTS,
                max_duration_ns: SECOND,
            };
            let stream = self.rig.stream(arm, load, (0, 0), self.plan.block_seed(number as u64));
            let script = Script::Mix(Arc::new(scenario.mix_of(number)?));
            let report = self.rig.phase(vec![Stream { script, ..stream }])?;
            let requests = report.completed();
            let sent = report.streams.iter().map(StreamReport::queries).sum::<u64>();
            self.levels[0].arms[arm].completed += requests;
            self.levels[0].arms[arm].queries += sent;
            let totals = self.totals().and_then(|after| after.since(&before)).unwrap_or_default();
            let each =
                |count: Option<u64>| count.map(|count| count as f64 / requests.max(1) as f64);
            found.push(Amplification {
                operation: operation.name.clone(),
                requests,
                queries_per_request: each(totals.queries()),
                transactions_per_request: each(totals.get(TRANSACTIONS)),
                server_assignments_per_request: each(assignments.count(&totals)),
            });
        }
        Ok(found)
    }
}
