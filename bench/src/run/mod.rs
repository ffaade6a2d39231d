//! One target under one load.

mod pool;
mod summary;
mod table;

use std::time::SystemTime;

use engine::{Load, Nanos, Random, SECOND};

pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::arm::{ARMS, ArmKind, Block};
use crate::interrupt;
use crate::observe::{self, Watch};
use crate::rig::{Rig, RigError};
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

/// Runs it; `say` gets a line of progress now and then.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<Summary, RigError> {
    scenario.target(&plan.target)?;
    let kinds = [kind(&plan.target)];
    let mut rig = Rig::open(scenario, &kinds, plan.connections, plan.workers, say)?;
    let (pooler, server) = observe::connect(scenario)?;
    if plan.warm_up_ns > 0 {
        say("warming up");
        let seed = Random::new(plan.seed, u64::MAX).draw();
        rig.warm_up(0, plan.load, plan.warm_up_ns, seed)?;
    }
    say(&format!("measuring for {} s", plan.duration_ns as f64 / SECOND as f64));
    let started = SystemTime::now();
    let watch = Watch::start(pooler, server);
    let report = rig.phase(0, plan.load, plan.duration_ns, plan.seed)?;
    let watched = watch.finish();
    interrupt::check()?;
    let arm = &mut rig.arms[0];
    arm.push(Block::new(report, plan.duration_ns, Vec::new()));
    watched.observations.iter().for_each(|seen| arm.saw(seen.backends.as_ref()));
    Ok(Summary::new(scenario, plan, &rig, started, &watched))
}
