//! `make bench`: poolbench beside the load generators that people know, on servers of its own.

#![forbid(unsafe_code)]

mod client;
mod cores;
mod experiment;
mod machine;
mod payload;
mod process;
mod programs;
mod report;
mod server;
mod spread;
mod verdict;
mod work;

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use cores::Cores;
use experiment::{Bench, Interrupted, Section};
use machine::Machine;
use report::Results;
use work::Work;

/// Measures poolbench beside wrk, h2load, ab, oha and pgbench. Exit code 1 where a goal is missed
/// by more than the rounds' spread, or poolbench itself fails
#[derive(Debug, Parser)]
struct Arguments {
    /// Short rounds, and fewer where there is no goal: the same goals in under five minutes
    #[arg(long)]
    quick: bool,
    /// Only these experiments
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Keep the results in this folder, in two files named after the machine
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Http,
    Postgres,
    Punctuality,
    Truth,
    Churn,
    Drivers,
    Ceiling,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("peers: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A line of progress, to stderr. That nobody reads it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let work = Work::read()?;
    let work = if arguments.quick { work.shortened() } else { work };
    let cores = Cores::choose()?;
    let cores = cores.ok_or("one core is not enough: servers and clients need one each")?;
    let machine = Machine::this(cores);
    machine.warning().iter().for_each(|warning| say(&format!("careful: {warning}")));
    raise_file_limit();
    cores.to_client()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    // Servers that run as another user must be able to pass through.
    let open = std::fs::Permissions::from_mode(0o711);
    let folder = tempfile::Builder::new().prefix("poolbench-peers").permissions(open).tempdir()?;
    let rounds = if arguments.quick { work.quick } else { work.full };
    let bench = Bench { ours: &work.ours, rounds, cores, folder: folder.path(), stop };
    let sections = sections(&bench, &work, arguments)?;
    let how = format!(
        "Medians of {} rounds, in an order that turns round, with quartiles in brackets. A round is \
         {} s, on Postgres {} s; of truth there are {} of {} s. CPU is user and system time of the \
         client's whole process, its start and its connections included; ratios are of the same \
         round.",
        rounds.rounds,
        rounds.http_seconds,
        rounds.postgres_seconds,
        rounds.truth_rounds,
        rounds.truth_seconds
    );
    let results = Results::new(machine, how, sections);
    io::stdout().write_all(results.text().as_bytes())?;
    if let Some(folder) = &arguments.keep {
        results.keep(folder)?;
    }
    Ok(if results.is_failure() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn sections(
    bench: &Bench<'_>,
    work: &Work,
    arguments: &Arguments,
) -> Result<Vec<Section>, Interrupted> {
    let wanted = |kind| arguments.only.is_empty() || arguments.only.contains(&kind);
    let mut sections = Vec::new();
    if wanted(Kind::Http) {
        for work in &work.http {
            sections.push(experiment::http(bench, work)?);
        }
    }
    if wanted(Kind::Postgres) {
        sections.extend(experiment::postgres(bench, &work.postgres)?);
    }
    if wanted(Kind::Punctuality) {
        for work in &work.punctuality {
            sections.push(experiment::punctuality(bench, work)?);
        }
    }
    if wanted(Kind::Truth) {
        for work in &work.truth {
            sections.push(experiment::truth(bench, work)?);
        }
    }
    if wanted(Kind::Churn) {
        sections.push(experiment::churn(bench, &work.churn)?);
    }
    if wanted(Kind::Drivers) {
        sections.push(experiment::drivers(bench, &work.drivers)?);
    }
    if wanted(Kind::Ceiling) {
        sections.push(experiment::ceiling(bench, &work.ceiling)?);
    }
    Ok(sections)
}

/// A thousand connections need more open files than a shell usually allows; what we may, so may the
/// servers and clients that we start.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
