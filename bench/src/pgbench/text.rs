//! The result as pgbench writes it, and what pgbench cannot tell.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use engine::SECOND;

use super::summary::{
    FailureSummary, PgbenchArm, ScriptSummary, Summary, Transactions, milliseconds,
};
use super::tables::Partitions;
use crate::arm::Quantiles;
use crate::duration::show_interval;
use crate::table::{Columns, verdict};
use crate::validity::Sharing;

/// All of it.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    write(summary, &mut text).expect("a string takes all");
    text
}

fn write(summary: &Summary, out: &mut String) -> std::fmt::Result {
    let versions = summary.arms.iter().filter_map(|arm| arm.arm.parameters.get("server_version"));
    let versions: BTreeSet<_> = versions.map(|version| format!(", server {version}")).collect();
    let versions: String = versions.into_iter().collect();
    writeln!(out, "poolbench ({}{versions})", env!("CARGO_PKG_VERSION"))?;
    for (number, arm) in summary.arms.iter().enumerate() {
        if summary.arms.len() > 1 {
            let empty = if number > 0 { "\n" } else { "" };
            writeln!(out, "{empty}target: {}", arm.arm.name)?;
        }
        target(summary, arm, out)?;
    }
    if let Some(error) = &summary.script_error {
        writeln!(out, "clients that aborted: {} (first: {error})", summary.aborted_clients)?;
        writeln!(out, "Run was aborted; the above results are incomplete.")?;
    }
    if !summary.costs.is_empty() {
        write!(out, "\n{}\n\n", costs(summary))?;
    }
    writeln!(out, "{}", summary.head.generator.note())?;
    if let Some(observers) = &summary.observers {
        writeln!(out, "{observers}")?;
    }
    writeln!(out, "{}", verdict(&summary.validity))
}

fn target(summary: &Summary, arm: &PgbenchArm, out: &mut String) -> std::fmt::Result {
    let all = &arm.all;
    writeln!(out, "transaction type: {}", summary.head.scenario)?;
    writeln!(out, "scaling factor: {}", arm.tables.scale)?;
    if let Some(Partitions { method, count }) = &arm.tables.partitions {
        writeln!(out, "partition method: {method}\npartitions: {count}")?;
    }
    writeln!(out, "query mode: {}", summary.protocol)?;
    writeln!(out, "number of clients: {}", summary.clients)?;
    writeln!(out, "number of threads: {}", summary.threads)?;
    match summary.tries_max {
        Some(most) => writeln!(out, "maximum number of tries: {most}")?,
        None => writeln!(out, "maximum number of tries: unlimited")?,
    }
    let planned = match summary.transactions_per_client {
        None => {
            writeln!(out, "duration: {} s", summary.head.phase_ns as f64 / SECOND as f64)?;
            String::new()
        }
        Some(each) => {
            writeln!(out, "number of transactions per client: {each}")?;
            format!("/{}", each * u64::from(summary.clients))
        }
    };
    writeln!(out, "number of transactions actually processed: {}{planned}", all.transactions)?;
    failures("", summary, all, out)?;
    if !arm.arm.errors.is_empty() {
        writeln!(out, "errors by class and layer: {}", errors(arm))?;
    }
    for FailureSummary { script, line, class, layer, count, first } in &arm.failures {
        write!(out, "failed in {script}:{line}: {count} {class} of the {layer}")?;
        match &**first {
            "" => writeln!(out)?,
            words => writeln!(out, " (first: {words})")?,
        }
    }
    if let (Some(limit_ns), Some(count)) = (summary.latency_limit_ns, all.above_latency_limit) {
        let limit_ms = milliseconds(limit_ns as f64);
        let share = count as f64 * 100.0 / all.transactions.max(1) as f64;
        let count = format!("{count}/{} ({share:.3}%)", all.transactions);
        writeln!(out, "number of transactions above the {limit_ms:.1} ms latency limit: {count}")?;
    }
    latency(summary, arm, out)?;
    if summary.rate.is_some() {
        let Quantiles { mean, max, .. } = arm.arm.lateness_ns;
        writeln!(
            out,
            "rate limit schedule lag: avg {:.3} (max {:.3}) ms",
            milliseconds(mean),
            milliseconds(max as f64)
        )?;
    }
    let what = match arm.mean_connection_ns {
        Some(ns) => {
            writeln!(out, "average connection time = {:.3} ms", milliseconds(ns))?;
            "including reconnection times"
        }
        None => {
            let connecting_ms = milliseconds(arm.initial_connection_ns as f64);
            writeln!(out, "initial connection time = {connecting_ms:.3} ms")?;
            "without initial connection time"
        }
    };
    writeln!(out, "tps = {:.6} ({what})", all.tps)?;
    if let Some(Sharing { clients, servers }) = arm.pool {
        writeln!(out, "pool: {clients:.1} clients, {servers:.1} server connections, on average")?;
    }
    not_ended(summary, arm, out)?;
    if arm.scripts.len() > 1 || summary.reports_commands {
        arm.scripts.iter().enumerate().try_for_each(|one| script(summary, arm, one, out))?;
    }
    Ok(())
}

