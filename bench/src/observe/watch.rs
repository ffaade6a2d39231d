//! The pooler and the server, looked at once a second while a load runs.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{ObserveError, Pooler, Pools, Server};

/// What was seen at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    pub(crate) pools: Option<Pools>,
    /// Postgres' backends, by application_name.
    pub(crate) backends: Option<BTreeMap<String, u64>>,
}

impl Observation {
    fn make(
        pooler: &mut Option<Pooler>,
        server: &mut Option<Server>,
    ) -> Result<Self, ObserveError> {
        Ok(Self {
            pools: pooler.as_mut().map(Pooler::pools).transpose()?,
            backends: server.as_mut().map(Server::backends).transpose()?,
        })
    }
}

/// Looks once a second, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<Watched>,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) observations: Vec<Observation>,
    /// Why it ended early, if it did.
    pub(crate) error: Option<ObserveError>,
}

const INTERVAL: Duration = Duration::from_secs(1);

impl Watch {
    /// Begins; the first look is at once.
    pub(crate) fn start(mut pooler: Option<Pooler>, mut server: Option<Server>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let started = Instant::now();
            let mut watched = Watched::default();
            loop {
                match Observation::make(&mut pooler, &mut server) {
                    Ok(observation) => watched.observations.push(observation),
                    Err(error) => return Watched { error: Some(error), ..watched },
                }
                let next = INTERVAL * watched.observations.len() as u32;
                let wait = next.saturating_sub(started.elapsed());
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return watched;
                }
            }
        });
        Self { stop, thread }
    }

    /// Ends it and gives what it saw.
    pub(crate) fn finish(self) -> Watched {
        // Where the thread has ended already, its result says why.
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
