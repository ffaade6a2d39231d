//! What Postgres says of itself.

use std::collections::BTreeMap;

use postgres::{Client, NoTls};

use super::ObserveError;
use crate::conninfo::{Conninfo, with_sources};

const WHAT: &str = "the observer's connection to Postgres";

/// A connection to Postgres that only looks.
pub(crate) struct Server {
    client: Client,
    place: String,
}

impl Server {
    /// Logs in.
    pub(crate) fn connect(conninfo: &str) -> Result<Self, ObserveError> {
        let conninfo = Conninfo::parse(conninfo)
            .map_err(|error| ObserveError::Conninfo { what: WHAT, error })?;
        let place = conninfo.place();
        let client = conninfo.config().connect(NoTls).map_err(|error| ObserveError::Connect {
            what: WHAT,
            place: place.clone(),
            problem: with_sources(&error),
            remedy: "check `observer` (or `conninfo`) of the postgres target",
        })?;
        Ok(Self { client, place })
    }

    /// Backends of clients, by application_name (Postgres manual, 28.2.3 "pg_stat_activity").
    pub(crate) fn backends(&mut self) -> Result<BTreeMap<String, u64>, ObserveError> {
        let query = "SELECT application_name, count(*) FROM pg_stat_activity \
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1";
        let rows = self.client.query(query, &[]).map_err(|error| self.fault(&error))?;
        let backends = rows.iter().map(|row| {
            let count: i64 = row.get(1);
            (row.get::<_, Option<String>>(0).unwrap_or_default(), count.unsigned_abs())
        });
        Ok(backends.collect())
    }

    /// Its version, as in `15.18`.
    pub(crate) fn version(&mut self) -> Result<String, ObserveError> {
        let row = self
            .client
            .query_one("SHOW server_version", &[])
            .map_err(|error| self.fault(&error))?;
        let version: String = row.get(0);
        Ok(version.split(' ').next().unwrap_or_default().to_owned())
    }

    fn fault(&self, error: &postgres::Error) -> ObserveError {
        let problem = with_sources(error);
        ObserveError::Query { what: WHAT, place: self.place.clone(), problem }
    }
}
