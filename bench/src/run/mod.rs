//! One target under one load.

mod summary;
mod table;

use std::ops::ControlFlow;
use std::time::SystemTime;

use engine::{Load, Nanos, Random, SECOND};

pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::arm::{ARMS, ArmKind, Block};
use crate::interrupt;
use crate::rig::{Rig, RigError};
use crate::scenario::Scenario;

/// How the target is loaded.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The scenario's name of it.
    pub(crate) target: String,
    pub(crate) load: Load,
    /// Between a virtual user's iterations: the least and the most, in ns.
    pub(crate) think_time_ns: (Nanos, Nanos),
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

/// Runs it; `say` gets a line of progress now and then.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<Summary, RigError> {
    scenario.target(&plan.target)?;
    let kinds = [kind(&plan.target)];
    let mut rig = Rig::open(scenario, &kinds, plan.connections, plan.workers, say)?;
    if plan.warm_up_ns > 0 {
        say("warming up");
        let seed = Random::new(plan.seed, u64::MAX).draw();
        let load = plan.load.warm_up(plan.warm_up_ns);
        let stream = rig.stream(0, load, plan.think_time_ns, seed);
        rig.warm_up(stream)?;
    }
    let duration_ns = plan.load.duration_ns();
    say(&format!("measuring for {} s", duration_ns as f64 / SECOND as f64));
    let started = SystemTime::now();
    let stream = rig.stream(0, plan.load.clone(), plan.think_time_ns, plan.seed);
    let report = rig.watch(vec![stream], |_| ControlFlow::Continue(()))?;
    interrupt::check()?;
    rig.arms[0].push(Block::new(report, duration_ns, Vec::new()), None);
    Ok(Summary::new(scenario, plan, &rig, started))
}
