//! `poolbench pgbench`.

mod connection;
mod initialization;
mod scripts;

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use engine::{Nanos, SECOND};
use wire::postgres::Protocol;

use self::connection::ConnectionOptions;
use self::initialization::InitializationOptions;
use self::scripts::ScriptOptions;
use super::output::{Output, say};
use super::{CommandError, exit};
use crate::generator::GeneratorOptions;
use crate::pgbench::{self, Length, LogPlan, Plan, Vacuum};
use crate::{cores, duration};

const HELP: &str = "\
Scripts, options and output lines are those of pgbench 15; `pgbench -i` makes the tables. What is \
different: a client whose connection is lost, or that the pooler has nothing for, goes on over another \
one, and what failed is counted by its class, layer and line (one whose script can't go on is lost, as \
in pgbench, and the exit code is 2); latencies are also given as percentiles; with -R they run from \
the instant at which a transaction was due, for each of them, also where it is above -L (pgbench \
leaves those out); -r has no time for commands that neither wait for a reply nor sleep; -j has no more \
threads than cores; -d and --verbose-errors have no line for each command. With the same seed, random \
functions draw what pgbench's draw for the same client, and with -j 1 the same scripts are chosen. \
Scripts can hold \\syncpipeline, as in pgbench 17, and begin with a byte order mark; \\shell \
and \\setshell are refused.

With several targets each has its turn in short blocks, in an order that is shuffled anew each \
round; -T and -t are for each of them. Every target has pgbench's lines, and what it costs more than \
the first follows with 95 % intervals.

Examples:
  poolbench pgbench -S -c 8 -T 10 -M prepared \"host=127.0.0.1 port=6432 dbname=shop user=shop\"
  poolbench pgbench -f pay.sql@9 -f refund.sql@1 -c 50 -j 2 -T 60 -R 2000 -P 5 shop
  poolbench pgbench -S -c 8 -T 10 -h 127.0.0.1 --target direct=port=5432 --target pooler=port=6432 shop";

const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (scripts, options and lines of pgbench 15)");

/// The arguments of `poolbench pgbench`.
#[derive(Debug, Args)]
#[command(
    after_help = HELP,
    disable_help_flag = true,
    version = VERSION,
    args_override_self = true,
    infer_long_args = true
)]
pub(crate) struct Pgbench {
    #[command(flatten)]
    connection: ConnectionOptions,
    /// With several targets: the time for one block of one of them, about
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = block)]
    block: Nanos,
    #[command(flatten)]
    scripts: ScriptOptions,
    /// Shows the text of a built-in script, and does nothing else
    #[arg(long, value_name = "NAME")]
    show_script: Option<String>,
    #[command(flatten)]
    initialization: InitializationOptions,
    /// Clients, each with a connection
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    client: u32,
    /// A connection for each transaction
    #[arg(short = 'C', long, aliases = ["co", "con"])]
    connect: bool,
    /// Sets a variable; several with several of these
    #[arg(short = 'D', long, value_name = "NAME=VALUE", value_parser = definition)]
    define: Vec<(String, String)>,
    /// Threads, at most one for each core and for each client [default: 1]
    #[arg(short, long, alias = "j", value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["workers", "cores"])]
    jobs: Option<u32>,
    /// Counts transactions that take longer than so many ms
    #[arg(short = 'L', long, value_name = "MS", value_parser = milliseconds)]
    latency_limit: Option<Nanos>,
    /// How statements are sent
    #[arg(short = 'M', long, value_enum, default_value_t = QueryMode::Simple)]
    protocol: QueryMode,
    /// Leaves out the vacuum before, also with -v
    #[arg(short, long)]
    no_vacuum: bool,
    /// Vacuums all of pgbench's tables before
    #[arg(short, long)]
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
    #[arg(short = 'T', long, aliases = ["ti", "tim"], value_name = "SECONDS", value_parser = seconds)]
    time: Option<Nanos>,
    /// Transactions in flight at the end have so long to finish (pgbench waits for ever)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    graceful_stop: Nanos,
    /// Tells serialization failures from deadlocks, in the result and in the log
    #[arg(long)]
    failures_detailed: bool,
    /// Shows errors while it runs: once a second, for each line of a script and each class, with their
    /// count and the words of the first
    #[arg(long, alias = "ver")]
    verbose_errors: bool,
    /// Shows where it connects; for statements one by one, have the server log them (log_statement).
    /// -d DBNAME of newer versions does no harm: the database is what follows
    #[arg(short, long)]
    debug: bool,
    /// How often a transaction is tried that fails by a serialization error or a deadlock; 0 is
    /// without limit, and needs -L or -T
    #[arg(long, default_value_t = 1, value_name = "TRIES")]
    max_tries: u32,
    /// A number, `time` or `rand`: decides what random functions draw [default: rand]
    #[arg(
        long,
        value_name = "SEED",
        value_parser = seed,
        env = "PGBENCH_RANDOM_SEED",
        allow_negative_numbers = true
    )]
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
    /// An option of the initialization.
    #[error(
        "--{0}: pgbench makes its tables itself: run `pgbench -i` with the options for them, then this \
         without"
    )]
    Initialization(&'static str),
    #[error("cannot read {}: {source}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Other(String),
}

