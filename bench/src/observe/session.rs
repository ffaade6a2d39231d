//! A connection in the simple protocol that is opened again where it was lost.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;

use super::ObserveError;
use super::table::{Row, tables};
use crate::conninfo::{Conninfo, with_sources};

/// Where something is looked at, once a second.
pub(super) struct Session {
    what: &'static str,
    remedy: &'static str,
    conninfo: Conninfo,
    client: Option<Client>,
    /// An answer that takes longer, or a login, is given up with its connection.
    pub(super) patience: Duration,
}

/// What a server says to a question.
pub(super) enum Answer {
    /// The rows of each of its statements.
    Tables(Vec<Vec<Row>>),
    /// An error, after which it goes on: an SQLSTATE and what it says.
    Refusal { code: String, message: String },
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Session {
    /// To `what`, at `conninfo`; `remedy` is for the reader where that fails. Nothing is opened yet.
    pub(super) fn new(
        what: &'static str,
        conninfo: &str,
        remedy: &'static str,
    ) -> Result<Self, ObserveError> {
        let conninfo =
            Conninfo::parse(conninfo).map_err(|error| ObserveError::Conninfo { what, error })?;
        Ok(Self { what, remedy, conninfo, client: None, patience: PATIENCE })
    }

    /// Opens the connection if there is none. True where it was opened now: what was known of the
    /// server may be so no more.
    pub(super) async fn open(&mut self) -> Result<bool, ObserveError> {
        if self.client.as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(false);
        }
        let patience = self.patience;
        let opened = timeout(patience, self.conninfo.clone().connect_here()).await;
        let silent = |_| Err(format!("it said nothing for {patience:?}"));
        match opened.unwrap_or_else(silent) {
            Ok(client) => self.client = Some(client),
            Err(problem) => {
                let (what, place, remedy) = (self.what, self.conninfo.place(), self.remedy);
                return Err(ObserveError::Connect { what, place, problem, remedy });
            }
        }
        Ok(true)
    }

    /// What is said to `query`. The connection must be open; an error ends it.
    pub(super) async fn ask(&mut self, query: &str) -> Result<Answer, ObserveError> {
        let Some(client) = &self.client else { return Err(self.fault("it is not open".into())) };
        let problem = match timeout(self.patience, client.simple_query(query)).await {
            Ok(Ok(messages)) => return Ok(Answer::Tables(tables(messages))),
            Ok(Err(error)) => match error.as_db_error().filter(|_| !client.is_closed()) {
                Some(refusal) => {
                    let (code, message) = (refusal.code().code(), refusal.message());
                    let (code, message) = (code.to_owned(), message.to_owned());
                    return Ok(Answer::Refusal { code, message });
                }
                None => with_sources(&error),
            },
            Err(_) => format!("no answer within {:?}", self.patience),
        };
        self.client = None;
        Err(self.fault(problem))
    }

    pub(super) fn fault(&self, problem: String) -> ObserveError {
        ObserveError::Query { what: self.what, place: self.conninfo.place(), problem }
    }
}
