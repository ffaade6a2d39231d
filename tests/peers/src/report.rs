//! The results as Markdown and as JSON.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::experiment::Section;
use crate::machine::Machine;
use crate::spread::Spread;
use crate::verdict::Goal;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    schema: u32,
    pub(crate) machine: Machine,
    /// How it was measured, in words.
    pub(crate) how: String,
    pub(crate) sections: Vec<Section>,
}

impl Results {
    /// Of a run of one section after another.
    pub(crate) fn new(machine: Machine, how: String, sections: Vec<Section>) -> Self {
        Self { schema: 1, machine, how, sections }
    }

    /// Whether a goal was missed by more than the spread, or could not be measured for our own
    /// fault.
    pub(crate) fn is_failure(&self) -> bool {
        self.goals().any(|goal| goal.verdict().is_failure())
    }

    fn goals(&self) -> impl Iterator<Item = &Goal> {
        self.sections.iter().flat_map(|section| &section.goals)
    }

    /// As Markdown, the goals last.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("# make bench\n\n{}\n{}\n", self.machine.text(), self.how);
        for section in &self.sections {
            text.push_str(&format!(
                "\n## {}\n\n{}\n\n{}\n",
                section.title,
                section.about,
                table(section)
            ));
        }
        if self.goals().next().is_some() {
            text.push_str(&format!("\n## Goals\n\n{}\n", goals(self.goals())));
        }
        text
    }

    /// Writes `<machine>.md` and `<machine>.json` into `folder`.
    pub(crate) fn keep(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let file = |ending: &str| folder.join(format!("{}.{ending}", self.machine.slug()));
        std::fs::write(file("md"), self.text())?;
        let json = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        std::fs::write(file("json"), json + "\n")
    }
}

fn table(section: &Section) -> Table {
    let mut table = markdown(&[&["", "client"], section.columns].concat(), 2);
    let mut last = "";
    for entry in &section.entries {
        // A cell's name once.
        let cell = if entry.cell == last { "" } else { &entry.cell };
        last = &entry.cell;
        let mut cells = vec![cell.to_owned(), entry.client.clone()];
        match &entry.note {
            Some(note) => cells.push(note.clone()),
            None => cells.extend(entry.figures.iter().map(|figure| shown(figure.as_ref()))),
        }
        cells.resize(2 + section.columns.len(), String::new());
        table.add_row(cells);
    }
    table
}

fn shown(figure: Option<&Spread>) -> String {
    figure.map_or_else(|| "-".into(), Spread::to_string)
}

fn goals<'a>(goals: impl Iterator<Item = &'a Goal>) -> Table {
    let mut table = markdown(&["", "goal", "measured", "spread", "verdict"], 1);
    goals.for_each(|goal| {
        table.add_row(goal.cells());
    });
    table
}

/// The first `names` columns are words, the others numbers.
fn markdown(header: &[&str], names: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cores::Cores;
    use crate::experiment::Entry;
    use crate::verdict::Missing;

    fn spread(values: [f64; 3]) -> Option<Spread> {
        Spread::new(values)
    }

    #[test]
    fn a_report_reads_well() {
        let machine = Machine {
            date: "2026-11-25".into(),
            commit: "0123abc".into(),
            cpu: "AMD EPYC, family 26".into(),
            cores: 2,
            pinned: Cores { server: 0, client: 1 },
            memory_gib: 24,
            kernel: "6.18.0".into(),
            system: "Debian GNU/Linux 12".into(),
            load: 1.5,
            versions: BTreeMap::from([
                ("oha", "oha is not installed".to_owned()),
                ("wrk", "wrk 4.1.0".to_owned()),
            ]),
        };
        let cell = "64 connections";
        let entry = |client: &str, figures, note: Option<&str>| Entry {
            cell: cell.into(),
            client: client.into(),
            figures,
            note: note.map(str::to_owned),
        };
        let ratio = spread([0.78, 0.81, 0.84]);
        let section = Section {
            title: "HTTP".into(),
            about: "Closed loops.",
            columns: &["requests/s", "CPU us a request", "ours / theirs"],
            entries: vec![
                entry("poolbench", vec![spread([1e5; 3]), spread([3.1, 3.2, 3.9]), None], None),
                entry("wrk", vec![spread([9e4; 3]), spread([4.0; 3]), ratio.clone()], None),
                entry("oha", Vec::new(), Some("oha is not installed")),
            ],
            goals: vec![
                Goal { what: "ours / wrk".into(), at_most: 0.8, measured: Ok(ratio.unwrap()) },
                Goal {
                    what: "ours / oha".into(),
                    at_most: 0.5,
                    measured: Err(Missing::Peer("oha is not installed".into())),
                },
            ],
        };
        let results = Results::new(machine, "3 rounds of 1 s.".into(), vec![section]);
        assert!(!results.is_failure());
        insta::assert_snapshot!(results.text());
    }
}
