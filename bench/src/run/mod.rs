//! One target under one load.

mod export;
mod lines;
mod number;
mod observer;
mod progress;
mod results;
mod summary;
mod table;
mod verdicts;
mod watch;

use std::time::SystemTime;

use engine::{Load, Nanos, Random, SECOND};

pub(crate) use self::export::export;
use self::observer::Observer;
pub(crate) use self::progress::Progress;
pub(crate) use self::summary::Summary;
pub(crate) use self::table::{STATS, text};
pub(crate) use self::verdicts::Verdicts;
use self::watch::{Told, Watch};
use crate::arm::{ARMS, ArmKind, Block};
use crate::interrupt;
use crate::metric::{self, Loads, Tally};
use crate::rig::{Rig, RigError};
use crate::rules::{self, ONLY_LOAD, Rules};
use crate::scenario::Scenario;

/// How the target is loaded.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The scenario's name of it.
    pub(crate) target: String,
    pub(crate) load: Load,
    /// Of the measured phase, in ns.
    pub(crate) duration_ns: Nanos,
    /// Before it, uncounted, in ns.
    pub(crate) warm_up_ns: Nanos,
    pub(crate) connections: u32,
    pub(crate) workers: Option<usize>,
    pub(crate) seed: u64,
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

/// Runs it, once its rules were read.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    rules: &Rules,
    progress: &mut Progress,
) -> Result<Summary, RigError> {
    let target = scenario.target(&plan.target)?;
    let kind = kind(&plan.target);
    let say = &mut |line: &str| progress.say(line);
    let connections = plan.connections;
    let kinds = std::slice::from_ref(&kind);
    let mut rig = Rig::open(scenario, kinds, connections, plan.workers, &rules.checks, say)?;
    let observer = Observer::start(scenario, &kind)?;
    if plan.warm_up_ns > 0 {
        say("warming up");
        let seed = Random::new(plan.seed, u64::MAX).draw();
        rig.warm_up(0, plan.load, plan.warm_up_ns, seed)?;
    }
    say(&format!("measuring for {} s", plan.duration_ns as f64 / SECOND as f64));
    let loads = Loads {
        loads: vec![metric::Load {
            scenario: ONLY_LOAD.into(),
            target: plan.target.clone(),
            layer: rules::layer(target),
            connect: rig.arms[0].connect.clone(),
        }],
        operations: scenario.operations.iter().map(|operation| operation.name.clone()).collect(),
        checks: rules.checks.names().to_vec(),
    };
    let mut watch = Watch::new(rules, &loads, progress, plan.duration_ns);
    let started = SystemTime::now();
    observer.begin();
    let report = rig.phase(0, plan.load, plan.duration_ns, plan.seed)?;
    let (observed, fault) = observer.end();
    interrupt::check()?;
    let tallies = [Tally {
        recording: report.recording.clone(),
        iterations: report.recording.completed(),
        dropped: report.dropped + report.unserved,
        data_sent: 0,
        data_received: 0,
    }];
    rig.arms[0].push(Block::new(report, plan.duration_ns, Vec::new()), None);
    let elapsed_ns = rig.arms[0].measured_ns;
    let vus = match plan.load {
        Load::ConstantVus { vus, .. } => Some((vus, vus)),
        Load::ConstantArrivalRate { .. } => None,
    };
    let told = Told { elapsed_ns, interval_ns: elapsed_ns, vus, tallies: &tallies };
    let _ = watch.tell(&told, &observed);
    let gauges = watch.gauges.with(&observed);
    let metrics = loads.metrics(elapsed_ns, &tallies, &gauges);
    let verdicts = Verdicts::new(rules, &metrics, watch.aborted_by);
    let mut summary = Summary::new(scenario, plan, &rig, started, verdicts);
    if let Some(fault) = fault {
        summary.validity.suspect(format!("the servers were not observed to the end: {fault}"));
    }
    Ok(summary)
}
