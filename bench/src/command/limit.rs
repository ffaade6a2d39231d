//! `poolbench limit`.

use std::path::PathBuf;

use clap::Args;
use engine::Nanos;

use super::CommandError;
use super::experiment_options::{ExperimentOptions, TargetOptions, gaps};
use super::output::{self, say};
use super::run_options::choose;
use crate::duration;
use crate::limit::{self, DEFAULTS, Goal, Log, Plan, Settings, TargetPlan, Variable, step};
use crate::rules::{self, Rules};
use crate::scenario::Scenario;

const HELP: &str = "\
Loads double until a goal is missed; then the limit is bracketed by bisection on the log scale, both \
bounds are tried again, and a long hold verifies the lower one. What the generator could not offer \
never counts as the target's failure: then the result is `at least`, with exit code 111.

A goal is `METRIC: EXPRESSION` in the words of thresholds, or an expression on the response time. \
Without any, the scenario's thresholds are the goals; without those, p(95)<100 and errors: rate<0.01.

Examples:
  poolbench limit                                the stack of `poolbench stack up`, all its layers
  poolbench limit bench.toml --target pooler --goal 'p(99)<50' --goal 'errors: rate<0.001'
  poolbench limit bench.toml --variable vus --budget 20m --log trials.jsonl
  poolbench limit bench.toml --target pooler --step 50:500 --connections 800";

/// The arguments of `poolbench limit`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Limit {
    #[command(flatten)]
    targets: TargetOptions,
    /// What the load must keep to; several with several of these
    #[arg(long, value_name = "GOAL")]
    goal: Vec<String>,
    /// What is raised
    #[arg(long, value_enum, default_value_t = VariableArgument::Rate)]
    variable: VariableArgument,
    /// The first load [default: 50 requests a second, 1 virtual user, 10 connections]
    #[arg(long, value_name = "LOAD", value_parser = load)]
    start: Option<f64>,
    /// Loads above are not tried
    #[arg(long, value_name = "LOAD", default_value = "1000000", value_parser = load)]
    max: f64,
    /// How close the two bounds are brought, as in 5%
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = width)]
    width: f64,
    /// How long a trial is
    #[arg(long, default_value = "5s", value_parser = super::length)]
    trial: Nanos,
    /// How long the limit is held to verify it; 0s for not at all
    #[arg(long, default_value = "60s", value_parser = duration::parse)]
    hold: Nanos,
    /// Time for all trials together, within which it does its best
    #[arg(long, value_name = "DURATION", value_parser = super::length)]
    budget: Option<Nanos>,
    /// Connections of an open loop to begin with; where all of them are in use there are more
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// The most of them
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// Requests a second while connections are raised
    #[arg(long, default_value_t = 100.0, value_parser = super::rate)]
    rate: f64,
    /// Poisson gaps in an open loop, as of many independent users, instead of even ones
    #[arg(long)]
    poisson: bool,
    /// No search: a step of the arrival rate up and down, as in 50:500, and how the target comes
    /// back
    #[arg(long, value_name = "LOW:HIGH", value_parser = step, conflicts_with_all = ["goal", "variable", "log", "budget", "html"])]
    step: Option<(f64, f64)>,
    /// How long the step lasts; as long again before it
    #[arg(long, default_value = "5s", requires = "step", value_parser = super::length)]
    step_duration: Nanos,
    /// The longest that is waited for recovery after it
    #[arg(long, default_value = "60s", requires = "step", value_parser = super::length)]
    after: Nanos,
    /// Keep every trial in FILE, from which --resume goes on
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Go on from the log of a command that was ended
    #[arg(long, requires = "log")]
    resume: bool,
    /// Only this operation; several with several of these
    #[arg(long, value_name = "NAME")]
    operation: Vec<String>,
    /// Write the result with charts as a page for a browser to FILE
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    experiment: ExperimentOptions,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum VariableArgument {
    /// Arrivals a second, whatever the replies do
    Rate,
    /// Virtual users, each waiting for its reply
    Vus,
    /// Open connections that take turns with --rate requests a second
    Connections,
}

