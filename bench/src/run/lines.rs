//! The metrics of a run, a line each, as k6's summary has them.

use std::fmt::Write as _;

use super::number::{bytes, decimal, percent, show};
use crate::metric::{Aggregation, Metric, Submetric, Unit, Values};

/// Headings, and the metrics under each.
const SECTIONS: [(&str, &[Metric]); 5] = [
    (
        "HTTP",
        &[
            Metric::HttpReqDuration,
            Metric::HttpReqResponseTime,
            Metric::HttpReqFailed,
            Metric::HttpReqs,
        ],
    ),
    ("POSTGRES", &[Metric::PgQueryDuration, Metric::PgResponseTime, Metric::PgConnectDuration]),
    (
        "SERVERS",
        &[
            Metric::ClWaiting,
            Metric::ClActive,
            Metric::SvActive,
            Metric::BackendConnections,
            Metric::MultiplexingRatio,
        ],
    ),
    (
        "EXECUTION",
        &[
            Metric::Errors,
            Metric::WrongReplies,
            Metric::IterationDuration,
            Metric::Iterations,
            Metric::DroppedIterations,
            Metric::ScheduleLag,
            Metric::Vus,
            Metric::VusMax,
        ],
    ),
    ("NETWORK", &[Metric::DataReceived, Metric::DataSent]),
];

/// A line's name and its cells.
struct Line {
    name: String,
    cells: Cells,
}

enum Cells {
    /// One for each statistic that was asked for.
    Trend(Vec<String>),
    /// A number, and what is to be known beside it.
    Other(String, String),
}

/// Every metric that has samples, in sections; trends with `stats`.
pub(super) fn lines(metrics: &[(Submetric, Values)], stats: &[Aggregation]) -> String {
    let sections: Vec<(&str, Vec<Line>)> = SECTIONS
        .iter()
        .map(|(heading, members)| {
            let of = |metric: Metric| metrics.iter().filter(move |(s, _)| s.metric == metric);
            let shown = members.iter().copied().flat_map(of);
            (
                *heading,
                shown.map(|(submetric, values)| Line::new(submetric, values, stats)).collect(),
            )
        })
        .filter(|(_, lines): &(&str, Vec<Line>)| !lines.is_empty())
        .collect();
    let widths = Widths::new(sections.iter().flat_map(|(_, lines)| lines), stats.len());
    let mut text = "  METRICS\n".to_owned();
    for (heading, lines) in &sections {
        let _ = writeln!(text, "\n    {heading}");
        for line in lines {
            let _ = writeln!(text, "    {}", line.show(&widths).trim_end());
        }
    }
    text
}

impl Line {
    fn new(submetric: &Submetric, values: &Values, stats: &[Aggregation]) -> Self {
        let metric = submetric.metric;
        let name = match submetric.to_string().split_once('{') {
            // Part of the metric above, as in k6.
            Some((_, selector)) => format!("  {{ {} }}", selector.trim_end_matches('}')),
            None => metric.name().to_owned(),
        };
        let number = |aggregation| {
            let value = values.aggregate(aggregation);
            value.map_or_else(|| "-".into(), |value| show(metric, aggregation, value))
        };
        let cells = match values {
            Values::Trend(_) => {
                Cells::Trend(stats.iter().map(|stat| format!("{stat}={}", number(*stat))).collect())
            }
            Values::Counter { count, .. } => {
                let count = match metric.unit() {
                    Unit::Data => bytes(*count),
                    Unit::Time | Unit::None => decimal(*count, 6),
                };
                Cells::Other(count, number(Aggregation::Rate))
            }
            Values::Rate { hits, total } => Cells::Other(
                percent(*hits as f64 / *total as f64),
                format!("{hits} out of {total}"),
            ),
            Values::Gauge(gauge) => Cells::Other(
                decimal(gauge.value, 2),
                format!("min={} max={}", decimal(gauge.min, 2), decimal(gauge.max, 2)),
            ),
        };
        Self { name, cells }
    }

    fn show(&self, widths: &Widths) -> String {
        let mut text = self.name.clone();
        text += &".".repeat(widths.name - self.name.chars().count());
        text.push(':');
        match &self.cells {
            Cells::Trend(cells) => {
                for (cell, width) in cells.iter().zip(&widths.trend) {
                    let _ = write!(text, " {cell:width$}");
                }
            }
            Cells::Other(number, rest) => {
                let width = widths.other;
                let _ = write!(text, " {number:width$} {rest}");
            }
        }
        text
    }
}

/// How wide columns are, in characters.
struct Widths {
    name: usize,
    trend: Vec<usize>,
    other: usize,
}

/// Dots behind the longest name.
const DOTS_MIN: usize = 3;

impl Widths {
    fn new<'a>(lines: impl Iterator<Item = &'a Line>, stats: usize) -> Self {
        let mut widths = Self { name: 0, trend: vec![0; stats], other: 0 };
        for line in lines {
            widths.name = widths.name.max(line.name.chars().count() + DOTS_MIN);
            match &line.cells {
                Cells::Trend(cells) => {
                    for (width, cell) in widths.trend.iter_mut().zip(cells) {
                        *width = (*width).max(cell.chars().count());
                    }
                }
                Cells::Other(number, _) => {
                    widths.other = widths.other.max(number.chars().count());
                }
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Verdicts;
    use crate::run::table::STATS;

    #[test]
    fn the_metrics_of_a_run() {
        let mut metrics = Verdicts::example().metrics;
        insta::assert_snapshot!(lines(&metrics, &STATS));
        metrics.retain(|(submetric, _)| submetric.metric == Metric::HttpReqDuration);
        let stats = ["count", "p(99.9)", "max"].map(|stat| stat.parse().unwrap());
        insta::assert_snapshot!("other_statistics", lines(&metrics, &stats));
    }

    #[test]
    fn every_metric_has_its_place() {
        let has_place = |metric: &Metric| SECTIONS.iter().any(|(_, all)| all.contains(metric));
        let without: Vec<_> = Metric::all().filter(|metric| !has_place(metric)).collect();
        assert_eq!(without, [Metric::Checks], "which has a section of its own");
    }
}
