//! How much the workers worked: in all, and where one of them had the most to do.

use std::collections::{BTreeMap, VecDeque};

use engine::{Interval, Nanos, PhaseReport, SECOND, WorkerTime};
use serde::Serialize;

use crate::duration;

/// What the workers did in all phases that count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    requests: u64,
    /// CPU time without spins, in ns.
    busy_ns: Nanos,
    /// The phases' length, once for each worker, in ns.
    available_ns: Nanos,
    length_ns: Nanos,
    /// By what was measured.
    parts: BTreeMap<String, Part>,
}

/// The phases in which one thing was measured.
#[derive(Clone, Debug, Default)]
struct Part {
    length_ns: Nanos,
    /// What each worker did in them.
    workers: Vec<WorkerTime>,
    busiest_second: Option<BusySecond>,
}

impl Part {
    fn add(&mut self, length_ns: Nanos, workers: &[WorkerTime], second: Option<BusySecond>) {
        self.length_ns += length_ns;
        add(&mut self.workers, workers);
        self.busiest_second = busier(self.busiest_second, second);
    }

    /// How much of its time the worker worked that had the most to do, 0 to 1, and when; `None` for
    /// all of the time.
    fn busiest(&self) -> (f64, Option<BusySecond>) {
        let whole = share(&self.workers, self.length_ns);
        let second = self.busiest_second.filter(|second| second.share > whole);
        (second.map_or(whole, |second| second.share), second)
    }
}

/// The second of a phase, or a little more, in which one worker worked the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BusySecond {
    /// How much of it, 0 to 1.
    pub(crate) share: f64,
    /// In ns after the phase's start.
    from_ns: Nanos,
    to_ns: Nanos,
}

/// Looks for it, one interval after the other. In less than a second chance would have a part.
#[derive(Debug, Default)]
pub(crate) struct BusySeconds {
    /// The last intervals that make up a second.
    latest: VecDeque<(Nanos, Nanos, Vec<WorkerTime>)>,
    pub(crate) busiest: Option<BusySecond>,
}

impl BusySeconds {
    /// Takes the next interval.
    pub(crate) fn push(&mut self, interval: &Interval) {
        let to_ns = interval.end_ns;
        self.latest.push_back((interval.start_ns, to_ns, interval.workers.clone()));
        while self.latest.get(1).is_some_and(|(from_ns, ..)| to_ns - from_ns >= SECOND) {
            self.latest.pop_front();
        }
        let Some((from_ns, ..)) = self.latest.front().filter(|one| to_ns - one.0 >= SECOND) else {
            return;
        };
        let mut workers = Vec::new();
        self.latest.iter().for_each(|(.., each)| add(&mut workers, each));
        let share = share(&workers, to_ns - from_ns);
        self.busiest = busier(self.busiest, Some(BusySecond { share, from_ns: *from_ns, to_ns }));
    }

    /// How much of its time the worker worked that had the most to do, 0 to 1: in its busiest second,
    /// and in a phase that had none in the whole of it.
    pub(crate) fn share(&self, report: &PhaseReport) -> f64 {
        let whole = share(&report.workers, report.end.saturating_sub(report.start));
        self.busiest.map_or(whole, |second| second.share.max(whole))
    }
}

fn busier(one: Option<BusySecond>, other: Option<BusySecond>) -> Option<BusySecond> {
    one.into_iter()
        .chain(other)
        .reduce(|one, other| if other.share > one.share { other } else { one })
}

fn add(sum: &mut Vec<WorkerTime>, workers: &[WorkerTime]) {
    sum.resize(workers.len().max(sum.len()), WorkerTime::default());
    sum.iter_mut().zip(workers).for_each(|(sum, later)| sum.append(*later));
}

/// How much of a time the worker worked that had the most to do in it, 0 to 1.
pub(crate) fn share(workers: &[WorkerTime], length_ns: Nanos) -> f64 {
    let most_ns = workers.iter().map(|worker| worker.busy_ns).max().unwrap_or_default();
    (most_ns as f64 / length_ns.max(1) as f64).min(1.0)
}

/// The worker that had the most to do, where it had that.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Busiest {
    /// How much of its time it worked, 0 to 1.
    #[serde(rename = "busiest_worker_share")]
    pub(crate) share: f64,
    /// The arm, its rate, and the second where it was one; null where nothing was measured.
    #[serde(rename = "busiest_worker_at")]
    pub(crate) at: Option<String>,
}

impl Work {
    /// Adds a phase in which `what` was measured, with its busiest second where it was told in
    /// intervals.
    pub(crate) fn add(
        &mut self,
        what: &str,
        report: &PhaseReport,
        second: Option<BusySecond>,
        workers: usize,
    ) {
        let length_ns = report.end.saturating_sub(report.start);
        self.parts.entry(what.to_owned()).or_default().add(length_ns, &report.workers, second);
        self.requests += report.streams.iter().map(|stream| stream.iterations).sum::<u64>();
        self.busy_ns += report.cpu_ns.saturating_sub(report.spun_ns);
        self.available_ns += length_ns * workers as u64;
        self.length_ns += length_ns;
    }

