//! The servers that are asked between blocks: what the pooler has counted, and Postgres' backends.

use std::collections::BTreeMap;

use core_affinity::CoreId;
use engine::Nanos;
use engine::driver::Clock;

use super::schedule::WATCH_INTERVAL;
use crate::arm::ArmKind;
use crate::observe::{Aside, Backends, Counters, ObserveError, PoolLook, Poolers, Server, Watch};
use crate::scenario::Scenario;

/// Their connections. What one of them does not answer is missing, and disturbs nothing.
pub(super) struct Beside {
    /// If all of its processes can be asked.
    pooler: Option<Aside<Poolers>>,
    server: Option<Aside<Server>>,
    clock: Clock,
    /// As they say them.
    pub(super) versions: BTreeMap<&'static str, String>,
}

impl Beside {
    /// Opens what the scenario gives to look through. Its threads keep off the cores of `workers`.
    pub(super) fn open(
        scenario: &Scenario,
        clock: Clock,
        workers: &[CoreId],
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, ObserveError> {
        let mut beside = Self { pooler: None, server: None, clock, versions: BTreeMap::new() };
        // All arms with a pooler go through one.
        let mut ways = ["pooler", "gateway"].map(ArmKind::of).into_iter();
        if let Some(consoles) = ways.find_map(|kind| Poolers::consoles(scenario, &kind)) {
            let consoles = consoles.to_vec();
            let mut poolers = Poolers::open(&consoles)?;
            beside.versions.insert("pooler", poolers.version()?);
            if poolers.is_one_of_several()? {
                say("so_reuseport is on, and the console shows one pooler process of several: \
                     nothing is counted there (list the socket of each in `console`)");
            } else {
                beside.pooler = Some(Aside::of(consoles, Some(poolers), workers));
            }
        }
        if let Some(target) = scenario.targets.get("postgres")
            && let Some(conninfo) = target.observer.clone().or(target.conninfo.clone())
        {
            let mut server = Server::connect(&conninfo)?;
            beside.versions.insert("postgres", server.version()?);
            let open = move || Server::connect(&conninfo);
            let what = "the observer's connection to Postgres";
            beside.server = Some(Aside::start(what, Some(server), open, workers));
        }
        Ok(beside)
    }

    /// Whether there is a console of the whole pooler.
    pub(super) fn has_pooler(&self) -> bool {
        self.pooler.is_some()
    }

    /// What the pooler has counted.
    pub(super) fn counters(&mut self) -> Option<Counters> {
        self.pooler.as_mut()?.ask(Poolers::counters)
    }

    /// Whether each transaction has a server connection assigned to it, in all pools.
    pub(super) fn assigns_by_transaction(&mut self) -> Option<bool> {
        self.pooler.as_mut()?.ask(Poolers::assign_by_transaction)
    }

    /// Backends of clients, by application_name.
    pub(super) fn backends(&mut self) -> Option<Backends> {
        self.server.as_mut()?.ask(Server::backends)
    }

    /// Watches the pooler's connections from now on.
    pub(super) fn watch(&mut self) -> Option<Watch<PoolLook>> {
        let clock = self.clock;
        self.pooler.as_mut()?.watch_pools(WATCH_INTERVAL, clock)
    }

    /// What was seen there.
    pub(super) fn seen(&mut self, watch: Option<Watch<PoolLook>>) -> Vec<PoolLook> {
        let pooler = self.pooler.as_mut().zip(watch);
        pooler.map(|(pooler, watch)| pooler.seen(watch)).unwrap_or_default()
    }

    /// CPU time of all of it so far, in ns.
    pub(super) fn cpu_ns(&self) -> Nanos {
        let pooler = self.pooler.as_ref().map_or(0, Aside::cpu_ns);
        pooler + self.server.as_ref().map_or(0, Aside::cpu_ns)
    }

    /// What is missing, in a sentence for each of them.
    pub(super) fn gaps(&self) -> Vec<String> {
        let pooler = self.pooler.as_ref().map(|pooler| &pooler.gaps);
        let server = self.server.as_ref().map(|server| &server.gaps);
        let gaps = [pooler, server].into_iter().flatten();
        gaps.filter_map(|gaps| gaps.told("beside the blocks")).collect()
    }
}
