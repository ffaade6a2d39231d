//! Looking at a run while it goes on.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use engine::{Nanos, SECOND};

use super::progress::{Progress, Second};
use crate::metric::{Gauges, Loads, Metric, Tally};
use crate::observe::{PoolerSample, Reading};
use crate::rules::Rules;
use crate::threshold::ThresholdResult;

/// Looks at a run each second: tells how far it is, and ends it for a threshold.
pub(crate) struct Watch<'a> {
    rules: &'a Rules,
    loads: &'a Loads,
    progress: &'a mut Progress,
    gauged: Gauged<'a>,
    are_backends_hidden: bool,
    /// As long as the run will be.
    total_ns: Nanos,
    /// Per load, all that was told; only where a threshold can end the run.
    so_far: Vec<Tally>,
    requests: u64,
    errors: u64,
    /// Virtual users, and what was seen of the servers.
    pub(crate) gauges: Gauges,
    pub(crate) aborted_by: Option<ThresholdResult>,
}

/// Which of the servers the gauges are of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauged<'a> {
    /// The target of the only pooler that the loads go through: what several had is no one figure.
    pub(crate) pooler: Option<&'a str>,
    /// Of Postgres' backends those with one of these names count, or all of them where none is known.
    pub(crate) backends: BTreeSet<String>,
}

/// What happened since it was last told.
pub(crate) struct Told<'a> {
    /// Since the measured phase began.
    pub(crate) elapsed_ns: Nanos,
    /// How long ago that was.
    pub(crate) interval_ns: Nanos,
    /// Virtual users at work and the most of them.
    pub(crate) vus: (u32, u32),
    /// Per load.
    pub(crate) tallies: &'a [Tally],
}

impl<'a> Watch<'a> {
    /// A run of `total_ns`.
    pub(crate) fn new(
        rules: &'a Rules,
        loads: &'a Loads,
        progress: &'a mut Progress,
        gauged: Gauged<'a>,
        total_ns: Nanos,
    ) -> Self {
        Self {
            rules,
            loads,
            progress,
            gauged,
            are_backends_hidden: false,
            total_ns,
            so_far: Vec::new(),
            requests: 0,
            errors: 0,
            gauges: Gauges::default(),
            aborted_by: None,
        }
    }

    /// This was seen of the server that is called by this name.
    pub(crate) fn see(&mut self, name: &str, seen: &Reading) {
        if let Reading::Pooler(PoolerSample { pools: Some(pools), .. }) = seen
            && self.gauged.pooler == Some(name)
        {
            let values = [
                (Metric::ClWaiting, pools.cl_waiting),
                (Metric::ClActive, pools.cl_active),
                (Metric::SvActive, pools.sv_active),
            ];
            for (metric, value) in values {
                value.into_iter().for_each(|value| self.gauges.push(metric, value as f64));
            }
            let ratio = pools.multiplexing_ratio();
            ratio.into_iter().for_each(|ratio| self.gauges.push(Metric::MultiplexingRatio, ratio));
        }
        if let Some(all) = seen.backends() {
            let names = &self.gauged.backends;
            let count: Option<u64> = match names.is_empty() {
                true => all.all(),
                false => names.iter().map(|name| all.named(name)).sum(),
            };
            self.are_backends_hidden |= count.is_none();
            match count.filter(|_| !self.are_backends_hidden) {
                Some(count) => self.gauges.push(Metric::BackendConnections, count as f64),
                // Those looks alone at which there were none would be left.
                None => self.gauges.forget(Metric::BackendConnections),
            }
        }
    }

