//! The lines while it runs, as pgbench writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::pgbench::{CommandFailures, Conflicts, ScriptReport};
use engine::{Interval, Nanos, Recording, SECOND};

use super::experiment::Scripts;
use super::summary::{layer, milliseconds, words};
use super::{Plan, PlannedTarget};

/// How often what happens is told, in ns: a line of progress is a whole number of times, and none is
/// longer than a second, since what is logged waits for it.
pub(super) fn interval_ns(plan: &Plan) -> Nanos {
    let progress_ns = plan.progress_ns.unwrap_or(SECOND);
    progress_ns / progress_ns.div_ceil(SECOND)
}

/// What happened since the last line.
#[derive(Debug)]
struct Pending {
    start_ns: Nanos,
    end_ns: Nanos,
    /// Of the scripts.
    recording: Recording,
    conflicts: Conflicts,
}

impl Pending {
    fn new(plan: &Plan, interval: &Interval) -> Self {
        let Interval { start_ns, end_ns, ref streams, .. } = *interval;
        let operations = streams[0].recording.operations[..plan.scripts.len()].to_vec();
        let conflicts = streams[0].script.as_deref().map(ScriptReport::all_conflicts);
        Self {
            start_ns,
            end_ns,
            recording: Recording { operations, above_top: 0 },
            conflicts: conflicts.unwrap_or_default(),
        }
    }

    fn length_ns(&self) -> Nanos {
        self.end_ns - self.start_ns
    }
}

/// The lines of one target; `begun` is when the run did.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    plan: &'a Plan,
    begun: SystemTime,
    pending: Option<Pending>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(plan: &'a Plan, begun: SystemTime) -> Self {
        Self { plan, begun, pending: None }
    }

    /// An interval is over: a line, if it is time for one.
    pub(super) fn add(&mut self, interval: &Interval) -> Option<String> {
        let progress_ns = self.plan.progress_ns?;
        let own = Pending::new(self.plan, interval);
        match &mut self.pending {
            None => self.pending = Some(own),
            Some(pending) => {
                pending.end_ns = own.end_ns;
                pending.recording.merge(&own.recording);
                pending.conflicts.add(&own.conflicts);
            }
        }
        let least_ns = progress_ns - interval_ns(self.plan) / 2;
        let pending = self.pending.take_if(|pending| pending.length_ns() >= least_ns)?;
        Some(line(self.plan, &pending, self.begun))
    }

    /// The run is over: a line, if most of the time for one has passed.
    pub(super) fn finish(self) -> Option<String> {
        let is_most = |ns: Nanos| self.plan.progress_ns.is_some_and(|whole| ns > whole / 2);
        let pending = self.pending.as_ref().filter(|pending| is_most(pending.length_ns()))?;
        Some(line(self.plan, pending, self.begun))
    }
}

fn line(plan: &Plan, pending: &Pending, begun: SystemTime) -> String {
    let whole = pending.recording.whole();
    let seconds = |ns: Nanos| ns as f64 / SECOND as f64;
    let length = seconds(pending.length_ns()).max(1e-9);
    let at = match plan.has_timestamps {
        true => begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        false => 0.0,
    };
    let mut line = format!(
        "progress: {:.*} s, {:.1} tps, lat {:.3} ms stddev {:.3}, {} failed",
        if plan.has_timestamps { 3 } else { 1 },
        at + seconds(pending.end_ns),
        whole.response.len() as f64 / length,
        milliseconds(whole.response.mean()),
        milliseconds(whole.response.stdev()),
        whole.failed.len(),
    );
    if plan.rate.is_some() {
        line += &format!(", lag {:.3} ms", milliseconds(whole.lateness.mean()));
        // None is left out for being late.
        line += if plan.latency_limit_ns.is_some() { ", 0 skipped" } else { "" };
    }
    if plan.tries_max != Some(1) {
        let Conflicts { retried, retries, .. } = pending.conflicts;
        line += &format!(", {retried} retried, {retries} retries");
    }
    line
}

