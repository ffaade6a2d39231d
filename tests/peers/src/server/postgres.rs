//! A private Postgres with pgbench's tables.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::daemon::{Account, Daemon, Ending, free_port};
use crate::cores::Cores;
use crate::programs;

/// Whom the load logs in as: no superuser, so that it may do so without a password.
pub(crate) const USER: &str = "bench";
/// Who proves a password by SCRAM-SHA-256, Postgres' default.
pub(crate) const SCRAM_USER: &str = "bench_scram";
/// Its password; nothing but this server, on loopback for minutes, takes it.
pub(crate) const PASSWORD: &str = "bench";
/// Where pgbench's tables are.
pub(crate) const DATABASE: &str = "bench";
/// Rows of pgbench_accounts at scale 1.
pub(crate) const ACCOUNTS: u32 = 100_000;

/// The superuser by its socket alone, checked by the kernel; the load by loopback, without SCRAM,
/// whose hashing would be most of a short run's CPU, unless that is what is measured.
const HBA: &str = "local all all peer\n\
                   host bench bench 127.0.0.1/32 trust\n\
                   host bench bench_scram 127.0.0.1/32 scram-sha-256\n";

/// Enough for both ways of 256 connections.
const CONNECTIONS_MAX: u32 = 600;

/// A running Postgres.
#[derive(Debug)]
pub(crate) struct Postgres {
    _daemon: Daemon,
    pub(crate) port: u16,
}

impl Postgres {
    /// Makes a cluster in `folder`, starts it and fills pgbench's tables.
    pub(crate) fn start(folder: &Path, cores: Cores) -> Result<Self, String> {
        let folder = folder.join("postgres");
        // Another experiment's, if there was one: its server has ended.
        let _ = std::fs::remove_dir_all(&folder);
        Account::Servers.folder(&folder)?;
        let data = folder.join("data");
        let mut initdb = Account::Servers.command(&programs::find("initdb")?, None);
        initdb.args(["--no-sync", "--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8"]);
        initdb.arg("--pgdata").arg(&data).current_dir(&folder);
        succeed("initdb", &mut initdb)?;
        std::fs::write(data.join("pg_hba.conf"), HBA).map_err(|error| error.to_string())?;
        let port = free_port()?;
        let arguments = arguments(port, &folder, &data);
        let (ending, account) = (Ending::Quit, Account::Servers);
        let mut daemon = Daemon::start("postgres", &arguments, &folder, ending, cores, account)?;
        daemon.wait(&folder, || psql(&folder, port, "SELECT 1"))?;
        psql(&folder, port, &format!("CREATE ROLE {USER} LOGIN"))?;
        psql(&folder, port, &format!("CREATE ROLE {SCRAM_USER} LOGIN PASSWORD '{PASSWORD}'"))?;
        psql(&folder, port, &format!("CREATE DATABASE {DATABASE} OWNER {USER}"))?;
        let mut pgbench = Command::new(programs::find("pgbench")?);
        pgbench.args(["--initialize", "--quiet", "--host=127.0.0.1"]);
        pgbench.arg(format!("--port={port}")).arg(format!("--username={USER}")).arg(DATABASE);
        succeed("pgbench --initialize", &mut pgbench)?;
        Ok(Self { _daemon: daemon, port })
    }
}

fn arguments(port: u16, folder: &Path, data: &Path) -> Vec<String> {
    let settings = [
        ("listen_addresses", "127.0.0.1".into()),
        ("port", port.to_string()),
        ("unix_socket_directories", folder.display().to_string()),
        ("max_connections", CONNECTIONS_MAX.to_string()),
        ("shared_buffers", "256MB".into()),
        // The data is thrown away, and nothing but the load may take the core.
        ("fsync", "off".into()),
        ("autovacuum", "off".into()),
        ("jit", "off".into()),
    ];
    let settings =
        settings.into_iter().flat_map(|(name, value)| ["-c".into(), format!("{name}={value}")]);
    ["-D".into(), data.display().to_string()].into_iter().chain(settings).collect()
}

/// As superuser, by the socket.
fn psql(folder: &Path, port: u16, statement: &str) -> Result<(), String> {
    let program: PathBuf = programs::find("psql")?;
    let mut command = Account::Servers.command(&program, None);
    command.args(["--no-psqlrc", "--quiet", "--host"]).arg(folder).arg(format!("--port={port}"));
    command.args(["--dbname=postgres", "--command", statement]).current_dir(folder);
    succeed("psql", &mut command)
}

fn succeed(name: &str, command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("").to_owned();
    Err(format!("{name} failed: {words}"))
}