/// A count, and which part it is of all transactions.
fn share(count: u64, all: &Transactions) -> String {
    let whole = (all.transactions + all.failed).max(1);
    format!("{count} ({:.3}%)", count as f64 * 100.0 / whole as f64)
}

/// What failed, and what was tried again; each line begins with `mark`.
fn failures(
    mark: &str,
    summary: &Summary,
    all: &Transactions,
    out: &mut String,
) -> std::fmt::Result {
    writeln!(out, "{mark}number of failed transactions: {}", share(all.failed, all))?;
    if summary.details_failures {
        let (serialization, deadlock) = (all.serialization_failures, all.deadlock_failures);
        writeln!(out, "{mark}number of serialization failures: {}", share(serialization, all))?;
        writeln!(out, "{mark}number of deadlock failures: {}", share(deadlock, all))?;
    }
    if summary.tries_max != Some(1) {
        writeln!(out, "{mark}number of transactions retried: {}", share(all.retried, all))?;
        writeln!(out, "{mark}total number of retries: {}", all.retries)?;
    }
    if summary.rate.is_some() && summary.latency_limit_ns.is_some() {
        // None is left out for being late.
        writeln!(out, "{mark}number of transactions skipped: {}", share(0, all))?;
    }
    Ok(())
}

/// Failures by class, each with the layer that they are of, and the first one's words.
fn errors(arm: &PgbenchArm) -> String {
    let each = arm.arm.errors.iter().map(|(class, count)| {
        let layer = arm.error_layers.get(class).map(|layer| format!(" of the {layer}"));
        let words = arm.arm.first_errors.get(class).map(|words| format!(" (first: {words})"));
        format!("{count} {class}{}{}", layer.unwrap_or_default(), words.unwrap_or_default())
    });
    each.collect::<Vec<_>>().join(", ")
}

