//! `poolbench sweep`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use engine::Nanos;

use super::CommandError;
use super::experiment_options::ExperimentOptions;
use super::output::{self, say};
use super::run_options::choose;
use crate::limit::{Goal, LimitError, Log};
use crate::metric::Layer;
use crate::nova;
use crate::rules;
use crate::scenario::Scenario;
use crate::stack::{self, Options, Stack};
use crate::sweep::{self, Grid, Mode, ModeChange, Plan, Published, Steps, Summary, WireProtocol};

const HELP: &str = "\
Every combination of clients, pool size, pool mode and protocol is a cell. Cells are measured in a \
shuffled order, with one point in the middle measured again and again to see drift. Before each the \
pooler is reconfigured through its console (SET; its mode by --mode-command where one is given, and by \
pgbouncer.ini and RELOAD where the stack is ours), and SHOW CONFIG and SHOW DATABASES are asked whether \
that took effect; afterwards it gets its settings back.

Examples:
  poolbench sweep --clients 1,10,50 --pool-size 2-16       the stack of `poolbench stack up`
  poolbench sweep bench.toml --clients 8-64 --pool-size 4,8 --pool-mode transaction,session
  poolbench sweep --rate 500 --goal 'p(95)<20' --clients 100 --pool-size 1-16
  poolbench sweep --poolers 1,2,4 --pool-budget 24 --clients 64
  poolbench sweep --published pgcat
  poolbench sweep --published multicore                    1 to 8 processes, on stacks of its own";

/// As many can share a stack's port.
const POOLERS_MAX: u32 = 8;

/// The arguments of `poolbench sweep`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Sweep {
    /// Clients of the pool: a list, or 2-32 for doublings
    #[arg(long, value_name = "LIST", default_value = "1,4,16,64")]
    clients: Steps,
    /// Server connections of the pool: a list, or 2-32 for doublings
    #[arg(long, value_name = "LIST", default_value = "1,2,4,8,16")]
    pool_size: Steps,
    /// When a server connection goes to another client
    #[arg(long, value_enum, value_delimiter = ',', default_value = "transaction")]
    pool_mode: Vec<Mode>,
    /// How statements are sent
    #[arg(long, value_enum, value_delimiter = ',', default_value = "extended")]
    protocol: Vec<WireProtocol>,
    /// Requests a second, shared by the clients; without it they never pause
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = super::rate)]
    rate: Vec<f64>,
    /// What a rate must keep to, as in 'p(95)<20'; several with several of these
    #[arg(long, value_name = "GOAL", requires = "rate")]
    goal: Vec<String>,
    /// The pooler's target, by its name in the scenario
    #[arg(long, value_name = "NAME", default_value = "pooler")]
    target: String,
    /// Postgres' own target, for cells without a pool
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    direct: String,
    /// No cells without a pool
    #[arg(long)]
    no_direct: bool,
    /// How long a cell is measured
    #[arg(long, default_value = "5s", value_parser = super::length)]
    cell: Nanos,
    /// After so many cells the point in the middle is measured again
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    reference_every: u32,
    /// Run by a shell, with the mode in POOL_MODE, to change the mode; else it is set at the console,
    /// and on a stack of `poolbench stack up` by its pgbouncer.ini and RELOAD
    #[arg(long, value_name = "COMMAND")]
    mode_command: Option<String>,
    /// The settings of a published table, with its figures beside ours: multicore, pg_doorman,
    /// pg_doorman_scram, pgcat or pgdog
    #[arg(long, value_name = "NAME", conflicts_with_all = ["clients", "pool_size", "pool_mode", "protocol", "rate"])]
    published: Option<String>,
    /// Cells of a published table with more clients are left out
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "published")]
    max_clients: u32,
    /// PgBouncer processes behind one port: a private stack is started for each number, and all
    /// cells are measured on it
    #[arg(long, value_name = "LIST", conflicts_with_all = ["published", "pool_size", "pool_mode"])]
    poolers: Option<Steps>,
    /// Server connections of all processes together
    #[arg(long, value_name = "N", default_value_t = 24, requires = "poolers", value_parser = clap::value_parser!(u32).range(1..=128))]
    pool_budget: u32,
    /// Only this operation; several with several of these
    #[arg(long, value_name = "NAME")]
    operation: Vec<String>,
    /// Keep every cell in FILE, from which --resume goes on
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Go on from the log of a command that was ended
    #[arg(long, requires = "log")]
    resume: bool,
    /// Write the cells as CSV to FILE
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the result with charts as a page for a browser to FILE
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    experiment: ExperimentOptions,
}

