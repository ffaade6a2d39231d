//! `poolbench pgbench`.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use engine::{Nanos, SECOND};
use wire::postgres::Protocol;

use super::output::{Output, say};
use super::{CommandError, exit};
use crate::duration;
use crate::generator::GeneratorOptions;
use crate::pgbench::{self, Length, LogPlan, Plan, PlannedTarget, Source, Vacuum};

const HELP: &str = "\
Scripts, options and output lines are those of pgbench 15; `pgbench -i` makes the tables. What is \
different: a client whose connection is lost, or that the pooler has nothing for, goes on over another \
one, and what failed is counted by its class, layer and line (one whose script can't go on is lost, as \
in pgbench, and the exit code is 2); latencies are also given as percentiles; with -R they run from \
the instant at which a transaction was due, for each of them, also where it is above -L (pgbench \
leaves those out); -r has no time for commands that neither wait for a reply nor sleep. With the same seed, random functions draw what pgbench's \
draw for the same client, and with -j 1 the same scripts are chosen. Scripts can hold \\syncpipeline, as \
in pgbench 17, and begin with a byte order mark; \\shell and \\setshell are refused.

With several targets each has its turn in short blocks, in an order that is shuffled anew each \
round; -T and -t are for each of them. Every target has pgbench's lines, and what it costs more than \
the first follows with 95 % intervals.

Examples:
  poolbench pgbench -S -c 8 -T 10 -M prepared \"host=127.0.0.1 port=6432 dbname=shop user=shop\"
  poolbench pgbench -f pay.sql@9 -f refund.sql@1 -c 50 -j 2 -T 60 -R 2000 -P 5 shop
  poolbench pgbench -S -c 8 -T 10 -h 127.0.0.1 --target direct=port=5432 --target pooler=port=6432 shop";

/// How a target is called that was given no name.
const NAMELESS: &str = "pgbench";

