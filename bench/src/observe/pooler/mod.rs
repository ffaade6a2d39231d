//! The pooler's admin console.

mod clients;
mod dialect;
mod figures;
mod limits;
mod look;
mod pools;
mod processes;
mod sample;
mod totals;

pub(crate) use self::clients::ClientTls;
use self::dialect::Dialect;
pub(crate) use self::figures::Figures;
pub(crate) use self::limits::{ClientLimit, FullPool};
pub(crate) use self::look::PoolLook;
pub(crate) use self::pools::Pools;
pub(crate) use self::processes::Poolers;
#[cfg(test)]
pub(super) use self::sample::CONFIG_EVERY;
pub(crate) use self::sample::PoolerSample;
pub(super) use self::sample::PoolerSource;
pub(crate) use self::totals::{Counters, Totals};
use super::session::{Answer, Session};
use super::table::Row;
use super::{Login, ObserveError};

const WHAT: &str = "the pooler's console";
const REMEDY: &str =
    "check `console` of the pooler's target, and that its user is among admin_users or stats_users";

/// A connection to PgBouncer's console (PgBouncer manual, "Admin console").
pub(crate) struct Pooler {
    session: Session,
    dialect: Dialect,
}

/// The pool mode of a database, as its row of SHOW DATABASES or else SHOW CONFIG tells it.
pub(crate) fn pool_mode(database: Option<&Row>, settings: &Row) -> Option<String> {
    let own = database.and_then(|row| row.get("pool_mode")).filter(|mode| !mode.is_empty());
    own.or_else(|| settings.get("pool_mode")).cloned()
}

impl Pooler {
    /// Logs in.
    pub(super) async fn open(conninfo: &str) -> Result<Self, ObserveError> {
        let mut session = Session::new(WHAT, conninfo, REMEDY)?;
        session.open().await?;
        let mut pooler = Self { session, dialect: Dialect::default() };
        pooler.dialect = Dialect::of(&pooler.version().await?);
        Ok(pooler)
    }

    /// The same, for whoever waits for answers himself.
    pub(crate) fn connect(conninfo: &str) -> Result<Login<Self>, ObserveError> {
        Login::open(async || Self::open(conninfo).await)
    }

    /// What it has counted.
    pub(crate) async fn totals(&mut self) -> Result<Totals, ObserveError> {
        // SHOW STATS_TOTALS is PgBouncer's alone.
        Ok(Totals::new(&self.table("SHOW STATS").await?))
    }

    /// Its connections at this instant.
    pub(crate) async fn pools(&mut self) -> Result<Pools, ObserveError> {
        Ok(Pools::new(&self.pool_rows().await?))
    }

    /// The rows of SHOW POOLS, with clients counted as PgBouncer counts them.
    pub(crate) async fn pool_rows(&mut self) -> Result<Vec<Row>, ObserveError> {
        let mut pools = self.table("SHOW POOLS").await?;
        if self.dialect.needs_databases() {
            let databases = self.table("SHOW DATABASES").await?;
            self.dialect.count_clients(&mut pools, &databases);
        }
        Ok(pools)
    }

    /// Whether each transaction has a server connection assigned to it.
    pub(crate) async fn assigns_by_transaction(&mut self) -> Result<bool, ObserveError> {
        Ok(pools::assign_by_transaction(&self.pool_rows().await?))
    }

    /// Its version, as it says it.
    pub(crate) async fn version(&mut self) -> Result<String, ObserveError> {
        Ok(version(&self.table("SHOW VERSION").await?).unwrap_or_default())
    }

    /// Its settings by name; `None` where its console does not show them (Odyssey).
    pub(crate) async fn settings(&mut self) -> Result<Option<Row>, ObserveError> {
        let shown = self.ask("SHOW CONFIG").await?;
        Ok(shown.ok().map(|rows| settings(&rows)))
    }

    /// Whether it is one process of several behind one port (PgBouncer manual, "so_reuseport").
    pub(super) async fn shares_port(&mut self) -> Result<bool, ObserveError> {
        let settings = self.settings().await?.unwrap_or_default();
        Ok(settings.get("so_reuseport").is_some_and(|on| on == "1"))
    }

    /// How it hands out server connections for a database: `session`, `transaction` or `statement`;
    /// `None` where it does not say.
    pub(crate) async fn pool_mode(
        &mut self,
        database: &str,
    ) -> Result<Option<String>, ObserveError> {
        let settings = self.settings().await?.unwrap_or_default();
        let databases = self.table("SHOW DATABASES").await?;
        let row = databases.iter().find(|row| row.get("name").is_some_and(|name| name == database));
        Ok(pool_mode(row, &settings))
    }

    /// Every row that a SHOW command gives.
    pub(crate) async fn table(&mut self, command: &str) -> Result<Vec<Row>, ObserveError> {
        self.ask(command).await?.map_err(|refusal| self.session.fault(refusal))
    }

    /// The same, or its refusal.
    async fn ask(&mut self, command: &str) -> Result<Result<Vec<Row>, String>, ObserveError> {
        Ok(match self.session.ask(command).await? {
            Answer::Tables(tables) => {
                let rows = tables.into_iter().next().unwrap_or_default();
                Ok(rows.into_iter().map(|row| self.dialect.translate(row)).collect())
            }
            Answer::Refusal { message, .. } => Err(message),
        })
    }
}

/// Whether a row is about the console itself, which poolers show beside the databases they serve.
fn is_own(row: &Row) -> bool {
    let own = ["pgbouncer", "pgcat", "pgdog", "console"];
    row.get("database").is_some_and(|name| own.contains(&name.as_str()))
}

/// The answer to SHOW VERSION: one cell, whatever its column is called.
fn version(rows: &[Row]) -> Option<String> {
    rows.first()?.values().next().cloned()
}

/// The answer to SHOW CONFIG, by name (PgBouncer manual, "SHOW CONFIG"; PgDog calls the key a name).
fn settings(rows: &[Row]) -> Row {
    let key = |row: &Row| row.get("key").or_else(|| row.get("name")).cloned();
    let pair = |row: &Row| Some((key(row)?, row.get("value")?.clone()));
    rows.iter().filter_map(pair).collect()
}
