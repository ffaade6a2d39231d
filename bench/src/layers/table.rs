//! The comparison for a person at a terminal.

use std::fmt::Write as _;

use super::summary::{CostSummary, Summary};
use crate::arm::{heading, login_difference};
use crate::duration::{show, show_interval};
use crate::table::{Columns, errors, verdict};

/// The whole result.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", headline(summary));
    if let Some(line) = heading(&summary.arms) {
        let _ = writeln!(text, "{line}");
    }
    if let Some(line) = login_difference(summary.arms.iter()) {
        let _ = writeln!(text, "logins: {line}");
    }
    text.push('\n');
    let _ = writeln!(text, "{}\n", arms(summary));
    let _ = writeln!(text, "{}\n", cpu(summary));
    let _ = writeln!(text, "{}\n", costs(summary));
    if let Some(table) = before_after(summary) {
        let _ = writeln!(text, "{table}\n");
    }
    for arm in summary.arms.iter().filter(|arm| !arm.errors.is_empty()) {
        let _ = writeln!(text, "{}: {}", arm.name, errors(arm));
    }
    for (arm, line) in
        summary.arms.iter().flat_map(|arm| arm.notes().into_iter().map(move |line| (arm, line)))
    {
        let _ = writeln!(text, "{}: {line}", arm.name);
    }
    if let Some(counts) = &summary.counts {
        let _ = writeln!(
            text,
            "counted: {} queries through the pool here, {} queries in the pooler",
            counts.completed_through_pooler, counts.pooler_queries
        );
    }
    let _ = writeln!(text, "{}", summary.generator.note());
    let _ = writeln!(text, "{}", verdict(&summary.validity));
    text
}

fn headline(summary: &Summary) -> String {
    let blocks = summary.arms.iter().map(|arm| arm.blocks).min().unwrap_or_default();
    let mut line = format!(
        "{}: {} arms, {blocks} blocks of {} each, {} gaps, {} connections, seed {}",
        summary.scenario,
        summary.arms.len(),
        show(summary.phase_ns as f64),
        summary.gaps,
        summary.connections,
        summary.seed
    );
    for (server, version) in &summary.servers {
        let name = if *server == "postgres" { "Postgres " } else { "" };
        let _ = write!(line, ", {name}{version}");
    }
    line
}

fn arms(summary: &Summary) -> String {
    let header =
        ["response time", "rate/s", "errors", "p50", "p90", "p95", "p99", "p99.9", "backends"];
    let mut table = Columns::new(&header);
    for arm in &summary.arms {
        let mut row = vec![
            arm.name.to_owned(),
            format!("{:.0}", arm.rate),
            arm.errors.values().sum::<u64>().to_string(),
        ];
        row.extend(arm.response_ns.shown());
        row.push(
            arm.backend_connections.map_or("-".into(), |backends| format!("{:.0}", backends.mean)),
        );
        table.row(row);
    }
    table.to_string()
}

fn cpu(summary: &Summary) -> String {
    let layers = ["gateway", "pooler", "postgres", "generator"];
    let mut table = Columns::new(&["CPU a request", layers[0], layers[1], layers[2], layers[3]]);
    for arm in &summary.arms {
        let mut row = vec![arm.name.to_owned()];
        row.extend(
            layers
                .map(|layer| arm.cpu_ns_per_request.get(layer).map_or("-".into(), |ns| show(*ns))),
        );
        table.row(row);
    }
    table.to_string()
}

fn costs(summary: &Summary) -> String {
    let mut quantiles: Vec<f64> = summary.costs.iter().map(|cost| cost.quantile).collect();
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();
    let mut header = vec!["cost (95 % interval)".to_owned()];
    header.extend(quantiles.iter().map(|quantile| format!("p{}", quantile * 100.0)));
    let mut table = Columns::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for row in summary.costs.chunks(quantiles.len().max(1)) {
        let mut cells = vec![name(&row[0])];
        cells.extend(row.iter().map(|cost| show_interval(cost.ns, cost.ci_ns)));
        table.row(cells);
    }
    table.to_string()
}

fn name(cost: &CostSummary) -> String {
    match (cost.layer, cost.given.is_empty()) {
        ("gateway", true) => "gateway, without the pool".into(),
        ("gateway", false) => "gateway, with the pool".into(),
        ("pooler", true) => "pool, without the gateway".into(),
        _ => "pool, behind the gateway".into(),
    }
}

fn before_after(summary: &Summary) -> Option<String> {
    let change = summary.before_after.as_ref()?;
    let mut table = Columns::new(&["before and after the pool", "before", "after"]);
    let optional = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let rows: [(&str, [String; 2]); 5] = [
        (
            "backend connections",
            change.backend_connections.map(|n| optional(n.map(|n| format!("{n:.0}")))),
        ),
        (
            "connection latency p95",
            change.connection_latency_p95_ns.map(|ns| optional(ns.map(|ns| show(ns as f64)))),
        ),
        ("throughput", change.throughput.map(|rate| format!("{rate:.0}/s"))),
        (
            "Postgres CPU a request",
            change.postgres_cpu_ns_per_request.map(|ns| optional(ns.map(show))),
        ),
        ("connection errors", change.connection_errors.map(|count| count.to_string())),
    ];
    for (name, [before, after]) in rows {
        table.row(vec![name.to_owned(), before, after]);
    }
    Some(table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text() {
        insta::assert_snapshot!(text(&Summary::example()));
    }
}