fn latency(summary: &Summary, arm: &PgbenchArm, out: &mut String) -> std::fmt::Result {
    let (own, all) = (&arm.arm.response_ns, &arm.all);
    let is_timed =
        summary.rate.is_some() || summary.latency_limit_ns.is_some() || summary.has_progress;
    if all.failed > 0 && !is_timed {
        // As pgbench has it where it does not time each transaction: what the clients' time comes to.
        let count = (all.transactions + all.failed) as f64;
        let mean = arm.measured_ns as f64 * f64::from(summary.clients) / count;
        writeln!(out, "latency average = {:.3} ms (including failures)", milliseconds(mean))?;
    } else if all.transactions > 0 {
        writeln!(out, "latency average = {:.3} ms", milliseconds(own.mean))?;
    }
    if all.transactions == 0 {
        return Ok(());
    }
    writeln!(out, "latency stddev = {:.3} ms", milliseconds(arm.all.response_stddev_ns))?;
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
fn not_ended(summary: &Summary, arm: &PgbenchArm, out: &mut String) -> std::fmt::Result {
    if arm.interrupted > 0 {
        let most = u64::from(summary.clients) * arm.arm.blocks as u64;
        writeln!(out, "clients that still waited at the end: {} of {most}", arm.interrupted)?;
    }
    let unserved = arm.arm.unserved + arm.arm.dropped;
    if unserved > 0 {
        writeln!(out, "transactions that were due and never began: {unserved}")?;
    }
    if arm.arm.reopened > 0 {
        writeln!(out, "connections opened again: {}", arm.arm.reopened)?;
    }
    Ok(())
}

fn script(
    summary: &Summary,
    arm: &PgbenchArm,
    (number, script): (usize, &ScriptSummary),
    out: &mut String,
) -> std::fmt::Result {
    let all = &script.all;
    if arm.scripts.len() > 1 {
        let weights: u32 = arm.scripts.iter().map(|script| script.weight).sum();
        writeln!(out, "SQL script {}: {}", number + 1, script.name)?;
        writeln!(
            out,
            " - weight: {} (targets {:.1}% of total)",
            script.weight,
            f64::from(script.weight) * 100.0 / f64::from(weights.max(1))
        )?;
        let part = all.transactions as f64 * 100.0 / arm.all.transactions.max(1) as f64;
        writeln!(
            out,
            " - {} transactions ({part:.1}% of total, tps = {:.6})",
            all.transactions, all.tps
        )?;
        failures(" - ", summary, all, out)?;
        writeln!(out, " - latency average = {:.3} ms", milliseconds(script.response_ns.mean))?;
        writeln!(out, " - latency stddev = {:.3} ms", milliseconds(all.response_stddev_ns))?;
    }
    if summary.reports_commands {
        commands(summary, arm.scripts.len() > 1, script, out)?;
    }
    Ok(())
}

fn commands(
    summary: &Summary,
    has_several: bool,
    script: &ScriptSummary,
    out: &mut String,
) -> std::fmt::Result {
    let has_retries = summary.tries_max != Some(1);
    let what = if has_retries { ", failures and retries" } else { " and failures" };
    let mark = if has_several { " - " } else { "" };
    writeln!(out, "{mark}statement latencies in milliseconds{what}:")?;
    for command in &script.commands {
        let mean = milliseconds(command.service_ns.mean);
        write!(out, "   {mean:11.3}  {:10}", command.failed)?;
        if has_retries {
            write!(out, "  {:10}", command.retries)?;
        }
        writeln!(out, "  {}", command.text)?;
    }
    Ok(())
}

/// What the other targets cost more than the first.
fn costs(summary: &Summary) -> Columns {
    let against = &summary.costs[0].against;
    let rows: Vec<_> = summary.costs.chunk_by(|one, next| one.layer == next.layer).collect();
    let mut header = vec![format!("cost against {against} (95 % interval)")];
    header.extend(rows[0].iter().map(|cost| format!("p{}", cost.quantile * 100.0)));
    header.push("tps".into());
    let mut table = Columns::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for row in rows {
        let mut cells = vec![row[0].layer.clone()];
        cells.extend(row.iter().map(|cost| show_interval(cost.ns, cost.ci_ns)));
        let mut throughput = summary.throughput_costs.iter();
        let throughput = throughput.find(|cost| cost.layer == row[0].layer);
        cells.push(throughput.map_or("-".into(), |cost| {
            let [low, high] = cost.ci_tps;
            format!("{:+.0} [{low:+.0}, {high:+.0}]", cost.tps)
        }));
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_version(targets: &[&str]) -> String {
        let text = text(&Summary::example(targets));
        let (version, rest) = text.split_once('\n').expect("lines");
        assert!(version.starts_with("poolbench ("), "{version}");
        rest.to_owned()
    }

    #[test]
    fn one_target() {
        insta::assert_snapshot!(without_version(&["pgbench"]));
    }

    #[test]
    fn a_poolers_connections_stand_behind_its_transactions() {
        let mut summary = Summary::example(&["direct", "pooler"]);
        summary.arms[1].pool = Some(Sharing { clients: 8.0, servers: 2.25 });
        let text = text(&summary);
        let (_, pooler) = text.split_once("target: pooler").expect("two targets");
        let lines: Vec<_> = pooler.lines().skip_while(|line| !line.starts_with("tps")).collect();
        assert_eq!(lines[1], "pool: 8.0 clients, 2.2 server connections, on average");
        assert_eq!(text.matches("pool: ").count(), 1, "{text}");
    }

    #[test]
    fn two_targets_and_what_the_second_costs() {
        insta::assert_snapshot!(without_version(&["direct", "pooler"]));
    }
}
