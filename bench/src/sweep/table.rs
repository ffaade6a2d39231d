//! The result for a person at a terminal.

use std::fmt::Write as _;

use super::Summary;
use super::advice::Advice;
use super::cell::Cell;
use super::grid::{Mode, Setting, WireProtocol};
use super::heat_map::heat_map;
use crate::duration::show;
use crate::table::{Columns, verdict};

/// The whole result. It has colours: whoever prints it takes them away where they are not wanted.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {} cells of {}, in shuffled order, seed {}\n",
        summary.scenario,
        summary.cells.len(),
        show(summary.phase_ns as f64),
        summary.seed
    );
    for (heading, cells) in groups(&summary.cells) {
        let _ = writeln!(text, "{heading}: requests a second\n{}\n", heat_map(&cells));
    }
    let _ = writeln!(text, "{}\n", cells(&summary.cells));
    if summary.cells.iter().any(Cell::is_invalid) {
        text += "cells with ! are invalid: their figures are not about their settings, and the advice \
                 leaves them out\n\n";
    }
    for advice in &summary.advice {
        text += &answer(advice);
    }
    if let Some(published) = &summary.published {
        let _ = writeln!(text, "\n{published}");
    }
    text.push('\n');
    if let Some(drift) = &summary.drift {
        let _ = writeln!(
            text,
            "the reference point was measured {} times: {:+.1} % from first to last, {:.1} % between \
             the least and the most",
            drift.throughputs.len(),
            drift.change * 100.0,
            drift.spread * 100.0
        );
    }
    let _ = writeln!(text, "{}", verdict(&summary.validity));
    text
}

