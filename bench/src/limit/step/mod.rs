//! A step of the load up and down again: how a queue grows, how long it takes to drain, and until
//! latency is back.

mod recovery;
mod summary;
mod table;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use engine::{Gaps, Interval, Load, MILLISECOND, Nanos, Stage};
use hdrhistogram::Histogram;
use serde::Serialize;

use self::recovery::Recovery;
pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::arm::{Arm, ArmKind, Block};
use crate::check::Checks;
use crate::generator::{GeneratorOptions, GeneratorSummary};
use crate::interrupt;
use crate::observe::{self, Aside, ObserverThread, PoolLook, Poolers, Pools};
use crate::rig::{Rig, RigError};
use crate::scenario::Scenario;
use crate::validity::Sharing;

/// How it is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// In this order.
    pub(crate) targets: Vec<String>,
    /// Arrivals a second before and after the step, and in it.
    pub(crate) rates: (f64, f64),
    pub(crate) gaps: Gaps,
    /// Before the step, and in it; in ns.
    pub(crate) before_ns: Nanos,
    pub(crate) during_ns: Nanos,
    /// The longest that is waited for recovery, in ns.
    pub(crate) after_ns: Nanos,
    pub(crate) connections: u32,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

/// What happened in a short stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Moment {
    /// Its end, after the first arrival.
    pub(crate) end_ns: Nanos,
    pub(crate) planned: u64,
    pub(crate) completed: u64,
    /// Requests that came due and had no outcome yet at its end: those in flight, and those that
    /// waited for a connection.
    pub(crate) in_system: u64,
    /// Of responses that ended in it; `None` without any.
    pub(crate) p99_ns: Option<u64>,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    /// Clients that waited in the pool, and how long the first of them had (SHOW POOLS); `None` where
    /// no look at it falls into the moment.
    pub(crate) cl_waiting: Option<u64>,
    pub(crate) maxwait_ns: Option<Nanos>,
}

/// What was measured on one target beside its moments.
struct Measured {
    arm: Arm,
    generator: GeneratorSummary,
    /// What the rig says where the pooler lost the names of prepared statements.
    lost_names: Option<String>,
    /// What the pooler had for its clients, where its console showed it.
    sharing: Option<Sharing>,
    /// What was not seen of the pooler's queue; `None` where it has no console.
    pool_gaps: Option<observe::Gaps>,
}

/// How long a moment is.
const MOMENT_NS: Nanos = 100 * MILLISECOND;
/// One look at the pool falls into the middle of each.
const LOOKS_EVERY: Duration = Duration::from_nanos(MOMENT_NS);
const WARM_UP_NS: Nanos = 500 * MILLISECOND;
/// After it came back it is watched for so long.
const STEADY_MOMENTS: usize = 10;

