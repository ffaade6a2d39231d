//! What the command line says about a run beside its scenario file, and goes before it.

use clap::Args;
use engine::{Gaps, Load, LoadError, Nanos, SECOND, Stage};

use crate::duration;
use crate::scenario::{
    GRACEFUL_STOP_NS, MAX_DURATION_NS, OperationFile, PRE_ALLOCATED_VUS, Scenario, ScenarioError,
    ScenarioLoad,
};

/// The load, the operations and the variables of a run. An option that is not given leaves what
/// the file says.
#[derive(Debug, Default, PartialEq, Args)]
pub(crate) struct RunOptions {
    /// Closed loop: so many virtual users, each waiting for its reply. With --stage where it
    /// begins, with --rps how many requests may be under way at once
    #[arg(short = 'u', long, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    vus: Option<u32>,
    /// How long the load lasts. Stages, and the starts of several loads, are stretched or shortened
    /// in proportion; for iterations it is the most that they may take [default: 10s]
    #[arg(short = 'd', long, conflicts_with = "stage", value_parser = duration)]
    duration: Option<Nanos>,
    /// So many iterations, shared by the virtual users; of each where the file's executor is
    /// per-vu-iterations
    #[arg(short = 'i', long, conflicts_with_all = ["rate", "rps", "stage"], value_parser = clap::value_parser!(u64).range(1..))]
    iterations: Option<u64>,
    /// Closed loop that ramps: DURATION:VUS, several with commas as in 1m:50,5m:500; 0s is a jump
    #[arg(short = 's', long, value_name = "DURATION:VUS", value_delimiter = ',', value_parser = stage)]
    stage: Vec<Stage>,
    /// Open loop: iterations a second, whatever the replies do
    #[arg(long, conflicts_with_all = ["rps", "stage"], value_parser = super::rate)]
    rate: Option<f64>,
    /// At most so many requests a second over at most --vus connections, as an open loop: where k6
    /// would hold its users back, requests leave on schedule, and waiting counts as latency
    #[arg(long, conflicts_with_all = ["stage", "connections"], value_parser = super::rate)]
    rps: Option<f64>,
    /// Connections of an open loop [default: 50]; each virtual user of a closed one has its own
    #[arg(long, conflicts_with = "vus", value_parser = clap::value_parser!(u32).range(1..))]
    connections: Option<u32>,
    /// Poisson gaps in an open loop, as of many independent users, instead of even ones
    #[arg(long)]
    poisson: bool,
    /// A virtual user's pause after each reply: one duration, or the least and the most as in
    /// 500ms,3s
    #[arg(long, value_delimiter = ',', num_args = 1, value_parser = duration::parse)]
    think_time: Option<Vec<Nanos>>,
    /// The target, by its name in the scenario [default: the load's, or the only one]
    #[arg(long)]
    target: Option<String>,
    /// Prepared statements are sent unnamed once the pooler has lost one's name, as
    /// unnamed_fallback = true in [targets.NAME]
    #[arg(long)]
    unnamed_fallback: bool,
    /// Only this operation; several with several of these
    #[arg(long, value_name = "NAME")]
    operation: Vec<String>,
    /// The share of operations that write, as in 50%; among themselves they keep their weights
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    writes: Option<Share>,
    /// Sets ${NAME} in the scenario, before the environment's
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = assignment)]
    variables: Vec<(String, String)>,
    /// Marks the run's figures, before the scenario's tags
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = assignment)]
    tags: Vec<(String, String)>,
}

/// In hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share(u32);

impl Share {
    const WHOLE: u32 = 10_000;
}

