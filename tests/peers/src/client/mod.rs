//! The load generators: how each is called, and what each says.

mod ab;
mod h2load;
mod oha;
mod pgbench;
mod poolbench;
mod wrk;

use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::{process, programs};

/// A load generator with arguments of its own, as in `oha --latency-correction`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Client {
    tool: Tool,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Poolbench,
    /// Its subcommand that takes pgbench's scripts.
    PoolbenchPgbench,
    Wrk,
    H2load,
    Ab,
    Oha,
    Pgbench,
}

/// Where the load goes.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// GraphQL over HTTP/1.1, on a port of 127.0.0.1.
    Http { port: u16 },
    /// Postgres or PgBouncer, on a port of 127.0.0.1.
    Postgres {
        port: u16,
        user: &'static str,
        database: &'static str,
        script: Script,
        protocol: Protocol,
    },
}

/// The statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Script {
    /// `SELECT 1`
    #[serde(rename = "select-1")]
    SelectOne,
    /// What pgbench calls that (`-S`): one row of its accounts by its key.
    SelectOnly,
    /// What pgbench calls that (`-N`): a transaction of five statements.
    SimpleUpdate,
    /// pgbench's own: a transaction of seven statements, two of them on rows that all want.
    TpcbLike,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SelectOne => "SELECT 1",
            Self::SelectOnly => "pgbench -S",
            Self::SimpleUpdate => "pgbench -N",
            Self::TpcbLike => "tpcb-like",
        })
    }
}

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Simple,
    Extended,
    Prepared,
}

impl fmt::Display for Protocol {
    /// As poolbench and pgbench both call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        })
    }
}

/// What a client is to do.
#[derive(Debug, Clone)]
pub(crate) struct Load<'a> {
    pub(crate) target: &'a Target,
    pub(crate) connections: u32,
    /// Whether each request has a connection of its own.
    pub(crate) reconnect: bool,
    /// Requests a second; `None` is a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
    /// So many requests fill about that time: for clients that don't know fractions of a second.
    pub(crate) requests: u64,
}

impl Load<'_> {
    /// The time, where it is whole seconds.
    fn whole_seconds(&self) -> Option<u64> {
        (self.seconds.fract() == 0.0).then_some(self.seconds as u64)
    }

    fn http_port(&self) -> Result<u16, String> {
        match self.target {
            Target::Http { port } => Ok(*port),
            Target::Postgres { .. } => Err("it does not speak to Postgres".into()),
        }
    }

    /// The URL of an HTTP target.
    fn url(&self) -> Result<String, String> {
        Ok(format!("http://127.0.0.1:{}{}", self.http_port()?, crate::payload::PATH))
    }

    fn only_kept(&self) -> Result<(), String> {
        if self.reconnect { Err("it keeps its connections".into()) } else { Ok(()) }
    }

    fn only_closed(&self) -> Result<(), String> {
        self.rate.map_or(Ok(()), |_| Err("it has no open loop".into()))
    }
}

/// What a client said, and what it cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Report {
    /// With a good reply.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Requests a second.
    pub(crate) rate: f64,
    /// From when a request was due, as far as the client knows that; in microseconds.
    pub(crate) latency: Option<Quantiles>,
    /// From when a request was due to when it left, in microseconds.
    pub(crate) lateness: Option<Quantiles>,
    /// CPU time of the client's process, in microseconds a request.
    pub(crate) cpu_us: f64,
}

/// In microseconds; `None` where a client does not tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Quantiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p99_9: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Quantiles {
    /// Of `values` in microseconds: the smallest that at least such a share does not exceed, as a
    /// histogram has it.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quantile: f64| {
            let rank = (quantile * values.len() as f64).ceil() as usize;
            values.get(rank.max(1) - 1).copied()
        };
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            max: values.last().copied(),
        }
    }

    /// With the names that people use.
    pub(crate) fn named(&self) -> [(&'static str, Option<f64>); 6] {
        let Self { p50, p90, p95, p99, p99_9, max } = *self;
        [("p50", p50), ("p90", p90), ("p95", p95), ("p99", p99), ("p99.9", p99_9), ("max", max)]
    }
}

/// Beyond the time asked for: to start, to connect and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// More failures than this share are no measurement.
const ERRORS_MAX: f64 = 0.01;

impl Client {
    /// As it is called in the table of work.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs it once; its files lie in `folder`. What went wrong is a sentence for the report.
    pub(crate) fn run(&self, load: &Load<'_>, folder: &Path) -> Result<Report, String> {
        let program = programs::find(self.tool.program())?;
        let arguments = self.tool.arguments(load, folder)?;
        let mut command = Command::new(program);
        command.args(self.with_own(arguments)).current_dir(folder);
        // Where a server asks for one.
        command.env("PGPASSWORD", crate::server::postgres::PASSWORD);
        let patience = PATIENCE + Duration::from_secs_f64(load.seconds);
        let ended = process::run(&mut command, patience).map_err(|error| error.to_string())?;
        let mut report = self.tool.read(&ended.stdout, folder).map_err(|problem| {
            // What a client says on its way out explains more than that its report is missing.
            let words = ended.last_words();
            if ended.status.success() || words.is_empty() { problem } else { words }
        })?;
        let all = report.requests + report.errors;
        if report.requests == 0 || report.errors as f64 > ERRORS_MAX * all as f64 {
            return Err(format!("{} of {all} requests failed", report.errors));
        }
        report.cpu_us = ended.cpu.as_secs_f64() * 1e6 / report.requests as f64;
        Ok(report)
    }
}

