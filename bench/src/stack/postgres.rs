//! The stack's own Postgres.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;

use super::account::Account;
use super::conninfo::Conninfo;
use super::error::StackError;
use super::folder::Folder;
use super::login::Login;
use super::programs::Programs;
use super::secrets::Secrets;
use super::server::{Server, last_words};
use super::template;
use crate::conninfo::with_sources;
use crate::interrupt;

const CONF: &str = include_str!("postgresql.conf");
const HBA: &str = include_str!("pg_hba.conf");
const SCHEMA: &str = include_str!("../../../scenarios/nova/schema.sql");
const SEED: &str = include_str!("../../../scenarios/nova/seed.sql");

/// How initdb gets the superuser's password.
const PASSWORD_FILE: &str = "superuser";

const INITDB_PATIENCE: Duration = Duration::from_secs(60);
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// A hundred times what filling takes.
const SEED_PATIENCE_PER_CONTENT: Duration = Duration::from_millis(3);

/// Starts making the data folder. It is done when the returned program has ended.
pub(crate) fn initdb(
    programs: &Programs,
    folder: &Folder,
    account: &Account,
    secrets: &Secrets,
) -> Result<Server, StackError> {
    let password_file = folder.write_for_servers(PASSWORD_FILE, &secrets.postgres, account)?;
    Server::spawn("initdb", &programs.initdb, folder, Some(account), |command| {
        command
            .args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres"])
            .args(["--auth=scram-sha-256", "--pwfile"])
            .arg(password_file)
            .arg("--pgdata")
            .arg(folder.data());
    })
}

/// Waits for [`initdb`]'s program.
pub(crate) fn wait_initdb(initdb: &mut Server, folder: &Folder) -> Result<(), StackError> {
    initdb.wait_success(INITDB_PATIENCE)?;
    let password_file = folder.run().join(PASSWORD_FILE);
    fs::remove_file(&password_file).map_err(StackError::file("remove", &password_file))
}

/// Starts the server on `port`.
pub(crate) fn spawn(
    programs: &Programs,
    folder: &Folder,
    account: &Account,
    tls: bool,
    port: u16,
) -> Result<Server, StackError> {
    let (run, number) = (folder.run().display().to_string(), port.to_string());
    let (ssl, host) = if tls { ("on", "hostssl") } else { ("off", "host   ") };
    let values = [("folder", run.as_str()), ("port", &number), ("ssl", ssl)];
    let conf = template::fill("postgresql.conf", CONF, &values)?;
    let conf = folder.write_for_servers("postgresql.conf", &conf, account)?;
    let hba = template::fill("pg_hba.conf", HBA, &[("host", host)])?;
    let hba = folder.write_for_servers("pg_hba.conf", &hba, account)?;
    let set = |name: &str, path: &Path| format!("--{name}={}", path.display());
    Server::spawn("postgres", &programs.postgres, folder, Some(account), |command| {
        command
            .arg("-D")
            .arg(folder.data())
            .arg(set("config_file", &conf))
            .arg(set("hba_file", &hba));
    })
}

/// Waits until the superuser can log in.
pub(crate) fn wait_ready(server: &mut Server, superuser: &Conninfo) -> Result<Client, StackError> {
    let mut login = Login::new(superuser);
    server.wait_ready(superuser.port, READY_PATIENCE, |_| login.poll())
}

/// Creates the roles and the database, with no table yet. `log` is the server's, for an error.
pub(crate) fn create_database(
    client: &mut Client,
    secrets: &Secrets,
    log: &Path,
) -> Result<(), StackError> {
    let (nova, observer) = (&secrets.nova, &secrets.observer);
    let steps = [
        ("create the role nova", format!("CREATE ROLE nova LOGIN PASSWORD '{nova}'")),
        (
            "create the role observer",
            format!("CREATE ROLE observer LOGIN PASSWORD '{observer}' IN ROLE pg_monitor"),
        ),
        ("create the database nova", "CREATE DATABASE nova OWNER nova".into()),
    ];
    for (step, statement) in steps {
        interrupt::check()?;
        client.batch_execute(&statement).map_err(setup_error(step, log))?;
    }
    Ok(())
}

/// Filling the database, which goes on beside other work.
#[derive(Debug)]
pub(crate) struct Seeding {
    result: Receiver<Result<Duration, StackError>>,
    patience: Duration,
    log: PathBuf,
}

impl Seeding {
    /// Starts to create and fill the tables as the role they will belong to. `log` is the server's.
    pub(crate) fn start(nova: Conninfo, contents: u32, log: &Path) -> Self {
        let (sender, result) = mpsc::channel();
        let log = log.to_path_buf();
        let patience = READY_PATIENCE + SEED_PATIENCE_PER_CONTENT * contents;
        let seeding = Self { result, patience, log: log.clone() };
        thread::spawn(move || {
            // Nobody listens any more if the start has failed elsewhere; then Postgres is stopped, and
            // that ends the statement.
            let _ = sender.send(seed(&nova, contents, &log));
        });
        seeding
    }

    /// Waits for it and says how long it took.
    pub(crate) fn wait(self) -> Result<Duration, StackError> {
        let started = Instant::now();
        while started.elapsed() < self.patience {
            match self.result.recv_timeout(Duration::from_millis(10)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => interrupt::check()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Err(StackError::NotReady {
            name: "postgres",
            waited: self.patience,
            why: "it was filling its tables".into(),
            log: last_words(&self.log),
        })
    }
}

fn seed(nova: &Conninfo, contents: u32, log: &Path) -> Result<Duration, StackError> {
    let started = Instant::now();
    let mut client = nova.connect().map_err(|why| StackError::Setup {
        step: "log in as nova",
        why,
        log: last_words(log),
    })?;
    let schema = client.batch_execute(SCHEMA);
    schema.map_err(setup_error("create the tables (schema.sql)", log))?;
    let seed = client.batch_execute(&format!("SET nova.contents = {contents};\n{SEED}"));
    seed.map_err(setup_error("fill the tables (seed.sql)", log))?;
    Ok(started.elapsed())
}

fn setup_error(step: &'static str, log: &Path) -> impl FnOnce(postgres::Error) -> StackError {
    move |error| StackError::Setup { step, why: with_sources(&error), log: last_words(log) }
}
