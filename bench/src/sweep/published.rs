//! Published comparisons of poolers: their settings by name, and their figures beside ours.

use std::fmt;

use engine::MILLISECOND;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cell::Cell;
use super::grid::{Grid, Mode, WireProtocol};
use crate::duration::show;
use crate::table::Columns;

/// A published table: `scenarios/published/NAME.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    title: String,
    url: String,
    /// When it was looked up.
    accessed: String,
    /// The machine and the programs that it was measured on.
    setup: String,
    /// What is sent.
    sql: String,
    clients: Vec<u32>,
    pool_sizes: Vec<u32>,
    pool_mode: Mode,
    protocol: WireProtocol,
    has_direct: bool,
    figures: Vec<Figure>,
}

/// What was published for so many clients. Times in ms, rates in 1/s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figure {
    clients: u32,
    #[serde(default)]
    is_direct: bool,
    throughput: Option<f64>,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// Theirs beside ours.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Compared {
    title: String,
    url: String,
    accessed: String,
    setup: String,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Serialize)]
struct Row {
    published: Figure,
    /// `None` where the cell could not be measured.
    ours: Option<Figure>,
}

/// A name that is not known.
#[derive(Debug, Error)]
pub(crate) enum PublishedError {
    #[error("there is no published table {0}; there are: {1}")]
    Unknown(String, String),
    #[error("scenarios/published/{0}.toml: {1}")]
    Unreadable(&'static str, toml::de::Error),
}

/// By name.
const TABLES: [(&str, &str); 1] =
    [("pg_doorman", include_str!("../../../scenarios/published/pg_doorman.toml"))];

impl Published {
    /// The table called `name`.
    pub(crate) fn named(name: &str) -> Result<Self, PublishedError> {
        let Some((name, text)) = TABLES.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = TABLES.iter().map(|(known, _)| *known).collect();
            return Err(PublishedError::Unknown(name.into(), known.join(", ")));
        };
        toml::from_str(text).map_err(|error| PublishedError::Unreadable(name, error))
    }

    /// The text of a scenario that sends what it sent, on the private stack.
    pub(crate) fn scenario(&self) -> String {
        format!(
            "name = {:?}\n\
             [targets.pooler]\nconninfo = \"${{NOVA_POOLER}}\"\nconsole = \"${{NOVA_CONSOLE}}\"\n\
             [targets.postgres]\nconninfo = \"${{NOVA_POSTGRES}}\"\n\
             [processes]\npooler = \"${{NOVA_POOLER_PID}}\"\npostgres = \"${{NOVA_POSTGRES_PID}}\"\n\
             [[operations]]\nname = \"published\"\nsql = {:?}\n",
            self.title, self.sql
        )
    }

    /// The cells that it has, with at most so many clients.
    pub(crate) fn grid(&self, clients_max: u32) -> Grid {
        Grid {
            clients: self.clients.iter().copied().filter(|count| *count <= clients_max).collect(),
            pool_sizes: self.pool_sizes.clone(),
            modes: vec![self.pool_mode],
            protocols: vec![self.protocol],
            rates: Vec::new(),
            has_direct: self.has_direct,
        }
    }

    /// Its figures beside those of `cells`.
    pub(super) fn compare(&self, cells: &[Cell]) -> Compared {
        let ours = |figure: &Figure| {
            let cell = cells.iter().find(|cell| {
                cell.is_measured()
                    && cell.setting.clients == figure.clients
                    && cell.setting.pool_size.is_none() == figure.is_direct
            })?;
            let ms = |ns: u64| Some(ns as f64 / MILLISECOND as f64);
            Some(Figure {
                throughput: Some(cell.throughput),
                p50_ms: ms(cell.response_ns.p50),
                p95_ms: ms(cell.response_ns.p95),
                p99_ms: ms(cell.response_ns.p99),
                ..figure.clone()
            })
        };
        let rows = self.figures.iter();
        Compared {
            title: self.title.clone(),
            url: self.url.clone(),
            accessed: self.accessed.clone(),
            setup: self.setup.clone(),
            rows: rows
                .map(|figure| Row { published: figure.clone(), ours: ours(figure) })
                .collect(),
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, url, accessed, setup, rows } = self;
        writeln!(f, "{title} ({url}, {accessed}), measured there on {setup}:")?;
        let mut table = Columns::new(&["", "clients", "throughput", "p50", "p95", "p99"]);
        let time = |ms: Option<f64>| ms.map_or("-".into(), |ms| show(ms * MILLISECOND as f64));
        for Row { published, ours } in rows {
            for (whose, figure) in [("published", Some(published)), ("here", ours.as_ref())] {
                let Some(figure) = figure else { continue };
                table.row(vec![
                    format!("{whose}{}", if figure.is_direct { ", direct" } else { "" }),
                    figure.clients.to_string(),
                    figure.throughput.map_or("-".into(), |rate| format!("{rate:.0}/s")),
                    time(figure.p50_ms),
                    time(figure.p95_ms),
                    time(figure.p99_ms),
                ]);
            }
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_can_be_read_and_has_its_figures_in_its_grid() {
        for (name, _) in TABLES {
            let table = Published::named(name).unwrap();
            assert!(table.url.starts_with("https://"), "{name}");
            for figure in &table.figures {
                assert!(table.clients.contains(&figure.clients), "{name}: {figure:?}");
            }
            assert!(table.grid(100).clients.iter().all(|count| *count <= 100));
        }
        let error = Published::named("nothing").unwrap_err().to_string();
        assert!(error.contains("pg_doorman"), "{error}");
    }
}
