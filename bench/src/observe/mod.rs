//! Looking at the servers from outside, between blocks or once a second.

mod cpu;
mod login;
mod network;
mod observer;
mod pooler;
mod pools;
mod server;

use thiserror::Error;

pub(crate) use cpu::CpuSample;
pub(crate) use network::{Network, NetworkSample};
pub(crate) use observer::{Observation, Observer, Watched};
pub(crate) use pooler::{Pooler, Row, pool_mode};
pub(crate) use pools::Pools;
pub(crate) use server::Server;

use crate::conninfo::ConninfoError;
use crate::scenario::Scenario;

/// An observer that cannot do its work. Each names what it looks at and what to do.
#[derive(Debug, Error)]
pub(crate) enum ObserveError {
    #[error("{what} at {place} does not answer: {problem}; {remedy}")]
    Connect { what: &'static str, place: String, problem: String, remedy: &'static str },
    #[error("{what} at {place}: {problem}")]
    Query { what: &'static str, place: String, problem: String },
    #[error("{what}: {error}")]
    Conninfo { what: &'static str, error: ConninfoError },
    #[error("the pooler's console or Postgres' observer stopped answering")]
    Silent,
    #[error("processes.{target}: there is no process {pid}")]
    Process { target: String, pid: u32 },
}

/// Opens what the scenario gives to look through: the pooler's console and Postgres.
pub(crate) fn connect(
    scenario: &Scenario,
) -> Result<(Option<Pooler>, Option<Server>), ObserveError> {
    let console = scenario.targets.values().find_map(|target| target.console.as_deref());
    let postgres = scenario.targets.get("postgres");
    let observer =
        postgres.and_then(|target| target.observer.as_deref().or(target.conninfo.as_deref()));
    Ok((console.map(Pooler::connect).transpose()?, observer.map(Server::connect).transpose()?))
}