/// The arguments of `poolbench pgbench`.
#[derive(Debug, Args)]
#[command(after_help = HELP, disable_help_flag = true, args_override_self = true)]
pub(crate) struct Pgbench {
    /// The database, or a connection string
    dbname: Option<String>,
    /// The server, or the folder of its socket
    #[arg(short = 'h', long)]
    host: Option<String>,
    /// Its port
    #[arg(short, long)]
    port: Option<u16>,
    /// Who logs in
    #[arg(short = 'U', long)]
    username: Option<String>,
    /// The database, as newer versions of pgbench take it
    #[arg(short = 'd', long = "dbname", value_name = "DBNAME", conflicts_with = "dbname")]
    database: Option<String>,
    /// A target with a connection string, which goes before -h, -p, -U and the database; several with
    /// several of these, to be compared
    #[arg(long, value_name = "NAME=CONNINFO", value_parser = super::run_options::assignment)]
    target: Vec<(String, String)>,
    /// With several targets: the time for one block of one of them, about
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = block)]
    block: Nanos,
    /// A built-in script, by the beginning of its name, with a weight if several are to run;
    /// `list` lists them [default: tpcb-like]
    #[arg(short, long, value_name = "NAME[@WEIGHT]")]
    builtin: Vec<String>,
    /// A script, with a weight if several are to run
    #[arg(short, long, value_name = "FILE[@WEIGHT]")]
    file: Vec<String>,
    /// The built-in script simple-update
    #[arg(short = 'N', long)]
    skip_some_updates: bool,
    /// The built-in script select-only
    #[arg(short = 'S', long)]
    select_only: bool,
    /// Clients, each with a connection
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    client: u32,
    /// A connection for each transaction
    #[arg(short = 'C', long)]
    connect: bool,
    /// Sets a variable; several with several of these
    #[arg(short = 'D', long, value_name = "NAME=VALUE", value_parser = definition)]
    define: Vec<(String, String)>,
    /// Threads [default: 1]
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["workers", "cores"])]
    jobs: Option<u32>,
    /// Counts transactions that take longer than so many ms
    #[arg(short = 'L', long, value_name = "MS", value_parser = milliseconds)]
    latency_limit: Option<Nanos>,
    /// How statements are sent
    #[arg(short = 'M', long, value_enum, default_value_t = QueryMode::Simple)]
    protocol: QueryMode,
    /// Leaves out the vacuum before
    #[arg(short, long)]
    no_vacuum: bool,
    /// Vacuums all of pgbench's tables before
    #[arg(short, long, conflicts_with = "no_vacuum")]
    vacuum_all: bool,
    /// Shows progress every so many seconds
    #[arg(short = 'P', long, value_name = "SECONDS", value_parser = seconds)]
    progress: Option<Nanos>,
    /// Shows the time of day with the progress, in seconds since 1970
    #[arg(long, requires = "progress")]
    progress_timestamp: bool,
    /// Writes a line for each transaction to a file of each thread: pgbench_log.PID,
    /// pgbench_log.PID.1, …; with several targets pgbench_log.TARGET.PID
    #[arg(short, long)]
    log: bool,
    /// What the names of those files begin with
    #[arg(long, value_name = "PREFIX", default_value = "pgbench_log", requires = "log")]
    log_prefix: String,
    /// Logs this part of the transactions only, above 0 and up to 1
    #[arg(long, value_name = "PART", default_value_t = 1.0, value_parser = part, requires = "log", conflicts_with = "aggregate_interval")]
    sampling_rate: f64,
    /// Logs one line for so many seconds instead
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "log")]
    aggregate_interval: Option<Nanos>,
    /// Reports on each command
    #[arg(short, long)]
    report_per_command: bool,
    /// Transactions a second, over all clients, at random instants (a Poisson process)
    #[arg(short = 'R', long, value_parser = super::rate)]
    rate: Option<f64>,
    /// The scale that scripts see, where none of them is built in
    #[arg(short, long, value_parser = clap::value_parser!(i64).range(1..))]
    scale: Option<i64>,
    /// Transactions of each client [default: 10]
    #[arg(short, long, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "time")]
    transactions: Option<u64>,
    /// For so many seconds, on each target
    #[arg(short = 'T', long, value_name = "SECONDS", value_parser = seconds)]
    time: Option<Nanos>,
    /// Transactions in flight at the end have so long to finish (pgbench waits for ever)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    graceful_stop: Nanos,
    /// Tells serialization failures from deadlocks, in the result and in the log
    #[arg(long)]
    failures_detailed: bool,
    /// How often a transaction is tried that fails by a serialization error or a deadlock; 0 is
    /// without limit, and needs -L or -T
    #[arg(long, default_value_t = 1, value_name = "TRIES")]
    max_tries: u32,
    /// A number, `time` or `rand`: decides what random functions draw [default: rand]
    #[arg(long, value_name = "SEED", value_parser = seed, env = "PGBENCH_RANDOM_SEED")]
    random_seed: Option<u64>,
    #[command(flatten)]
    generator: GeneratorOptions,
    #[command(flatten)]
    output: Output,
    /// Shows this
    #[arg(short = '?', long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum QueryMode {
    /// As Query messages, with the values in the text
    Simple,
    /// As Parse, Bind and Execute, each time
    Extended,
    /// Parsed once a connection
    Prepared,
}

/// A command line that can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PgbenchOptionsError {
    #[error("cannot read {}: {source}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Other(String),
}