/// The cells of each mode, protocol and rate; those without a pool are shown with each mode.
pub(super) fn groups(cells: &[Cell]) -> Vec<(String, Vec<&Cell>)> {
    let cells: Vec<_> = cells.iter().filter(|cell| !cell.is_reference).collect();
    let mut keys: Vec<(Mode, WireProtocol, Option<u64>)> = cells
        .iter()
        .filter_map(|cell| {
            let Setting { pool_mode, protocol, rate, .. } = cell.setting;
            Some((pool_mode?, protocol, rate.map(f64::to_bits)))
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let group = |(mode, protocol, rate): (Mode, WireProtocol, Option<u64>)| {
        let is_in = |cell: &&&Cell| {
            let setting = cell.setting;
            setting.pool_mode.is_none_or(|own| own == mode)
                && (setting.protocol, setting.rate.map(f64::to_bits)) == (protocol, rate)
        };
        let of = rate.map_or(String::new(), |rate| format!(", {}/s", f64::from_bits(rate)));
        let heading = format!("{} mode, {} protocol{of}", mode.name(), protocol.name());
        (heading, cells.iter().filter(is_in).copied().collect())
    };
    keys.into_iter().map(group).collect()
}

fn mode(setting: &Setting) -> &'static str {
    setting.pool_mode.map_or("direct", Mode::name)
}

/// Every cell, sorted by its settings. Columns in which there is nothing are left out.
fn cells(cells: &[Cell]) -> String {
    let header = [
        "mode",
        "protocol",
        "pool",
        "clients",
        "rate/s",
        "per second",
        "errors",
        "p50",
        "p95",
        "p99",
        "in queue",
        "servers",
        "ratio",
        "tx/s a server",
        "CPU pooler",
        "CPU postgres",
        "",
    ];
    let mut rows = Vec::new();
    let mut sorted: Vec<_> = cells.iter().filter(|cell| !cell.is_reference).collect();
    sorted.sort_by(|one, other| {
        let key = |s: &Setting| {
            (s.pool_mode, s.protocol, s.rate.map(f64::to_bits), s.pool_size, s.clients)
        };
        key(&one.setting).cmp(&key(&other.setting))
    });
    for cell in sorted {
        let Setting { clients, pool_size, protocol, rate, .. } = cell.setting;
        let pool = cell.pool.as_ref();
        let none = || "-".to_owned();
        let time = |ns: u64| if cell.response_ns.count == 0 { none() } else { show(ns as f64) };
        let cpu = |ns: Option<&f64>| ns.map_or_else(none, |ns| show(*ns));
        let pooler = cell
            .cpu_ns_per_request
            .iter()
            .find(|(name, _)| !["postgres", "generator"].contains(&name.as_str()));
        rows.push([
            mode(&cell.setting).into(),
            protocol.name().into(),
            pool_size.map_or_else(none, |size| shown(size, cell.setting.poolers)),
            clients.to_string(),
            rate.map_or_else(none, |rate| rate.to_string()),
            format!("{:.0}", cell.throughput),
            cell.errors.values().sum::<u64>().to_string(),
            time(cell.response_ns.p50),
            time(cell.response_ns.p95),
            time(cell.response_ns.p99),
            pool.and_then(|pool| pool.wait_ns).map_or_else(none, show),
            pool.and_then(|pool| pool.servers).map_or_else(none, |count| format!("{count:.1}")),
            pool.and_then(|p| p.multiplexing_ratio).map_or_else(none, |r| format!("{r:.1}")),
            pool.and_then(|p| p.transactions_per_server).map_or_else(none, |r| format!("{r:.0}")),
            cpu(pooler.map(|(_, ns)| ns)),
            cpu(cell.cpu_ns_per_request.get("postgres")),
            remark(cell),
        ]);
    }
    let is_nothing = |cell: &String| matches!(cell.as_str(), "" | "-" | "0");
    let kept: Vec<_> = (0..header.len())
        .filter(|column| !rows.iter().all(|row| is_nothing(&row[*column])))
        .collect();
    let mut table = Columns::new(&kept.iter().map(|column| header[*column]).collect::<Vec<_>>());
    for row in &rows {
        table.row(kept.iter().map(|column| row[*column].clone()).collect());
    }
    table.to_string()
}

/// A pool's size; of several processes, how it is shared out.
fn shown(size: u32, poolers: Option<u32>) -> String {
    poolers.map_or_else(|| size.to_string(), |poolers| format!("{poolers} x {}", size / poolers))
}

/// What is odd about a cell.
fn remark(cell: &Cell) -> String {
    if let Some(problem) = &cell.problem {
        return problem.lines().next().unwrap_or_default().into();
    }
    let invalid = cell.is_invalid().then(|| {
        let first = cell.validity.reasons.first().map_or("", String::as_str);
        // The row says which cell it is.
        let first = first.strip_prefix(&format!("{}: ", label(&cell.setting))).unwrap_or(first);
        format!("! {first}")
    });
    let stuck = cell.pool.as_ref().and_then(|pool| pool.clients_stuck).filter(|stuck| *stuck > 0);
    let stuck = stuck
        .map(|stuck| format!("{stuck} of {} clients waited all the time", cell.setting.clients));
    invalid.into_iter().chain(stuck).collect::<Vec<_>>().join("; ")
}

/// A cell in one line.
pub(super) fn progress(cell: &Cell) -> String {
    let reference = if cell.is_reference { " (reference)" } else { "" };
    let found = match &cell.problem {
        Some(problem) => problem.clone(),
        None => format!("{:.0}/s", cell.throughput),
    };
    format!("{}{reference}: {found}", label(&cell.setting))
}

/// A cell's settings in words.
pub(super) fn label(setting: &Setting) -> String {
    let Setting { clients, pool_size, protocol, rate, poolers, .. } = *setting;
    let pool =
        pool_size.map_or(String::new(), |size| format!(", a pool of {}", shown(size, poolers)));
    let rate = rate.map_or(String::new(), |rate| format!(", {rate}/s"));
    format!("{}, {}, {clients} clients{pool}{rate}", mode(setting), protocol.name())
}

fn answer(advice: &Advice) -> String {
    let Advice { question, about, value, interval, unit, settings, remarks } = advice;
    let number = |value: f64| match *unit {
        "ns" => show(value),
        "of 1" => format!("{value:.2}"),
        _ => {
            let decimals = if value.fract() == 0.0 { 0 } else { 2 };
            format!("{value:.decimals$}")
        }
    };
    let interval = match interval.map(|bound| bound.map(number)) {
        [Some(low), Some(high)] => format!(" [{low}, {high}]"),
        [Some(low), None] => format!(" [{low} or more]"),
        [None, Some(high)] => format!(" [{high} or less]"),
        [None, None] => String::new(),
    };
    let unit = if *unit == "ns" { String::new() } else { format!(" {unit}") };
    let mut text = format!("{question} ({about}):\n  ");
    text += &match value {
        Some(value) => format!("{}{interval}{unit}\n", number(*value)),
        None => format!("none of those that were measured{interval}\n"),
    };
    settings.iter().chain(remarks).for_each(|line| text += &format!("    {line}\n"));
    text
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::sweep::summary::tests::example;

    #[test]
    fn the_whole_text() {
        let text = text(&example());
        insta::assert_snapshot!(strip_str(&text).to_string());
        assert!(text.contains("\u{1b}["), "the map has colours");
    }
}