/// What went wrong in a line of a script in an interval.
pub(super) fn failures(plan: &Plan, failures: &CommandFailures) -> String {
    let CommandFailures { script, line, class, count, first } = failures;
    let script = &plan.scripts[*script as usize].name;
    let (name, layer) = (class.name(), layer(*class, first.code));
    format!("{script}:{line}: {count} {name} of the {layer} (first: {})", words(first))
}

/// What each target did since the line before, where several have their turns.
#[derive(Debug)]
pub(super) struct Turns {
    /// Blocks that were told of, of each target.
    told: usize,
    at_ns: Nanos,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { told: 0, at_ns: 0 }
    }

    /// A line, if it is time for one; `elapsed_ns` since the start.
    pub(super) fn line(
        &mut self,
        plan: &Plan,
        scripts: &[Scripts],
        elapsed_ns: Nanos,
    ) -> Option<String> {
        let progress_ns = plan.progress_ns.filter(|_| scripts.len() > 1)?;
        if elapsed_ns - self.at_ns < progress_ns {
            return None;
        }
        let of = |(target, scripts): (&PlannedTarget, &Scripts)| {
            let blocks = scripts.blocks.get(self.told..).unwrap_or_default();
            let sum = |sum: (f64, f64), block: &(f64, f64)| (sum.0 + block.0, sum.1 + block.1);
            let (count, length_ns) = blocks.iter().fold((0.0, 0.0), sum);
            format!("{} {:.1} tps", target.name, count * 1e9 / length_ns.max(1.0))
        };
        let each: Vec<_> = plan.targets.iter().zip(scripts).map(of).collect();
        self.told = scripts.iter().map(|scripts| scripts.blocks.len()).min().unwrap_or_default();
        self.at_ns = elapsed_ns;
        let seconds = elapsed_ns as f64 / SECOND as f64;
        Some(format!("progress: {seconds:.1} s, {}", each.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use engine::{MILLISECOND, StreamReport};
    use wire::{Failure, Outcome};

    use super::*;

    fn plan(progress_ns: Option<Nanos>) -> Plan {
        Plan { progress_ns, tries_max: Some(1), ..Plan::example(&["pgbench"]) }
    }

    /// One of this number, each a second long but the last, with a transaction of 2 ms in each second.
    fn interval(number: u64, end_ns: Nanos) -> Interval {
        let mut recording = Recording::new(2);
        let times = (0, 0, 2 * MILLISECOND);
        recording.record(0, Outcome::Ok, &Failure::default(), times);
        let streams = vec![StreamReport::new(recording)];
        Interval { start_ns: number * SECOND, end_ns, workers: Vec::new(), streams }
    }

    #[test]
    fn what_is_logged_waits_no_longer_than_a_second_for_any_progress() {
        for (progress_ns, expected) in [
            (None, SECOND),
            (Some(60 * SECOND), SECOND),
            (Some(1500 * MILLISECOND), 750 * MILLISECOND),
            (Some(100 * MILLISECOND), 100 * MILLISECOND),
        ] {
            assert_eq!(interval_ns(&plan(progress_ns)), expected);
        }
    }

    #[test]
    fn a_line_is_of_all_intervals_since_the_last() {
        let plan = plan(Some(3 * SECOND));
        let mut lines = Lines::new(&plan, UNIX_EPOCH);
        let told: Vec<_> =
            (0..8).filter_map(|n| lines.add(&interval(n, (n + 1) * SECOND))).collect();
        assert_eq!(
            told,
            [3, 6].map(|at| format!(
                "progress: {at}.0 s, 1.0 tps, lat 2.000 ms stddev 0.000, 0 failed"
            ))
        );
        let rest = lines.finish().expect("two of three seconds");
        assert!(rest.starts_with("progress: 8.0 s, 1.0 tps, "), "{rest}");
        let mut lines = Lines::new(&plan, UNIX_EPOCH);
        assert_eq!(lines.add(&interval(0, SECOND)), None);
        assert_eq!(lines.finish(), None, "one of three");
    }
}
