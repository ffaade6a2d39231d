//! One load, or several at once, each on its target.

mod export;
mod lines;
mod number;
mod pool;
mod progress;
mod results;
mod summary;
mod table;
mod verdicts;
mod watch;

use std::collections::BTreeSet;
use std::time::SystemTime;

use engine::{Load, Nanos, PhaseReport, Random, SECOND, Stream, StreamReport};

pub(crate) use self::export::export;
pub(crate) use self::progress::Progress;
pub(crate) use self::summary::Summary;
pub(crate) use self::table::{STATS, Seconds, text};
pub(crate) use self::verdicts::Verdicts;
use self::watch::{Gauged, Told, Watch};
use crate::arm::{ArmKind, Block};
use crate::generator::GeneratorOptions;
use crate::interrupt;
use crate::metric::{self, Loads, Tally};
use crate::observe::{Observations, Observer, ObserverThread, Source};
use crate::rig::{Rig, RigError};
use crate::rules::{self, Rules};
use crate::scenario::{Scenario, ScenarioLoad};
use crate::series::{self, LoadSecond, Second};
use crate::validity::Offered;

/// What is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// All of them begin together, each after its own start time.
    pub(crate) loads: Vec<ScenarioLoad>,
    /// Before the measured phase, uncounted, in ns.
    pub(crate) warm_up_ns: Nanos,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

impl Plan {
    /// From the start to the end of the last load, in ns; one of iterations may end before.
    pub(crate) fn duration_ns(&self) -> Nanos {
        self.loads.iter().map(end_ns).max().unwrap_or(0)
    }

    /// As [`Self::duration_ns`], without loads that last as long as their iterations take.
    fn fixed_duration_ns(&self) -> Nanos {
        let is_fixed = |load: &&ScenarioLoad| {
            !matches!(load.load, Load::PerVuIterations { .. } | Load::SharedIterations { .. })
        };
        self.loads.iter().filter(is_fixed).map(end_ns).max().unwrap_or(0)
    }

    /// Connections that are open before the start, over all targets.
    pub(crate) fn connections(&self) -> u32 {
        self.loads.iter().map(|load| load.load.pre_allocated_vus()).sum()
    }

    /// What each arm is asked for; `arms` has each load's.
    fn asked(&self, arms: &[usize]) -> Asked {
        let of_arm = |arm| {
            let own = self.loads.iter().zip(arms).filter(|(_, other)| **other == arm);
            let each = own.map(|(load, _)| match load.load {
                Load::ConstantArrivalRate { rate, gaps, duration_ns, .. } => {
                    Some(Offered::new(rate, gaps, duration_ns))
                }
                _ => None,
            });
            let each: Vec<_> = each.collect::<Option<_>>()?;
            Offered::together(&each)
        };
        let all_ns = self.duration_ns();
        let is_steady = |load: &ScenarioLoad| {
            let is_constant =
                matches!(load.load, Load::ConstantVus { .. } | Load::ConstantArrivalRate { .. });
            is_constant && load.start_ns == 0 && end_ns(load) == all_ns
        };
        Asked {
            offered: (0..arms.iter().max().map_or(0, |last| last + 1)).map(of_arm).collect(),
            is_steady: self.loads.iter().all(is_steady),
        }
    }

    /// A seed for each load; the run's own for the first one.
    fn seed(&self, load: usize) -> u64 {
        if load == 0 { self.seed } else { Random::new(self.seed, load as u64).draw() }
    }
}

/// What a run's load was to be.
struct Asked {
    /// By arm.
    offered: Vec<Option<Offered>>,
    /// Whether it is the same from the start to the end.
    is_steady: bool,
}

/// What was seen beside the arms.
struct Seen<'a> {
    observations: &'a Observations,
    /// The target of the only pooler that the loads go through.
    pooler: Option<&'a str>,
    /// When the load ended, on the workers' clock.
    end_ns: Nanos,
    series: Vec<Second>,
    asked: Asked,
}

fn end_ns(load: &ScenarioLoad) -> Nanos {
    load.start_ns.saturating_add(load.load.duration_ns())
}

