//! What is looked at, and what it shows.

use std::sync::Arc;

use engine::Nanos;

use super::machine::MachineSample;
use super::pooler::PoolerSource;
use super::process::ProcessSource;
use super::prometheus::PrometheusSource;
use super::server::ServerSource;
use super::{Backends, Exposition, ObserveError, PoolerSample, ProcessSample, Row, ServerSample};
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
    /// Whether what is counted there began anew since an earlier one: after a restart, or a reset of
    /// its statistics.
    pub(crate) fn has_begun_anew(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Pooler(now), Self::Pooler(then)) => {
                let both = now.counters.as_ref().zip(then.counters.as_ref());
                both.is_some_and(|(now, then)| now.since(then).is_none())
            }
            (Self::Server(now), Self::Server(then)) => now.counters.has_begun_anew(&then.counters),
            (Self::Exposition(now), Self::Exposition(then)) => now.has_begun_anew(then),
            (Self::Process(now), Self::Process(then)) => now.has_begun_anew(then),
            _ => false,
        }
    }

    /// Postgres' backends, if it is about those.
    pub(crate) fn backends(&self) -> Option<&Backends> {
        match self {
            Self::Server(server) => Some(&server.backends),
            _ => None,
        }
    }
}

/// What a source says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) version: Option<String>,
    /// By name.
    pub(crate) settings: Option<Arc<Row>>,
    /// What is to be known of its figures.
    pub(crate) notes: Vec<String>,
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
                all.push(Self::pooler(name, &target.consoles)?);
            }
        }
        if let Some(target) = scenario.targets.get("postgres")
            && let Some(conninfo) = target.observer.as_ref().or(target.conninfo.as_ref())
        {
            let server = ServerSource::new(conninfo)?;
            all.push(Self { name: "postgres".into(), kind: Kind::Server(Box::new(server)) });
        }
        for (name, places) in &scenario.processes {
            let process = ProcessSource::new(name, places);
            all.push(Self { name: name.clone(), kind: Kind::Process(process) });
        }
        let own = ProcessSource::ourselves(GENERATOR);
        all.push(Self { name: GENERATOR.into(), kind: Kind::Process(own) });
        all.push(Self { name: MACHINE.into(), kind: Kind::Machine });
        for url in &scenario.observe.prometheus {
            let prometheus = PrometheusSource::new(url)?;
            all.push(Self { name: url.clone(), kind: Kind::Prometheus(prometheus) });
        }
        Ok(all)
    }

    /// A pooler by the connection strings of its console, one for each of its processes.
    pub(crate) fn pooler(name: &str, consoles: &[String]) -> Result<Self, ObserveError> {
        let pooler = PoolerSource::new(consoles)?;
        Ok(Self { name: name.into(), kind: Kind::Pooler(Box::new(pooler)) })
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

    /// What it says of itself, once it was looked at.
    pub(super) fn about(&self) -> About {
        match &self.kind {
            Kind::Pooler(pooler) => About {
                version: pooler.version().map(str::to_owned),
                settings: pooler.settings(),
                notes: pooler.notes(),
            },
            Kind::Server(server) => About {
                version: server.version().map(str::to_owned),
                notes: server.note().into_iter().collect(),
                ..About::default()
            },
            Kind::Prometheus(prometheus) => {
                About { notes: prometheus.note().into_iter().collect(), ..About::default() }
            }
            Kind::Process(_) | Kind::Machine => About::default(),
        }
    }
}
