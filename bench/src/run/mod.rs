//! One load, or several at once, each on its target.

mod summary;
mod table;

use std::ops::ControlFlow;
use std::time::SystemTime;

use engine::{Load, Nanos, PhaseReport, Random, SECOND, Stream};

pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::arm::{ARMS, ArmKind, Block};
use crate::interrupt;
use crate::rig::{Rig, RigError};
use crate::scenario::{Scenario, ScenarioLoad};

/// What is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// All of them begin together, each after its own start time.
    pub(crate) loads: Vec<ScenarioLoad>,
    /// Before the measured phase, uncounted, in ns.
    pub(crate) warm_up_ns: Nanos,
    pub(crate) workers: Option<usize>,
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

    /// A seed for each load; the run's own for the first one.
    fn seed(&self, load: usize) -> u64 {
        if load == 0 { self.seed } else { Random::new(self.seed, load as u64).draw() }
    }
}

fn end_ns(load: &ScenarioLoad) -> Nanos {
    load.start_ns.saturating_add(load.load.duration_ns())
}

/// What is not one of the arms of `layers` gets its target's name.
fn kind(target: &str) -> ArmKind {
    let known = ARMS.into_iter().find(|kind| kind.target == target);
    known.unwrap_or_else(|| ArmKind {
        name: target.to_owned().into(),
        target: target.to_owned().into(),
        layers: &[],
    })
}

/// Runs it; `say` gets a line of progress now and then.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
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
    let kinds: Vec<_> = names.iter().copied().map(kind).collect();
    let mut rig = Rig::open(scenario, &kinds, &connections, plan.workers, say)?;
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
    let started = SystemTime::now();
    let report = rig.watch(streams, |_| ControlFlow::Continue(()))?;
    interrupt::check()?;
    for (arm, report) in by_arm(report, &arms).into_iter().enumerate() {
        rig.arms[arm].push(Block::new(report, plan.fixed_duration_ns(), Vec::new()), None);
    }
    Ok(Summary::new(scenario, plan, &rig, started))
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