    /// Some time is over. A break ends the run.
    pub(crate) fn tell(&mut self, told: &Told<'_>) -> ControlFlow<()> {
        let (vus, most) = told.vus;
        self.gauges.push(Metric::Vus, vus.into());
        self.gauges.push(Metric::VusMax, most.into());
        self.tick(told);
        if !self.rules.thresholds.can_abort() {
            return ControlFlow::Continue(());
        }
        if self.so_far.is_empty() {
            self.so_far = told.tallies.to_vec();
        } else {
            self.so_far.iter_mut().zip(told.tallies).for_each(|(ours, later)| ours.append(later));
        }
        let metrics = self.loads.metrics(told.elapsed_ns, &self.so_far, &self.gauges);
        self.aborted_by = self.rules.thresholds.should_abort(told.elapsed_ns, &metrics);
        match self.aborted_by {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    fn tick(&mut self, told: &Told<'_>) {
        let completed: u64 = told.tallies.iter().map(|tally| tally.recording.completed()).sum();
        self.requests += completed;
        self.errors += told.tallies.iter().map(|tally| tally.recording.failed()).sum::<u64>();
        let mut response = engine::histogram();
        for operation in told.tallies.iter().flat_map(|tally| &tally.recording.operations) {
            response.add(&operation.response).expect("all histograms share their bounds");
        }
        self.progress.tick(&Second {
            elapsed_ns: told.elapsed_ns,
            total_ns: self.total_ns,
            vus: told.vus.0,
            rate: completed as f64 * SECOND as f64 / told.interval_ns.max(1) as f64,
            p95_ns: (!response.is_empty()).then(|| response.value_at_quantile(0.95)),
            errors: self.errors,
            requests: self.requests,
        });
    }
}

#[cfg(test)]
mod tests {
    use engine::Recording;
    use wire::{Class, Failure, Outcome};

    use super::*;
    use crate::metric::{Layer, Load};
    use crate::observe::{Backends, Pools, ServerSample};
    use crate::scenario::Scenario;

    fn rules(thresholds: &str) -> Rules {
        let text = format!(
            "name = \"t\"\n[targets.gateway]\nurl = \"http://127.0.0.1:1/\"\n\
             [[operations]]\nname = \"a\"\ngraphql = \"{{a}}\"\n[thresholds]\n{thresholds}"
        );
        Rules::read(&Scenario::parse("t.toml", &text, &|_| None).unwrap()).unwrap()
    }

    fn tally(failures: u64) -> Tally {
        let mut recording = Recording::new(1);
        for number in 0..100 {
            let outcome = match number < failures {
                true => Outcome::Failed(Class::Status),
                false => Outcome::Ok,
            };
            recording.record(0, outcome, &Failure::default(), (0, 0, 1_000_000));
        }
        Tally { recording, iterations: 100, dropped: 0, data_sent: 0, data_received: 0 }
    }

    /// The seconds that pass until the run is ended, if it is.
    fn aborted_at(thresholds: &str, failures: impl Fn(u64) -> u64) -> Option<u64> {
        let (rules, mut progress) = (rules(thresholds), Progress::quiet());
        let load = Load {
            scenario: "default".into(),
            target: "gateway".into(),
            layer: Layer::Gateway,
            connect: None,
        };
        let loads = Loads { loads: vec![load], operations: vec!["a".into()], checks: Vec::new() };
        let mut watch = Watch::new(&rules, &loads, &mut progress, Gauged::default(), 60 * SECOND);
        (1..=60).find(|second| {
            let told = Told {
                elapsed_ns: second * SECOND,
                interval_ns: SECOND,
                vus: (5, 5),
                tallies: &[tally(failures(*second))],
            };
            watch.tell(&told).is_break()
        })
    }

    #[test]
    fn gauges_are_of_one_pooler_and_of_backends_that_are_seen() {
        let gauges = |pooler, backends: &[&str]| {
            let (rules, mut progress) = (rules(""), Progress::quiet());
            let loads = Loads { loads: Vec::new(), operations: Vec::new(), checks: Vec::new() };
            let backends = backends.iter().map(|name| (*name).to_owned()).collect();
            let gauged = Gauged { pooler, backends };
            let mut watch = Watch::new(&rules, &loads, &mut progress, gauged, SECOND);
            for (name, waiting) in [("a", 40), ("b", 2)] {
                let pools = Pools { cl_waiting: Some(waiting), ..Pools::default() };
                let sample = PoolerSample { pools: Some(pools), ..PoolerSample::default() };
                watch.see(name, &Reading::Pooler(sample));
            }
            let (nova, mut all) = (Backends::of("nova", 5), Backends::of("nova", 5));
            all.add("secret", 9, true);
            for backends in [nova.clone(), all, nova] {
                let sample = ServerSample { backends, ..ServerSample::default() };
                watch.see("postgres", &Reading::Server(sample));
            }
            [Metric::ClWaiting, Metric::BackendConnections].map(|metric| {
                let seen = watch.gauges.get(metric);
                seen.map(|seen| (seen.min, seen.max))
            })
        };
        assert_eq!(gauges(Some("b"), &["nova"]), [Some((2.0, 2.0)), Some((5.0, 5.0))]);
        assert_eq!(gauges(None, &[]), [None, None], "several, and not all are seen");
        assert_eq!(gauges(None, &["nova", "secret"]), [None, None]);
    }

    #[test]
    fn a_run_ends_in_the_second_in_which_its_threshold_fails() {
        let abort = "errors = { threshold = \"rate<0.1\", abortOnFail = true }";
        assert_eq!(aborted_at(abort, |_| 0), None);
        assert_eq!(aborted_at(abort, |_| 10), Some(1));
        // A fifth of the requests fail from second 11 on: it takes as long again until a tenth of
        // all have failed.
        assert_eq!(aborted_at(abort, |second| if second > 10 { 20 } else { 0 }), Some(20));
        assert_eq!(aborted_at("errors = \"rate<0.1\"", |_| 50), None, "it does not say so");
    }

    #[test]
    fn the_delay_is_waited_for_and_virtual_users_count() {
        let abort =
            "vus = { threshold = \"value<5\", abortOnFail = true, delayAbortEval = \"7s\" }";
        assert_eq!(aborted_at(abort, |_| 0), Some(7));
    }
}
