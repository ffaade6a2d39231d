//! A run for a person at a terminal.

use std::fmt::Write as _;

use super::Summary;
use crate::arm::heading;
use crate::duration::show;
use crate::table::{Columns, errors, verdict};

/// The whole result.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    for arm in &summary.arms {
        let _ = writeln!(
            text,
            "{} on {}: {}, {} connections, {}, seed {}",
            summary.scenario,
            arm.name,
            summary.load,
            summary.connections,
            show(summary.duration_ns as f64),
            summary.seed
        );
        if let Some(line) = heading(std::slice::from_ref(arm)) {
            let _ = writeln!(text, "{line}");
        }
        text.push('\n');
        let seconds = summary.duration_ns as f64 / 1e9;
        let mut table = Columns::new(&[
            "response time",
            "rate/s",
            "errors",
            "p50",
            "p90",
            "p95",
            "p99",
            "p99.9",
        ]);
        for (name, operation) in &arm.operations {
            let count = operation.errors.values().sum::<u64>();
            let rate = operation.requests as f64 / seconds;
            table.row(row(name, rate, count, operation.response_ns.shown()));
        }
        let count = arm.errors.values().sum::<u64>();
        table.row(row("all", arm.rate, count, arm.response_ns.shown()));
        let late = &arm.lateness_ns;
        let _ = writeln!(text, "{table}\n");
        let _ = writeln!(
            text,
            "sent late by {} at the median, {} at p99; service time p50 {}, p99 {}",
            show(late.p50 as f64),
            show(late.p99 as f64),
            show(arm.service_ns.p50 as f64),
            show(arm.service_ns.p99 as f64),
        );
        if !arm.errors.is_empty() {
            let _ = writeln!(text, "errors: {}", errors(arm));
        }
    }
    if let Some(pool) = &summary.pool {
        let _ = writeln!(text, "{pool}");
    }
    let _ = writeln!(text, "{}", verdict(&summary.validity));
    text
}

fn row(name: &str, rate: f64, errors: u64, times: [String; 5]) -> Vec<String> {
    let mut cells = vec![name.to_owned(), format!("{rate:.0}"), errors.to_string()];
    cells.extend(times);
    cells
}
