//! The comparison for a person at a terminal.

mod hops;
mod pool;

use std::fmt::Write as _;

use super::curve::RateEstimate;
use super::stopping::{Ended, EndedBy};
use super::summary::Summary;
use crate::arm::heading;
use crate::duration::{show, show_interval};
use crate::series;
use crate::table::{Columns, errors, limiters, verdict};

/// The whole result.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = headline(summary) + "\n";
    if let Some(line) = heading(&summary.arms) {
        text += &(line + "\n");
    }
    let tables = [
        Some(arms(summary)),
        Some(cpu(summary)),
        Some(costs(summary)),
        hops::table(summary),
        square(summary),
        cpu_costs(summary),
        same_latencies(summary),
        pool::table(summary),
        pool::accounting(summary),
        seen(summary),
        before_after(summary),
    ];
    for table in tables.into_iter().flatten() {
        let _ = write!(text, "\n{table}\n");
    }
    text.push('\n');
    for arm in summary.arms.iter().filter(|arm| !arm.errors.is_empty()) {
        let _ = writeln!(text, "{}: {}", arm.label(), errors(arm));
    }
    for arm in &summary.arms {
        for line in arm.notes() {
            let _ = writeln!(text, "{}: {line}", arm.label());
        }
    }
    if let Some(counts) = &summary.counts {
        let _ = writeln!(
            text,
            "counted: {} queries through the pool here, {} queries in the pooler",
            counts.completed_through_pooler, counts.pooler_queries
        );
    }
    text += &limiters(summary.arms.iter());
    let lines = [pool::amplification(summary), pool::assignments(summary)].into_iter().flatten();
    for line in lines.chain(pool::observers(summary)) {
        let _ = writeln!(text, "{line}");
    }
    for line in hops::gaps(summary).into_iter().chain(summary.uncompared.iter().cloned()) {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "{}", summary.observers);
    let _ = writeln!(text, "{}", summary.head.generator.note());
    if let Some(ended) = &summary.ended {
        let _ = writeln!(text, "{}", end(ended, summary));
    }
    let _ = writeln!(text, "{}", verdict(&summary.validity));
    text
}

fn blocks(summary: &Summary) -> usize {
    summary.arms.iter().map(|arm| arm.blocks).min().unwrap_or_default()
}

