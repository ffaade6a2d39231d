//! The surface in colours.

use std::fmt::Write as _;

use anstyle::{Ansi256Color, Color, Style};

use super::cell::Cell;

/// From the least to the most throughput: viridis, in the colours of terminals.
const SCALE: [u8; 8] = [53, 54, 24, 30, 29, 71, 113, 184];
/// Below this a colour is dark, and what stands on it is white.
const DARK: usize = 5;
const CELL_CHARS: usize = 8;

/// The cells of one mode, protocol and rate as a grid.
pub(super) struct Axes<'a> {
    cells: &'a [&'a Cell],
    /// To the right.
    pub(super) clients: Vec<u32>,
    /// Downwards; no pool is the last.
    sizes: Vec<(Option<u32>, Option<u32>)>,
}

impl<'a> Axes<'a> {
    pub(super) fn new(cells: &'a [&'a Cell]) -> Self {
        let mut clients: Vec<_> = cells.iter().map(|cell| cell.setting.clients).collect();
        let mut sizes: Vec<_> =
            cells.iter().map(|cell| (cell.setting.pool_size, cell.setting.poolers)).collect();
        clients.sort_unstable();
        clients.dedup();
        sizes.sort_unstable_by_key(|(size, poolers)| (size.unwrap_or(u32::MAX), *poolers));
        sizes.dedup();
        Self { cells, clients, sizes }
    }

    /// Each row's name, and its cells.
    pub(super) fn rows(&self) -> impl Iterator<Item = (String, Vec<Option<&'a Cell>>)> {
        self.sizes.iter().map(|(size, poolers)| {
            let label = match (size, poolers) {
                (None, _) => "direct".to_owned(),
                (Some(size), None) => format!("pool {size}"),
                (Some(size), Some(poolers)) => format!("{poolers} x {}", size / poolers),
            };
            let found = |count: &u32| {
                let is_it = |cell: &&&Cell| {
                    let setting = cell.setting;
                    (setting.pool_size, setting.poolers) == (*size, *poolers)
                        && setting.clients == *count
                };
                self.cells.iter().find(is_it).copied()
            };
            (label, self.clients.iter().map(found).collect())
        })
    }
}

/// Throughput of the cells of one mode, protocol and rate. It has colours: whoever prints it takes
/// them away where they are not wanted.
pub(super) fn heat_map(cells: &[&Cell]) -> String {
    let axes = Axes::new(cells);
    let most = cells.iter().map(|cell| cell.throughput).fold(0.0, f64::max);
    let mut text = format!("{:>9}", "clients");
    axes.clients.iter().for_each(|count| {
        let _ = write!(text, "{count:>CELL_CHARS$}");
    });
    for (label, row) in axes.rows() {
        let _ = write!(text, "\n{label:>9}");
        for cell in row {
            match cell {
                Some(cell) if cell.problem.is_none() => {
                    let style = colour(cell.throughput / most.max(1.0));
                    let mark = if cell.is_invalid() { "!" } else { "" };
                    let shown = format!("{mark}{:.0}", cell.throughput);
                    let _ = write!(text, "{style}{shown:>CELL_CHARS$}{style:#}");
                }
                _ => {
                    let _ = write!(text, "{:>CELL_CHARS$}", "-");
                }
            }
        }
    }
    text
}

fn colour(share: f64) -> Style {
    let step = ((share * SCALE.len() as f64) as usize).min(SCALE.len() - 1);
    let front = if step < DARK { 231 } else { 16 };
    Style::new()
        .bg_color(Some(Color::Ansi256(Ansi256Color(SCALE[step]))))
        .fg_color(Some(Color::Ansi256(Ansi256Color(front))))
}
