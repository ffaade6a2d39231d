//! The nova scenario on a private stack.

use std::sync::OnceLock;

use crate::scenario::{Scenario, ScenarioError};
use crate::stack::{self, StackInfo};

const TEXT: &str = include_str!("../../scenarios/nova/nova.toml");

/// Clients of one pool all call themselves the same: else PgBouncer sends a SET at each hand-over,
/// and its cost would be counted as the pool's.
const POOLED_NAME: &str = "nova";
const DIRECT_NAME: &str = "poolbench";

/// The nova scenario on the stack.
pub(crate) fn scenario(info: &StackInfo) -> Result<Scenario, ScenarioError> {
    read(info, "nova.toml", TEXT)
}

/// A scenario with the stack's addresses and logins filled in.
pub(crate) fn read(info: &StackInfo, name: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let mut scenario = Scenario::parse(name, text, &|name| variable(info, name))?;
    if !info.more_poolers.is_empty() {
        // What one of several processes counts and costs is not the pooler's.
        let all = std::iter::once(&info.pgbouncer).chain(&info.more_poolers);
        let pids = all.map(|server| server.pid.to_string()).collect();
        scenario.processes.insert("pooler".into(), pids);
        if let Some(pooler) = scenario.targets.get_mut("pooler") {
            pooler.consoles = info.consoles();
        }
    }
    Ok(scenario)
}

/// `value`, or where there is none, what `${NAME}` of the nova scenario is on the stack that is up:
/// its files run there without further ado.
pub(crate) fn or_stack(value: Option<String>, name: &str) -> Option<String> {
    static STACK: OnceLock<Option<StackInfo>> = OnceLock::new();
    if value.is_some() || !name.starts_with("NOVA_") {
        return value;
    }
    variable(STACK.get_or_init(|| stack::attach().ok().flatten()).as_ref()?, name)
}

fn variable(info: &StackInfo, name: &str) -> Option<String> {
    Some(match name {
        "NOVA_GATEWAY" => info.gateway_pooled_url(),
        "NOVA_GATEWAY_DIRECT" => info.gateway_direct_url(),
        "NOVA_POOLER" => info.pooler_conninfo(POOLED_NAME).with_password(),
        "NOVA_POSTGRES" => info.postgres_conninfo(DIRECT_NAME).with_password(),
        "NOVA_CONSOLE" => info.console_conninfo().with_password(),
        "NOVA_OBSERVER" => info.observer_conninfo().with_password(),
        "NOVA_GATEWAY_METRICS" => info.gateway_pooled_metrics(),
        "NOVA_GATEWAY_PID" => info.gateway_pooled.pid.to_string(),
        "NOVA_GATEWAY_DIRECT_PID" => info.gateway_direct.pid.to_string(),
        "NOVA_POOLER_PID" => info.pgbouncer.pid.to_string(),
        "NOVA_POSTGRES_PID" => info.postgres.pid.to_string(),
        _ => return None,
    })
}
