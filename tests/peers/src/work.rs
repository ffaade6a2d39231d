//! The table of work, `work.toml`.

use serde::Deserialize;

use crate::client::{Client, Protocol, Script};

/// All of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Work {
    /// What the peers are compared with.
    pub(crate) ours: Client,
    pub(crate) full: Rounds,
    pub(crate) quick: Rounds,
    pub(crate) http: Vec<Http>,
    pub(crate) postgres: Vec<Postgres>,
    pub(crate) punctuality: Vec<Punctuality>,
    pub(crate) truth: Vec<Truth>,
    pub(crate) churn: Vec<Churn>,
    pub(crate) drivers: Vec<Drivers>,
    pub(crate) ceiling: Vec<Ceiling>,
}

/// How often, and how long each time.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rounds {
    pub(crate) rounds: usize,
    /// Closed loops on nginx, and whatever runs on null servers.
    pub(crate) http_seconds: f64,
    /// Closed loops on Postgres and PgBouncer.
    pub(crate) postgres_seconds: f64,
    /// The truth needs a stall in each round.
    pub(crate) truth_rounds: usize,
    pub(crate) truth_seconds: f64,
}

/// A closed loop on nginx.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) reply_bytes: usize,
    pub(crate) connections: Vec<u32>,
    /// Those of them that short rounds have time for.
    pub(crate) quick_connections: Vec<u32>,
    pub(crate) peers: Vec<Client>,
    pub(crate) goals: Vec<Ratio>,
}

/// A closed loop on Postgres.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Postgres {
    /// Ours, if it is not as everywhere.
    pub(crate) ours: Option<Client>,
    pub(crate) script: Script,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) routes: Vec<Route>,
    pub(crate) connections: Vec<u32>,
    /// As for [`Http`].
    pub(crate) quick_connections: Vec<u32>,
    pub(crate) peers: Vec<Client>,
    pub(crate) goals: Vec<Ratio>,
}

/// The way to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Route {
    Direct,
    PgBouncer,
}

/// At so many connections, our CPU time a request is at most so much of the peer's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ratio {
    pub(crate) peer: String,
    pub(crate) connections: Vec<u32>,
    pub(crate) ratio: f64,
}

/// An open loop on a null server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Punctuality {
    /// Ours, on a core that nothing else needs.
    pub(crate) ours: Client,
    pub(crate) server: Server,
    pub(crate) rates: Vec<f64>,
    pub(crate) connections: u32,
    pub(crate) peers: Vec<Client>,
    pub(crate) goals: Vec<Lateness>,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Server {
    Http,
    Postgres,
}

/// At this rate, our lateness is at most so much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lateness {
    pub(crate) rate: f64,
    /// As in `p99`.
    pub(crate) quantile: String,
    pub(crate) us: f64,
}

/// An open loop on a server that knows how long each reply took.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Truth {
    pub(crate) rate: f64,
    pub(crate) connections: Vec<u32>,
    pub(crate) peers: Vec<Client>,
    pub(crate) tolerance: Tolerance,
}

/// The larger of both may lie between a percentile and the truth.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tolerance {
    pub(crate) share: f64,
    pub(crate) us: f64,
}

/// A connection for each request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Churn {
    pub(crate) server: ChurnServer,
    /// At once.
    pub(crate) connections: Vec<u32>,
    pub(crate) peers: Vec<Client>,
}

/// Where connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChurnServer {
    /// nginx.
    Http,
    /// Postgres, without a password.
    Postgres,
    /// Postgres, with a password.
    Scram,
    PgBouncer,
}

/// Our drivers against one another, on nginx or on Postgres.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drivers {
    pub(crate) server: Server,
    pub(crate) connections: Vec<u32>,
    /// As for [`Http`].
    pub(crate) quick_connections: Vec<u32>,
    /// Beside the one that is chosen by itself.
    pub(crate) others: Vec<Client>,
}

/// A closed loop of ours on a null server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ceiling {
    pub(crate) server: Server,
    pub(crate) connections: Vec<u32>,
}

impl Work {
    /// What `work.toml` says.
    pub(crate) fn read() -> Result<Self, String> {
        toml::from_str(include_str!("../work.toml")).map_err(|error| format!("work.toml: {error}"))
    }

    /// What there is time for in short rounds.
    pub(crate) fn shortened(self) -> Self {
        let Self { mut http, mut postgres, mut drivers, .. } = self;
        for Http { connections, quick_connections, .. } in &mut http {
            connections.clone_from(quick_connections);
        }
        for Postgres { connections, quick_connections, .. } in &mut postgres {
            connections.clone_from(quick_connections);
        }
        postgres.retain(|work| !work.connections.is_empty());
        for Drivers { connections, quick_connections, .. } in &mut drivers {
            connections.clone_from(quick_connections);
        }
        Self { http, postgres, drivers, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_goal_is_about_something_that_is_measured() {
        for work in [Work::read().unwrap(), Work::read().unwrap().shortened()] {
            assert_goals_are_measured(&work);
        }
    }

    fn assert_goals_are_measured(work: &Work) {
        let http = work.http.iter().map(|http| (&http.connections, &http.peers, &http.goals));
        let postgres = work.postgres.iter().map(|sql| (&sql.connections, &sql.peers, &sql.goals));
        for (connections, peers, goals) in http.chain(postgres) {
            for goal in goals {
                assert!(peers.iter().any(|peer| peer.name() == goal.peer), "{goal:?}");
                assert!(goal.connections.iter().all(|n| connections.contains(n)), "{goal:?}");
            }
        }
        for punctuality in &work.punctuality {
            for goal in &punctuality.goals {
                assert!(punctuality.rates.contains(&goal.rate), "{goal:?}");
            }
        }
    }
}
