//! What is measured, one file a kind.

mod ceiling;
mod churn;
mod closed;
mod drivers;
mod punctuality;
mod truth;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

pub(crate) use ceiling::ceiling;
pub(crate) use churn::churn;
pub(crate) use closed::{http, postgres};
pub(crate) use drivers::drivers;
pub(crate) use punctuality::punctuality;
pub(crate) use truth::truth;

use crate::client::{Client, Load, Protocol, Report, Script, Target};
use crate::cores::Cores;
use crate::server::{
    Holds, Http, NullPostgres, Own,
    postgres::{DATABASE, USER},
};
use crate::spread::Spread;
use crate::verdict::Goal;
use crate::work::{self, Rounds};

/// What every experiment needs.
pub(crate) struct Bench<'a> {
    pub(crate) ours: &'a Client,
    pub(crate) rounds: Rounds,
    pub(crate) cores: Cores,
    /// For files of servers and clients.
    pub(crate) folder: &'a Path,
    /// Ctrl-C raises it.
    pub(crate) stop: Arc<AtomicBool>,
}

/// Ctrl-C was pressed.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// One table of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// How it was measured, in a sentence or two.
    pub(crate) about: &'static str,
    /// The names of the figures.
    pub(crate) columns: &'static [&'static str],
    pub(crate) entries: Vec<Entry>,
    pub(crate) goals: Vec<Goal>,
}

/// What one client came to in one cell.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) cell: String,
    pub(crate) client: String,
    /// By column; `None` is what a client does not tell.
    pub(crate) figures: Vec<Option<Spread>>,
    /// Why there is no figure.
    pub(crate) note: Option<String>,
}

impl<'a> Bench<'a> {
    /// The same with another one of ours.
    fn with<'b>(&'b self, ours: &'b Client) -> Bench<'b>
    where
        'a: 'b,
    {
        let Self { rounds, cores, folder, ref stop, .. } = *self;
        Bench { ours, rounds, cores, folder, stop: Arc::clone(stop) }
    }

    fn check(&self) -> Result<(), Interrupted> {
        if self.stop.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }

    fn say(&self, line: &str) {
        crate::say(line);
    }

    /// Runs each client once a round, in an order that turns round each time. `measure` runs one;
    /// a client that fails is not run again.
    fn rounds<T>(
        &self,
        rounds: usize,
        clients: &[&Client],
        mut measure: impl FnMut(&Client) -> Result<T, String>,
    ) -> Result<Vec<Result<Vec<T>, String>>, Interrupted> {
        let mut all: Vec<Result<Vec<T>, String>> =
            clients.iter().map(|_| Ok(Vec::with_capacity(rounds))).collect();
        for round in 0..rounds {
            for turn in 0..clients.len() {
                let index = if round % 2 == 0 { turn } else { clients.len() - 1 - turn };
                let Ok(values) = &mut all[index] else { continue };
                self.check()?;
                match measure(clients[index]) {
                    Ok(value) => values.push(value),
                    Err(why) => {
                        // A client that Ctrl-C ended has not failed.
                        self.check()?;
                        self.say(&format!("    {}: {why}", clients[index].name()));
                        all[index] = Err(why);
                    }
                }
            }
        }
        Ok(all)
    }

    fn run(&self, client: &Client, load: &Load<'_>) -> Result<Report, String> {
        client.run(load, self.folder)
    }
}

impl Section {
    fn new(title: String, about: &'static str, columns: &'static [&'static str]) -> Self {
        Self { title, about, columns, entries: Vec::new(), goals: Vec::new() }
    }

    /// Adds the rows and goals of a section with the same columns.
    fn append(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.goals.extend(other.goals);
    }
}

impl Entry {
    /// One without figures.
    fn failed(cell: &str, client: &str, why: &str) -> Self {
        let (cell, client) = (cell.to_owned(), client.to_owned());
        Self { cell, client, figures: Vec::new(), note: Some(why.to_owned()) }
    }
}

/// A null server, and what clients ask it for.
fn null_server(server: work::Server, holds: Holds, cores: Cores) -> Result<(Own, Target), String> {
    match server {
        work::Server::Http => {
            let reply = crate::payload::Reply::new(NULL_REPLY_BYTES).text();
            let own = Own::start(Http::new(&reply), holds, cores)?;
            let target = Target::Http { port: own.port };
            Ok((own, target))
        }
        work::Server::Postgres => {
            let own = Own::start(NullPostgres::default(), holds, cores)?;
            let target = Target::Postgres {
                port: own.port,
                user: USER,
                database: DATABASE,
                script: Script::SelectOne,
                protocol: Protocol::Prepared,
            };
            Ok((own, target))
        }
    }
}

/// As in the smaller reply of nginx.
const NULL_REPLY_BYTES: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_turns_round_and_who_fails_is_not_run_again() {
        let client = |name: &str| Client::try_from(name.to_owned()).unwrap();
        let (ours, wrk, ab) = (client("poolbench"), client("wrk"), client("ab"));
        let rounds = Rounds {
            rounds: 3,
            http_seconds: 1.0,
            postgres_seconds: 1.0,
            truth_rounds: 1,
            truth_seconds: 1.0,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let cores = Cores { server: 0, client: 0 };
        let folder = Path::new("/");
        let bench = Bench { ours: &ours, rounds, cores, folder, stop };
        let mut order = Vec::new();
        let all = bench.rounds(3, &[&ours, &wrk, &ab], |client| {
            order.push(client.name().to_owned());
            if client.name() == "ab" { Err("no".to_owned()) } else { Ok(order.len()) }
        });
        assert_eq!(order, ["poolbench", "wrk", "ab", "wrk", "poolbench", "poolbench", "wrk"]);
        let all = all.unwrap();
        assert_eq!(all, [Ok(vec![1, 5, 6]), Ok(vec![2, 4, 7]), Err("no".to_owned())]);

        bench.stop.store(true, Ordering::Relaxed);
        assert!(bench.rounds(1, &[&ours], |_| Ok(())).is_err());
    }
}