/// An option that can't be followed in this scenario.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionsError {
    /// There is no such operation.
    #[error("--operation {name}: there is none of this name; the scenario has {known}")]
    Operation { name: String, known: String },
    /// Nothing to shift weight to.
    #[error("--writes {percent}%: no operation of the scenario {what}")]
    Writes { percent: f64, what: &'static str },
    /// The flag is about another kind of load.
    #[error("{flag} is for {of}, and load {load} is {is}: {remedy}")]
    OtherLoop {
        flag: &'static str,
        of: &'static str,
        load: String,
        is: &'static str,
        remedy: &'static str,
    },
    /// Some virtual users would have nothing to do.
    #[error("{vus} VUs can't share {iterations} iterations: lower --vus or raise --iterations")]
    TooFewIterations { vus: u32, iterations: u64 },
    /// Stages that are all jumps can't be made longer.
    #[error("--duration can't stretch a load that takes no time: give its stages a duration")]
    NoLength,
    /// Several think times.
    #[error("--think-time takes one duration, or the least and the most, as in 500ms,3s")]
    ThinkTime,
    /// The load makes no sense.
    #[error("the load makes no sense: {0}")]
    Load(#[from] LoadError),
    /// The scenario does not fit.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
}

const DEFAULT_DURATION_NS: Nanos = 10 * SECOND;

impl RunOptions {
    /// The value of `${NAME}`: `-e`, then the environment. The last `-e` of a name counts.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        variable(&self.variables, name)
    }

    /// Whether the file need not say how long.
    pub(crate) fn has_duration(&self) -> bool {
        self.duration.is_some() || !self.stage.is_empty() || self.iterations.is_some()
    }

    /// Whether anything is said beside variables and tags.
    pub(crate) fn says_load(&self) -> bool {
        let (variables, tags) = (self.variables.clone(), self.tags.clone());
        *self != Self { variables, tags, ..Self::default() }
    }

    /// Changes the scenario as the options say. Afterwards it has at least one load, and each has a
    /// target.
    pub(crate) fn apply(&self, scenario: &mut Scenario) -> Result<(), OptionsError> {
        if let Some(name) = &self.target {
            scenario.target(name)?;
        }
        if self.unnamed_fallback {
            scenario.targets.values_mut().for_each(|target| target.unnamed_fallback = true);
        }
        scenario.loads = self.loads(&scenario.loads)?;
        for index in 0..scenario.loads.len() {
            let load = &scenario.loads[index];
            let name = match &self.target {
                Some(name) => name.clone(),
                None => scenario.target_of(load)?.to_owned(),
            };
            load.load.check()?;
            scenario.loads[index].target = Some(name);
        }
        choose(&self.operation, &mut scenario.operations)?;
        if let Some(share) = self.writes {
            share.shift(&mut scenario.operations)?;
        }
        scenario.tags.extend(self.tags.iter().cloned());
        Ok(())
    }

    /// The loads, with the file's own as `file`.
    fn loads(&self, file: &[ScenarioLoad]) -> Result<Vec<ScenarioLoad>, OptionsError> {
        let has_shape = self.vus.is_some()
            || self.iterations.is_some()
            || !self.stage.is_empty()
            || self.rate.or(self.rps).is_some();
        let mut loads = match file {
            [] => vec![self.shaped(&ScenarioLoad::new(default_load()))?],
            [one] if has_shape => vec![self.shaped(one)?],
            // As in k6: what is said shortly takes the place of all that the file says.
            [first, rest @ ..] if has_shape => {
                let mut load = ScenarioLoad::new(default_load());
                let is_common = |load: &ScenarioLoad| load.target == first.target;
                load.target = first.target.clone().filter(|_| rest.iter().all(is_common));
                vec![self.shaped(&load)?]
            }
            all => match self.duration {
                Some(duration_ns) => stretched(all, duration_ns)?,
                None => all.to_vec(),
            },
        };
        for load in &mut loads {
            self.detail(load)?;
        }
        Ok(loads)
    }

    /// `base` with the executor that the options are of.
    fn shaped(&self, base: &ScenarioLoad) -> Result<ScenarioLoad, OptionsError> {
        let vus = |default| self.vus.or(closed_vus(&base.load)).unwrap_or(default);
        let duration_ns = self.duration.unwrap_or_else(|| length_ns(&base.load));
        let load = if !self.stage.is_empty() {
            let (start_vus, graceful_ramp_down_ns) = match base.load {
                Load::RampingVus { start_vus, graceful_ramp_down_ns, .. } => {
                    (start_vus, graceful_ramp_down_ns)
                }
                _ => (1, GRACEFUL_STOP_NS),
            };
            let start_vus = self.vus.unwrap_or(start_vus);
            Load::RampingVus {
                start_vus,
                stages: self.stage.as_slice().into(),
                graceful_ramp_down_ns,
            }
        } else if let Some(rate) = self.rate.or(self.rps) {
            let (pre_allocated_vus, max_vus) = match (self.vus, &base.load) {
                (Some(vus), _) => (vus, vus),
                (None, open) if open.is_open_loop() => (open.pre_allocated_vus(), open.vus_max()),
                _ => (PRE_ALLOCATED_VUS, PRE_ALLOCATED_VUS),
            };
            let gaps = base.gaps();
            Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus, max_vus }
        } else if let Some(iterations) = self.iterations {
            let max = |ns| self.duration.unwrap_or(ns);
            match base.load {
                Load::PerVuIterations { max_duration_ns, .. } => {
                    let max_duration_ns = max(max_duration_ns);
                    Load::PerVuIterations { vus: vus(1), iterations, max_duration_ns }
                }
                Load::SharedIterations { max_duration_ns, .. } => {
                    let max_duration_ns = max(max_duration_ns);
                    Load::SharedIterations { vus: vus(1), iterations, max_duration_ns }
                }
                _ => {
                    let max_duration_ns = max(MAX_DURATION_NS);
                    Load::SharedIterations { vus: vus(1), iterations, max_duration_ns }
                }
            }
        } else {
            match base.load.clone() {
                Load::PerVuIterations { iterations, max_duration_ns, .. } => {
                    Load::PerVuIterations {
                        vus: vus(1),
                        iterations,
                        max_duration_ns: self.duration.unwrap_or(max_duration_ns),
                    }
                }
                Load::SharedIterations { iterations, max_duration_ns, .. } => {
                    Load::SharedIterations {
                        vus: vus(1),
                        iterations,
                        max_duration_ns: self.duration.unwrap_or(max_duration_ns),
                    }
                }
                _ => Load::ConstantVus { vus: vus(1), duration_ns },
            }
        };
        if let Load::SharedIterations { vus, iterations, .. } = load
            && iterations < u64::from(vus)
        {
            return Err(OptionsError::TooFewIterations { vus, iterations });
        }
        let think_time_ns = if load.is_open_loop() { (0, 0) } else { base.think_time_ns };
        Ok(ScenarioLoad { load, think_time_ns, ..base.clone() })
    }

    /// What is about one kind of load only.
    fn detail(&self, load: &mut ScenarioLoad) -> Result<(), OptionsError> {
        let is_open = load.load.is_open_loop();
        let name = load.name.clone().unwrap_or_else(|| "[load]".into());
        if let Some(think_time) = self.think_time.as_deref() {
            if is_open {
                return Err(OptionsError::OtherLoop {
                    flag: "--think-time",
                    of: "a closed loop",
                    load: name,
                    is: "an open one",
                    remedy: "iterations start on schedule, whatever users do; leave it out",
                });
            }
            load.think_time_ns = match think_time {
                [both] => (*both, *both),
                [least, most] => (*least, *most),
                _ => return Err(OptionsError::ThinkTime),
            };
            let (least, most) = load.think_time_ns;
            if least > most {
                return Err(LoadError::ThinkTime(least, most).into());
            }
        }
        let for_open = |flag| OptionsError::OtherLoop {
            flag,
            of: "an open loop",
            load: name.clone(),
            is: "a closed one",
            remedy: "give --rate, or leave it out",
        };
        if self.poisson && !is_open {
            return Err(for_open("--poisson"));
        }
        if self.connections.is_some() && !is_open {
            return Err(for_open("--connections"));
        }
        if let Load::ConstantArrivalRate { gaps, pre_allocated_vus, max_vus, .. }
        | Load::RampingArrivalRate { gaps, pre_allocated_vus, max_vus, .. } = &mut load.load
        {
            if self.poisson {
                *gaps = Gaps::Poisson;
            }
            if let Some(connections) = self.connections {
                (*pre_allocated_vus, *max_vus) = (connections, connections);
            }
        }
        Ok(())
    }
}

