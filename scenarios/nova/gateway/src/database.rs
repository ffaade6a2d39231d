//! The pool of connections, and one method per statement.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, Status, TimeoutType,
};
use futures_util::future::try_join_all;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::metrics::Metrics;
use crate::model::{Content, Credentials, User};
use crate::statements;

/// After this long without a free connection a request is given up.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
/// After this long an attempt to connect is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the database did not answer. The text goes to the client: it holds no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// Postgres or PgBouncer said no.
    #[error("database error {code}: {message}")]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// The primary message; detail and hint, which quote data, are left out.
        message: String,
    },
    /// The connection could not be made, or broke.
    #[error("database connection failed")]
    Connection(#[source] tokio_postgres::Error),
    /// All connections were in use for too long.
    #[error("no database connection free within {} s", WAIT_TIMEOUT.as_secs())]
    Busy,
    /// A new connection took too long.
    #[error("no database connection made within {} s", CONNECT_TIMEOUT.as_secs())]
    Slow,
    /// The pool itself failed.
    #[error("database pool failed")]
    Pool(#[source] PoolError),
}

/// Why the database cannot be used at all; for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// `--database` does not parse.
    #[error("--database is not a connection string")]
    Conninfo(#[source] tokio_postgres::Error),
    /// `--database-root-cert` can't be used.
    #[error("--database-root-cert {}: {problem}", .path.display())]
    RootCert {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// `--database` parses but cannot make a pool.
    #[error("cannot build the connection pool")]
    Build(#[from] deadpool_postgres::BuildError),
    /// A connection could not be opened.
    #[error("cannot open {connections} connections to the database")]
    Open {
        /// How many were wanted.
        connections: usize,
        /// What went wrong with the first that failed.
        source: DatabaseError,
    },
}

tokio::task_local! {
    /// How long the request that a task answers has waited for the database.
    static TIME: Cell<Duration>;
}

/// What the future comes to, and how long its statements took, one after the other.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let timed = async { (future.await, TIME.with(Cell::get)) };
    TIME.scope(Cell::default(), timed).await
}

/// TLS to a server whose certificate one in `path` has signed.
fn tls(path: &Path) -> Result<MakeRustlsConnect, StartError> {
    let problem = |problem: String| StartError::RootCert { path: path.to_owned(), problem };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| problem(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| problem(error.to_string()))?;
        roots.add(certificate).map_err(|error| problem(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// A pool of connections. Cheap to clone; clones share it.
#[derive(Clone)]
pub(crate) struct Database {
    pool: Pool,
    metrics: Arc<Metrics>,
}

impl Database {
    /// A pool of at most `size` connections, none of them open yet.
    pub(crate) fn new(
        conninfo: &str,
        root_cert: Option<&Path>,
        size: usize,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let config: Config = conninfo.parse().map_err(StartError::Conninfo)?;
        // Fast: a connection is reused without a query that would spoil the count of statements.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match root_cert {
            Some(path) => Manager::from_config(config, tls(path)?, recycling),
            None => Manager::from_config(config, NoTls, recycling),
        };
        let pool = Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(WAIT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self { pool, metrics })
    }

    /// Opens every connection, so that none opens in the middle of a measurement.
    pub(crate) async fn fill(&self) -> Result<(), StartError> {
        let connections = self.pool.status().max_size;
        match try_join_all((0..connections).map(|_| self.pool.get())).await {
            Ok(_) => Ok(()),
            Err(error) => Err(StartError::Open { connections, source: error.into() }),
        }
    }

    /// How many connections are open, idle and waited for.
    pub(crate) fn status(&self) -> Status {
        self.pool.status()
    }

    /// The newest contents.
    pub(crate) async fn feed(&self, limit: i64) -> Result<Vec<Content>, DatabaseError> {
        let rows = self.rows(statements::FEED, &[(&limit, Type::INT8)]).await?;
        Ok(rows.iter().map(Content::from).collect())
    }

    /// A user with their profile.
    pub(crate) async fn user(&self, id: i64) -> Result<Option<User>, DatabaseError> {
        let rows = self.rows(statements::USER, &[(&id, Type::INT8)]).await?;
        Ok(rows.first().map(User::from))
    }

    /// A content.
    pub(crate) async fn content(&self, id: i64) -> Result<Option<Content>, DatabaseError> {
        let rows = self.rows(statements::CONTENT, &[(&id, Type::INT8)]).await?;
        Ok(rows.first().map(Content::from))
    }

    /// The newest contents that hold all words of `query`.
    pub(crate) async fn search_content(
        &self,
        query: &str,
        limit: i64,
    ) -> Result<Vec<Content>, DatabaseError> {
        let parameters = [(&query as _, Type::TEXT), (&limit as _, Type::INT8)];
        let rows = self.rows(statements::SEARCH_CONTENT, &parameters).await?;
        Ok(rows.iter().map(Content::from).collect())
    }

    /// Stores a new content and returns it; None if the database returned no row.
    pub(crate) async fn create_content(
        &self,
        author_id: i64,
        title: &str,
        body: &str,
    ) -> Result<Option<Content>, DatabaseError> {
        let parameters =
            [(&author_id as _, Type::INT8), (&title as _, Type::TEXT), (&body as _, Type::TEXT)];
        let rows = self.rows(statements::CREATE_CONTENT, &parameters).await?;
        Ok(rows.first().map(Content::from))
    }

    /// What is needed to check a user's password.
    pub(crate) async fn credentials(
        &self,
        username: &str,
    ) -> Result<Option<Credentials>, DatabaseError> {
        let rows = self.rows(statements::LOGIN, &[(&username, Type::TEXT)]).await?;
        Ok(rows.first().map(Credentials::from))
    }

    /// Sends one unnamed statement with typed parameters: one round trip, nothing prepared, so it
    /// passes a pooler in transaction mode.
    async fn rows(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, DatabaseError> {
        let client = self.pool.get().await?;
        self.metrics.statements.increment();
        let started = Instant::now();
        let rows = client.query_typed(statement, parameters).await;
        // Outside of a request nobody asks.
        let _ = TIME.try_with(|time| time.set(time.get() + started.elapsed()));
        Ok(rows?)
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refusal) => Self::Refused {
                code: refusal.code().code().to_owned(),
                message: refusal.message().to_owned(),
            },
            None => Self::Connection(error),
        }
    }
}

impl From<PoolError> for DatabaseError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(TimeoutType::Wait) => Self::Busy,
            PoolError::Timeout(TimeoutType::Create) => Self::Slow,
            other => Self::Pool(other),
        }
    }
}
