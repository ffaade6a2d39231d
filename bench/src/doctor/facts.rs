//! What the findings are made of: everything that was seen outside. `None` is unknown, and nothing
//! is ever found in what is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::Serialize;

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) now: SystemTime,
    pub(crate) machine: Machine,
    /// By the target's name.
    pub(crate) targets: BTreeMap<String, TargetFacts>,
    /// The token that the scenario gives; one from a login is not asked for.
    pub(crate) token: Option<Token>,
    /// What the generator can do here, if it was measured.
    pub(crate) ceiling: Option<Ceiling>,
}

/// Requests a second of the generator on servers that do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Ceiling {
    /// Worker threads.
    pub(crate) workers: usize,
    /// GraphQL over HTTP.
    pub(crate) http: f64,
    /// Prepared statements over the Postgres protocol.
    pub(crate) postgres: f64,
}

impl Ceiling {
    pub(crate) fn workers_named(&self) -> String {
        match self.workers {
            1 => "1 worker".into(),
            workers => format!("{workers} workers"),
        }
    }
}

impl Facts {
    /// Nothing is known.
    pub(crate) fn unknown(now: SystemTime) -> Self {
        Self {
            now,
            machine: Machine::default(),
            targets: BTreeMap::new(),
            token: None,
            ceiling: None,
        }
    }

    /// The pooler, if exactly one has a console that answered, with its target's name.
    pub(crate) fn pooler(&self) -> Option<(&str, &PoolerFacts)> {
        only(self.targets.iter().filter_map(|(name, target)| {
            Some((name.as_str(), target.pooler.as_ref()?.as_ref().ok()?))
        }))
    }

    /// Postgres, if exactly one answered, with its target's name.
    pub(crate) fn server(&self) -> Option<(&str, &ServerFacts)> {
        only(self.targets.iter().filter_map(|(name, target)| {
            Some((name.as_str(), target.server.as_ref()?.as_ref().ok()?))
        }))
    }
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// This machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    /// Cores that this process may use, within its cgroup's quota.
    pub(crate) cores: Option<usize>,
    /// Workers that were asked for.
    pub(crate) workers: Option<usize>,
    /// The core of each worker.
    pub(crate) worker_cores: Vec<u32>,
    /// Files that a process may open at most, RLIMIT_NOFILE's hard limit: the engine raises the soft
    /// one to it.
    pub(crate) open_files_max: Option<u64>,
    /// Sockets and files that this process has open before it opens any connection.
    pub(crate) files_in_use: Option<u64>,
    pub(crate) clock_source: Option<String>,
    /// The CPU frequency governors, with how many cores have each; empty where there are none, as
    /// in most virtual machines.
    pub(crate) governors: Option<BTreeMap<String, usize>>,
    /// Whether a ring could be made, and if not, why.
    pub(crate) ring: Option<Result<(), String>>,
    /// The sysctl kernel.io_uring_disabled.
    pub(crate) io_uring_disabled: Option<u32>,
    /// The sysctl net.core.somaxconn.
    pub(crate) somaxconn: Option<u32>,
}

/// One target.
#[derive(Debug, Clone, Default)]
pub(crate) struct TargetFacts {
    /// Where it listens, for people.
    pub(crate) place: String,
    /// Whether its port accepts a connection, and if not, why.
    pub(crate) reached: Option<Result<(), String>>,
    /// What listens there, where that is on this machine.
    pub(crate) listener: Option<Process>,
    /// Its console's answers, or why there are none; `None` where it has no console.
    pub(crate) pooler: Option<Result<PoolerFacts, String>>,
    /// Postgres' answers, or why there are none; `None` where it is a pooler or a gateway.
    pub(crate) server: Option<Result<ServerFacts, String>>,
    /// How many consoles it has: one for each process behind its port.
    pub(crate) consoles: usize,
    /// What the load will call itself there.
    pub(crate) application_name: Option<String>,
    /// Whether its clients' sessions are their own, or why that could not be tried; `None` where
    /// it was not asked for.
    pub(crate) isolation: Option<Result<Isolation, String>>,
}

/// Whether the sessions of a server's clients are their own.
#[derive(Debug, Clone)]
pub(crate) struct Isolation {
    pub(crate) states: Vec<StateFacts>,
}

/// One kind of state that a session can have.
#[derive(Debug, Clone)]
pub(crate) struct StateFacts {
    pub(crate) what: &'static str,
    /// Whether another client found what one had left.
    pub(crate) is_broken: bool,
    /// Whether another client had the same server connection.
    pub(crate) is_shared: bool,
    /// Why it could not be tried.
    pub(crate) problem: Option<String>,
}

/// A process on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Its program's name, without a path.
    pub(crate) program: String,
    /// The arguments after it.
    pub(crate) arguments: Vec<String>,
    /// The cores that it may run on.
    pub(crate) cores: Option<Vec<u32>>,
}

/// A pooler.
#[derive(Debug, Clone, Default)]
pub(crate) struct PoolerFacts {
    /// SHOW CONFIG.
    pub(crate) settings: BTreeMap<String, String>,
    /// Server connections that the target's pool may have.
    pub(crate) pool_size: Option<u64>,
    /// What it may have beyond them, for clients that wait for long.
    pub(crate) reserve: Option<u64>,
    /// As in `transaction`.
    pub(crate) pool_mode: Option<String>,
    /// Clients of the target's database that are there already.
    pub(crate) clients: Option<u64>,
    /// Clients of all databases but its own console.
    pub(crate) clients_in_all: Option<u64>,
    /// What the clients of the target's database call themselves.
    pub(crate) application_names: Option<BTreeSet<String>>,
}

impl PoolerFacts {
    /// A setting, where the version has it.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// A setting that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.setting(name)?.parse().ok()
    }
}

/// A Postgres.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerFacts {
    /// pg_settings.
    pub(crate) settings: BTreeMap<String, String>,
    /// Backends of clients by application_name: how many there are, and how many of them use TLS.
    pub(crate) backends: Option<BTreeMap<String, (u64, u64)>>,
}

impl ServerFacts {
    /// A setting, where the version has it.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// Connections that are left to users who are no superusers: the setting, less what is kept
    /// back (Postgres manual, 20.3.1 "Connection Settings").
    pub(crate) fn connections_max(&self) -> Option<u64> {
        let number = |name| self.setting(name)?.parse::<u64>().ok();
        let kept =
            number("superuser_reserved_connections")? + number("reserved_connections").unwrap_or(0);
        Some(number("max_connections")?.saturating_sub(kept))
    }
}

/// A token for the gateways.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// Where it comes from, as in `[auth] jwt`.
    pub(crate) origin: &'static str,
    /// Its `exp`, where it has one.
    pub(crate) expiry: Option<SystemTime>,
}