/// Runs it; `say` gets a line of progress now and then.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<Summary, RigError> {
    let started = SystemTime::now();
    let mut steps = Vec::new();
    let mut measured = Vec::new();
    for target in &plan.targets {
        let kinds = [ArmKind::of(target)];
        let connections = [(plan.connections, plan.connections)];
        let checks = Checks::default();
        let mut rig = Rig::open(scenario, &kinds, &connections, &plan.generator, &checks, say)?;
        let thread = ObserverThread::start(rig.cores());
        let mut pooler = Aside::<Poolers>::connect(&thread, scenario, &kinds[0])?;
        let warm_up = Load::ConstantVus { vus: plan.connections.min(10), duration_ns: WARM_UP_NS };
        rig.warm_up(rig.stream(0, warm_up, (0, 0), !plan.seed))?;
        say(&format!("{target}: from {} to {} a second and back", plan.rates.0, plan.rates.1));
        let stream = rig.stream(0, plan.load(), (0, 0), plan.seed);
        let mut moments: Vec<Moment> = Vec::new();
        let clock = rig.fleet.clock();
        let watch = pooler.as_mut().and_then(|pooler| pooler.watch_pools(LOOKS_EVERY, clock));
        let report = rig.watch_every(MOMENT_NS, vec![stream], |interval| {
            moments.push(Moment::new(interval, moments.last()));
            let is_over = plan.is_over(&moments);
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        interrupt::check()?;
        let looks = pooler.as_mut().zip(watch).map(|(pooler, watch)| pooler.seen(watch));
        let looks = looks.unwrap_or_default();
        lay(&mut moments, &looks, report.start);
        let recovery = Recovery::new(plan, &moments);
        steps.push(summary::Step::new(&kinds[0], recovery, &report.streams[0], moments));
        let mut arm = rig.arms[0].clone();
        arm.push(Block::new(report, 0, Vec::new()));
        measured.push(Measured {
            lost_names: rig.lost_names(&arm),
            generator: rig.generator(),
            sharing: Sharing::new(&arm, &[], looks.iter().map(|look| look.pools)),
            arm,
            pool_gaps: pooler.map(|pooler| pooler.gaps),
        });
    }
    Ok(Summary::new(scenario, plan, started, measured, steps))
}

impl Plan {
    fn load(&self) -> Load {
        let (low, high) = self.rates;
        let stage = |duration_ns, target| Stage { duration_ns, target };
        let stages = [
            stage(self.before_ns, low),
            stage(0, high),
            stage(self.during_ns, high),
            stage(0, low),
            stage(self.after_ns, low),
        ];
        Load::RampingArrivalRate {
            start_rate: low,
            stages: Arc::new(stages),
            gaps: self.gaps,
            pre_allocated_vus: self.connections,
            max_vus: self.connections,
        }
    }

    /// When the step ends, after the first arrival.
    fn down_ns(&self) -> Nanos {
        self.before_ns + self.during_ns
    }

    /// Whether the target has been back for a while.
    fn is_over(&self, moments: &[Moment]) -> bool {
        let back_ns = Recovery::new(self, moments).and_then(|recovery| recovery.p99_back_ns);
        let last_ns = moments.last().map_or(0, |moment| moment.end_ns);
        back_ns.is_some_and(|back_ns| {
            last_ns >= self.down_ns() + back_ns + STEADY_MOMENTS as Nanos * MOMENT_NS
        })
    }
}

impl Moment {
    /// Without what the pool showed.
    fn new(interval: &Interval, before: Option<&Self>) -> Self {
        let stream = &interval.streams[0];
        let whole = stream.recording.whole();
        let mut ended: Histogram<u64> = whole.response.clone();
        ended.add(&whole.failed).expect("all histograms share their bounds");
        let gone = whole.completed() + stream.dropped + stream.unserved + stream.interrupted;
        Self {
            end_ns: interval.end_ns,
            planned: stream.planned,
            completed: whole.completed(),
            in_system: (before.map_or(0, |before| before.in_system) + stream.planned)
                .saturating_sub(gone),
            p99_ns: (!ended.is_empty()).then(|| ended.value_at_quantile(0.99)),
            errors: whole.failures().map(|(class, count, _)| (class.name(), count)).collect(),
            cl_waiting: None,
            maxwait_ns: None,
        }
    }
}

/// Gives each moment of a load that began at `start` the last look that falls into it.
fn lay(moments: &mut [Moment], looks: &[PoolLook], start: Nanos) {
    let mut from = start;
    for moment in moments {
        let to = start + moment.end_ns;
        let Pools { cl_waiting, maxwait_ns, .. } =
            PoolLook::last_within(looks, from..to).unwrap_or_default();
        (moment.cl_waiting, moment.maxwait_ns) = (cl_waiting, maxwait_ns);
        from = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_what_the_pool_showed_in_it_and_nothing_where_the_console_was_silent() {
        let moment = |number| Moment { end_ns: number * MOMENT_NS, ..Moment::default() };
        let mut moments: Vec<_> = (1..=4).map(moment).collect();
        let start = 7 * MOMENT_NS;
        let look = |(at_ns, waiting)| {
            let pools = Pools { cl_waiting: Some(waiting), ..Pools::default() };
            PoolLook { at_ns: start + at_ns, pools }
        };
        // It stood still, and answered two questions when it went on.
        let looks = [(MOMENT_NS / 2, 5), (3 * MOMENT_NS, 8), (7 * MOMENT_NS / 2, 9)].map(look);
        lay(&mut moments, &looks, start);
        let waiting: Vec<_> = moments.iter().map(|moment| moment.cl_waiting).collect();
        assert_eq!(waiting, [Some(5), None, None, Some(9)]);
    }
}
