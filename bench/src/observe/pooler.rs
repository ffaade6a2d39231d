//! The pooler's admin console.

use std::collections::BTreeMap;

use postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::ObserveError;
use super::login::login;
use crate::conninfo::with_sources;

const WHAT: &str = "the pooler's console";

/// A connection to PgBouncer's console (PgBouncer manual, "Admin console").
pub(crate) struct Pooler {
    client: Client,
    place: String,
}

/// Texts by name: the cells of a row (what is NULL is empty), or settings. Versions differ in what
/// they show, and in which order.
pub(crate) type Row = BTreeMap<String, String>;

/// The pool mode of a database, as its row of SHOW DATABASES or else SHOW CONFIG tells it.
pub(crate) fn pool_mode(database: Option<&Row>, settings: &Row) -> Option<String> {
    let own = database.and_then(|row| row.get("pool_mode")).filter(|mode| !mode.is_empty());
    own.or_else(|| settings.get("pool_mode")).cloned()
}

impl Pooler {
    /// Logs in.
    pub(crate) fn connect(conninfo: &str) -> Result<Self, ObserveError> {
        let (client, place) = login(
            WHAT,
            conninfo,
            "check `console` of the pooler's target, and that its user is among admin_users or \
             stats_users",
        )?;
        Ok(Self { client, place })
    }

    /// Queries that the pooler has counted, over all databases but its own.
    pub(crate) fn queries(&mut self) -> Result<u64, ObserveError> {
        let rows = self.rows("SHOW STATS_TOTALS", &["database", "query_count"])?;
        let databases = rows.iter().filter(|row| row[0] != "pgbouncer");
        Ok(databases.filter_map(|row| row[1].parse::<u64>().ok()).sum())
    }

    /// Its version, as it says it.
    pub(crate) fn version(&mut self) -> Result<String, ObserveError> {
        let rows = self.rows("SHOW VERSION", &["version"])?;
        Ok(rows.into_iter().next().map(|mut row| row.remove(0)).unwrap_or_default())
    }

    /// Its settings by name (PgBouncer manual, "SHOW CONFIG").
    pub(crate) fn settings(&mut self) -> Result<Row, ObserveError> {
        let rows = self.rows("SHOW CONFIG", &["key", "value"])?;
        Ok(rows.into_iter().map(|mut row| (row.remove(0), row.remove(0))).collect())
    }

    /// How it hands out server connections for a database: `session`, `transaction` or `statement`;
    /// `None` where it does not say.
    pub(crate) fn pool_mode(&mut self, database: &str) -> Result<Option<String>, ObserveError> {
        let settings = self.settings()?;
        let databases = self.table("SHOW DATABASES")?;
        let row = databases.iter().find(|row| row.get("name").is_some_and(|name| name == database));
        Ok(pool_mode(row, &settings))
    }

    /// Every row that a SHOW command gives.
    pub(crate) fn table(&mut self, command: &str) -> Result<Vec<Row>, ObserveError> {
        let cells = |row: &SimpleQueryRow| {
            let names = row.columns().iter().enumerate();
            let cell = |index| row.get(index).unwrap_or_default().to_owned();
            names.map(|(index, column)| (column.name().to_owned(), cell(index))).collect()
        };
        Ok(self.show(command)?.iter().map(cells).collect())
    }

    /// The named columns of each row, whatever their order; versions differ in what they show.
    fn rows(&mut self, command: &str, columns: &[&str]) -> Result<Vec<Vec<String>>, ObserveError> {
        let rows = self.show(command)?;
        let cells = |row: &SimpleQueryRow| -> Result<Vec<_>, _> {
            let cell = |column: &&str| row.try_get(*column).map(Option::unwrap_or_default);
            columns.iter().map(|column| cell(column).map(str::to_owned)).collect()
        };
        let cells: Result<_, postgres::Error> = rows.iter().map(cells).collect();
        cells.map_err(|error| self.fault(format!("{command}: {error}")))
    }

    fn show(&mut self, command: &str) -> Result<Vec<SimpleQueryRow>, ObserveError> {
        let messages = self.client.simple_query(command);
        let messages = messages.map_err(|error| self.fault(with_sources(&error)))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.collect())
    }

    fn fault(&self, problem: String) -> ObserveError {
        ObserveError::Query { what: WHAT, place: self.place.clone(), problem }
    }
}