impl Sweep {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let published = self.published.as_deref().map(Published::named).transpose()?;
        let poolers = match (&self.poolers, &published) {
            (Some(Steps(poolers)), _) => poolers.clone(),
            (None, Some(published)) => published.poolers.clone(),
            (None, None) => Vec::new(),
        };
        let summary = match &poolers[..] {
            [] => self.measure(published)?,
            _ if self.experiment.scenario.file.is_some() || self.log.is_some() => {
                return Err(CommandError::PoolersAlone);
            }
            poolers => self.compare(poolers, published)?,
        };
        if let Some(file) = &self.csv {
            output::write(file, sweep::csv(&summary))?;
        }
        if let Some(file) = &self.html {
            output::write(file, Ok(sweep::page(&summary)))?;
        }
        self.experiment.output.finish(&summary, &sweep::text(&summary))
    }

    fn measure(&self, published: Option<Published>) -> Result<Summary, CommandError> {
        let mut scenario = match (&published, stack::attach()?) {
            (Some(published), Some(info)) if self.experiment.scenario.file.is_none() => {
                let scenario = nova::read(&info, "published.toml", &published.scenario())?;
                published.prepare(&scenario)?;
                scenario
            }
            _ => self.experiment.scenario.read()?,
        };
        choose(&self.operation, &mut scenario.operations)?;
        let plan = self.plan(&scenario, published)?;
        let mut log = match &self.log {
            None => Log::none(),
            Some(file) => Log::open(file, "sweep", &plan.digest(&scenario), self.resume)
                .map_err(LimitError::from)?,
        };
        Ok(sweep::run(&scenario, &plan, &mut log, &mut say)?)
    }

    /// The same cells on each number of pooler processes.
    fn compare(
        &self,
        poolers: &[u32],
        published: Option<Published>,
    ) -> Result<Summary, CommandError> {
        let started = SystemTime::now();
        let mut cells = Vec::new();
        let mut found = None;
        let pool_budget = published.as_ref().map_or(self.pool_budget, Published::pool_budget);
        for count in poolers {
            if *count > POOLERS_MAX {
                return Err(CommandError::Poolers(*count));
            }
            let pool_size = (pool_budget / count).max(1);
            let tls = published.as_ref().is_some_and(|published| published.tls);
            let options = Options { poolers: *count, pool_size, tls, ..Options::default() };
            let stack = Stack::start(&options, &mut say)?;
            let mut scenario = match &published {
                None => nova::scenario(stack.info())?,
                Some(published) => {
                    let text = published.scenario();
                    let scenario = nova::read(stack.info(), "published.toml", &text)?;
                    published.prepare(&scenario)?;
                    scenario
                }
            };
            choose(&self.operation, &mut scenario.operations)?;
            let mut plan = self.plan(&scenario, published.clone())?;
            plan.grid.pool_sizes = vec![pool_size * count];
            plan.grid.modes = vec![Mode::Transaction];
            plan.grid.has_direct = false;
            let info = stack.info();
            let servers = std::iter::once(&info.pgbouncer).chain(&info.more_poolers);
            let pids: Vec<_> = servers.map(|server| server.pid).collect();
            cells.extend(sweep::run_as_it_is(&scenario, &plan, &pids, &mut say)?);
            stack.stop()?;
            found = Some((scenario.name, plan));
        }
        let (name, plan) = found.ok_or(CommandError::NothingToMeasure)?;
        for (number, cell) in cells.iter_mut().enumerate() {
            cell.number = number;
        }
        Ok(Summary::of_poolers(&name, &plan, started, cells))
    }

    /// How the pooler's mode is changed: on a stack that we started by its ini.
    fn mode_change(&self, scenario: &Scenario) -> Result<ModeChange, CommandError> {
        if let Some(command) = &self.mode_command {
            return Ok(ModeChange::Command(command.clone()));
        }
        let consoles = &scenario.target(&self.target)?.consoles;
        Ok(match stack::attach()? {
            Some(info) if *consoles == [info.console_conninfo().with_password()] => {
                ModeChange::Ini(info.pooler_ini())
            }
            _ => ModeChange::Console,
        })
    }

    fn plan(
        &self,
        scenario: &Scenario,
        published: Option<Published>,
    ) -> Result<Plan, CommandError> {
        scenario.target(&self.target)?;
        let has_direct = !self.no_direct && scenario.targets.contains_key(&self.direct);
        let mut grid = match &published {
            Some(published) => published.grid(self.max_clients),
            None => Grid {
                clients: self.clients.0.clone(),
                pool_sizes: self.pool_size.0.clone(),
                modes: self.pool_mode.clone(),
                protocols: self.protocol.clone(),
                rates: self.rate.clone(),
                has_direct,
            },
        };
        grid.has_direct &= has_direct;
        let known = rules::known(scenario);
        let goal = |text: &String| {
            Goal::parse(text, Layer::Pooler, &known).map_err(|wrong| CommandError::Goal {
                goal: text.clone(),
                problem: wrong.to_string(),
            })
        };
        Ok(Plan {
            pooler: self.target.clone(),
            direct: grid.has_direct.then(|| self.direct.clone()),
            grid,
            goals: self.goal.iter().map(goal).collect::<Result<_, _>>()?,
            cell_ns: self.cell,
            reference_every: self.reference_every as usize,
            mode_change: self.mode_change(scenario)?,
            published,
            generator: self.experiment.generator.clone(),
            seed: self.experiment.seed,
        })
    }
}
