//! The lines while it runs, as pgbench writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::pgbench::{CommandFailures, Conflicts};
use engine::{Interval, Nanos, SECOND};

use super::experiment::Scripts;
use super::summary::{layer, merged, milliseconds, words};
use super::{Plan, PlannedTarget};

/// What happened in an interval; `begun` is when the run did.
pub(super) fn line(plan: &Plan, interval: &Interval, begun: SystemTime) -> String {
    let report = &interval.streams[0];
    let whole = merged(&report.recording.operations[..plan.scripts.len()]);
    let seconds = |ns: Nanos| ns as f64 / SECOND as f64;
    let length = seconds(interval.end_ns - interval.start_ns).max(1e-9);
    let at = match plan.has_timestamps {
        true => begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        false => 0.0,
    };
    let mut line = format!(
        "progress: {:.*} s, {:.1} tps, lat {:.3} ms stddev {:.3}, {} failed",
        if plan.has_timestamps { 3 } else { 1 },
        at + seconds(interval.end_ns),
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
    if let Some(script) = report.script.as_deref().filter(|_| plan.tries_max != Some(1)) {
        let Conflicts { retried, retries, .. } = script.all_conflicts();
        line += &format!(", {retried} retried, {retries} retries");
    }
    line
}

/// What went wrong in a line of a script in an interval.
pub(super) fn failures(plan: &Plan, target: Option<&str>, failures: &CommandFailures) -> String {
    let CommandFailures { script, line, class, count, first } = failures;
    let script = &plan.scripts[*script as usize].name;
    let target = target.map(|name| format!("{name}: ")).unwrap_or_default();
    let (name, layer) = (class.name(), layer(*class, first.code));
    format!("{target}{script}:{line}: {count} {name} of the {layer} (first: {})", words(first))
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
