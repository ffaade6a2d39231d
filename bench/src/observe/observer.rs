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
        let rows = pooler.as_mut().map(|pooler| pooler.table("SHOW POOLS")).transpose()?;
        Ok(Self {
            pools: rows.map(|rows| Pools::new(&rows)),
            backends: server.as_mut().map(Server::backends).transpose()?,
        })
    }
}

/// Looks once a second, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Observer {
    stop: Sender<()>,
    looks: Receiver<Result<Observation, ObserveError>>,
    watched: Watched,
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

impl Observer {
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
        Self { stop, looks, watched: Watched::default() }
    }

    /// What was seen since this was last asked.
    pub(crate) fn hear(&mut self) -> &[Observation] {
        let heard = self.watched.observations.len();
        while let Ok(look) = self.looks.try_recv() {
            self.watched.take(look);
        }
        &self.watched.observations[heard..]
    }

    /// Ends it and gives all that it saw.
    pub(crate) fn finish(mut self) -> Watched {
        // Where the thread has ended already, its last look says why.
        let _ = self.stop.send(());
        loop {
            match self.looks.recv_timeout(PATIENCE) {
                Ok(look) => self.watched.take(look),
                Err(RecvTimeoutError::Disconnected) => return self.watched,
                Err(RecvTimeoutError::Timeout) => {
                    self.watched.error = Some(ObserveError::Silent);
                    return self.watched;
                }
            }
        }
    }
}

impl Watched {
    fn take(&mut self, look: Result<Observation, ObserveError>) {
        match look {
            Ok(observation) => self.observations.push(observation),
            Err(error) => self.error = Some(error),
        }
    }
}