    /// How much of its time it worked, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        (self.busy_ns as f64 / self.available_ns.max(1) as f64).min(1.0)
    }

    /// What it would come to if it worked all the time, in requests a second; at low rates rather
    /// less than it can do, since there a request costs it more.
    pub(crate) fn ceiling(&self) -> f64 {
        let rate = self.requests as f64 * 1e9 / self.length_ns.max(1) as f64;
        if self.busy_ns == 0 { 0.0 } else { rate / self.share() }
    }

    /// One worker of several, one arm, one rate or one second may be at its end where the others have
    /// time.
    pub(crate) fn busiest(&self) -> Busiest {
        let parts = self.parts.iter().map(|(what, part)| (what, part.busiest()));
        let most = parts.max_by(|(_, one), (_, other)| one.0.total_cmp(&other.0));
        most.map_or_else(Busiest::default, |(what, (share, second))| {
            let when = second.map_or(String::new(), |BusySecond { from_ns, to_ns, .. }| {
                let [from, to] = [from_ns, to_ns].map(|ns| duration::show(ns as f64));
                format!(", from {from} to {to}")
            });
            Busiest { share, at: Some(format!("{what}{when}")) }
        })
    }
}

#[cfg(test)]
impl Work {
    /// A second in which one worker worked so much of the time.
    pub(super) fn example(share: f64) -> Self {
        Self {
            requests: 2000,
            busy_ns: (share * 1e9) as Nanos,
            available_ns: SECOND,
            length_ns: SECOND,
            parts: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(busy_ns: [Nanos; 2]) -> PhaseReport {
        PhaseReport {
            streams: Vec::new(),
            start: 1000,
            end: 2000,
            cpu_ns: busy_ns.iter().sum(),
            spun_ns: 0,
            workers: workers(&busy_ns),
            is_interrupted: false,
            is_aborted: false,
        }
    }

    fn workers(busy_ns: &[Nanos]) -> Vec<WorkerTime> {
        (1..)
            .zip(busy_ns)
            .map(|(thread, busy_ns)| WorkerTime { thread, busy_ns: *busy_ns })
            .collect()
    }

    /// The busiest second, in tenths of one, where each interval took so many of them and so much of it
    /// each worker worked.
    fn busiest_second(intervals: &[(u64, [f64; 2])]) -> Option<(f64, u64, u64)> {
        let (mut seconds, mut start_ns) = (BusySeconds::default(), 0);
        for (tenths, shares) in intervals {
            let length_ns = tenths * SECOND / 10;
            let busy_ns = shares.map(|share| (share * length_ns as f64) as Nanos);
            let end_ns = start_ns + length_ns;
            let workers = workers(&busy_ns);
            seconds.push(&Interval { start_ns, end_ns, workers, streams: Vec::new() });
            start_ns = end_ns;
        }
        let BusySecond { share, from_ns, to_ns } = seconds.busiest?;
        let tenth = |ns: Nanos| ns * 10 / SECOND;
        Some(((share * 1000.0).round() / 1000.0, tenth(from_ns), tenth(to_ns)))
    }

    #[test]
    fn a_ramps_top_is_the_busiest_second_and_no_mean_of_it() {
        let ramp: Vec<_> = (1..=10).map(|second| (10, [0.099 * f64::from(second), 0.1])).collect();
        assert_eq!(busiest_second(&ramp), Some((0.99, 90, 100)));
        // What is left over is no second of its own.
        let rest = [(10, [0.3, 0.2]), (10, [0.4, 0.6]), (2, [1.0, 1.0])];
        assert_eq!(busiest_second(&rest), Some((0.667, 10, 22)));
        let short: Vec<_> = [0.2, 0.99, 0.2, 0.95, 0.95, 0.1].map(|share| (5, [share, 0.1])).into();
        assert_eq!(busiest_second(&short), Some((0.95, 15, 25)));
        assert_eq!(busiest_second(&short[..1]), None);
        assert_eq!(busiest_second(&[]), None);
    }

    #[test]
    fn a_mean_over_a_ramp_hides_no_second_in_which_it_needed_all_of_its_time() {
        let phase = PhaseReport { end: 11 * SECOND, start: SECOND, ..phase([5 * SECOND, SECOND]) };
        let mut work = Work::default();
        let top = BusySecond { share: 0.99, from_ns: 9 * SECOND, to_ns: 10 * SECOND };
        work.add("pooler", &phase, Some(top), 2);
        work.add("pooler", &phase, Some(BusySecond { share: 0.2, ..top }), 2);
        let Busiest { share, at } = work.busiest();
        assert_eq!((share, at.as_deref()), (0.99, Some("pooler, from 9.00 s to 10.0 s")));
        let mut even = Work::default();
        even.add("pooler", &phase, Some(BusySecond { share: 0.5, ..top }), 2);
        assert_eq!(even.busiest().at.as_deref(), Some("pooler"));
    }

    #[test]
    fn the_busiest_worker_of_the_worst_part_is_told_and_no_mean() {
        let mut work = Work::default();
        assert_eq!(work.busiest(), Busiest::default());
        // One block in which another worker had the most to do makes no worker of the whole.
        for busy_ns in [[100, 960], [960, 100], [100, 960]] {
            work.add("pooler at 4000/s", &phase(busy_ns), None, 2);
        }
        (0..9).for_each(|_| work.add("direct", &phase([10, 20]), None, 2));
        let Busiest { share, at } = work.busiest();
        assert!((share - 2020.0 / 3000.0).abs() < 1e-9, "{share}");
        assert_eq!(at.as_deref(), Some("pooler at 4000/s"));
        assert!(work.share() < 0.2, "the mean hides it: {}", work.share());
    }
}