impl Pgbench {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        if self.builtin.iter().any(|name| name == "list") {
            for builtin in pgbench::BUILTINS {
                say(&format!("{:>13}: {}", builtin.name, builtin.title));
            }
            return Ok(exit::OK);
        }
        let plan = self.plan()?;
        let summary = pgbench::run(&plan, &mut say)?;
        let kept = self.output.keep("histograms.csv", || pgbench::histograms(&summary));
        let code = self.output.finish(&summary, &pgbench::text(&summary))?;
        kept?;
        Ok(code)
    }

    fn plan(&self) -> Result<Plan, PgbenchOptionsError> {
        let wrong = |words: &str| Err(PgbenchOptionsError::Other(words.into()));
        let (scripts, has_builtin) = self.scripts()?;
        let tries_max = (self.max_tries > 0).then_some(self.max_tries);
        if tries_max.is_none() && self.latency_limit.is_none() && self.time.is_none() {
            return wrong("--max-tries=0 needs --latency-limit or --time");
        }
        if scripts.iter().all(|script| script.weight == 0) {
            return wrong("total script weight must not be zero");
        }
        let mut generator = self.generator.clone();
        if generator.workers.is_none() && !generator.has_cores() {
            generator.workers = Some(self.jobs.unwrap_or(1).min(self.client) as usize);
        }
        let length = match (self.time, self.transactions) {
            (Some(duration_ns), _) => Length::Duration(duration_ns),
            (None, each) => Length::Transactions(each.unwrap_or(10)),
        };
        Ok(Plan {
            targets: self.targets()?,
            block_ns: self.block,
            scripts,
            has_builtin,
            protocol: match self.protocol {
                QueryMode::Simple => Protocol::Simple,
                QueryMode::Extended => Protocol::Extended,
                QueryMode::Prepared => Protocol::Prepared,
            },
            clients: self.client,
            length,
            graceful_stop_ns: self.graceful_stop,
            rate: self.rate,
            connects: self.connect,
            latency_limit_ns: self.latency_limit,
            tries_max,
            scale: self.scale,
            variables: self.define.clone(),
            reports_commands: self.report_per_command,
            details_failures: self.failures_detailed,
            vacuum: match (self.no_vacuum, self.vacuum_all) {
                (true, _) => Vacuum::None,
                (_, true) => Vacuum::All,
                _ => Vacuum::Small,
            },
            log: self.log.then(|| LogPlan {
                prefix: self.log_prefix.clone(),
                sampling: self.sampling_rate,
                aggregate_ns: self.aggregate_interval,
            }),
            progress_ns: self.progress,
            has_timestamps: self.progress_timestamp,
            generator,
            seed: self.random_seed.unwrap_or_else(rand_seed),
        })
    }

    /// The targets; one without a name where none is named.
    fn targets(&self) -> Result<Vec<PlannedTarget>, PgbenchOptionsError> {
        let base = self.conninfo();
        if is_uri(&base) && (self.host.is_some() || self.port.is_some() || self.username.is_some())
        {
            let message = "a URI says where the database is: write host, port and user into it, and \
                           leave out -h, -p and -U";
            return Err(PgbenchOptionsError::Other(message.into()));
        }
        let planned = |name: &str, conninfo| PlannedTarget { name: name.into(), conninfo };
        if self.target.is_empty() {
            return Ok(vec![planned(NAMELESS, base)]);
        }
        let mut targets: Vec<PlannedTarget> = Vec::new();
        for (name, own) in &self.target {
            if targets.iter().any(|target| target.name == *name) {
                let message = format!("--target {name}: there are two of this name");
                return Err(PgbenchOptionsError::Other(message));
            }
            let conninfo = match (is_uri(own), is_uri(&base)) {
                (true, _) => own.clone(),
                (false, false) => format!("{base} {own}"),
                (false, true) => {
                    let message = "with --target, give the database by its name: a URI says already \
                                   where it is";
                    return Err(PgbenchOptionsError::Other(message.into()));
                }
            };
            targets.push(planned(name, conninfo));
        }
        Ok(targets)
    }

    /// What -h, -p, -U and the database say together. What a connection string says goes first.
    fn conninfo(&self) -> String {
        let database = self.dbname.as_deref().or(self.database.as_deref()).unwrap_or_default();
        if is_uri(database) {
            return database.into();
        }
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        let mut text = String::new();
        let port = self.port.map(|port| port.to_string());
        for (keyword, value) in [("host", &self.host), ("port", &port), ("user", &self.username)] {
            if let Some(value) = value {
                text += &format!("{keyword}='{}' ", quoted(value));
            }
        }
        match database {
            "" => text,
            _ if database.contains('=') => text + database,
            _ => text + &format!("dbname='{}'", quoted(database)),
        }
    }

    /// The scripts, and whether one is built in.
    fn scripts(&self) -> Result<(Vec<Source>, bool), PgbenchOptionsError> {
        let mut names: Vec<_> = self.builtin.iter().map(String::as_str).collect();
        names.extend(self.skip_some_updates.then_some("simple-update"));
        names.extend(self.select_only.then_some("select-only"));
        if names.is_empty() && self.file.is_empty() {
            names.push("tpcb-like");
        }
        let mut scripts = Vec::new();
        for name in &names {
            let (name, weight) = weighted(name)?;
            let builtin = pgbench::find(name).map_err(PgbenchOptionsError::Other)?;
            scripts.push(Source::new(builtin.title.into(), builtin.text.into(), weight));
        }
        for file in &self.file {
            let (path, weight) = weighted(file)?;
            let failed = |source| PgbenchOptionsError::File { path: path.into(), source };
            let mut bytes = Vec::new();
            match path {
                "-" => _ = std::io::stdin().read_to_end(&mut bytes).map_err(failed)?,
                path => bytes = fs::read(path).map_err(failed)?,
            }
            scripts.push(Source::new(path.into(), bytes, weight));
        }
        Ok((scripts, !names.is_empty()))
    }
}

