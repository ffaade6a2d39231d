//! A PgBouncer before the private Postgres.

use std::path::Path;

use super::daemon::{Account, Daemon, Ending, connect, free_port};
use super::postgres::{DATABASE, Postgres, USER};
use crate::cores::Cores;

/// The same database with a server connection for each client: for prepared statements, which
/// PgBouncer before 1.21 can't pool by transaction.
pub(crate) const BY_SESSION: &str = "bench_session";

/// Server connections of the pool by transaction, PgBouncer's own default.
const POOL_SIZE: u32 = 20;
/// And by session: as many as there are clients.
const SESSION_POOL_SIZE: u32 = 300;

/// A running PgBouncer.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    _daemon: Daemon,
    pub(crate) port: u16,
}

impl PgBouncer {
    /// Starts one. Its files lie in `folder`.
    pub(crate) fn start(postgres: &Postgres, folder: &Path, cores: Cores) -> Result<Self, String> {
        let folder = folder.join("pgbouncer");
        Account::Servers.folder(&folder)?;
        let port = free_port()?;
        let file = folder.join("pgbouncer.ini");
        let users = folder.join("userlist.txt");
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text).map_err(|error| format!("pgbouncer: {error}"))
        };
        write(&users, &format!("\"{USER}\" \"\"\n"))?;
        write(&file, &ini(port, postgres.port, &users))?;
        let arguments = [file.display().to_string()];
        let (ending, account) = (Ending::Terminate, Account::Servers);
        let mut daemon = Daemon::start("pgbouncer", &arguments, &folder, ending, cores, account)?;
        daemon.wait(&folder, || connect(port))?;
        Ok(Self { _daemon: daemon, port })
    }
}

fn ini(port: u16, postgres: u16, users: &Path) -> String {
    let server = format!("host=127.0.0.1 port={postgres} dbname={DATABASE}");
    format!(
        "[databases]\n\
         {DATABASE} = {server} pool_mode=transaction pool_size={POOL_SIZE}\n\
         {BY_SESSION} = {server} pool_mode=session pool_size={SESSION_POOL_SIZE}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         listen_backlog = 1024\n\
         unix_socket_dir =\n\
         max_client_conn = 1000\n\
         auth_type = trust\n\
         auth_file = {}\n\
         client_tls_sslmode = disable\n\
         server_tls_sslmode = disable\n\
         server_idle_timeout = 5\n\
         log_connections = 0\n\
         log_disconnections = 0\n\
         log_stats = 0\n",
        users.display()
    )
}
