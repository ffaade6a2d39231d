//! What it costs to connect: connections that are opened for one query each, one target after the
//! other.

mod summary;
mod table;

use std::time::SystemTime;

use engine::{ConnectionTimes, Gaps, Load, Nanos, Stream};

pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::arm::{ArmKind, Block};
use crate::check::Checks;
use crate::generator::GeneratorOptions;
use crate::interrupt;
use crate::observe::{Network, NetworkSample};
use crate::rig::{Rig, RigError};
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

/// When connections are opened, or statements sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many a second, whatever becomes of them; at most so many at once.
    Rate { rate: f64, gaps: Gaps, connections: u32 },
    /// By so many clients, each opening its next when its last is closed.
    Clients(u32),
}

impl Pace {
    /// The most connections at once, over all workers.
    pub(crate) fn places(self) -> u32 {
        match self {
            Self::Rate { connections, .. } => connections,
            Self::Clients(clients) => clients,
        }
    }

    /// The load that keeps this pace for so long, in ns.
    pub(crate) fn load(self, duration_ns: Nanos) -> Load {
        match self {
            Self::Rate { rate, gaps, connections } => Load::ConstantArrivalRate {
                rate,
                gaps,
                duration_ns,
                pre_allocated_vus: 1,
                max_vus: connections,
            },
            Self::Clients(vus) => Load::ConstantVus { vus, duration_ns },
        }
    }
}

/// What was measured on one target beside its arm.
#[derive(Debug, Default)]
struct Connections {
    times: ConnectionTimes,
    network: Network,
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
    for (arm, kind) in kinds.iter().enumerate() {
        if plan.warm_up_ns > 0 {
            // What does not work at all shows here.
            let load = Load::ConstantVus { vus: 1, duration_ns: plan.warm_up_ns };
            rig.warm_up(reconnecting(&rig, arm, load, !plan.seed))?;
        }
        say(&format!("{}: {}", kind.name, table::length(plan.duration_ns)));
        let stream = reconnecting(&rig, arm, plan.pace.load(plan.duration_ns), plan.seed);
        let before = NetworkSample::read();
        let mut report = rig.phase(vec![stream])?;
        let network = NetworkSample::read().since(before);
        interrupt::check()?;
        let times = report.streams.iter_mut().find_map(|stream| stream.connections.take());
        let times = times.map(|times| *times).unwrap_or_default();
        rig.arms[arm].connect = Some(times.connect.clone());
        rig.arms[arm].push(Block::new(report, plan.duration_ns, Vec::new()));
        measured.push(Connections { times, network });
    }
    let duration_ns = rig.fleet.clock().now() - start;
    Ok(Summary::new(scenario, plan, &rig, started, duration_ns, &measured))
}

fn reconnecting(rig: &Rig, arm: usize, load: Load, seed: u64) -> Stream {
    Stream { reconnect: true, ..rig.stream(arm, load, (0, 0), seed) }
}
