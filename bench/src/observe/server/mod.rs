//! What Postgres says of itself.

mod backends;
mod sample;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::backends::Backends;
use self::backends::CLIENTS;
pub(crate) use self::sample::ServerSample;
pub(super) use self::sample::ServerSource;
use super::session::{Answer, Session};
use super::table::{Row, number};
use super::{Login, ObserveError};

const WHAT: &str = "the observer's connection to Postgres";
const REMEDY: &str = "check `observer` (or `conninfo`) of the postgres target";

/// By application_name: how many backends there are, and how many of them use TLS.
pub(crate) type Encrypted = BTreeMap<String, (u64, u64)>;

/// A connection to Postgres that only looks.
pub(crate) struct Server(Login<Session>);

impl Server {
    /// Logs in.
    pub(crate) fn connect(conninfo: &str) -> Result<Self, ObserveError> {
        let mut session = Session::new(WHAT, conninfo, REMEDY)?;
        let login = Login::open(async || session.open().await.map(|_| session));
        login.map(Self)
    }

    /// Its settings by name (Postgres manual, 54.24 "pg_settings").
    pub(crate) fn settings(&mut self) -> Result<BTreeMap<String, String>, ObserveError> {
        let rows = self.rows("SELECT name, setting FROM pg_settings")?;
        Ok(rows
            .into_iter()
            .filter_map(|row| Some((text(&row, "name")?, text(&row, "setting")?)))
            .collect())
    }

    /// What secures this session's own connection to Postgres, through a pooler the pooler's: version
    /// and cipher; `None` without TLS. Any role may ask that of its own session.
    pub(crate) fn tls(&mut self) -> Result<Option<String>, ObserveError> {
        let rows = self.rows(
            "SELECT version || ' ' || cipher AS tls FROM pg_stat_ssl \
             WHERE ssl AND pid = pg_backend_pid()",
        )?;
        Ok(rows.first().and_then(|row| text(row, "tls")))
    }

    /// What secures the backends of clients, by application_name: version and cipher of each kind that
    /// there is, an empty text for those without TLS (Postgres manual, 28.2.7 "pg_stat_ssl"). Names of
    /// which some are hidden from this role are left out.
    pub(crate) fn tls_by_name(
        &mut self,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, ObserveError> {
        // What is hidden has no row in pg_stat_ssl.
        let rows = self.rows(&format!(
            "SELECT DISTINCT application_name, version || ' ' || cipher AS tls, backend_type \
             FROM pg_stat_activity LEFT JOIN pg_stat_ssl USING (pid) WHERE {CLIENTS}"
        ))?;
        let mut kinds = BTreeMap::<_, BTreeSet<_>>::new();
        for row in &rows {
            let text = |column| text(row, column).unwrap_or_default();
            kinds.entry(text("application_name")).or_default().insert(text("tls"));
        }
        let hidden = rows.iter().filter(|row| is_hidden(row));
        hidden
            .for_each(|row| drop(kinds.remove(&text(row, "application_name").unwrap_or_default())));
        Ok(kinds)
    }

    /// Which backends of clients use TLS, by application_name: how many there are, and how many of
    /// them do (Postgres manual, 28.2.7 "pg_stat_ssl"); `None` where some are hidden from this role.
    pub(crate) fn encrypted(&mut self) -> Result<Option<Encrypted>, ObserveError> {
        let rows = self.rows(&format!(
            "SELECT application_name, count(*) AS backends, \
             count(*) FILTER (WHERE ssl) AS encrypted, backend_type \
             FROM pg_stat_activity LEFT JOIN pg_stat_ssl USING (pid) WHERE {CLIENTS} \
             GROUP BY application_name, backend_type"
        ))?;
        if rows.iter().any(is_hidden) {
            return Ok(None);
        }
        let counts = |row: &Row| Some((number(row, "backends")?, number(row, "encrypted")?));
        let named = |row: &Row| Some((text(row, "application_name")?, counts(row)?));
        Ok(Some(rows.iter().filter_map(named).collect()))
    }

    /// In the simple protocol: one round trip and one transaction a question, nothing prepared.
    fn rows(&mut self, query: &str) -> Result<Vec<Row>, ObserveError> {
        self.0.ask(async |session| match session.ask(query).await? {
            Answer::Tables(tables) => Ok(tables.into_iter().next().unwrap_or_default()),
            Answer::Refusal { message, .. } => Err(session.fault(message)),
        })
    }
}

fn text(row: &Row, column: &str) -> Option<String> {
    row.get(column).cloned()
}

/// Whether this role sees no more of a backend than its name.
fn is_hidden(row: &Row) -> bool {
    row.get("backend_type").is_some_and(String::is_empty)
}
