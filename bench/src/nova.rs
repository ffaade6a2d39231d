//! The nova scenario on a private stack.

use crate::scenario::{Scenario, ScenarioError};
use crate::stack::StackInfo;

const TEXT: &str = include_str!("../../scenarios/nova/nova.toml");

/// Clients of one pool all call themselves the same: else PgBouncer sends a SET at each hand-over,
/// and its cost would be counted as the pool's.
const POOLED_NAME: &str = "nova";
const DIRECT_NAME: &str = "poolbench";

/// The scenario with the stack's addresses and logins filled in.
pub(crate) fn scenario(info: &StackInfo) -> Result<Scenario, ScenarioError> {
    Scenario::parse("nova.toml", TEXT, &|name| variable(info, name))
}

fn variable(info: &StackInfo, name: &str) -> Option<String> {
    Some(match name {
        "NOVA_GATEWAY" => info.gateway_pooled_url(),
        "NOVA_GATEWAY_DIRECT" => info.gateway_direct_url(),
        "NOVA_POOLER" => info.pooler_conninfo(POOLED_NAME).with_password(),
        "NOVA_POSTGRES" => info.postgres_conninfo(DIRECT_NAME).with_password(),
        "NOVA_CONSOLE" => info.console_conninfo().with_password(),
        "NOVA_OBSERVER" => info.observer_conninfo().with_password(),
        "NOVA_GATEWAY_PID" => info.gateway_pooled.pid.to_string(),
        "NOVA_GATEWAY_DIRECT_PID" => info.gateway_direct.pid.to_string(),
        "NOVA_POOLER_PID" => info.pgbouncer.pid.to_string(),
        "NOVA_POSTGRES_PID" => info.postgres.pid.to_string(),
        _ => return None,
    })
}