fn is_uri(conninfo: &str) -> bool {
    conninfo.starts_with("postgres://") || conninfo.starts_with("postgresql://")
}

/// A script's name, and the weight behind its last `@`.
fn weighted(text: &str) -> Result<(&str, u32), PgbenchOptionsError> {
    let Some((name, weight)) = text.rsplit_once('@') else { return Ok((text, 1)) };
    match weight.parse() {
        Ok(weight) if !name.is_empty() => Ok((name, weight)),
        _ => Err(PgbenchOptionsError::Other(format!("invalid weight specification: @{weight}"))),
    }
}

fn definition(text: &str) -> Result<(String, String), String> {
    let (name, value) = super::run_options::assignment(text)?;
    if value.is_empty() {
        return Err(format!("{text} has no value: write NAME=VALUE"));
    }
    match engine::pgbench::is_variable_name(name.bytes()) {
        true => Ok((name, value)),
        false => Err(pgbench::invalid_name(&name)),
    }
}

fn seconds(text: &str) -> Result<Nanos, String> {
    match text.parse::<u64>() {
        Ok(seconds @ 1..=315_360_000) => Ok(seconds * SECOND),
        Ok(_) => Err("from 1 s to ten years".into()),
        Err(_) => duration::parse(text).and_then(|ns| match ns {
            0 => Err("at least 1 ns".into()),
            ns => Ok(ns),
        }),
    }
}

fn block(text: &str) -> Result<Nanos, String> {
    match duration::parse(text)? {
        0 => Err("a block of no time holds no transaction".into()),
        block_ns => Ok(block_ns),
    }
}

fn part(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if part > 0.0 && part <= 1.0 => Ok(part),
        _ => Err("a sampling rate is a number above 0 and up to 1".into()),
    }
}

fn milliseconds(text: &str) -> Result<Nanos, String> {
    match text.parse::<f64>() {
        Ok(limit) if limit > 0.0 && limit < 1e12 => Ok((limit * 1e6).round() as Nanos),
        _ => Err("a latency limit is a number above 0, in ms".into()),
    }
}

fn seed(text: &str) -> Result<u64, String> {
    match text {
        "rand" => Ok(rand_seed()),
        "time" => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Ok(now.unwrap_or_default().as_micros() as u64)
        }
        number => number
            .parse()
            .map_err(|_| "a seed is an unsigned whole number, \"time\" or \"rand\"".into()),
    }
}

fn rand_seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}
