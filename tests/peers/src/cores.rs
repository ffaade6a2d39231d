//! One core for the servers, another for the client under measurement.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// The two cores.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

impl Cores {
    /// The first and the last that we may use: where cores are two threads each, these are not of
    /// the same core. `None` where there is only one.
    pub(crate) fn choose() -> io::Result<Option<Self>> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let server = cores.next();
        let client = cores.next_back();
        Ok(server.zip(client).map(|(server, client)| Self { server, client }))
    }

    /// Puts this thread, and whatever it starts from now on, on the servers' core.
    pub(crate) fn to_server(self) -> io::Result<()> {
        pin(self.server)
    }

    /// Puts this thread, and whatever it starts from now on, on the client's core.
    pub(crate) fn to_client(self) -> io::Result<()> {
        pin(self.client)
    }
}

fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
