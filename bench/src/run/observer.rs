//! The servers, looked at once a second while a run goes on.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::arm::ArmKind;
use crate::metric::{Gauges, Metric};
use crate::observe::{ObserveError, Pooler, Server};
use crate::rig::RigError;
use crate::scenario::Scenario;

/// Looks at the pooler's console and at Postgres, as far as the scenario says where they are.
pub(super) struct Observer {
    /// Begins, and ends when it is dropped.
    begin: Sender<()>,
    thread: JoinHandle<(Gauges, Option<ObserveError>)>,
}

const EVERY: Duration = Duration::from_secs(1);

/// What it looks at.
struct Eyes {
    pooler: Option<Pooler>,
    server: Option<Server>,
    /// The application_name of the backends that count; all of them where it is not known.
    backends: Option<String>,
    gauges: Gauges,
}

impl Observer {
    /// Connects to what a load on `kind` goes through.
    pub(super) fn start(scenario: &Scenario, kind: &ArmKind) -> Result<Self, RigError> {
        // Of a way that is not known no layer is known.
        let is_pooled = kind.layers.is_empty() || kind.has("pooler");
        let console = scenario.targets.values().find_map(|target| target.console.as_deref());
        let pooler = console.filter(|_| is_pooled).map(Pooler::connect).transpose()?;
        let postgres = scenario.targets.get("postgres");
        let observer =
            postgres.and_then(|target| target.observer.as_deref().or(target.conninfo.as_deref()));
        let server = observer.map(Server::connect).transpose()?;
        let backends = scenario.target(&kind.target)?.backends.clone();
        let eyes = Eyes { pooler, server, backends, gauges: Gauges::default() };
        let (begin, orders) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut eyes = eyes;
            // The first order begins it, the end of orders ends it.
            let mut fault = None;
            let mut next = orders.recv().map_err(|_| RecvTimeoutError::Disconnected);
            while fault.is_none() && next != Err(RecvTimeoutError::Disconnected) {
                fault = eyes.look().err();
                next = orders.recv_timeout(EVERY);
            }
            (eyes.gauges, fault)
        });
        Ok(Self { begin, thread })
    }

    /// From now on it looks.
    pub(super) fn begin(&self) {
        // A thread that is gone says why at the end.
        let _ = self.begin.send(());
    }

    /// What was seen, and why it was not seen to the end.
    pub(super) fn end(self) -> (Gauges, Option<ObserveError>) {
        drop(self.begin);
        self.thread.join().unwrap_or_default()
    }
}

impl Eyes {
    fn look(&mut self) -> Result<(), ObserveError> {
        if let Some(pools) = self.pooler.as_mut().map(Pooler::pools).transpose()? {
            let clients = pools.cl_active + pools.cl_waiting;
            self.gauges.push(Metric::ClWaiting, pools.cl_waiting as f64);
            self.gauges.push(Metric::ClActive, pools.cl_active as f64);
            self.gauges.push(Metric::SvActive, pools.sv_active as f64);
            if pools.servers > 0 {
                let ratio = clients as f64 / pools.servers as f64;
                self.gauges.push(Metric::MultiplexingRatio, ratio);
            }
        }
        if let Some(backends) = self.server.as_mut().map(Server::backends).transpose()? {
            let count: u64 = match &self.backends {
                Some(name) => backends.get(name).copied().unwrap_or_default(),
                None => backends.values().sum(),
            };
            self.gauges.push(Metric::BackendConnections, count as f64);
        }
        Ok(())
    }
}
