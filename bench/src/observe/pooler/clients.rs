//! What secures the connections of a pooler's clients.

use std::collections::BTreeMap;

use super::Pooler;
use crate::observe::ObserveError;
use crate::observe::table::Row;

/// Clients by application_name, and of each name how many there are of what secures them: version and
/// cipher as the console shows them, an empty text without TLS.
pub(crate) type ClientTls = BTreeMap<String, BTreeMap<String, u64>>;

impl Pooler {
    /// What secures the clients of a database now; `None` where its console does not show it. There is a
    /// row for every connection in its answer: not to be asked under load.
    pub(super) async fn client_tls(
        &mut self,
        database: &str,
    ) -> Result<Option<ClientTls>, ObserveError> {
        let shown = self.ask("SHOW CLIENTS").await?;
        Ok(shown.ok().and_then(|rows| client_tls(&rows, database)))
    }
}

/// From the rows of SHOW CLIENTS (PgBouncer manual, "SHOW CLIENTS"): application_name is there from 1.18
/// on, and other poolers lack one or the other.
fn client_tls(rows: &[Row], database: &str) -> Option<ClientTls> {
    let mut all = ClientTls::new();
    for row in rows {
        let (name, kind) = (row.get("application_name")?, row.get("tls")?);
        if row.get("database")? == database {
            *all.entry(name.clone()).or_default().entry(kind.clone()).or_default() += 1;
        }
    }
    Some(all)
}
