//! `[load]` and `[[loads]]`: k6's executors with k6's fields.

use engine::{DURATION_MAX_NS, Gaps, Load, MILLISECOND, Nanos, RATE_MAX, SECOND, Stage, VUS_MAX};

use super::fields::{self, Fields};
use super::mistake::{Mistake, Mistakes, list, suggest};
use super::node::{Node, Value};

/// k6's own.
pub(crate) const GRACEFUL_STOP_NS: Nanos = 30 * SECOND;
/// k6's own.
pub(crate) const MAX_DURATION_NS: Nanos = 600 * SECOND;
/// Connections of an open loop where the file does not say; k6 asks for them.
pub(crate) const PRE_ALLOCATED_VUS: u32 = 50;
/// Before a run, uncounted.
pub(crate) const WARM_UP_NS: Nanos = 1000 * MILLISECOND;

/// One load on one target, as a file or the command line says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScenarioLoad {
    /// Its name in reports, where there are several.
    pub(crate) name: Option<String>,
    /// The target; where it is not given, the scenario's only one.
    pub(crate) target: Option<String>,
    pub(crate) load: Load,
    /// The least and the most, uniform between; only a closed loop has one.
    pub(crate) think_time_ns: (Nanos, Nanos),
    /// What the file says for an open loop all the same: nothing, but a mistake to tell of.
    pub(crate) ignored_think_time_ns: (Nanos, Nanos),
    /// Iterations a second that this load is meant to offer; only compared, by `doctor`.
    pub(crate) expected_rate: Option<f64>,
    /// After the run's start.
    pub(crate) start_ns: Nanos,
    /// How long replies are waited for after the end.
    pub(crate) graceful_stop_ns: Nanos,
}

impl ScenarioLoad {
    /// A load that says nothing but its shape.
    pub(crate) fn new(load: Load) -> Self {
        Self {
            name: None,
            target: None,
            load,
            think_time_ns: (0, 0),
            ignored_think_time_ns: (0, 0),
            expected_rate: None,
            start_ns: 0,
            graceful_stop_ns: GRACEFUL_STOP_NS,
        }
    }

    /// How its arrivals are spaced; even ones for a closed loop, which has none.
    pub(crate) fn gaps(&self) -> Gaps {
        match &self.load {
            Load::ConstantArrivalRate { gaps, .. } | Load::RampingArrivalRate { gaps, .. } => *gaps,
            _ => Gaps::Uniform,
        }
    }
}

/// The executors' names, and the fields of each beside those that all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Executor {
    ConstantVus,
    RampingVus,
    PerVuIterations,
    SharedIterations,
    ConstantArrivalRate,
    RampingArrivalRate,
}

const EXECUTORS: [(&str, Executor); 6] = [
    ("constant-vus", Executor::ConstantVus),
    ("ramping-vus", Executor::RampingVus),
    ("per-vu-iterations", Executor::PerVuIterations),
    ("shared-iterations", Executor::SharedIterations),
    ("constant-arrival-rate", Executor::ConstantArrivalRate),
    ("ramping-arrival-rate", Executor::RampingArrivalRate),
];

/// Every field that only some executors have.
const SHAPE_FIELDS: [&str; 13] = [
    "vus",
    "start_vus",
    "duration",
    "iterations",
    "max_duration",
    "rate",
    "start_rate",
    "time_unit",
    "stages",
    "graceful_ramp_down",
    "gaps",
    "pre_allocated_vus",
    "max_vus",
];

impl Executor {
    fn name(self) -> &'static str {
        EXECUTORS.iter().find(|(_, other)| *other == self).map_or("", |(name, _)| name)
    }

    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::ConstantVus => &["vus", "duration"],
            Self::RampingVus => &["start_vus", "stages", "graceful_ramp_down"],
            Self::PerVuIterations | Self::SharedIterations => {
                &["vus", "iterations", "max_duration"]
            }
            Self::ConstantArrivalRate => {
                &["rate", "duration", "time_unit", "gaps", "pre_allocated_vus", "max_vus"]
            }
            Self::RampingArrivalRate => {
                &["start_rate", "stages", "time_unit", "gaps", "pre_allocated_vus", "max_vus"]
            }
        }
    }

    fn is_open_loop(self) -> bool {
        matches!(self, Self::ConstantArrivalRate | Self::RampingArrivalRate)
    }
}