impl Client {
    /// Its own arguments come first, but for a subcommand: ab takes none after the URL.
    fn with_own(&self, mut arguments: Vec<String>) -> Vec<String> {
        let at = usize::from(self.tool == Tool::Poolbench);
        let own = self.name.split_whitespace().skip(1);
        arguments.splice(at..at, own.map(str::to_owned));
        arguments
    }
}

impl TryFrom<String> for Client {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let mut words = name.split_whitespace();
        let program = words.next().unwrap_or_default();
        let tool = match (program, words.next()) {
            ("poolbench", Some("pgbench")) => Some(Tool::PoolbenchPgbench),
            _ => Tool::ALL.into_iter().find(|tool| tool.program() == program),
        };
        let tool = tool.ok_or_else(|| format!("{program} is no client that is known here"))?;
        Ok(Self { tool, name })
    }
}

impl Tool {
    const ALL: [Self; 6] =
        [Self::Poolbench, Self::Wrk, Self::H2load, Self::Ab, Self::Oha, Self::Pgbench];

    fn program(self) -> &'static str {
        match self {
            Self::Poolbench | Self::PoolbenchPgbench => "poolbench",
            Self::Wrk => "wrk",
            Self::H2load => "h2load",
            Self::Ab => "ab",
            Self::Oha => "oha",
            Self::Pgbench => "pgbench",
        }
    }

    /// Also writes into `folder` what the arguments name.
    fn arguments(self, load: &Load<'_>, folder: &Path) -> Result<Vec<String>, String> {
        match self {
            Self::Poolbench => poolbench::arguments(load, folder),
            Self::PoolbenchPgbench => pgbench::arguments_of_ours(load, folder),
            Self::Wrk => wrk::arguments(load, folder),
            Self::H2load => h2load::arguments(load, folder),
            Self::Ab => ab::arguments(load, folder),
            Self::Oha => oha::arguments(load),
            Self::Pgbench => pgbench::arguments(load, folder),
        }
    }

    fn read(self, stdout: &str, folder: &Path) -> Result<Report, String> {
        match self {
            Self::Poolbench | Self::PoolbenchPgbench => poolbench::parse(stdout),
            Self::Wrk => wrk::parse(stdout),
            Self::H2load => h2load::parse(stdout),
            Self::Ab => ab::parse(stdout),
            Self::Oha => oha::parse(stdout),
            Self::Pgbench => pgbench::read(stdout, folder),
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<String, String> {
    let path = folder.join(name);
    let written = std::fs::write(&path, text);
    written.map_err(|error: io::Error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

/// What stands after `key` on the first line that begins with it, up to the next space.
fn after<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    let rest = text.lines().find_map(|line| line.trim_start().strip_prefix(key));
    let value = rest.and_then(|rest| rest.split_whitespace().next());
    value.ok_or_else(|| format!("its report has no \"{key}\""))
}

/// The number that stands after `key`.
fn number<T: std::str::FromStr>(text: &str, key: &str) -> Result<T, String> {
    let value = after(text, key)?;
    value.parse().map_err(|_| format!("its report has \"{key} {value}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_a_program_with_arguments_of_its_own() {
        let client = Client::try_from("oha --latency-correction".to_owned()).unwrap();
        assert_eq!((client.tool, client.name()), (Tool::Oha, "oha --latency-correction"));
        let arguments =
            |client: &Client| client.with_own(vec!["run".into(), "file".into()]).join(" ");
        assert_eq!(arguments(&client), "--latency-correction run file");
        let client = Client::try_from("poolbench --spin 50us".to_owned()).unwrap();
        assert_eq!(arguments(&client), "run --spin 50us file");
        let client = Client::try_from("poolbench pgbench".to_owned()).unwrap();
        assert_eq!(client.tool, Tool::PoolbenchPgbench);
        assert_eq!(client.with_own(vec!["-S".into()]).join(" "), "pgbench -S");
        let error = Client::try_from("siege -q".to_owned()).unwrap_err();
        assert_eq!(error, "siege is no client that is known here");
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        let quantiles = Quantiles::of((1..=1000).rev().map(f64::from).collect());
        let values = quantiles.named().map(|(_, value)| value.unwrap());
        assert_eq!(values, [500.0, 900.0, 950.0, 990.0, 999.0, 1000.0]);
        assert_eq!(Quantiles::of(vec![7.0]).p99_9, Some(7.0));
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
    }
}