impl Limit {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        let mut scenario = self.experiment.scenario.read()?;
        choose(&self.operation, &mut scenario.operations)?;
        if let Some(rates) = self.step {
            let plan = self.step_plan(&scenario, rates)?;
            let summary = step::run(&scenario, &plan, &mut say)?;
            return self.experiment.output.finish(&summary, &step::text(&summary));
        }
        let plan = self.plan(&scenario)?;
        let mut log = match &self.log {
            None => Log::none(),
            Some(file) => Log::open(file, "limit", &plan.digest(&scenario), self.resume)
                .map_err(limit::LimitError::from)?,
        };
        let summary = limit::run(&scenario, &plan, &mut log, &mut say)?;
        if let Some(file) = &self.html {
            output::write(file, Ok(limit::page(&summary)))?;
        }
        self.experiment.output.finish(&summary, &limit::text(&summary))
    }

    fn plan(&self, scenario: &Scenario) -> Result<Plan, CommandError> {
        let rules = Rules::read(scenario).map_err(|errors| scenario.refuse(&errors))?;
        let target = |name: String| -> Result<TargetPlan, CommandError> {
            let goals = self.goals(scenario, &rules, &name)?;
            Ok(TargetPlan { name, goals })
        };
        let targets = self.targets.of(scenario, |_| true)?;
        let (variable, start) = match self.variable {
            VariableArgument::Rate => (Variable::Rate { gaps: gaps(self.poisson) }, 50.0),
            VariableArgument::Vus => (Variable::Vus, 1.0),
            VariableArgument::Connections => (Variable::Connections { rate: self.rate }, 10.0),
        };
        let is_whole = !matches!(variable, Variable::Rate { .. });
        let start = self.start.unwrap_or(start).min(self.max);
        let most = if is_whole { self.max.min(f64::from(engine::VUS_MAX)) } else { self.max };
        Ok(Plan {
            targets: targets.into_iter().map(target).collect::<Result<_, _>>()?,
            variable,
            search: Settings {
                start: if is_whole { start.round().max(1.0) } else { start },
                min: if is_whole { 1.0 } else { start.min(1.0) },
                max: most,
                width: self.width,
                is_whole,
                trial_ns: self.trial,
                hold_ns: self.hold,
            },
            connections: (self.connections, self.max_connections.max(self.connections)),
            budget_ns: self.budget,
            checks: rules.checks,
            generator: self.experiment.generator.clone(),
            seed: self.experiment.seed,
        })
    }

    fn step_plan(
        &self,
        scenario: &Scenario,
        rates: (f64, f64),
    ) -> Result<step::Plan, CommandError> {
        Ok(step::Plan {
            targets: self.targets.of(scenario, |_| true)?,
            rates,
            gaps: gaps(self.poisson),
            before_ns: self.step_duration,
            during_ns: self.step_duration,
            after_ns: self.after,
            connections: self.connections,
            generator: self.experiment.generator.clone(),
            seed: self.experiment.seed,
        })
    }

    /// The goals of one target: those that its layer has a metric for.
    fn goals(
        &self,
        scenario: &Scenario,
        rules: &Rules,
        target: &str,
    ) -> Result<Vec<Goal>, CommandError> {
        let layer = rules::layer(scenario.target(target)?);
        let known = rules::known(scenario);
        let mut texts: Vec<&str> = self.goal.iter().map(String::as_str).collect();
        let thresholds: Vec<_> = rules.thresholds.iter().cloned().map(Goal::new).collect();
        if texts.is_empty() && thresholds.is_empty() {
            texts.extend(DEFAULTS);
        }
        let read = |text: &str| {
            Goal::parse(text, layer, &known).map_err(|wrong| CommandError::Goal {
                goal: text.into(),
                problem: wrong.to_string(),
            })
        };
        let mut goals = texts.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if goals.is_empty() {
            goals = thresholds;
        }
        goals.retain(|goal| goal.is_about(layer));
        if goals.is_empty() {
            return Err(CommandError::NoGoal { target: target.into(), layer: layer.name() });
        }
        Ok(goals)
    }
}

fn load(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(load) if load > 0.0 && load <= engine::RATE_MAX => Ok(load),
        _ => Err("a load is a number above 0".into()),
    }
}

fn step(text: &str) -> Result<(f64, f64), String> {
    let rates = text.split_once(':').ok_or("a step is two rates, as in 50:500")?;
    let (low, high) = (super::rate(rates.0)?, super::rate(rates.1)?);
    if low < high {
        Ok((low, high))
    } else {
        Err("a step goes up: the second rate is higher".into())
    }
}

fn width(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>() {
        Ok(percent) if (0.1..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("a width is a percentage from 0.1 to 100, as in 5%".into()),
    }
}