/// Keeps the operations of these names, if there are names.
pub(super) fn choose(
    names: &[String],
    operations: &mut Vec<OperationFile>,
) -> Result<(), OptionsError> {
    for name in names {
        if !operations.iter().any(|operation| operation.name == *name) {
            let known: Vec<_> = operations.iter().map(|known| known.name.as_str()).collect();
            let known = known.join(", ");
            return Err(OptionsError::Operation { name: name.clone(), known });
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    operations.retain(|operation| names.contains(&operation.name));
    if operations.iter().all(|operation| operation.weight == 0) {
        operations.iter_mut().for_each(|operation| operation.weight = 1);
    }
    Ok(())
}

fn default_load() -> Load {
    Load::ConstantVus { vus: 1, duration_ns: DEFAULT_DURATION_NS }
}

/// The number of virtual users that a closed loop of a fixed number has.
fn closed_vus(load: &Load) -> Option<u32> {
    match load {
        Load::ConstantVus { vus, .. }
        | Load::PerVuIterations { vus, .. }
        | Load::SharedIterations { vus, .. } => Some(*vus),
        _ => None,
    }
}

/// How long a load lasts; one of iterations lasts as long as they take.
fn length_ns(load: &Load) -> Nanos {
    match load {
        Load::PerVuIterations { .. } | Load::SharedIterations { .. } => DEFAULT_DURATION_NS,
        load => load.duration_ns(),
    }
}

/// All loads with their starts and durations in proportion, so that the last one ends after
/// `duration_ns`.
fn stretched(
    loads: &[ScenarioLoad],
    duration_ns: Nanos,
) -> Result<Vec<ScenarioLoad>, OptionsError> {
    let end = |load: &ScenarioLoad| load.start_ns.saturating_add(load.load.duration_ns());
    let whole_ns = loads.iter().map(end).max().unwrap_or(0);
    if whole_ns == 0 {
        return Err(OptionsError::NoLength);
    }
    let at = |ns: Nanos| {
        let scaled = u128::from(ns) * u128::from(duration_ns) / u128::from(whole_ns);
        u64::try_from(scaled).unwrap_or(Nanos::MAX)
    };
    let stretch = |load: &ScenarioLoad| {
        let mut load = load.clone();
        let start = load.start_ns;
        let length = |ns: Nanos| at(start.saturating_add(ns)) - at(start);
        match &mut load.load {
            Load::ConstantVus { duration_ns: ns, .. }
            | Load::ConstantArrivalRate { duration_ns: ns, .. }
            | Load::PerVuIterations { max_duration_ns: ns, .. }
            | Load::SharedIterations { max_duration_ns: ns, .. } => *ns = length(*ns),
            Load::RampingVus { stages, .. } | Load::RampingArrivalRate { stages, .. } => {
                let mut before: Nanos = 0;
                let stage = |stage: &Stage| {
                    let after = before.saturating_add(stage.duration_ns);
                    let duration_ns = length(after) - length(before);
                    before = after;
                    Stage { duration_ns, ..*stage }
                };
                *stages = stages.iter().map(stage).collect();
            }
        }
        load.start_ns = at(start);
        load
    };
    Ok(loads.iter().map(stretch).collect())
}

impl Share {
    /// Changes the weights so that this share of them is on operations that write.
    fn shift(self, operations: &mut [OperationFile]) -> Result<(), OptionsError> {
        let total = |operations: &mut [OperationFile], writes: bool| {
            let mut chosen: Vec<_> =
                operations.iter_mut().filter(|operation| operation.writes == writes).collect();
            if chosen.iter().all(|operation| operation.weight == 0) {
                chosen.iter_mut().for_each(|operation| operation.weight = 1);
            }
            chosen.iter().map(|operation| u128::from(operation.weight)).sum::<u128>()
        };
        let percent = f64::from(self.0) / 100.0;
        let (reads, writes) = (total(operations, false), total(operations, true));
        if writes == 0 && self.0 > 0 {
            return Err(OptionsError::Writes { percent, what: "writes" });
        }
        if reads == 0 && self.0 < Self::WHOLE {
            return Err(OptionsError::Writes { percent, what: "reads" });
        }
        let factor = |operation: &OperationFile| match operation.writes {
            true => u128::from(self.0) * reads.max(1),
            false => u128::from(Self::WHOLE - self.0) * writes.max(1),
        };
        let weights: Vec<u128> = operations
            .iter()
            .map(|operation| u128::from(operation.weight) * factor(operation))
            .collect();
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let most = weights.iter().max().copied().unwrap_or(0) / divisor;
        let shrink = most / u128::from(u32::MAX) + 1;
        for (operation, weight) in operations.iter_mut().zip(weights) {
            let weight = weight / divisor;
            let shrunk = if weight == 0 { 0 } else { (weight / shrink).max(1) };
            operation.weight = u32::try_from(shrunk).unwrap_or(u32::MAX);
        }
        Ok(())
    }
}

fn gcd(one: u128, other: u128) -> u128 {
    if other == 0 { one } else { gcd(other, one % other) }
}

fn duration(text: &str) -> Result<Nanos, String> {
    match duration::parse(text)? {
        0 => Err("a run of 0 s measures nothing".into()),
        duration_ns => Ok(duration_ns),
    }
}

fn stage(text: &str) -> Result<Stage, String> {
    let wrong = || format!("{text} is no stage: write DURATION:VUS, as in 1m:50");
    let (duration, target) = text.split_once(':').ok_or_else(wrong)?;
    let target: u32 = target.parse().map_err(|_| wrong())?;
    Ok(Stage { duration_ns: duration::parse(duration)?, target: target.into() })
}

fn share(text: &str) -> Result<Share, String> {
    let wrong = || format!("{text} is no share: write it as in 50%");
    let percent: f64 = text.strip_suffix('%').ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    if !(0.0..=100.0).contains(&percent) {
        return Err("a share is from 0% to 100%".into());
    }
    Ok(Share((percent * 100.0).round() as u32))
}

/// The value of `${NAME}`: the last one of `given`, or the environment's.
pub(super) fn variable(given: &[(String, String)], name: &str) -> Option<String> {
    let given = given.iter().rev().find(|(given, _)| given == name);
    given.map(|(_, value)| value.clone()).or_else(|| std::env::var(name).ok())
}

/// Reads `NAME=VALUE`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err(format!("{text} is not of the form NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests;
