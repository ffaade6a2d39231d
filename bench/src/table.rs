//! What the experiments' tables have in common.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};

use crate::arm::ArmSummary;
use crate::validity::{Level, Validity};

/// A table without lines: a column of names, then columns of numbers, set right.
pub(crate) struct Columns(Table);

impl Columns {
    /// With these headings.
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header.iter().copied());
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if index > 0 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self(table)
    }

    /// Appends a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0.add_row(cells);
    }
}

/// Lines end where their text does.
impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.lines().map(|line| line.trim_end().to_owned()).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// An arm's errors by class, each with the first one's words.
pub(crate) fn errors(arm: &ArmSummary) -> String {
    let each = arm.errors.iter().map(|(class, count)| {
        let words = arm.first_errors.get(class).map(|words| format!(" (first: {words})"));
        format!("{count} {class}{}", words.unwrap_or_default())
    });
    each.collect::<Vec<_>>().join(", ")
}

/// What each arm ran out of first, a line each; those that ran out of nothing share one.
pub(crate) fn limiters<'a>(arms: impl Iterator<Item = &'a ArmSummary>) -> String {
    let (mut text, mut unlimited) = (String::new(), Vec::new());
    for (arm, observed) in arms.filter_map(|arm| Some((arm, arm.observed.as_ref()?))) {
        match &observed.limiter {
            Some(limiter) => text += &format!("limiter of {}: {limiter}\n", arm.label()),
            None => unlimited.push(arm.label()),
        }
    }
    if !unlimited.is_empty() {
        let names = unlimited.join(", ");
        text += &format!("limiter of {names}: none; nothing of what was observed ran out\n");
    }
    text
}

/// Whether the numbers can be trusted, and why not.
pub(crate) fn verdict(validity: &Validity) -> String {
    let level = match validity.valid {
        Level::Valid => "valid",
        Level::Suspect => "suspect:",
        Level::Invalid => "INVALID:",
    };
    let reasons = validity.reasons.iter().map(|reason| format!("\n  {reason}"));
    std::iter::once(level.to_owned()).chain(reasons).collect()
}
