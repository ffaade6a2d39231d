//! `poolbench run`.

use std::path::PathBuf;

use clap::Args;
use engine::Nanos;

use super::CommandError;
use super::output::{self, Output};
use super::run_options::RunOptions;
use crate::generator::GeneratorOptions;
use crate::metric::Aggregation;
use crate::rules::Rules;
use crate::run::{self, Plan, Progress, Seconds};
use crate::scenario::{Reading, Scenario, WARM_UP_NS};
use crate::{duration, nova, stack};

const AFTER_HELP: &str = "\
The gateways' token is the scenario's [auth] jwt; else what its [auth.login] gives, renewed before \
it expires; else JWT_TOKEN, from -e or the environment.

What is observed once a second: the console of each target that has one (a list of consoles where \
several processes share a port), the views of target postgres (through its `observer`, a role with \
pg_monitor: what Postgres hides from others is unknown), the [processes] by pid, pid file or folder of a control group (a container), a list of these where several \
processes are one target, with all that they have started, this machine and this command, and the Prometheus text at the addresses of [observe] prometheus. What does not answer is a gap in \
the series of --json and changes nothing else.";

/// The arguments of `poolbench run`. What is given here goes before what the scenario says.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Run {
    /// The scenario; without one, the nova scenario on the stack that `poolbench stack up` started
    file: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
    /// Before the measured phase, uncounted [default: 1s]
    #[arg(long, value_parser = duration::parse)]
    warm_up: Option<Nanos>,
    /// Decides contents and instants of all requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    generator: GeneratorOptions,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Show every second: load, pools, servers and CPU beside each other [default: those around the
    /// one from which on a resource had run out]
    #[arg(short, long)]
    verbose: bool,
    /// The statistics of trends in the summary [default: avg,min,med,max,p(90),p(95)]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    summary_trend_stats: Option<Vec<Aggregation>>,
    /// Write the summary to FILE in the JSON shape of k6's option of this name
    #[arg(long, value_name = "FILE")]
    summary_export: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Run {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let mut scenario = match &self.file {
            Some(file) => {
                let lookup = |name: &str| nova::or_stack(self.options.variable(name), name);
                let has_duration = self.options.has_duration();
                Scenario::read(file, &Reading { lookup: &lookup, has_duration })?
            }
            None => match stack::attach()? {
                Some(info) => nova::scenario(&info)?,
                None => return Err(CommandError::NothingToMeasure),
            },
        };
        output::warn(&scenario.report);
        self.options.apply(&mut scenario)?;
        let plan = Plan {
            loads: scenario.loads.clone(),
            warm_up_ns: self.warm_up.or(scenario.warm_up_ns).unwrap_or(WARM_UP_NS),
            generator: self.generator.clone(),
            seed: self.seed,
        };
        let rules = Rules::read(&scenario).map_err(|errors| scenario.refuse(&errors))?;
        let mut progress = if self.quiet { Progress::quiet() } else { Progress::new() };
        let summary = run::run(&scenario, &plan, &rules, &mut progress)?;
        progress.clear();
        let stats = self.summary_trend_stats.as_deref().unwrap_or(&run::STATS);
        if let Some(file) = &self.summary_export {
            output::write(file, run::export(&summary.verdicts, stats))?;
        }
        let seconds = if self.verbose { Seconds::All } else { Seconds::OfLimiter };
        self.output.finish(&summary, &run::text(&summary, stats, seconds))
    }
}