/// What the loads of a file may refer to, and what is given elsewhere.
pub(super) struct Context<'a> {
    pub(super) targets: Vec<&'a str>,
    /// The command line says how long.
    pub(super) has_duration: bool,
}

/// The loads of a file, and how long the warm-up takes where one of them says so.
#[derive(Debug, Default)]
pub(super) struct Loads {
    pub(super) loads: Vec<ScenarioLoad>,
    pub(super) warm_up_ns: Option<Nanos>,
}

/// Reads `[load]` or `[[loads]]`.
pub(super) fn read(root: &Fields<'_>, context: &Context<'_>) -> Loads {
    let one = root.get("load");
    let several = root.get("loads");
    if let (Some(_), Some(several)) = (one, several) {
        let message = "[load] and [[loads]] are both there";
        let help = "give one load as [load], or all of them as [[loads]]";
        root.mistakes.push(Mistake::error(&several.place, message).help(help));
    }
    let mut all = Loads::default();
    if let Some(node) = one {
        all.push(load(node, "[load]", context, root.mistakes));
    }
    let Some(several) = several else { return all };
    let nodes = match &several.value {
        Value::List(nodes) => nodes.as_slice(),
        _ => {
            root.mistakes.push(fields::wrong(several, "`loads`", "a list, written [[loads]]"));
            &[]
        }
    };
    for node in nodes {
        all.push(load(node, "[[loads]]", context, root.mistakes));
    }
    let mut names: Vec<&str> = Vec::new();
    for (node, load) in nodes.iter().zip(&all.loads) {
        let Some(name) = &load.name else { continue };
        if names.contains(&name.as_str()) {
            let message = format!("there are two loads called `{name}`");
            root.mistakes.push(Mistake::error(&node.place, message).help("give each its own name"));
        }
        names.push(name);
    }
    all
}

impl Loads {
    fn push(&mut self, read: Option<(ScenarioLoad, Option<Nanos>)>) {
        let Some((load, warm_up_ns)) = read else { return };
        self.loads.push(load);
        self.warm_up_ns = self.warm_up_ns.max(warm_up_ns);
    }
}

fn load(
    node: &Node,
    what: &str,
    context: &Context<'_>,
    mistakes: &Mistakes,
) -> Option<(ScenarioLoad, Option<Nanos>)> {
    let fields = Fields::new(node, what, mistakes)?;
    let executor = executor(&fields)?;
    let shape = shape(&fields, executor, context);
    for name in SHAPE_FIELDS.iter().filter(|name| !executor.fields().contains(name)) {
        if let Some(extra) = fields.get(name) {
            let message = format!("{} has no `{name}`", executor.name());
            let others = EXECUTORS.iter().filter(|(_, other)| other.fields().contains(name));
            let others = list(others.map(|(name, _)| *name));
            let own = list(executor.fields().iter().copied());
            let help = format!("it belongs to {others}; {} takes {own}", executor.name());
            mistakes.push(Mistake::error(&extra.place, message).help(help));
        }
    }
    let target = target(&fields, context);
    let think_time_ns = think_time(&fields, executor);
    let read = ScenarioLoad {
        name: fields.text("name").map(Into::into),
        target,
        load: shape.clone().unwrap_or(Load::ConstantVus { vus: 1, duration_ns: 0 }),
        think_time_ns: if executor.is_open_loop() { (0, 0) } else { think_time_ns },
        ignored_think_time_ns: if executor.is_open_loop() { think_time_ns } else { (0, 0) },
        expected_rate: expected_rate(&fields),
        start_ns: fields.duration("start_time").unwrap_or(0),
        graceful_stop_ns: fields.duration("graceful_stop").unwrap_or(GRACEFUL_STOP_NS),
    };
    let warm_up_ns = fields.duration("warm_up");
    if shape.is_some()
        && let Err(error) = read.load.check()
    {
        mistakes.push(Mistake::error(fields.place, error.to_string()));
    }
    fields.finish();
    Some((read, warm_up_ns))
}

