//! A run for a person at a terminal.

use std::fmt::Write as _;

use super::{Summary, lines, results};
use crate::arm::{ArmSummary, Quantiles, ServerTimingSummary, heading};
use crate::duration::show;
use crate::metric::Aggregation;
use crate::series::{self, Second};
use crate::table::{Columns, errors, verdict};

/// The statistics of trends that k6 shows where none are asked for.
pub(crate) const STATS: [Aggregation; 6] = [
    Aggregation::Avg,
    Aggregation::Min,
    Aggregation::Med,
    Aggregation::Max,
    Aggregation::Percentile(90.0),
    Aggregation::Percentile(95.0),
];

/// Which seconds of a run are shown one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seconds {
    All,
    /// Those around the one from which on something had run out, if anything had.
    OfLimiter,
}

/// Before and after the beginning of a limit.
const SECONDS_AROUND: (usize, usize) = (2, 5);

impl Seconds {
    fn of(self, summary: &Summary) -> &[Second] {
        let series = &summary.series[..];
        let Self::OfLimiter = self else { return series };
        let Some(limiter) = &summary.limiter else { return &[] };
        let since = series.iter().position(|second| second.load.start_ns >= limiter.since_ns);
        let since = since.unwrap_or_default();
        let (before, after) = SECONDS_AROUND;
        &series[since.saturating_sub(before)..(since + after).min(series.len())]
    }
}

/// The whole result; trends with `stats`. It has colours: whoever prints it takes them away where
/// they are not wanted.
pub(crate) fn text(summary: &Summary, stats: &[Aggregation], shown: Seconds) -> String {
    let verdicts = &summary.verdicts;
    let seconds = summary.head.duration_ns as f64 / 1e9;
    let mut text = String::new();
    for arm in &summary.arms {
        let _ = writeln!(
            text,
            "{} on {}: {}, {} connections, {}, seed {}",
            summary.head.scenario,
            arm.name,
            summary.load,
            summary.connections,
            show(summary.head.duration_ns as f64),
            summary.head.seed
        );
        if let Some(line) = heading(std::slice::from_ref(arm)) {
            let _ = writeln!(text, "{line}");
        }
        text.push('\n');
    }
    for section in [
        results::thresholds(verdicts),
        results::checks(verdicts, seconds),
        lines::lines(&verdicts.metrics, stats),
    ] {
        if !section.is_empty() {
            let _ = writeln!(text, "{section}");
        }
    }
    summary.arms.iter().for_each(|arm| text += &latencies(arm, seconds));
    let bands = results::bands(verdicts);
    if !bands.is_empty() {
        let _ = writeln!(text, "{bands}");
    }
    if let Some(threshold) = &verdicts.aborted_by {
        let _ = writeln!(
            text,
            "aborted: threshold '{}' of {} failed",
            threshold.expression, threshold.metric
        );
    }
    let shown = shown.of(summary);
    if !shown.is_empty() {
        let _ = writeln!(text, "{}\n", series::table(shown));
    }
    let _ = match &summary.limiter {
        Some(limiter) => writeln!(text, "limiter: {limiter}"),
        None => writeln!(text, "limiter: none; nothing of what was observed ran out"),
    };
    let _ = writeln!(text, "{}", summary.observers);
    let _ = writeln!(text, "{}", summary.head.generator.note());
    let _ = writeln!(text, "{}", verdict(&summary.validity));
    text
}

/// One way through the stack by operation.
fn latencies(arm: &ArmSummary, seconds: f64) -> String {
    let header = ["response time", "rate/s", "errors", "p50", "p90", "p95", "p99", "p99.9"];
    let mut table = Columns::new(&header);
    for (name, operation) in &arm.operations {
        let count = operation.errors.values().sum::<u64>();
        let rate = operation.requests as f64 / seconds;
        table.row(row(name, rate, count, operation.response_ns.shown()));
    }
    let count = arm.errors.values().sum::<u64>();
    table.row(row(&arm.name, arm.rate, count, arm.response_ns.shown()));
    let late = &arm.lateness_ns;
    let mut text = format!("{table}\n\n");
    let _ = writeln!(
        text,
        "sent late by {} at the median, {} at p99; service time p50 {}, p99 {}",
        show(late.p50 as f64),
        show(late.p99 as f64),
        show(arm.service_ns.p50 as f64),
        show(arm.service_ns.p99 as f64),
    );
    let delay = &arm.receive_delay_ns;
    if delay.count > 0 {
        let _ = writeln!(
            text,
            "replies lay with the kernel for {} at the median, {} at p99: the generator's own share",
            show(delay.p50 as f64),
            show(delay.p99 as f64),
        );
    }
    if let Some(ServerTimingSummary { total, database }) = &arm.server_timing_ns {
        let shown = |name: &str, times: &Quantiles| {
            let [p50, p99] = [times.p50, times.p99].map(|ns| show(ns as f64));
            format!("{name} p50 {p50}, p99 {p99}")
        };
        let all = [("time in it", total), ("in its database", database)];
        let known = all.iter().filter(|(_, times)| times.count > 0);
        let known: Vec<_> = known.map(|(name, times)| shown(name, times)).collect();
        let _ = writeln!(text, "the server's own account (Server-Timing): {}", known.join("; "));
    }
    if !arm.errors.is_empty() {
        let _ = writeln!(text, "errors: {}", errors(arm));
    }
    for line in arm.notes() {
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
    text
}

fn row(name: &str, rate: f64, errors: u64, times: [String; 5]) -> Vec<String> {
    let mut cells = vec![name.to_owned(), format!("{rate:.0}"), errors.to_string()];
    cells.extend(times);
    cells
}
