//! The pooler's admin console.

use postgres::{Client, NoTls, SimpleQueryMessage};

use super::ObserveError;
use crate::conninfo::{Conninfo, with_sources};

const WHAT: &str = "the pooler's console";

/// A connection to PgBouncer's console (PgBouncer manual, "Admin console").
pub(crate) struct Pooler {
    client: Client,
    place: String,
}

/// What a pooler's pools hold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pools {
    /// Clients that are linked to a server connection, or have nothing to ask.
    pub(crate) cl_active: u64,
    /// Clients that wait for a server connection.
    pub(crate) cl_waiting: u64,
    /// Server connections that are linked to a client.
    pub(crate) sv_active: u64,
    /// Server connections in any state.
    pub(crate) servers: u64,
}

impl Pooler {
    /// Logs in.
    pub(crate) fn connect(conninfo: &str) -> Result<Self, ObserveError> {
        let conninfo = Conninfo::parse(conninfo)
            .map_err(|error| ObserveError::Conninfo { what: WHAT, error })?;
        let place = conninfo.place();
        let client = conninfo.config().connect(NoTls).map_err(|error| ObserveError::Connect {
            what: WHAT,
            place: place.clone(),
            problem: with_sources(&error),
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

    /// What its pools hold now, over all databases but its own (PgBouncer manual, "SHOW POOLS").
    pub(crate) fn pools(&mut self) -> Result<Pools, ObserveError> {
        let columns = ["database", "cl_active", "cl_waiting", "sv_active"];
        let rows = self.rows("SHOW POOLS", &columns)?;
        let mut pools = Pools::default();
        for row in rows.iter().filter(|row| row[0] != "pgbouncer") {
            let number = |column: usize| row[column].parse::<u64>().unwrap_or_default();
            pools.cl_active += number(1);
            pools.cl_waiting += number(2);
            pools.sv_active += number(3);
        }
        // Whatever state they are in; versions differ in which states they show.
        let servers = self.rows("SHOW SERVERS", &["database"])?;
        pools.servers = servers.iter().filter(|row| row[0] != "pgbouncer").count() as u64;
        Ok(pools)
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
