//! Looking at the servers from outside, between blocks or once a second.

mod aside;
mod cgroup;
mod cpu;
mod cpu_meter;
mod family;
mod files;
mod login;
mod machine;
mod network;
mod observer;
pub(crate) mod pooler;
mod process;
mod prometheus;
mod server;
mod session;
mod sockets;
mod source;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod thread;
mod watch;

use std::io;

use thiserror::Error;

pub(crate) use aside::{Aside, Gaps};
pub(crate) use cpu::CpuSample;
pub(crate) use cpu_meter::CpuMeter;
pub(crate) use family::Family;
pub(crate) use login::Login;
pub(crate) use machine::{MachineSample, MachineUse};
pub(crate) use network::{Network, NetworkSample};
pub(crate) use observer::{Look, Observations, Observed, Observer};
pub(crate) use pooler::{
    ClientLimit, ClientTls, Counters, Figures, FullPool, PoolLook, Pooler, PoolerSample, Poolers,
    Pools, Totals, pool_mode,
};
pub(crate) use process::{ProcessSample, ProcessSource, ProcessUse};
pub(crate) use prometheus::Exposition;
pub(crate) use server::{Backends, Server, ServerSample};
pub(crate) use sockets::{Caller, RoundTrip, Sockets};
pub(crate) use source::{GENERATOR, Reading, Source, Subject};
pub(crate) use summary::ObserversSummary;
pub(crate) use table::Row;
pub(crate) use thread::ObserverThread;
pub(crate) use watch::Watch;

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
    #[error("processes.{name}: there is no process {place}")]
    NoProcess { name: String, place: String },
    #[error("{url}: {problem}")]
    Exposition { url: String, problem: String },
    #[error("what waits for answers can't be started: {0}")]
    Runtime(io::Error),
    #[error("the observers' thread can't be started")]
    NoThread,
    #[error("/proc/stat can't be read")]
    NoMachine,
}