/// The executor; where none is named, the hint says which one the other fields are of.
fn executor(fields: &Fields<'_>) -> Option<Executor> {
    if fields.get("executor").is_some() {
        return fields.word("executor", &EXECUTORS);
    }
    let fits = match () {
        () if fields.get("start_rate").is_some() => Executor::RampingArrivalRate,
        () if fields.get("rate").is_some() => Executor::ConstantArrivalRate,
        () if fields.get("stages").is_some() => Executor::RampingVus,
        () if fields.get("iterations").is_some() => Executor::SharedIterations,
        () => Executor::ConstantVus,
    };
    let all = EXECUTORS.map(|(name, _)| name).join(", ");
    let help = format!("executor = \"{}\" fits the other keys; known: {all}", fits.name());
    fields.missing("executor", &help);
    None
}

fn shape(fields: &Fields<'_>, executor: Executor, context: &Context<'_>) -> Option<Load> {
    let vus = |name, default: u32| -> Option<u32> {
        match fields.get(name) {
            None => Some(default),
            Some(_) => fields.count(name, 1..=u64::from(VUS_MAX)).map(|vus| vus as u32),
        }
    };
    let iterations = || match fields.get("iterations") {
        None => Some(1),
        Some(_) => fields.count("iterations", 1..=i64::MAX as u64),
    };
    let max_duration_ns = || optional(fields, "max_duration", MAX_DURATION_NS);
    match executor {
        Executor::ConstantVus => {
            let (vus, duration_ns) = (vus("vus", 1), duration(fields, executor, context));
            Some(Load::ConstantVus { vus: vus?, duration_ns: duration_ns? })
        }
        Executor::PerVuIterations => {
            let (vus, iterations, max) = (vus("vus", 1), iterations(), max_duration_ns());
            Some(Load::PerVuIterations {
                vus: vus?,
                iterations: iterations?,
                max_duration_ns: max?,
            })
        }
        Executor::SharedIterations => {
            let (vus, iterations, max) = (vus("vus", 1), iterations(), max_duration_ns());
            if let (Some(vus), Some(iterations)) = (vus, iterations)
                && iterations < u64::from(vus)
                && let Some(node) = fields.get("iterations")
            {
                let message = format!("{vus} VUs share {iterations} iterations: some have none");
                let help = "raise `iterations`, or lower `vus`";
                fields.mistakes.push(Mistake::error(&node.place, message).help(help));
            }
            Some(Load::SharedIterations {
                vus: vus?,
                iterations: iterations?,
                max_duration_ns: max?,
            })
        }
        Executor::RampingVus => {
            let start_vus = match fields.get("start_vus") {
                None => Some(1),
                Some(_) => fields.count("start_vus", 0..=u64::from(VUS_MAX)).map(|vus| vus as u32),
            };
            let stages = stages(fields, executor, 1.0);
            let graceful_ramp_down_ns = optional(fields, "graceful_ramp_down", GRACEFUL_STOP_NS);
            Some(Load::RampingVus {
                start_vus: start_vus?,
                stages: stages?.into(),
                graceful_ramp_down_ns: graceful_ramp_down_ns?,
            })
        }
        Executor::ConstantArrivalRate => {
            let duration_ns = duration(fields, executor, context);
            let (unit, connections) = (seconds(fields), connections(fields));
            let rate = rate(fields, "rate", unit?);
            let (pre_allocated_vus, max_vus) = connections?;
            let gaps = gaps(fields);
            Some(Load::ConstantArrivalRate {
                rate: rate?,
                gaps: gaps?,
                duration_ns: duration_ns?,
                pre_allocated_vus,
                max_vus,
            })
        }
        Executor::RampingArrivalRate => {
            let (unit, connections) = (seconds(fields), connections(fields));
            let unit = unit?;
            let start_rate = match fields.get("start_rate") {
                None => Some(0.0),
                Some(_) => fields.number("start_rate").map(|rate| rate / unit),
            };
            let stages = stages(fields, executor, unit);
            let gaps = gaps(fields);
            let (pre_allocated_vus, max_vus) = connections?;
            Some(Load::RampingArrivalRate {
                start_rate: start_rate?,
                stages: stages?.into(),
                gaps: gaps?,
                pre_allocated_vus,
                max_vus,
            })
        }
    }
}

