//! What becomes of a request on its way: queries, transactions and server connections.

use std::sync::Arc;

use engine::{Load, SECOND, Script, Stream, StreamReport};
use serde::Serialize;

use super::accounting::{Assignments, TRANSACTIONS};
use super::experiment::Experiment;
use crate::observe::Totals;
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
            let Some(before) = self.counters() else { continue };
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
            let totals = self.counters().and_then(|after| after.since(&before)).unwrap_or_default();
            found.push(Amplification::new(&operation.name, requests, &totals, assignments));
        }
        Ok(found)
    }
}

impl Amplification {
    /// What the pooler counted while so many requests got their outcome.
    fn new(operation: &str, requests: u64, counted: &Totals, assignments: Assignments) -> Self {
        let each = |count: Option<u64>| {
            count.filter(|_| requests > 0).map(|count| count as f64 / requests as f64)
        };
        Self {
            operation: operation.to_owned(),
            requests,
            queries_per_request: each(counted.queries()),
            transactions_per_request: each(counted.get(TRANSACTIONS)),
            server_assignments_per_request: each(assignments.count(counted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_of_each_request_and_of_none_where_there_was_none() {
        let counted = Totals::of(&[("query_count", 80), ("xact_count", 40)]);
        let of = |requests| {
            let assignments = Assignments::Transactions;
            let all = Amplification::new("getUser", requests, &counted, assignments);
            [
                all.queries_per_request,
                all.transactions_per_request,
                all.server_assignments_per_request,
            ]
        };
        assert_eq!(of(40), [Some(2.0), Some(1.0), Some(1.0)]);
        assert_eq!(of(0), [None; 3]);
    }
}
