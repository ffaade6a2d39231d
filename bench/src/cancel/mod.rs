//! A storm of cancel requests: statements that are cancelled while they run or wait, one target
//! after the other.

mod summary;
mod table;

use std::time::SystemTime;

use engine::{Cancel, CancelTimes, Load, Nanos, SECOND, Stream};

pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::arm::{ArmKind, Block};
use crate::check::Checks;
use crate::generator::GeneratorOptions;
use crate::head::Head;
use crate::observe::ObserverThread;
use crate::pace::Pace;
use crate::rig::{ObservedPhase, Rig, RigError};
use crate::scenario::Scenario;

/// How it is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// In this order.
    pub(crate) targets: Vec<String>,
    /// When statements are sent that are to be cancelled.
    pub(crate) pace: Pace,
    pub(crate) cancel: Cancel,
    /// Clients beside them that send the same statements and cancel none.
    pub(crate) bystanders: u32,
    /// For each target, in ns.
    pub(crate) duration_ns: Nanos,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

/// The first statement on a target may take so long, beside its own length: its server connection
/// may have to be opened.
const FIRST_MOST_NS: Nanos = 30 * SECOND;

/// Runs it with the scenario's one operation; `say` gets a line of progress for each target.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<Summary, RigError> {
    let kinds: Vec<_> = plan.targets.iter().map(|target| ArmKind::of(target)).collect();
    let clients = plan.pace.places() + plan.bystanders;
    let connections = vec![(clients, clients); kinds.len()];
    let checks = Checks::default();
    let mut rig = Rig::open(scenario, &kinds, &connections, &plan.generator, &checks, say)?;
    let started = SystemTime::now();
    let start = rig.fleet.clock().now();
    let mut measured = Vec::with_capacity(kinds.len());
    let mut observations = Vec::with_capacity(kinds.len());
    let thread = ObserverThread::start(rig.cores());
    for (arm, kind) in kinds.iter().enumerate() {
        // What does not work at all shows here.
        let max_duration_ns = FIRST_MOST_NS.saturating_add(plan.cancel.length_ns);
        let first = Load::SharedIterations { vus: 1, iterations: 1, max_duration_ns };
        rig.warm_up(rig.stream(arm, first, (0, 0), plan.seed))?;
        say(&format!("{}: {}", kind.name, table::length(plan.duration_ns)));
        let ObservedPhase { mut report, observations: seen, series, .. } =
            rig.observe(&thread, scenario, plan.streams(&rig, arm))?;
        let times = report.streams.iter_mut().find_map(|stream| stream.cancels.take());
        measured.push(times.map_or_else(CancelTimes::default, |times| *times));
        rig.arms[arm].push(Block::new(report, plan.duration_ns, Vec::new()));
        rig.arms[arm].series = series;
        observations.push(seen);
    }
    let time = (started, rig.fleet.clock().now() - start);
    let phase = (plan.duration_ns, plan.seed);
    let head = Head::new("cancel", &scenario.name, time, phase, rig.generator());
    Ok(Summary::new(head, plan, (&rig.arms, rig.all_lost_names()), &measured, &observations))
}

impl Plan {
    /// Those who cancel, and those who do not.
    fn streams(&self, rig: &Rig, arm: usize) -> Vec<Stream> {
        let load = self.pace.load(self.duration_ns);
        let cancelled =
            Stream { cancel: Some(self.cancel), ..rig.stream(arm, load, (0, 0), self.seed) };
        let load = Load::ConstantVus { vus: self.bystanders, duration_ns: self.duration_ns };
        let bystanders =
            (self.bystanders > 0).then(|| rig.stream(arm, load, (0, 0), self.seed.wrapping_add(1)));
        [cancelled].into_iter().chain(bystanders).collect()
    }
}
