//! Published comparisons of poolers: their settings by name, and their figures beside ours.

use std::fmt;

use engine::MILLISECOND;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cell::Cell;
use super::grid::{Grid, Mode, WireProtocol};
use crate::conninfo::{Conninfo, with_sources};
use crate::duration::show;
use crate::rig::RigError;
use crate::scenario::Scenario;
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
    clients: Vec<u32>,
    /// How many PgBouncer processes share one port, where that was varied: each number has its own
    /// stack. The pool is shared out among them.
    #[serde(default)]
    pub(crate) poolers: Vec<u32>,
    pool_sizes: Vec<u32>,
    pool_mode: Mode,
    protocol: WireProtocol,
    /// Whether both legs of the pooler are secured; only where stacks are started for it.
    #[serde(default)]
    pub(crate) tls: bool,
    has_direct: bool,
    /// Statements that create what is asked for. They change a database only where it is a stack's.
    #[serde(default)]
    prepare: Vec<String>,
    /// What is sent, as in a scenario's `[[operations]]`.
    operation: toml::Table,
    figures: Vec<Figure>,
}

/// What was published for so many clients. Times in ms, rates in 1/s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figure {
    clients: u32,
    #[serde(default)]
    is_direct: bool,
    /// Another pooler than PgBouncer, which is not measured here.
    pooler: Option<String>,
    /// Of so many processes.
    poolers: Option<u32>,
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

/// Where the private stack is.
const SCENARIO: &str = r#"
processes = { pooler = "${NOVA_POOLER_PID}", postgres = "${NOVA_POSTGRES_PID}" }
[targets]
pooler = { conninfo = "${NOVA_POOLER}", console = "${NOVA_CONSOLE}" }
postgres = { conninfo = "${NOVA_POSTGRES}" }
"#;

macro_rules! table {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../scenarios/published/", $name, ".toml")))
    };
}

/// By name.
const TABLES: [(&str, &str); 5] = [
    table!("multicore"),
    table!("pg_doorman"),
    table!("pg_doorman_scram"),
    table!("pgcat"),
    table!("pgdog"),
];

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
        let mut operation = self.operation.clone();
        operation.insert("name".into(), "published".into());
        let mut scenario: toml::Table = toml::from_str(SCENARIO).expect("a constant");
        scenario.insert("name".into(), self.title.as_str().into());
        scenario.insert("operations".into(), vec![toml::Value::Table(operation)].into());
        scenario.to_string()
    }

    /// Creates what is asked for, on the Postgres of that scenario.
    pub(crate) fn prepare(&self, scenario: &Scenario) -> Result<(), RigError> {
        if self.prepare.is_empty() {
            return Ok(());
        }
        let conninfo = scenario.target("postgres")?.conninfo.as_deref().unwrap_or_default();
        let fault = |problem| RigError::Target(format!("the stack's Postgres: {problem}"));
        let conninfo = Conninfo::parse(conninfo).map_err(|error| fault(error.to_string()))?;
        let mut client = conninfo.connect().map_err(fault)?;
        for statement in &self.prepare {
            let done = client.batch_execute(statement);
            done.map_err(|error| fault(format!("{statement}: {}", with_sources(&error))))?;
        }
        Ok(())
    }

    /// Server connections of all processes together.
    pub(crate) fn pool_budget(&self) -> u32 {
        self.pool_sizes.iter().copied().max().unwrap_or(1)
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
                    && (figure.is_direct || cell.setting.poolers == figure.poolers)
                    && figure.pooler.is_none()
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

impl Figure {
    /// What it is a figure of.
    fn what(&self) -> String {
        match (&self.pooler, self.poolers) {
            _ if self.is_direct => "direct".into(),
            (Some(pooler), _) => pooler.clone(),
            (None, Some(1) | None) => "PgBouncer".into(),
            (None, Some(count)) => format!("{count} PgBouncers"),
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, url, accessed, setup, rows } = self;
        writeln!(f, "{title} ({url}, {accessed}), measured there on {setup}:\n")?;
        let mut table = Columns::new(&["", "", "clients", "throughput", "p50", "p95", "p99"]);
        let time = |ms: Option<f64>| ms.map_or("-".into(), |ms| show(ms * MILLISECOND as f64));
        for Row { published, ours } in rows {
            for (whose, figure) in [("published", Some(published)), ("here", ours.as_ref())] {
                let Some(figure) = figure else { continue };
                table.row(vec![
                    figure.what(),
                    whose.into(),
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
                let poolers = figure.poolers.is_none_or(|count| table.poolers.contains(&count));
                assert!(poolers, "{name}: {figure:?}");
            }
            let lookup = |name: &str| {
                let value = if name.ends_with("_PID") { "1" } else { "host=127.0.0.1 user=u" };
                Some(value.to_owned())
            };
            let scenario = Scenario::parse("published.toml", &table.scenario(), &lookup).unwrap();
            assert_eq!(scenario.operations[0].name, "published");
            assert!(table.grid(100).clients.iter().all(|count| *count <= 100));
        }
        let error = Published::named("nothing").unwrap_err().to_string();
        assert!(error.contains("pg_doorman"), "{error}");
    }
}
