//! The pooler's admin console.

use postgres::{Client, SimpleQueryMessage};

use super::ObserveError;
use crate::conninfo::{Conninfo, with_sources};

const WHAT: &str = "the pooler's console";

/// A connection to PgBouncer's console (PgBouncer manual, "Admin console").
pub(crate) struct Pooler {
    client: Client,
    place: String,
}

impl Pooler {
    /// Logs in.
    pub(crate) fn connect(conninfo: &str) -> Result<Self, ObserveError> {
        let conninfo = Conninfo::parse(conninfo)
            .map_err(|error| ObserveError::Conninfo { what: WHAT, error })?;
        let place = conninfo.place();
        let client = conninfo.connect().map_err(|problem| ObserveError::Connect {
            what: WHAT,
            place: place.clone(),
            problem,
            remedy: "check `console` of the pooler's target, and that its user is among \
                     admin_users or stats_users",
        })?;
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

    /// The named columns of each row, whatever their order; versions differ in what they show.
    fn rows(&mut self, command: &str, columns: &[&str]) -> Result<Vec<Vec<String>>, ObserveError> {
        let fault =
            |problem| ObserveError::Query { what: WHAT, place: self.place.clone(), problem };
        let messages =
            self.client.simple_query(command).map_err(|error| fault(with_sources(&error)))?;
        let mut rows = Vec::new();
        for message in messages {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let cells: Result<Vec<_>, _> = columns
                .iter()
                .map(|column| {
                    let cell = row.try_get(*column);
                    cell.map(|cell| cell.unwrap_or_default().to_owned())
                })
                .collect();
            rows.push(cells.map_err(|error| fault(format!("{command}: {error}")))?);
        }
        Ok(rows)
    }
}
