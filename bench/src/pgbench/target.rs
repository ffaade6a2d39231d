//! A target before it is loaded: asked and vacuumed as pgbench does it, its scripts compiled.

use std::sync::Arc;

use engine::pgbench::{Workload, Xoroshiro};
use engine::{Nanos, Opening, SECOND};
use wire::Operation;

use super::tables::Tables;
use super::workload::{self, CommandLine, Compiled, Encoding};
use super::{Length, PgbenchError, Plan, PlannedTarget};
use crate::conninfo::Conninfo;
use crate::rig::RigError;

/// A request that takes longer has failed. pgbench waits for ever; a day is no limit to a load, and
/// one to a server that is gone without a word.
const TIMEOUT_NS: Nanos = 24 * 3600 * SECOND;

/// A target that can be loaded.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) conninfo: Conninfo,
    pub(super) tables: Tables,
    /// The lines of each script.
    pub(super) commands: Vec<Vec<CommandLine>>,
    pub(super) workload: Arc<Workload>,
    operations: Vec<Operation>,
}

impl Target {
    pub(super) fn prepare(
        plan: &Plan,
        target: &PlannedTarget,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, PgbenchError> {
        let conninfo = Conninfo::merged(&target.conninfo)?.reached()?;
        conninfo.warnings.iter().for_each(|line| say(line));
        if plan.is_debug {
            say(&plan.debug_line(&conninfo));
        }
        let tables = Tables::prepare(plan, &conninfo, say)?;
        let mut presets = plan.variables.clone();
        let mut preset = |name: &str, value: i64| {
            if !presets.iter().any(|(other, _)| other == name) {
                presets.push((name.into(), value.to_string()));
            }
        };
        preset("scale", tables.scale);
        if plan.targets.len() > 1 {
            // Each block draws for itself, and what scripts see of the seed stays the run's.
            let mut base = Xoroshiro::new(plan.seed);
            (0..plan.clients).for_each(|_| _ = base.draw());
            preset("default_seed", base.draw() as i64);
            preset("random_seed", plan.seed as i64);
        }
        let Compiled { workload, operations, commands } =
            workload::compile(&plan.scripts, plan.protocol, &presets, plan.clients)?;
        let workload = Workload {
            tries_max: plan.tries_max,
            is_timed: matches!(plan.length, Length::Duration(_)),
            latency_limit_ns: plan.latency_limit_ns,
            records_commands: plan.reports_commands,
            keeps_samples: plan.log.is_some(),
            ..workload
        };
        let (name, workload) = (target.name.clone(), Arc::new(workload));
        Ok(Self { name, conninfo, tables, commands, workload, operations })
    }

    /// As the engine opens it.
    pub(super) fn engine_target(&mut self, plan: &Plan) -> Result<engine::Target, PgbenchError> {
        let failed = |error: String| RigError::Target(error);
        let login = self.conninfo.login().map_err(|error| failed(error.to_string()))?;
        let is_other = plan.scripts.iter().any(|script| script.encoding != Encoding::Utf8);
        let login = if is_other { login.in_servers_encoding() } else { login };
        let opening = Opening::Postgres(Arc::new(login));
        let opening = match self.conninfo.tls()? {
            Some(config) => Opening::Secured(config, Box::new(opening)),
            None => opening,
        };
        Ok(engine::Target {
            name: self.name.clone(),
            address: self.conninfo.address()?,
            opening,
            operations: std::mem::take(&mut self.operations).into(),
            connections: plan.clients,
            connections_max: plan.clients,
            opening_at_once: 1,
            timeout_ns: TIMEOUT_NS,
        })
    }
}

#[cfg(test)]
impl Target {
    /// One that nobody asked anything.
    pub(super) fn example(plan: &Plan, target: &PlannedTarget) -> Self {
        let Compiled { workload, operations, commands } =
            workload::compile(&plan.scripts, plan.protocol, &[], plan.clients).unwrap();
        Self {
            name: target.name.clone(),
            conninfo: Conninfo::merged(&target.conninfo).unwrap(),
            tables: Tables { scale: 1, partitions: None },
            commands,
            workload: Arc::new(Workload { records_commands: true, ..workload }),
            operations,
        }
    }
}
