//! Looking at the servers from outside, between blocks.

mod cpu;
mod login;
mod pooler;
mod server;

use thiserror::Error;

pub(crate) use cpu::CpuSample;
pub(crate) use pooler::{Pooler, Row};
pub(crate) use server::Server;

use crate::conninfo::ConninfoError;

/// An observer that cannot do its work. Each names what it looks at and what to do.
#[derive(Debug, Error)]
pub(crate) enum ObserveError {
    #[error("{what} at {place} does not answer: {problem}; {remedy}")]
    Connect { what: &'static str, place: String, problem: String, remedy: &'static str },
    #[error("{what} at {place}: {problem}")]
    Query { what: &'static str, place: String, problem: String },
    #[error("{what}: {error}")]
    Conninfo { what: &'static str, error: ConninfoError },
    #[error("processes.{target}: there is no process {pid}")]
    Process { target: String, pid: u32 },
}
