//! What it costs to connect: connections that are opened for one query each, one target after the
//! other.

mod summary;
mod table;

use std::time::SystemTime;

use engine::{ConnectionTimes, Load, Nanos, Stream};

pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::arm::{ArmKind, Block};
use crate::check::Checks;
use crate::generator::GeneratorOptions;
use crate::head::Head;
use crate::observe::{Network, NetworkSample, Observations, ObserverThread};
use crate::pace::Pace;
use crate::rig::{ObservedPhase, Rig, RigError};
use crate::scenario::Scenario;

/// How it is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// In this order.
    pub(crate) targets: Vec<String>,
    pub(crate) pace: Pace,
    /// For each target, in ns.
    pub(crate) duration_ns: Nanos,
    /// Before it, uncounted, with one connection at a time; in ns.
    pub(crate) warm_up_ns: Nanos,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

/// What was measured on one target beside its arm.
#[derive(Debug, Default)]
struct Connections {
    times: ConnectionTimes,
    network: Network,
    observations: Observations,
}

/// Runs it; `say` gets a line of progress for each target.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<Summary, RigError> {
    let kinds: Vec<_> = plan.targets.iter().map(|target| ArmKind::of(target)).collect();
    // One is opened before the start, so that a target that lets nobody in is told at once.
    let connections = vec![(1, plan.pace.places()); kinds.len()];
    let checks = Checks::default();
    let mut rig = Rig::open(scenario, &kinds, &connections, &plan.generator, &checks, say)?;
    let started = SystemTime::now();
    let start = rig.fleet.clock().now();
    let mut measured = Vec::with_capacity(kinds.len());
    let thread = ObserverThread::start(rig.cores());
    for (arm, kind) in kinds.iter().enumerate() {
        if plan.warm_up_ns > 0 {
            // What does not work at all shows here.
            let load = Load::ConstantVus { vus: 1, duration_ns: plan.warm_up_ns };
            rig.warm_up(reconnecting(&rig, arm, load, !plan.seed))?;
        }
        say(&format!("{}: {}", kind.name, table::length(plan.duration_ns)));
        let stream = reconnecting(&rig, arm, plan.pace.load(plan.duration_ns), plan.seed);
        let before = NetworkSample::read();
        let ObservedPhase { mut report, observations, series, .. } =
            rig.observe(&thread, scenario, vec![stream])?;
        let network = NetworkSample::read().since(before);
        let times = report.streams.iter_mut().find_map(|stream| stream.connections.take());
        let times = times.map(|times| *times).unwrap_or_default();
        rig.arms[arm].connect = Some(times.connect.clone());
        rig.arms[arm].push(Block::new(report, plan.duration_ns, Vec::new()));
        rig.arms[arm].series = series;
        measured.push(Connections { times, network, observations });
    }
    let time = (started, rig.fleet.clock().now() - start);
    let phase = (plan.duration_ns, plan.seed);
    let head = Head::new("churn", &scenario.name, time, phase, rig.generator());
    let operations: Vec<_> = scenario.operations.iter().map(|op| op.name.as_str()).collect();
    Ok(Summary::new(head, plan, (&rig.arms, rig.all_lost_names()), &measured, &operations))
}

fn reconnecting(rig: &Rig, arm: usize, load: Load, seed: u64) -> Stream {
    Stream { reconnect: true, ..rig.stream(arm, load, (0, 0), seed) }
}
