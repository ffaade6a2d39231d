//! The result as pgbench writes it, and what pgbench cannot tell.

use std::fmt::Write as _;

use engine::SECOND;

use super::summary::{ScriptSummary, Summary, Transactions, milliseconds};
use crate::arm::Quantiles;

/// All of it.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    write(summary, &mut text).expect("a string takes all");
    text
}

fn write(summary: &Summary, out: &mut String) -> std::fmt::Result {
    let all = &summary.all;
    let names: Vec<_> = summary.scripts.iter().map(|script| script.name.as_str()).collect();
    let kind = if let [name] = *names { name } else { "multiple scripts" };
    writeln!(out, "transaction type: {kind}")?;
    writeln!(out, "scaling factor: {}", summary.scale)?;
    writeln!(out, "query mode: {}", summary.protocol)?;
    writeln!(out, "number of clients: {}", summary.clients)?;
    writeln!(out, "number of threads: {}", summary.threads)?;
    match summary.tries_max {
        Some(most) => writeln!(out, "maximum number of tries: {most}")?,
        None => writeln!(out, "maximum number of tries: unlimited")?,
    }
    let planned = match (summary.phase_ns, summary.transactions_per_client) {
        (Some(duration_ns), _) => {
            writeln!(out, "duration: {} s", duration_ns as f64 / SECOND as f64)?;
            String::new()
        }
        (None, each) => {
            let each = each.unwrap_or_default();
            writeln!(out, "number of transactions per client: {each}")?;
            format!("/{}", each * u64::from(summary.clients))
        }
    };
    writeln!(out, "number of transactions actually processed: {}{planned}", all.transactions)?;
    failures(all, summary, out)?;
    if summary.tries_max != Some(1) {
        writeln!(out, "number of transactions retried: {}", share(summary.retried, all))?;
        writeln!(out, "total number of retries: {}", summary.retries)?;
    }
    above_limit(all, summary, out)?;
    if all.transactions > 0 {
        latency(all, out)?;
    }
    if summary.rate.is_some() {
        let Quantiles { mean, max, .. } = all.lateness_ns;
        writeln!(
            out,
            "rate limit schedule lag: avg {:.3} (max {:.3}) ms",
            milliseconds(mean),
            milliseconds(max as f64)
        )?;
    }
    let connecting_ms = milliseconds(summary.initial_connection_ns as f64);
    writeln!(out, "initial connection time = {connecting_ms:.3} ms")?;
    let what = if summary.connects {
        "including reconnection times"
    } else {
        "without initial connection time"
    };
    writeln!(out, "tps = {:.6} ({what})", all.tps)?;
    not_ended(summary, out)?;
    if names.len() > 1 || summary.reports_statements {
        summary.scripts.iter().enumerate().try_for_each(|one| script(summary, one, out))?;
    }
    if let Some(error) = &summary.script_error {
        writeln!(out, "Run was aborted; the above results are incomplete: {error}")?;
    }
    Ok(())
}

/// A count, and which part it is of all transactions.
fn share(count: u64, all: &Transactions) -> String {
    let whole = (all.transactions + all.failed).max(1);
    format!("{count} ({:.3}%)", count as f64 * 100.0 / whole as f64)
}

fn failures(all: &Transactions, summary: &Summary, out: &mut String) -> std::fmt::Result {
    writeln!(out, "number of failed transactions: {}", share(all.failed, all))?;
    for (class, count) in &all.errors {
        let words = all.first_errors.get(class).map(|words| format!(": {words}"));
        let words = words.filter(|_| summary.details_failures || *class != "retryable");
        writeln!(out, "  {class}: {}{}", share(*count, all), words.unwrap_or_default())?;
    }
    Ok(())
}

fn above_limit(all: &Transactions, summary: &Summary, out: &mut String) -> std::fmt::Result {
    let (Some(limit_ns), Some(count)) = (summary.latency_limit_ns, all.above_latency_limit) else {
        return Ok(());
    };
    writeln!(
        out,
        "number of transactions above the {:.1} ms latency limit: {count}/{} ({:.3}%)",
        milliseconds(limit_ns as f64),
        all.transactions,
        count as f64 * 100.0 / all.transactions.max(1) as f64
    )
}

fn latency(all: &Transactions, out: &mut String) -> std::fmt::Result {
    let own = &all.response_ns;
    writeln!(out, "latency average = {:.3} ms", milliseconds(own.mean))?;
    writeln!(out, "latency stddev = {:.3} ms", milliseconds(all.response_stddev_ns))?;
    let each = [
        ("p50", own.p50),
        ("p90", own.p90),
        ("p95", own.p95),
        ("p99", own.p99),
        ("p99.9", own.p99_9),
        ("max", own.max),
    ];
    let each = each.map(|(name, ns)| format!("{name} {:.3}", milliseconds(ns as f64)));
    writeln!(out, "latency percentiles = {} ms", each.join(", "))
}

/// What had no end by the end.
fn not_ended(summary: &Summary, out: &mut String) -> std::fmt::Result {
    if summary.interrupted > 0 && summary.script_error.is_none() {
        writeln!(
            out,
            "clients that still waited at the end: {} of {}",
            summary.interrupted, summary.clients
        )?;
    }
    if summary.unserved > 0 {
        writeln!(out, "transactions that were due and never began: {}", summary.unserved)?;
    }
    if summary.reopened > 0 {
        writeln!(out, "connections opened again: {}", summary.reopened)?;
    }
    Ok(())
}

fn script(
    summary: &Summary,
    (number, script): (usize, &ScriptSummary),
    out: &mut String,
) -> std::fmt::Result {
    let all = &script.all;
    if summary.scripts.len() > 1 {
        let weights: u32 = summary.scripts.iter().map(|script| script.weight).sum();
        writeln!(out, "SQL script {}: {}", number + 1, script.name)?;
        writeln!(
            out,
            " - weight: {} (targets {:.1}% of total)",
            script.weight,
            f64::from(script.weight) * 100.0 / f64::from(weights.max(1))
        )?;
        let part = all.transactions as f64 * 100.0 / summary.all.transactions.max(1) as f64;
        writeln!(
            out,
            " - {} transactions ({part:.1}% of total, tps = {:.6})",
            all.transactions, all.tps
        )?;
        writeln!(out, " - number of failed transactions: {}", share(all.failed, all))?;
        writeln!(out, " - latency average = {:.3} ms", milliseconds(all.response_ns.mean))?;
        writeln!(out, " - latency stddev = {:.3} ms", milliseconds(all.response_stddev_ns))?;
    }
    if summary.reports_statements {
        writeln!(out, "statement latencies in milliseconds and failures:")?;
        for statement in &script.statements {
            let sql = statement.sql.split_whitespace().collect::<Vec<_>>().join(" ");
            let mean = milliseconds(statement.service_ns.mean);
            writeln!(out, "{mean:14.3} {:11}  {sql}", statement.failed)?;
        }
    }
    Ok(())
}
