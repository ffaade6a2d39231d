//! The surface as a page for a browser.

use super::Summary;
use super::cell::Cell;
use super::heat_map::Axes;
use super::table::{groups, text};
use crate::duration::show;
use crate::page::{HeatMap, Page};

/// Throughput and p99 of each mode, protocol and rate, and the whole text.
pub(crate) fn page(summary: &Summary) -> String {
    let mut page =
        Page::new(&format!("{}: the pool as a surface", summary.scenario), &text(summary));
    for (heading, cells) in groups(&summary.cells) {
        let p99 = |cell: &Cell| (cell.response_ns.count > 0).then_some(cell.response_ns.p99 as f64);
        let maps = [
            (
                "requests a second",
                map(&cells, |cell| Some(cell.throughput), |rate| format!("{rate:.0}")),
            ),
            ("p99 of the response time", map(&cells, p99, show)),
        ];
        page.row(&heading, &maps.map(|(caption, map)| (caption.to_owned(), map.svg())));
    }
    page.html()
}

/// Pool sizes downwards, clients to the right; colours by the logarithm.
fn map(
    cells: &[&Cell],
    figure: impl Fn(&Cell) -> Option<f64>,
    write: impl Fn(f64) -> String,
) -> HeatMap {
    let axes = Axes::new(cells);
    let figure =
        |cell: &Cell| figure(cell).filter(|figure| cell.problem.is_none() && *figure > 0.0);
    let logs = || cells.iter().filter_map(|cell| figure(cell)).map(f64::ln);
    let (least, most) =
        (logs().fold(f64::INFINITY, f64::min), logs().fold(f64::NEG_INFINITY, f64::max));
    let share = |figure: f64| {
        if most > least { (figure.ln() - least) / (most - least) } else { 0.5 }
    };
    let rows = axes.rows().map(|(label, row)| {
        let figures = row.into_iter().map(|cell| {
            let figure = figure(cell?)?;
            Some((write(figure), share(figure)))
        });
        (label, figures.collect())
    });
    HeatMap {
        rows: rows.collect(),
        columns: axes.clients.iter().map(|count| format!("{count} clients")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::summary::tests::example;

    #[test]
    fn each_group_has_both_maps_and_the_text_is_below() {
        let html = page(&example());
        assert_eq!(html.matches("<svg").count(), 2);
        // Five rows of four clients, twice.
        assert_eq!(html.matches("<rect").count(), 40);
        assert!(html.contains(">4000</text>") && html.contains("default_pool_size = 4"), "{html}");
    }
}
