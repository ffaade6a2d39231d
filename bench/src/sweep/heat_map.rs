//! The surface in colours.

use std::fmt::Write as _;

use anstyle::{Ansi256Color, Color, Style};

use super::cell::Cell;

/// From the least to the most throughput: viridis, in the colours of terminals.
const SCALE: [u8; 8] = [53, 54, 24, 30, 29, 71, 113, 184];
/// Below this a colour is dark, and what stands on it is white.
const DARK: usize = 5;
const CELL_CHARS: usize = 8;

/// Throughput of the cells of one mode, protocol and rate: pool sizes downwards, clients to the
/// right. It has colours: whoever prints it takes them away where they are not wanted.
pub(super) fn heat_map(cells: &[&Cell]) -> String {
    let mut clients: Vec<_> = cells.iter().map(|cell| cell.setting.clients).collect();
    let mut sizes: Vec<_> =
        cells.iter().map(|cell| (cell.setting.pool_size, cell.setting.poolers)).collect();
    clients.sort_unstable();
    clients.dedup();
    // No pool is the last row.
    sizes.sort_unstable_by_key(|(size, poolers)| (size.unwrap_or(u32::MAX), *poolers));
    sizes.dedup();
    let most = cells.iter().map(|cell| cell.throughput).fold(0.0, f64::max);
    let mut text = format!("{:>9}", "clients");
    clients.iter().for_each(|count| {
        let _ = write!(text, "{count:>CELL_CHARS$}");
    });
    for (size, poolers) in sizes {
        let label = match (size, poolers) {
            (None, _) => "direct".to_owned(),
            (Some(size), None) => format!("pool {size}"),
            (Some(size), Some(poolers)) => format!("{poolers} x {}", size / poolers),
        };
        let _ = write!(text, "\n{label:>9}");
        for count in &clients {
            let found = cells.iter().find(|cell| {
                let setting = cell.setting;
                (setting.pool_size, setting.poolers) == (size, poolers) && setting.clients == *count
            });
            match found {
                Some(cell) if cell.problem.is_none() => {
                    let style = colour(cell.throughput / most.max(1.0));
                    let _ = write!(text, "{style}{:>CELL_CHARS$.0}{style:#}", cell.throughput);
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