/// Runs it, once its rules were read.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    rules: &Rules,
    progress: &mut Progress,
) -> Result<Summary, RigError> {
    let mut names: Vec<&str> = Vec::new();
    let mut connections: Vec<(u32, u32)> = Vec::new();
    let mut arms = Vec::new();
    for load in &plan.loads {
        let name = scenario.target_of(load)?;
        let arm = names.iter().position(|other| *other == name).unwrap_or_else(|| {
            names.push(name);
            connections.push((0, 0));
            names.len() - 1
        });
        connections[arm].0 += load.load.pre_allocated_vus();
        connections[arm].1 += load.load.vus_max();
        arms.push(arm);
    }
    let kinds: Vec<_> = names.iter().copied().map(ArmKind::of).collect();
    let say = &mut |line: &str| progress.say(line);
    let mut rig = Rig::open(scenario, &kinds, &connections, &plan.generator, &rules.checks, say)?;
    let sources = Source::all(scenario)?;
    let streams: Vec<_> = plan
        .loads
        .iter()
        .zip(&arms)
        .enumerate()
        .map(|(index, (load, arm))| Stream {
            start_ns: load.start_ns,
            graceful_stop_ns: load.graceful_stop_ns,
            ..rig.stream(*arm, load.load.clone(), load.think_time_ns, plan.seed(index))
        })
        .collect();
    if plan.warm_up_ns > 0 {
        say("warming up");
        for stream in &streams {
            let seed = Random::new(stream.seed, u64::MAX).draw();
            let load = stream.load.warm_up(plan.warm_up_ns);
            rig.warm_up(rig.stream(stream.target, load, stream.think_time_ns, seed))?;
        }
    }
    let duration_ns = plan.duration_ns();
    let at_most = if plan.fixed_duration_ns() < duration_ns { "at most " } else { "" };
    say(&format!("measuring for {at_most}{} s", duration_ns as f64 / SECOND as f64));
    let loads = Loads {
        loads: metric_loads(scenario, plan, &arms, &rig)?,
        operations: scenario.operations.iter().map(|operation| operation.name.clone()).collect(),
        checks: rules.checks.names().to_vec(),
    };
    let gauged = Gauged {
        pooler: only_pooler(scenario, &kinds, say),
        backends: rig.arms.iter().filter_map(|arm| arm.backends_name.clone()).collect(),
    };
    let pooler = gauged.pooler;
    let mut watch = Watch::new(rules, &loads, progress, gauged, duration_ns);
    let started = SystemTime::now();
    let thread = ObserverThread::start(rig.cores());
    let mut observer = Observer::start(&thread, sources, rig.fleet.clock());
    let mut load = Vec::new();
    let report = rig.watch(streams, |interval| {
        observer.hear().iter().for_each(|(name, look)| watch.see(name, &look.reading));
        load.push(LoadSecond::new(interval));
        let tallies: Vec<_> = interval.streams.iter().map(tally).collect();
        let sum = |count: fn(&StreamReport) -> u32| interval.streams.iter().map(count).sum();
        watch.tell(&Told {
            elapsed_ns: interval.end_ns,
            interval_ns: interval.end_ns - interval.start_ns,
            vus: (sum(|stream| stream.vus.current), sum(|stream| stream.vus.max)),
            tallies: &tallies,
        })
    })?;
    observer.hear().iter().for_each(|(name, look)| watch.see(name, &look.reading));
    let observations = observer.finish();
    interrupt::check()?;
    let (start_ns, end_ns) = (report.start, report.end);
    let series = series::lay(load, &observations, start_ns);
    let tallies: Vec<_> = report.streams.iter().map(tally).collect();
    // A run that was ended before its time lasted until its last reply.
    let least_ns = if report.is_aborted { 0 } else { plan.fixed_duration_ns() };
    let mut asked = plan.asked(&arms);
    if report.is_aborted {
        asked.offered.fill(None);
    }
    for (arm, report) in rig.arms.iter_mut().zip(by_arm(report, &arms)) {
        arm.push(Block::new(report, least_ns, Vec::new()));
        // The last look was after the load.
        let looks = observations.looks().filter(|look| look.at_ns <= end_ns);
        looks.for_each(|look| arm.saw(look.reading.backends()));
    }
    let elapsed_ns = rig.arms.iter().map(|arm| arm.measured_ns).max().unwrap_or(duration_ns);
    let metrics = loads.metrics(elapsed_ns, &tallies, &watch.gauges);
    let verdicts = Verdicts::new(rules, &metrics, watch.aborted_by);
    let seen = Seen { observations: &observations, pooler, end_ns, series, asked };
    Ok(Summary::new(scenario, plan, &rig, started, seen, verdicts))
}

/// The target of the pooler that the loads go through, if it is one; `say` is told where it is not.
fn only_pooler<'a>(
    scenario: &'a Scenario,
    kinds: &[ArmKind],
    say: &mut dyn FnMut(&str),
) -> Option<&'a str> {
    let poolers: BTreeSet<_> = kinds.iter().filter_map(|kind| kind.pooler(scenario)).collect();
    if poolers.len() > 1 {
        let names: Vec<_> = poolers.iter().copied().collect();
        say(&format!(
            "the loads go through several poolers ({}): what each had is told second by second, and \
             cl_waiting and the like have no values",
            names.join(", ")
        ));
    }
    poolers.first().copied().filter(|_| poolers.len() == 1)
}

/// What makes tallies of the loads metrics. `arms` has each load's arm.
fn metric_loads(
    scenario: &Scenario,
    plan: &Plan,
    arms: &[usize],
    rig: &Rig,
) -> Result<Vec<metric::Load>, RigError> {
    let load = |(number, (load, arm)): (usize, (&ScenarioLoad, &usize))| {
        let target = scenario.target_of(load)?;
        // Loads on the same target share its connections: they are counted once.
        let is_first = arms.iter().position(|other| other == arm) == Some(number);
        Ok(metric::Load {
            scenario: rules::load_name(load).into(),
            target: target.into(),
            layer: rules::layer(scenario.target(target)?),
            connect: rig.arms[*arm].connect.clone().filter(|_| is_first),
        })
    };
    plan.loads.iter().zip(arms).enumerate().map(load).collect()
}

fn tally(stream: &StreamReport) -> Tally {
    Tally {
        recording: stream.recording.clone(),
        iterations: stream.iterations,
        dropped: stream.dropped + stream.unserved,
        data_sent: stream.data_sent,
        data_received: stream.data_received,
    }
}

/// A phase's report taken apart: each arm gets its own streams, and of the generator's CPU time
/// the share of its requests. `arms` has each stream's arm.
fn by_arm(report: PhaseReport, arms: &[usize]) -> Vec<PhaseReport> {
    let sent: u64 = report.streams.iter().map(|stream| stream.sent).sum();
    let one = |arm| {
        let own = report.streams.iter().zip(arms).filter(|(_, other)| **other == arm);
        let streams: Vec<_> = own.map(|(stream, _)| stream.clone()).collect();
        let own_sent: u64 = streams.iter().map(|stream| stream.sent).sum();
        let cpu_ns = (report.cpu_ns as f64 * own_sent as f64 / sent.max(1) as f64) as Nanos;
        PhaseReport { streams, cpu_ns, ..report.clone() }
    };
    (0..arms.iter().max().map_or(0, |last| last + 1)).map(one).collect()
}
