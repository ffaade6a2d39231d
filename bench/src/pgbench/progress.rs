//! The lines while it runs, as pgbench writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::{Interval, Nanos, SECOND};

use super::Plan;
use super::summary::{merged, milliseconds};

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
    }
    if let Some(script) = report.script.as_deref().filter(|_| plan.tries_max != Some(1)) {
        line += &format!(", {} retried, {} retries", script.retried, script.retries);
    }
    line
}
