//! The pooler's admin console.

use std::collections::BTreeMap;

use postgres::{Client, SimpleQueryMessage};

use super::ObserveError;
use super::login::login;
use crate::conninfo::with_sources;

const WHAT: &str = "the pooler's console";

/// A connection to PgBouncer's console (PgBouncer manual, "Admin console").
pub(crate) struct Pooler {
    client: Client,
    place: String,
}

/// The cells of a row by the names of their columns: versions differ in what they show, and where.
/// What is NULL is empty.
pub(crate) type Row = BTreeMap<String, String>;

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

    /// Its settings by name.
    pub(crate) fn settings(&mut self) -> Result<BTreeMap<String, String>, ObserveError> {
        let rows = self.rows("SHOW CONFIG", &["key", "value"])?;
        Ok(rows.into_iter().map(|row| row.into_iter()).filter_map(pair).collect())
    }

    /// The named columns of each row, whatever their order; one that is not there is an error.
    fn rows(&mut self, command: &str, columns: &[&str]) -> Result<Vec<Vec<String>>, ObserveError> {
        let mut rows = Vec::new();
        for row in self.show(command)? {
            let cell = |column: &&str| {
                row.get(*column)
                    .cloned()
                    .ok_or_else(|| self.fault(format!("{command}: there is no column {column}")))
            };
            rows.push(columns.iter().map(cell).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(rows)
    }

    /// Every row that a SHOW command gives; what one version has, another may not.
    pub(crate) fn show(&mut self, command: &str) -> Result<Vec<Row>, ObserveError> {
        let messages = self.client.simple_query(command);
        let messages = messages.map_err(|error| self.fault(with_sources(&error)))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let names = row.columns().iter().map(|column| column.name());
                let cells = names.enumerate().map(|(index, name)| {
                    (name.to_owned(), row.get(index).unwrap_or_default().to_owned())
                });
                Some(cells.collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    fn fault(&self, problem: String) -> ObserveError {
        ObserveError::Query { what: WHAT, place: self.place.clone(), problem }
    }
}

fn pair(mut cells: impl Iterator<Item = String>) -> Option<(String, String)> {
    Some((cells.next()?, cells.next()?))
}