fn headline(summary: &Summary) -> String {
    let mut line = format!(
        "{}: {} arms, {} blocks of {} each, {} gaps, {} connections, seed {}",
        summary.head.scenario,
        summary.arms.len() / summary.rates.len().max(1),
        blocks(summary),
        show(summary.head.phase_ns as f64),
        summary.gaps,
        summary.connections,
        summary.head.seed
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
            arm.label(),
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
        let mut row = vec![arm.label()];
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
    header.extend(quantiles.iter().map(|quantile| percentile(*quantile)));
    let mut table = Columns::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    // One layer's curve over all rates is in neighbouring lines.
    let mut rows: Vec<_> = summary.costs.chunks(quantiles.len().max(1)).collect();
    let place = |layer: &str, given: &[&str]| {
        let same =
            |row: &&[super::summary::CostSummary]| row[0].layer == layer && row[0].given == given;
        summary.costs.chunks(quantiles.len().max(1)).position(|row| same(&row))
    };
    rows.sort_by_key(|row| place(row[0].layer, &row[0].given));
    for row in rows {
        let mut cells = vec![at_rate(name(row[0].layer, &row[0].given), row[0].rate, summary)];
        cells.extend(row.iter().map(|cost| show_interval(cost.ns, cost.ci_ns)));
        table.row(cells);
    }
    table.to_string()
}

/// What each layer adds with and without the other.
fn square(summary: &Summary) -> Option<String> {
    let is_named = |quantile: f64| quantile == summary.named_quantile;
    let named = summary.interactions.iter().filter(|one| is_named(one.quantile));
    let quantile = percentile(summary.named_quantile);
    let mut table =
        Columns::new(&[&*quantile, "without the pool", "with the pool", "the pool adds"]);
    for one in named.clone() {
        let added = |layer: &str, given: &[&str]| {
            let is_meant = |cost: &&super::summary::CostSummary| {
                (cost.layer, &*cost.given, cost.rate) == (layer, given, one.rate)
                    && is_named(cost.quantile)
            };
            let cost = summary.costs.iter().find(is_meant);
            cost.map_or("-".into(), |cost| show_interval(cost.ns, cost.ci_ns))
        };
        let [both, gateway, pooler, none] = one.arms_ns.map(|ns| show(ns as f64));
        let name = |name: &str| at_rate(name.to_owned(), one.rate, summary);
        table.row(vec![name("without the gateway"), none, pooler, added("pooler", &[])]);
        table.row(vec![name("with the gateway"), gateway, both, added("pooler", &["gateway"])]);
        table.row(vec![
            name("the gateway adds"),
            added("gateway", &[]),
            added("gateway", &["pooler"]),
            format!("interaction {}", show_interval(one.ns, one.ci_ns)),
        ]);
    }
    named.clone().next().is_some().then(|| table.to_string())
}

fn cpu_costs(summary: &Summary) -> Option<String> {
    let kinds = ["servers", "gateway", "pooler", "postgres"];
    let mut table =
        Columns::new(&["CPU cost a request", "all servers", kinds[1], kinds[2], kinds[3]]);
    for rows in summary.cpu_costs.chunk_by(|one, next| {
        (one.layer, &one.given, one.rate) == (next.layer, &next.given, next.rate)
    }) {
        let mut cells = vec![at_rate(name(rows[0].layer, &rows[0].given), rows[0].rate, summary)];
        cells.extend(kinds.map(|kind| {
            let cost = rows.iter().find(|cost| cost.of == kind);
            cost.map_or("-".into(), |cost| show_interval(cost.ns, cost.ci_ns))
        }));
        table.row(cells);
    }
    (!summary.cpu_costs.is_empty()).then(|| table.to_string())
}

fn same_latencies(summary: &Summary) -> Option<String> {
    let first = summary.same_latencies.first()?;
    let quantile = percentile(first.quantile);
    let mut table = Columns::new(&["rate at the same latency", &quantile, "with", "without"]);
    let [slowest, fastest] = [summary.rates.first()?, summary.rates.last()?];
    for one in &summary.same_latencies {
        let rate = |RateEstimate { value, low, high }: RateEstimate| {
            let low = low.map_or(format!("<{slowest}"), |rate| format!("{rate:.0}"));
            let high = high.map_or(format!(">{fastest}"), |rate| format!("{rate:.0}"));
            format!("{value:.0} [{low}, {high}]/s")
        };
        table.row(vec![
            name(one.layer, &one.given),
            show(one.latency_ns),
            rate(one.rate_with),
            rate(one.rate_without),
        ]);
    }
    Some(table.to_string())
}

fn percentile(quantile: f64) -> String {
    format!("p{}", (quantile * 1e6).round() / 1e4)
}

fn name(layer: &str, given: &[&str]) -> String {
    match (layer, given.is_empty()) {
        ("gateway", true) => "gateway, without the pool".into(),
        ("gateway", false) => "gateway, with the pool".into(),
        ("pooler", true) => "pool, without the gateway".into(),
        ("pooler", false) => "pool, behind the gateway".into(),
        (_, true) => "direct against itself".into(),
        (_, false) if *given == ["gateway"] => "gateway+direct against itself".into(),
        (_, false) => format!("{} against itself", given.join("+")),
    }
}

fn at_rate(name: String, rate: f64, summary: &Summary) -> String {
    if summary.rates.len() > 1 { format!("{name}, {rate}/s") } else { name }
}

fn seen(summary: &Summary) -> Option<String> {
    let arms = summary.arms.iter().map(|arm| (arm.label(), arm.series()));
    series::means(&arms.collect::<Vec<_>>())
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

/// What ended a comparison that was to end once enough was known.
fn end(ended: &Ended, summary: &Summary) -> String {
    let quantile = percentile(ended.quantile);
    let asked = show(ended.width_ns as f64);
    match (ended.by, ended.widest_ns.map(show)) {
        (EndedBy::Width, widest) => format!(
            "ended after {} of at most {} rounds: every interval at {quantile} is within {asked} \
             (the widest has {})",
            blocks(summary),
            ended.rounds_max,
            widest.unwrap_or_default()
        ),
        (EndedBy::Time, Some(widest)) => format!(
            "ended since the time was up: the widest interval at {quantile} has {widest}, and \
             {asked} was asked for; give --duration more time"
        ),
        (EndedBy::Time, None) => format!(
            "ended since the time was up: a cost at {quantile} is not known at all, since nothing \
             succeeded on one of its arms"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text() {
        insta::assert_snapshot!(text(&Summary::example()));
    }

    #[test]
    fn a_pooler_against_itself_at_two_rates() {
        insta::assert_snapshot!(text(&Summary::example_of_itself()));
    }

    #[test]
    fn a_comparison_whose_time_was_up_says_what_is_missing() {
        let line = |widest_ns| {
            let summary = Summary::example_of_itself();
            let ended = summary.ended.expect("it was to end once enough was known");
            end(&Ended { by: EndedBy::Time, widest_ns, ..ended }, &summary)
        };
        insta::assert_snapshot!(line(Some(71_000.0)), @"ended since the time was up: the widest interval at p95 has 71.0 us, and 50.0 us was asked for; give --duration more time");
        insta::assert_snapshot!(line(None), @"ended since the time was up: a cost at p95 is not known at all, since nothing succeeded on one of its arms");
    }

    #[test]
    fn rates_beyond_those_that_were_measured_are_bounds() {
        let mut summary = Summary::example_of_itself();
        let same = &mut summary.same_latencies[0];
        (same.rate_with.low, same.rate_without.high) = (None, None);
        insta::assert_snapshot!(same_latencies(&summary).unwrap(), @"
        rate at the same latency      p95                  with               without
        pool, without the gateway  563 us  1102 [<1000, 1110]/s  1873 [1862, >2000]/s
        ");
    }

    #[test]
    fn percentiles_have_no_digits_of_floating_point() {
        assert_eq!(
            [0.5, 0.95, 0.999, 0.9999, 0.29].map(percentile),
            ["p50", "p95", "p99.9", "p99.99", "p29"]
        );
    }
}
