//! `poolbench pgbench`: pgbench's scripts on the engine.

mod builtin;
mod log;
mod progress;
mod script;
mod summary;
mod text;
mod workload;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use engine::pgbench::ScriptReport;
use engine::{
    DURATION_MAX_NS, Fleet, FleetError, Gaps, Interval, Load, LoadError, Nanos, Opening, Phase,
    PhaseReport, SECOND, Script, Stream, Target,
};
use thiserror::Error;
use wire::postgres::Protocol;

use crate::conninfo::{Conninfo, ConninfoError};
use crate::generator::{GeneratorError, GeneratorOptions, GeneratorSummary, Work};
use crate::interrupt::{self, Interrupted};
use crate::remedy;
use crate::scenario::Places;

pub(crate) use builtin::{BUILTINS, find};
pub(crate) use log::LogPlan;
use log::{Columns, Log};
pub(crate) use script::{ScriptMistake, invalid_name};
pub(crate) use summary::Summary;
pub(crate) use text::text;
pub(crate) use workload::Source;

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) conninfo: String,
    pub(crate) scripts: Vec<Source>,
    /// Whether one of them is a built-in, which needs pgbench's tables.
    pub(crate) has_builtin: bool,
    pub(crate) protocol: Protocol,
    pub(crate) clients: u32,
    pub(crate) length: Length,
    /// Transactions in flight at the end have so long to finish.
    pub(crate) graceful_stop_ns: Nanos,
    /// Transactions a second, over all clients.
    pub(crate) rate: Option<f64>,
    /// A connection for each transaction.
    pub(crate) connects: bool,
    /// Those that took longer are counted.
    pub(crate) latency_limit_ns: Option<Nanos>,
    /// Of transactions that fail by a serialization error or a deadlock; `None` has no limit.
    pub(crate) tries_max: Option<u32>,
    pub(crate) scale: Option<i64>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) reports_statements: bool,
    pub(crate) details_failures: bool,
    pub(crate) vacuum: Vacuum,
    pub(crate) log: Option<LogPlan>,
    /// How often progress is shown.
    pub(crate) progress_ns: Option<Nanos>,
    pub(crate) has_timestamps: bool,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// For so long, in ns.
    Duration(Nanos),
    /// So many transactions for each client.
    Transactions(u64),
}

/// Which of pgbench's tables are vacuumed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vacuum {
    None,
    Small,
    All,
}

