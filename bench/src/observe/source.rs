//! What is looked at, and what it shows.

use std::collections::BTreeMap;

use engine::Nanos;

use super::machine::MachineSample;
use super::pooler::PoolerSource;
use super::process::ProcessSource;
use super::prometheus::PrometheusSource;
use super::server::ServerSource;
use super::{Exposition, ObserveError, PoolerSample, ProcessSample, ServerSample};
use crate::scenario::Scenario;

/// One thing to look at, called by a name: a target's, or its own.
pub(crate) struct Source {
    pub(super) name: String,
    kind: Kind,
}

enum Kind {
    Pooler(Box<PoolerSource>),
    Server(Box<ServerSource>),
    Process(ProcessSource),
    Machine,
    Prometheus(PrometheusSource),
}

/// What one of them showed at one instant.
#[derive(Debug, Clone)]
pub(crate) enum Reading {
    Pooler(PoolerSample),
    Server(ServerSample),
    Process(ProcessSample),
    Machine(MachineSample),
    Exposition(Exposition),
}

impl Reading {
    /// Postgres' backends by application_name, if it is about those.
    pub(crate) fn backends(&self) -> Option<&BTreeMap<String, u64>> {
        match self {
            Self::Server(server) => Some(&server.backends),
            _ => None,
        }
    }
}

/// What a source is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Pooler,
    Server,
    Process,
    Machine,
    Exposition,
}

/// The name of this process's own figures.
pub(crate) const GENERATOR: &str = "generator";
const MACHINE: &str = "machine";

impl Source {
    /// Everything that a scenario names, and this machine with us on it. Nothing is opened yet.
    pub(crate) fn all(scenario: &Scenario) -> Result<Vec<Self>, ObserveError> {
        let mut all = Vec::new();
        for (name, target) in &scenario.targets {
            if !target.consoles.is_empty() {
                let pooler = PoolerSource::new(&target.consoles)?;
                all.push(Self { name: name.clone(), kind: Kind::Pooler(Box::new(pooler)) });
            }
        }
        if let Some(target) = scenario.targets.get("postgres")
            && let Some(conninfo) = target.observer.as_ref().or(target.conninfo.as_ref())
        {
            let server = ServerSource::new(conninfo)?;
            all.push(Self { name: "postgres".into(), kind: Kind::Server(Box::new(server)) });
        }
        let own = (GENERATOR.to_owned(), vec![std::process::id().to_string()]);
        for (name, places) in scenario.processes.iter().chain([(&own.0, &own.1)]) {
            let process = ProcessSource::new(name, places);
            all.push(Self { name: name.clone(), kind: Kind::Process(process) });
        }
        all.push(Self { name: MACHINE.into(), kind: Kind::Machine });
        for url in &scenario.observe.prometheus {
            let prometheus = PrometheusSource::new(url)?;
            all.push(Self { name: url.clone(), kind: Kind::Prometheus(prometheus) });
        }
        Ok(all)
    }

    pub(super) fn subject(&self) -> Subject {
        match &self.kind {
            Kind::Pooler(_) => Subject::Pooler,
            Kind::Server(_) => Subject::Server,
            Kind::Process(_) => Subject::Process,
            Kind::Machine => Subject::Machine,
            Kind::Prometheus(_) => Subject::Exposition,
        }
    }

    /// Looks once; with the CPU time that this took on other threads, in ns.
    pub(super) async fn look(&mut self) -> (Result<Reading, ObserveError>, Nanos) {
        let reading = match &mut self.kind {
            Kind::Pooler(pooler) => pooler.look().await.map(Reading::Pooler),
            Kind::Server(server) => server.look().await.map(Reading::Server),
            Kind::Process(process) => process.look().map(Reading::Process),
            Kind::Machine => MachineSample::read().map(Reading::Machine),
            Kind::Prometheus(prometheus) => {
                let (exposition, cpu_ns) = prometheus.look().await;
                return (exposition.map(Reading::Exposition), cpu_ns);
            }
        };
        (reading, 0)
    }

    /// What is to be known of its figures, once it was looked at.
    pub(super) fn note(&self) -> Option<String> {
        match &self.kind {
            Kind::Pooler(pooler) if pooler.is_one_of_several() => Some(format!(
                "{}: so_reuseport is on, and its console shows one process of several: list the \
                 socket of each in `console`",
                self.name
            )),
            Kind::Prometheus(prometheus) => prometheus.note(),
            _ => None,
        }
    }

    /// What it says its version is, once it was looked at.
    pub(super) fn version(&self) -> Option<&str> {
        match &self.kind {
            Kind::Pooler(pooler) => pooler.version(),
            Kind::Server(server) => server.version(),
            Kind::Process(_) | Kind::Machine | Kind::Prometheus(_) => None,
        }
    }
}
