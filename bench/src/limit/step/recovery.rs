//! What a step did to a queue, and how it went away.

use engine::{Nanos, SECOND};
use serde::Serialize;

use super::{Moment, Plan};
use crate::statistics::slope;

/// What a step did. Times count from its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Recovery {
    /// Before the step: the highest p99 of a moment, and the most requests in the system.
    pub(crate) base_p99_ns: u64,
    pub(crate) base_in_system: u64,
    /// How fast requests piled up during the step, in 1/s: the slope through the moments.
    pub(crate) growth: f64,
    /// What ended by the second in the step.
    pub(crate) throughput: f64,
    /// The most requests in the system.
    pub(crate) in_system_max: u64,
    /// The highest p99 of a moment.
    pub(crate) p99_max_ns: u64,
    /// Until as few requests were in the system as before; `None` where that was not seen.
    pub(crate) drain_ns: Option<Nanos>,
    /// Until p99 was back at its level before; `None` where that was not seen.
    pub(crate) p99_back_ns: Option<Nanos>,
    /// The most clients that waited in the pool, and the longest wait seen there.
    pub(crate) cl_waiting_max: Option<u64>,
    pub(crate) maxwait_max_ns: Option<Nanos>,
    /// Until no client waited in the pool.
    pub(crate) pool_drain_ns: Option<Nanos>,
}

/// Back is what is no more above its level before than this: a moment holds few requests, and its
/// p99 is its maximum.
const BACK: f64 = 1.5;
/// So many moments in a row must be back.
const BACK_MOMENTS: usize = 5;

impl Recovery {
    /// From what was seen so far; `None` before the step.
    pub(super) fn new(plan: &Plan, moments: &[Moment]) -> Option<Self> {
        let (up_ns, down_ns) = (plan.before_ns, plan.down_ns());
        let before = || moments.iter().filter(move |moment| moment.end_ns <= up_ns);
        let during: Vec<_> = moments
            .iter()
            .filter(|moment| moment.end_ns > up_ns && moment.end_ns <= down_ns)
            .collect();
        let after: Vec<_> = moments.iter().filter(|moment| moment.end_ns > down_ns).collect();
        let base_p99_ns = before().filter_map(|moment| moment.p99_ns).max()?;
        let base_in_system = before().map(|moment| moment.in_system).max()?;
        let cl_waiting_max = moments.iter().filter_map(|moment| moment.cl_waiting).max();
        let completed: u64 = during.iter().map(|moment| moment.completed).sum();
        let p99_level = (base_p99_ns as f64 * BACK) as u64;
        let in_system_level = (base_in_system as f64 * BACK) as u64;
        // A moment without replies is not back: they are all still to come.
        let is_p99_back = |m: &Moment| m.p99_ns.is_some_and(|p99| p99 <= p99_level);
        let since = |is_back: &dyn Fn(&Moment) -> bool| {
            let first = after.windows(BACK_MOMENTS).find(|run| run.iter().all(|m| is_back(m)))?;
            Some(first[0].end_ns - down_ns)
        };
        Some(Self {
            base_p99_ns,
            base_in_system,
            growth: slope(&during.iter().map(|moment| in_system(moment)).collect::<Vec<_>>()),
            throughput: completed as f64 * SECOND as f64 / plan.during_ns.max(1) as f64,
            in_system_max: moments.iter().map(|moment| moment.in_system).max()?,
            p99_max_ns: moments.iter().filter_map(|moment| moment.p99_ns).max()?,
            drain_ns: since(&|moment| moment.in_system <= in_system_level),
            p99_back_ns: since(&is_p99_back),
            cl_waiting_max,
            maxwait_max_ns: moments.iter().filter_map(|moment| moment.maxwait_ns).max(),
            pool_drain_ns: cl_waiting_max
                .and_then(|_| since(&|moment| moment.cl_waiting == Some(0))),
        })
    }
}

/// The second, and the requests in the system at its end.
fn in_system(moment: &Moment) -> (f64, f64) {
    (moment.end_ns as f64 / SECOND as f64, moment.in_system as f64)
}

#[cfg(test)]
pub(super) mod tests {
    use engine::Gaps;

    use super::*;
    use crate::generator::GeneratorOptions;

    const MOMENT_NS: Nanos = SECOND / 10;

    pub(in crate::limit::step) fn plan() -> Plan {
        Plan {
            targets: vec!["pooler".into()],
            rates: (50.0, 500.0),
            gaps: Gaps::Uniform,
            before_ns: 2 * SECOND,
            during_ns: 3 * SECOND,
            after_ns: 30 * SECOND,
            connections: 1000,
            generator: GeneratorOptions::default(),
            seed: 1,
        }
    }

    /// A queue that serves 200 a second, in order, of the plan's load.
    pub(in crate::limit::step) fn queue() -> Vec<Moment> {
        let mut in_system = 0;
        (1..=200)
            .map(|number| {
                let end_ns = number * MOMENT_NS;
                let planned = if end_ns > 2 * SECOND && end_ns <= 5 * SECOND { 50 } else { 5 };
                let completed = (in_system + planned).min(20);
                let waited_ns = (in_system + planned) * SECOND / 200;
                in_system = in_system + planned - completed;
                Moment {
                    end_ns,
                    planned,
                    completed,
                    in_system,
                    p99_ns: Some(10_000_000 + waited_ns),
                    cl_waiting: Some(in_system.saturating_sub(2)),
                    maxwait_ns: Some(waited_ns),
                    ..Moment::default()
                }
            })
            .collect()
    }

    #[test]
    fn a_queue_grows_and_drains_as_its_rates_say() {
        let recovery = Recovery::new(&plan(), &queue()).unwrap();
        assert!((recovery.growth - 300.0).abs() < 1e-6, "500 come and 200 go: {recovery:?}");
        assert!((recovery.throughput - 200.0).abs() < 1e-6);
        assert_eq!(recovery.in_system_max, 900);
        // 900 drain at 200 - 50 a second.
        assert_eq!(recovery.drain_ns, Some(6 * SECOND));
        assert!(recovery.p99_back_ns.is_some_and(|ns| ns.abs_diff(6 * SECOND) <= 2 * MOMENT_NS));
        assert_eq!(recovery.pool_drain_ns, Some(6 * SECOND));
        assert_eq!(recovery.maxwait_max_ns.map(|ns| ns / SECOND), Some(4));
    }

    #[test]
    fn what_never_drains_is_told_as_such_and_nothing_is_said_too_early() {
        let stuck: Vec<_> = queue().into_iter().take(60).collect();
        let recovery = Recovery::new(&plan(), &stuck).unwrap();
        assert_eq!((recovery.drain_ns, recovery.p99_back_ns), (None, None));
        assert!(!plan().is_over(&stuck) && plan().is_over(&queue()));
        assert_eq!(Recovery::new(&plan(), &[]), None);
    }
}