fn optional(fields: &Fields<'_>, name: &'static str, default: Nanos) -> Option<Nanos> {
    if fields.get(name).is_none() { Some(default) } else { fields.duration(name) }
}

fn duration(fields: &Fields<'_>, executor: Executor, context: &Context<'_>) -> Option<Nanos> {
    let Some(node) = fields.get("duration") else {
        if context.has_duration {
            // The command line's takes its place.
            return Some(SECOND);
        }
        let help = format!("{} needs one, as in duration = \"30s\"", executor.name());
        fields.missing("duration", &help);
        return None;
    };
    let duration_ns = fields.duration("duration")?;
    if duration_ns == 0 || duration_ns > DURATION_MAX_NS {
        let message = "`duration` must be above 0 and at most ten years";
        fields.mistakes.push(Mistake::error(&node.place, message));
        return None;
    }
    Some(duration_ns)
}

/// `time_unit` in seconds.
fn seconds(fields: &Fields<'_>) -> Option<f64> {
    let Some(node) = fields.get("time_unit") else { return Some(1.0) };
    let unit_ns = fields.duration("time_unit")?;
    if unit_ns == 0 {
        let message = "`time_unit` can't be 0: `rate` is iterations in this time";
        fields.mistakes.push(Mistake::error(&node.place, message));
        return None;
    }
    Some(unit_ns as f64 / SECOND as f64)
}

/// In iterations a second.
fn rate(fields: &Fields<'_>, name: &'static str, unit: f64) -> Option<f64> {
    let help = "it is the iterations in each `time_unit`, which is 1s where it is not given";
    let node = fields.required(name, help)?;
    let rate = fields.number(name)? / unit;
    if rate == 0.0 || rate > RATE_MAX {
        let message = format!("`{name}` must be above 0 and at most {RATE_MAX}/s");
        fields.mistakes.push(Mistake::error(&node.place, message));
        return None;
    }
    Some(rate)
}

/// In iterations a second, whatever the `time_unit`: it is compared with the whole load.
fn expected_rate(fields: &Fields<'_>) -> Option<f64> {
    fields.get("expected_rate")?;
    fields.number("expected_rate")
}

fn gaps(fields: &Fields<'_>) -> Option<Gaps> {
    const GAPS: [(&str, Gaps); 2] = [("uniform", Gaps::Uniform), ("poisson", Gaps::Poisson)];
    if fields.get("gaps").is_none() { Some(Gaps::Uniform) } else { fields.word("gaps", &GAPS) }
}

/// Pre-allocated VUs, and the most: each is a connection.
fn connections(fields: &Fields<'_>) -> Option<(u32, u32)> {
    let count = |name| fields.count(name, 1..=u64::from(VUS_MAX)).map(|count| count as u32);
    let (first, most) = (fields.get("pre_allocated_vus"), fields.get("max_vus"));
    match (first, most) {
        (None, None) => Some((PRE_ALLOCATED_VUS, PRE_ALLOCATED_VUS)),
        (Some(_), None) => count("pre_allocated_vus").map(|first| (first, first)),
        (None, Some(_)) => count("max_vus").map(|most| (most.min(PRE_ALLOCATED_VUS), most)),
        (Some(_), Some(node)) => {
            let (first, most) = (count("pre_allocated_vus"), count("max_vus"));
            let (first, most) = (first?, most?);
            if most < first {
                let message =
                    format!("`max_vus` is {most}, less than `pre_allocated_vus`: {first}");
                fields.mistakes.push(Mistake::error(&node.place, message).help("raise `max_vus`"));
                return None;
            }
            Some((first, most))
        }
    }
}