/// Why there is no result.
#[derive(Debug, Error)]
pub(crate) enum PgbenchError {
    #[error(transparent)]
    Script(#[from] ScriptMistake),
    #[error(transparent)]
    Conninfo(#[from] ConninfoError),
    #[error("{0}")]
    Target(String),
    #[error(transparent)]
    Generator(#[from] GeneratorError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Fleet(FleetError),
    /// The log can't be written.
    #[error("cannot write {}: {}", .0.display(), .1)]
    Log(PathBuf, std::io::Error),
    #[error("interrupted")]
    Interrupted,
}

impl From<(PathBuf, std::io::Error)> for PgbenchError {
    fn from((path, error): (PathBuf, std::io::Error)) -> Self {
        Self::Log(path, error)
    }
}

impl From<Interrupted> for PgbenchError {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

/// What is said of the target where it has no name.
const TARGET: &str = "pgbench";

/// A request that takes longer has failed. pgbench waits for ever; a day is no limit to a load, and
/// one to a server that is gone without a word.
const TIMEOUT_NS: Nanos = 24 * 3600 * SECOND;

/// So many arrivals of a rate wait for a client, so that a server that stands still costs bounded
/// memory.
const WAITING_MAX: usize = 1_000_000;

/// Runs it. `say` shows progress.
pub(crate) fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<Summary, PgbenchError> {
    let conninfo = Conninfo::parse(&plan.conninfo)?.reached()?;
    conninfo.warnings.iter().for_each(|line| say(line));
    let mut presets = plan.variables.clone();
    // Scripts are read before anything is sent.
    workload::compile(&plan.scripts, plan.protocol, &presets, plan.clients)?;
    let scale = prepare(plan, &conninfo, say)?;
    if !presets.iter().any(|(name, _)| name == "scale") {
        presets.push(("scale".into(), scale.to_string()));
    }
    let compiled = workload::compile(&plan.scripts, plan.protocol, &presets, plan.clients)?;
    let workload = engine::pgbench::Workload {
        tries_max: plan.tries_max,
        retry_within_ns: plan.latency_limit_ns.filter(|_| plan.tries_max != Some(1)),
        records_statements: plan.reports_statements,
        keeps_samples: plan.log.is_some(),
        ..compiled.workload
    };
    let statements: Vec<_> = compiled.operations.iter().map(|one| one.name.clone()).collect();
    let generator = plan.generator.decide()?;
    let mut places = Places::new();
    places.insert(TARGET.into(), conninfo.place());
    let target = target(plan, &conninfo, compiled.operations)?;
    let stop = interrupt::flag();
    let mut fleet = Fleet::start(vec![target], &generator.cores, &generator.options, stop);
    let failed = |error| match error {
        FleetError::Refused(refusal) => {
            PgbenchError::Target(remedy::refusal(&refusal, TARGET, &places))
        }
        FleetError::Interrupted => PgbenchError::Interrupted,
        error => PgbenchError::Fleet(error),
    };
    let started = Instant::now();
    fleet.open().map_err(failed)?;
    let connecting = started.elapsed();
    let stream = Stream {
        target: 0,
        script: Script::Pgbench(Arc::new(workload)),
        load: load(plan),
        think_time_ns: (0, 0),
        start_ns: 0,
        graceful_stop_ns: plan.graceful_stop_ns,
        reconnect: plan.connects,
        cancel: None,
        seed: plan.seed,
    };
    let mut phase = Phase::new(vec![stream])?;
    phase.waiting_max = WAITING_MAX;
    phase.interval_ns = Some(plan.progress_ns.unwrap_or(SECOND));
    let begun = SystemTime::now();
    let columns = Columns {
        has_lag: plan.rate.is_some(),
        has_retries: plan.tries_max != Some(1),
        has_details: plan.details_failures,
    };
    let now = fleet.clock().now();
    let log = plan.log.as_ref().map(|log| Log::create(log, columns, plan.seed, now));
    let mut log = log.transpose()?;
    let mut log_error = None;
    let mut tell = |interval: &Interval| {
        let report = &interval.streams[0];
        // The last one is as short as it happens to be.
        let is_whole = |ns: Nanos| interval.end_ns - interval.start_ns > ns / 2;
        if plan.progress_ns.is_some_and(is_whole) {
            say(&progress::line(plan, interval, begun));
        }
        let script = report.script.as_deref();
        if let Some(script) = script {
            script.debugged.iter().for_each(|call| say(&call.to_string()));
            if script.debugged_more > 0 {
                say(&format!("debug: {} more calls are not shown", script.debugged_more));
            }
        }
        if let (Some(log), Some(script)) = (&mut log, script) {
            log_error = log_error.take().or_else(|| log.add(&script.samples).err());
        }
        match log_error.is_some() || script.is_some_and(|script| script.error.is_some()) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let report = fleet.run(&phase, &mut tell).map_err(failed)?;
    if let Some(error) = log_error {
        return Err(error.into());
    }
    log.map_or(Ok(()), Log::finish)?;
    let mut work = Work::default();
    work.add(&report, generator.cores.len());
    let threads = generator.cores.len();
    let generator = GeneratorSummary::new(&generator, fleet.connection_bytes(), work);
    drop(fleet);
    let run = Run {
        plan,
        scale,
        statements: &statements,
        statements_of: &compiled.statements_of,
        threads,
        connecting,
        begun,
        report: &report,
    };
    Ok(Summary::new(&run, generator))
}

/// What was run, and what came of it.
struct Run<'a> {
    plan: &'a Plan,
    scale: i64,
    statements: &'a [String],
    /// How many of them each script has.
    statements_of: &'a [usize],
    threads: usize,
    connecting: std::time::Duration,
    begun: SystemTime,
    report: &'a PhaseReport,
}

impl Run<'_> {
    fn script(&self) -> Option<&ScriptReport> {
        self.report.streams[0].script.as_deref()
    }
}

fn target(
    plan: &Plan,
    conninfo: &Conninfo,
    operations: Vec<wire::Operation>,
) -> Result<Target, PgbenchError> {
    let login = conninfo.login().map_err(|error| PgbenchError::Target(error.to_string()))?;
    let opening = Opening::Postgres(Arc::new(login));
    let opening = match conninfo.tls()? {
        Some(config) => Opening::Secured(config, Box::new(opening)),
        None => opening,
    };
    Ok(Target {
        name: TARGET.into(),
        address: conninfo.address()?,
        opening,
        operations: operations.into(),
        connections: plan.clients,
        connections_max: plan.clients,
        opening_at_once: 1,
        timeout_ns: TIMEOUT_NS,
    })
}

fn load(plan: &Plan) -> Load {
    let vus = plan.clients;
    match (plan.length, plan.rate) {
        (Length::Duration(duration_ns), None) => Load::ConstantVus { vus, duration_ns },
        (Length::Transactions(iterations), None) => {
            Load::PerVuIterations { vus, iterations, max_duration_ns: DURATION_MAX_NS }
        }
        (length, Some(rate)) => Load::ConstantArrivalRate {
            rate,
            gaps: Gaps::Poisson,
            duration_ns: match length {
                Length::Duration(duration_ns) => duration_ns,
                // As long as so many take at this rate.
                Length::Transactions(each) => {
                    let count = each.saturating_mul(vus.into()) as f64;
                    ((count / rate * SECOND as f64) as Nanos).clamp(1, DURATION_MAX_NS)
                }
            },
            pre_allocated_vus: vus,
            max_vus: vus,
        },
    }
}

/// Asks for the scale, and has the tables vacuumed: what pgbench does before it starts.
fn prepare(
    plan: &Plan,
    conninfo: &Conninfo,
    say: &mut dyn FnMut(&str),
) -> Result<i64, PgbenchError> {
    let wants_scale = plan.has_builtin;
    if !wants_scale && plan.vacuum == Vacuum::None {
        return Ok(plan.scale.unwrap_or(1));
    }
    let failed = |error: String| PgbenchError::Target(format!("{}: {error}", conninfo.place()));
    let mut client = conninfo.clone().connect().map_err(failed)?;
    let mut scale = plan.scale.unwrap_or(1);
    if wants_scale {
        let missing = |error: postgres::Error| {
            let words = error.as_db_error().map_or(error.to_string(), |db| db.message().into());
            PgbenchError::Target(format!(
                "{}: {words}; `pgbench -i` makes the tables that built-in scripts need",
                conninfo.place()
            ))
        };
        let counted = client.query_one("SELECT count(*) FROM pgbench_branches", &[]);
        let found: i64 = counted.map_err(missing)?.get(0);
        if plan.scale.is_some_and(|scale| scale != found) {
            say(&format!(
                "scale option ignored, using count from pgbench_branches table ({found})"
            ));
        }
        scale = found;
    }
    let mut ignoring = |sql: &str| {
        if let Err(error) = client.batch_execute(sql) {
            let words = error.as_db_error().map_or(error.to_string(), |db| db.message().into());
            say(&format!("{words} (ignored: -n leaves the vacuum out)"));
        }
    };
    if plan.vacuum != Vacuum::None {
        ignoring("VACUUM pgbench_branches");
        ignoring("VACUUM pgbench_tellers");
        ignoring("TRUNCATE pgbench_history");
    }
    if plan.vacuum == Vacuum::All {
        ignoring("VACUUM ANALYZE pgbench_accounts");
    }
    interrupt::check()?;
    Ok(scale)
}
