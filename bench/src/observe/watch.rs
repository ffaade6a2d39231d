//! The pooler and the server, looked at once a second while a load runs.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
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
    looks: Receiver<Result<Observation, ObserveError>>,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) observations: Vec<Observation>,
    /// Why it ended early, if it did.
    pub(crate) error: Option<ObserveError>,
}

const INTERVAL: Duration = Duration::from_secs(1);
/// A look that takes longer after the end is not waited for: the server may have stopped for good.
const PATIENCE: Duration = Duration::from_secs(2);

impl Watch {
    /// Begins; the first look is at once.
    pub(crate) fn start(mut pooler: Option<Pooler>, mut server: Option<Server>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let (sender, looks) = mpsc::channel();
        thread::spawn(move || {
            let started = Instant::now();
            for number in 1.. {
                let look = Observation::make(&mut pooler, &mut server);
                let is_last = look.is_err();
                let wait = (INTERVAL * number).saturating_sub(started.elapsed());
                if sender.send(look).is_err()
                    || is_last
                    || stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
                {
                    return;
                }
            }
        });
        Self { stop, looks }
    }

    /// Ends it and gives what it saw.
    pub(crate) fn finish(self) -> Watched {
        // Where the thread has ended already, its last look says why.
        let _ = self.stop.send(());
        let mut watched = Watched::default();
        loop {
            match self.looks.recv_timeout(PATIENCE) {
                Ok(Ok(observation)) => watched.observations.push(observation),
                Ok(Err(error)) => watched.error = Some(error),
                Err(RecvTimeoutError::Disconnected) => return watched,
                Err(RecvTimeoutError::Timeout) => {
                    watched.error = Some(ObserveError::Silent);
                    return watched;
                }
            }
        }
    }
}