/// The stages; a rate's `target` is in iterations each `unit` seconds.
fn stages(fields: &Fields<'_>, executor: Executor, unit: f64) -> Option<Vec<Stage>> {
    let help = "it is a list, as in stages = [{ duration = \"1m\", target = 50 }]";
    let node = fields.required("stages", help)?;
    let nodes = fields.list("stages")?;
    if nodes.is_empty() {
        let message = format!("{} needs at least one stage", executor.name());
        fields.mistakes.push(Mistake::error(&node.place, message).help(help));
        return None;
    }
    // Every stage is looked at, so that all mistakes show.
    let stages: Vec<_> =
        nodes.iter().map(|node| stage(node, executor, unit, fields.mistakes)).collect();
    stages.into_iter().collect()
}

fn stage(node: &Node, executor: Executor, unit: f64, mistakes: &Mistakes) -> Option<Stage> {
    let fields = Fields::new(node, "a stage", mistakes)?;
    let has_duration = fields.required("duration", "how long it takes: \"0s\" is a jump").is_some();
    let duration_ns = fields.duration("duration");
    let what = match executor {
        Executor::RampingVus => "VUs",
        _ => "iterations in each `time_unit`",
    };
    let has_target = fields.required("target", &format!("the {what} at its end")).is_some();
    let target = if executor == Executor::RampingVus {
        fields.count("target", 0..=u64::from(VUS_MAX)).map(|vus| vus as f64)
    } else {
        fields.number("target").map(|rate| rate / unit)
    };
    fields.finish();
    (has_duration && has_target).then_some(())?;
    Some(Stage { duration_ns: duration_ns?, target: target? })
}

fn target(fields: &Fields<'_>, context: &Context<'_>) -> Option<String> {
    let node = fields.get("target")?;
    let name = fields::text(node, "target", fields.mistakes)?;
    if !context.targets.contains(&name) {
        let message = format!("there is no target `{name}`");
        let help = suggest(name, context.targets.iter().copied());
        fields.mistakes.push(Mistake::error(&node.place, message).help(help));
    }
    Some(name.into())
}

/// One duration, or the least and the most.
fn think_time(fields: &Fields<'_>, executor: Executor) -> (Nanos, Nanos) {
    let Some(node) = fields.get("think_time") else { return (0, 0) };
    if executor.is_open_loop() {
        let message = format!("{} has no think time: it is ignored", executor.name());
        let help = "an open loop starts iterations on schedule, whatever its users do; leave \
                    `think_time` out, or take constant-vus";
        fields.mistakes.push(Mistake::warning(&node.place, message).help(help));
    }
    let mistakes = fields.mistakes;
    match &node.value {
        Value::List(both) => match both.as_slice() {
            [least, most] => pair(node, least, most, mistakes).unwrap_or((0, 0)),
            _ => {
                let message = format!("`think_time` has {} entries", both.len());
                let help = "give the least and the most, as in [\"500ms\", \"3s\"]";
                mistakes.push(Mistake::error(&node.place, message).help(help));
                (0, 0)
            }
        },
        _ => {
            let both = fields.duration("think_time").unwrap_or(0);
            (both, both)
        }
    }
}

fn pair(node: &Node, least: &Node, most: &Node, mistakes: &Mistakes) -> Option<(Nanos, Nanos)> {
    let least = fields::length(least, "think_time", mistakes);
    let most = fields::length(most, "think_time", mistakes);
    let (least, most) = (least?, most?);
    if least > most {
        let message = "`think_time` is reversed: the least comes first, then the most";
        mistakes.push(Mistake::error(&node.place, message).help("swap the two"));
        return None;
    }
    Some((least, most))
}