impl Pgbench {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        if self.scripts.asks_for_list() {
            say("Available builtin scripts:");
            for builtin in pgbench::BUILTINS {
                say(&format!("  {:>13}: {}", builtin.name, builtin.title));
            }
            return Ok(exit::OK);
        }
        if let Some(name) = &self.show_script {
            let builtin = pgbench::find(name).map_err(PgbenchOptionsError::Other)?;
            say(&format!("-- {}: {}\n{}", builtin.name, builtin.title, builtin.text));
            return Ok(exit::OK);
        }
        let plan = self.plan(&mut say)?;
        let summary = pgbench::run(&plan, &mut say)?;
        let kept = self.output.keep("histograms.csv", || pgbench::histograms(&summary));
        let code = self.output.finish(&summary, &pgbench::text(&summary))?;
        kept?;
        Ok(code)
    }

    /// What is to be run. `say` shows what differs from what was asked for.
    fn plan(&self, say: &mut dyn FnMut(&str)) -> Result<Plan, PgbenchOptionsError> {
        let wrong = |words: &str| Err(PgbenchOptionsError::Other(words.into()));
        self.initialization.refuse()?;
        let (scripts, has_builtin) = self.scripts.read()?;
        let tries_max = (self.max_tries > 0).then_some(self.max_tries);
        if tries_max.is_none() && self.latency_limit.is_none() && self.time.is_none() {
            return wrong("--max-tries=0 needs --latency-limit or --time");
        }
        if let (Some(time), Some(interval)) = (self.time, self.aggregate_interval)
            && (interval > time || !time.is_multiple_of(interval))
        {
            return wrong(
                "--time must be a multiple of --aggregate-interval: the log's last line would be of \
                 a part of an interval",
            );
        }
        let mut generator = self.generator.clone();
        if generator.workers.is_none() && !generator.has_cores() {
            let threads = self.jobs.unwrap_or(1).min(self.client) as usize;
            let usable = cores::choose(Some(threads)).len();
            if usable < threads {
                say(&format!(
                    "poolbench: warning: -j {threads}: {usable} threads are used, since each has a core \
                     of its own and this process may use {usable}"
                ));
            }
            generator.workers = Some(threads);
        }
        if let Some(seed) = self.random_seed {
            say(&format!("poolbench: setting random seed to {seed}"));
        }
        let length = match (self.time, self.transactions) {
            (Some(duration_ns), _) => Length::Duration(duration_ns),
            (None, each) => Length::Transactions(each.unwrap_or(10)),
        };
        Ok(Plan {
            targets: self.connection.targets()?,
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
            is_debug: self.debug,
            shows_failures: self.verbose_errors,
            generator,
            seed: self.random_seed.unwrap_or_else(rand_seed),
        })
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
        number => {
            // As scanf reads %lu: -1 is the highest.
            let (digits, is_negative) =
                number.strip_prefix('-').map_or((number, false), |digits| (digits, true));
            let seed = digits
                .parse::<u64>()
                .map_err(|_| "a seed is an unsigned whole number, \"time\" or \"rand\"")?;
            Ok(if is_negative { seed.wrapping_neg() } else { seed })
        }
    }
}

fn rand_seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_read_as_pgbench_reads_it() {
        assert_eq!(seed("7"), Ok(7));
        assert_eq!(seed("-1"), Ok(u64::MAX));
        assert_ne!(seed("time"), Ok(0));
        for wrong in ["", "-", "x", "1.5", "1 "] {
            assert!(seed(wrong).unwrap_err().contains("\"time\" or \"rand\""), "{wrong}");
        }
    }
}
