//! What Postgres says of itself.

mod backends;
mod sample;

use std::collections::{BTreeMap, BTreeSet};

use postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

pub(crate) use self::backends::Backends;
use self::backends::CLIENTS;
pub(crate) use self::sample::ServerSample;
pub(super) use self::sample::ServerSource;
use super::ObserveError;
use super::login::login;
use crate::conninfo::with_sources;

const WHAT: &str = "the observer's connection to Postgres";
const REMEDY: &str = "check `observer` (or `conninfo`) of the postgres target";

/// A connection to Postgres that only looks.
pub(crate) struct Server {
    client: Client,
    place: String,
}

impl Server {
    /// Logs in.
    pub(crate) fn connect(conninfo: &str) -> Result<Self, ObserveError> {
        let (client, place) = login(WHAT, conninfo, REMEDY)?;
        Ok(Self { client, place })
    }

    /// Its settings by name (Postgres manual, 54.24 "pg_settings").
    pub(crate) fn settings(&mut self) -> Result<BTreeMap<String, String>, ObserveError> {
        let rows = self.rows("SELECT name, setting FROM pg_settings")?;
        let text = |row: &SimpleQueryRow, column| row.get(column).map(str::to_owned);
        Ok(rows.iter().filter_map(|row| Some((text(row, 0)?, text(row, 1)?))).collect())
    }

    /// What secures this session's own connection to Postgres, through a pooler the pooler's: version
    /// and cipher; `None` without TLS. Any role may ask that of its own session.
    pub(crate) fn tls(&mut self) -> Result<Option<String>, ObserveError> {
        let query = "SELECT version || ' ' || cipher FROM pg_stat_ssl \
                     WHERE ssl AND pid = pg_backend_pid()";
        Ok(self.rows(query)?.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// What secures the backends of clients, by application_name: version and cipher of each kind that
    /// there is, an empty text for those without TLS (Postgres manual, 28.2.7 "pg_stat_ssl"). Names of
    /// which some are hidden from this role are left out.
    pub(crate) fn tls_by_name(
        &mut self,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, ObserveError> {
        // What is hidden has no row in pg_stat_ssl.
        let rows = self.rows(&format!(
            "SELECT DISTINCT application_name, version || ' ' || cipher, backend_type \
             FROM pg_stat_activity LEFT JOIN pg_stat_ssl USING (pid) WHERE {CLIENTS}"
        ))?;
        let mut kinds = BTreeMap::<_, BTreeSet<_>>::new();
        for row in &rows {
            let text = |column| row.get(column).unwrap_or_default().to_owned();
            kinds.entry(text(0)).or_default().insert(text(1));
        }
        let hidden = rows.iter().filter(|row| is_null(row, 2));
        hidden.for_each(|row| drop(kinds.remove(row.get(0).unwrap_or_default())));
        Ok(kinds)
    }

    /// Which backends of clients use TLS, by application_name: how many there are, and how many of
    /// them do (Postgres manual, 28.2.7 "pg_stat_ssl"); `None` where it
    /// does not say, and where some are hidden from this role.
    pub(crate) fn encrypted(&mut self) -> Option<BTreeMap<String, (u64, u64)>> {
        let rows = self.rows(&format!(
            "SELECT application_name, count(*), count(*) FILTER (WHERE ssl), backend_type \
             FROM pg_stat_activity LEFT JOIN pg_stat_ssl USING (pid) WHERE {CLIENTS} GROUP BY 1, 4"
        ));
        let rows = rows.ok()?;
        if rows.iter().any(|row| is_null(row, 3)) {
            return None;
        }
        let count = |row: &SimpleQueryRow, column| row.get(column).unwrap_or_default().parse().ok();
        let named =
            |row: &SimpleQueryRow| Some((row.get(0)?.to_owned(), (count(row, 1)?, count(row, 2)?)));
        Some(rows.iter().filter_map(named).collect())
    }

    /// In the simple protocol: one round trip and one transaction a question, nothing prepared.
    fn rows(&mut self, query: &str) -> Result<Vec<SimpleQueryRow>, ObserveError> {
        let messages = self.client.simple_query(query).map_err(|error| self.fault(&error))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.collect())
    }

    fn fault(&self, error: &postgres::Error) -> ObserveError {
        let problem = with_sources(error);
        ObserveError::Query { what: WHAT, place: self.place.clone(), problem }
    }
}

/// Whether a column is there and holds nothing.
fn is_null(row: &SimpleQueryRow, column: usize) -> bool {
    matches!(row.try_get(column), Ok(None))
}
