//! The pooler's settings, changed through its console and looked up again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use engine::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

use super::grid::{Mode, Setting};
use super::ini;
use crate::conninfo::Conninfo;
use crate::interrupt;
use crate::observe::{Aside, Login, ObserverThread, Pooler, Poolers, Row};
use crate::rig::RigError;
use crate::scenario::Scenario;

/// What is in effect for the load's database (PgBouncer manual, "SHOW CONFIG", "SHOW DATABASES").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) pool_mode: String,
    pub(crate) pool_size: u32,
    /// 0 for no limit.
    pub(crate) max_db_connections: u32,
    pub(crate) reserve_pool_size: u32,
    /// How long a client waits before the reserve is used.
    pub(crate) reserve_pool_timeout_ns: Nanos,
    pub(crate) max_client_conn: u32,
}

/// How the pooler's mode is changed. Everything else is set at its console.
#[derive(Debug, Clone)]
pub(crate) enum ModeChange {
    /// At its console too.
    Console,
    /// By its pgbouncer.ini and RELOAD, as whoever runs it would do it.
    Ini(PathBuf),
    /// By a command, which finds the mode in POOL_MODE.
    Command(String),
}

/// The console of the pooler that is swept. Dropped, it gives the settings back.
pub(super) struct Control {
    pooler: Login<Pooler>,
    conninfo: String,
    /// The name that clients ask for.
    database: String,
    mode_change: ModeChange,
    /// The ini as it was, once it has been changed.
    ini: Option<String>,
    /// As it was.
    pub(super) original: Configuration,
}

/// A command that changes the mode may restart the pooler: it is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);
const TURN: Duration = Duration::from_millis(50);
/// Clients beside the load's: the console's own, and those that have not quite gone.
const SPARE_CLIENTS: u32 = 20;

impl Control {
    /// Opens the console of the target called `target`.
    pub(super) fn open(
        scenario: &Scenario,
        target: &str,
        mode_change: ModeChange,
    ) -> Result<Self, RigError> {
        let file = scenario.target(target)?;
        let [console] = &file.consoles[..] else {
            return Err(RigError::Target(match file.consoles.len() {
                0 => format!(
                    "targets.{target} has no console: a sweep changes the pooler's settings there; \
                     add console = \"host=… dbname=pgbouncer user=…\" of one of its admin_users"
                ),
                count => format!(
                    "targets.{target} is {count} poolers behind one port: a sweep changes the \
                     settings of one; --poolers compares several"
                ),
            }));
        };
        let conninfo = file.conninfo.as_deref().and_then(|text| Conninfo::parse(text).ok());
        let database = conninfo.map(|conninfo| conninfo.database().to_owned()).unwrap_or_default();
        let mut pooler = Pooler::connect(console)?;
        let original = read(&mut pooler, &database)?;
        Ok(Self { pooler, conninfo: console.clone(), database, mode_change, ini: None, original })
    }

    /// Sets what a cell needs, closes server connections of the cell before, and looks whether it
    /// took effect.
    pub(super) fn apply(&mut self, setting: &Setting) -> Result<Configuration, RigError> {
        let (Some(size), Some(mode)) = (setting.pool_size, setting.pool_mode) else {
            return self.read();
        };
        let wanted = Configuration {
            pool_mode: mode.name().into(),
            pool_size: size,
            // The size of the pool alone shall be the limit.
            max_db_connections: 0,
            reserve_pool_size: 0,
            max_client_conn: self.original.max_client_conn.max(setting.clients + SPARE_CLIENTS),
            ..self.original.clone()
        };
        if self.read().is_err() {
            self.reopen()?;
        }
        // First, since RELOAD takes back what was set at the console.
        if self.read()?.pool_mode != wanted.pool_mode {
            self.change_mode(mode)?;
        }
        self.set(&wanted)?;
        self.command("RECONNECT")?;
        self.settle()?;
        let found = self.read()?;
        match difference(&wanted, &found) {
            None => Ok(found),
            Some((name, wanted, found)) => Err(RigError::Target(format!(
                "{name} = {wanted} did not take effect at the pooler: SHOW DATABASES has {found} for \
                 {}; take {name} out of its [databases] entry",
                self.database
            ))),
        }
    }

    fn change_mode(&mut self, mode: Mode) -> Result<(), RigError> {
        match self.mode_change.clone() {
            ModeChange::Console => self.set_one("pool_mode", mode.name()),
            ModeChange::Command(command) => self.run(&command, mode),
            ModeChange::Ini(path) => {
                let fault = |error| {
                    RigError::Target(format!(
                        "the stack's {} can't be changed: {error}",
                        path.display()
                    ))
                };
                let text = fs::read_to_string(&path).map_err(fault)?;
                fs::write(&path, ini::with(&text, "pool_mode", mode.name())).map_err(fault)?;
                self.ini.get_or_insert(text);
                self.command("RELOAD")
            }
        }
    }

    /// All but the mode.
    fn set(&mut self, wanted: &Configuration) -> Result<(), RigError> {
        self.set_one("default_pool_size", &wanted.pool_size.to_string())?;
        self.set_one("max_db_connections", &wanted.max_db_connections.to_string())?;
        self.set_one("reserve_pool_size", &wanted.reserve_pool_size.to_string())?;
        self.set_one("max_client_conn", &wanted.max_client_conn.to_string())
    }

    fn give_back(&mut self) -> Result<(), RigError> {
        if let (ModeChange::Ini(path), Some(text)) = (&self.mode_change, &self.ini) {
            // What the console says afterwards shows whether it was written.
            let _ = fs::write(path, text);
            self.command("RELOAD")?;
        }
        let original = self.original.clone();
        if self.read()?.pool_mode != original.pool_mode {
            let mode = Mode::named(&original.pool_mode);
            mode.map_or(Ok(()), |mode| self.change_mode(mode))?;
        }
        self.set(&original)
    }

    /// Waits until the clients of the cell before are gone: PgBouncer does not notice that one has
    /// left while it waits for a server connection.
    fn settle(&mut self) -> Result<(), RigError> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let pools = self.pooler.ask(Pooler::pools)?;
            if pools.cl_waiting.is_none_or(|waiting| waiting == 0) {
                break;
            }
            interrupt::sleep(TURN)?;
        }
        Ok(())
    }

    /// Another connection to the console, to look through while cells are measured. It is opened with
    /// the first question: the pooler may just have been started anew.
    pub(super) fn aside(&self, thread: &ObserverThread) -> Aside<Poolers> {
        Aside::of(thread, vec![self.conninfo.clone()])
    }

    fn read(&mut self) -> Result<Configuration, RigError> {
        read(&mut self.pooler, &self.database)
    }

    fn set_one(&mut self, name: &str, value: &str) -> Result<(), RigError> {
        self.command(&format!("SET {name} = '{value}'"))
    }

    fn command(&mut self, command: &str) -> Result<(), RigError> {
        self.pooler.ask(async |pooler| pooler.table(command).await)?;
        Ok(())
    }

    /// Has the user's command change the mode, and waits until the console shows it.
    fn run(&mut self, command: &str, mode: Mode) -> Result<(), RigError> {
        let status =
            Command::new("sh").args(["-c", command]).env("POOL_MODE", mode.name()).status();
        if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            let ended = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(RigError::Target(format!("--mode-command `{command}`: {ended}")));
        }
        let started = Instant::now();
        loop {
            match self.read() {
                Ok(found) if found.pool_mode == mode.name() => return Ok(()),
                Ok(_) => {}
                // It was started anew.
                Err(_) => self.reopen()?,
            }
            if started.elapsed() > PATIENCE {
                return Err(RigError::Target(format!(
                    "--mode-command `{command}` has run, and SHOW CONFIG does not have pool_mode = {}",
                    mode.name()
                )));
            }
            interrupt::sleep(TURN)?;
        }
    }

    /// Logs in again at the console of a pooler that was started anew, or is about to be.
    fn reopen(&mut self) -> Result<(), RigError> {
        let started = Instant::now();
        loop {
            match Pooler::connect(&self.conninfo) {
                Ok(pooler) => {
                    self.pooler = pooler;
                    return Ok(());
                }
                Err(error) if started.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => interrupt::sleep(TURN)?,
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Where the pooler is gone there is nothing to give back to.
        let _ = self.give_back();
    }
}

/// What is not as it should be: its name, and both values.
fn difference(
    wanted: &Configuration,
    found: &Configuration,
) -> Option<(&'static str, String, String)> {
    let numbers = |of: fn(&Configuration) -> u32| [of(wanted), of(found)].map(|n| n.to_string());
    let pairs = [
        ("pool_mode", [wanted.pool_mode.clone(), found.pool_mode.clone()]),
        ("pool_size", numbers(|one| one.pool_size)),
        ("max_db_connections", numbers(|one| one.max_db_connections)),
        ("reserve_pool_size", numbers(|one| one.reserve_pool_size)),
        ("max_client_conn", numbers(|one| one.max_client_conn)),
    ];
    let different = pairs.into_iter().find(|(_, [wanted, found])| wanted != found);
    different.map(|(name, [wanted, found])| (name, wanted, found))
}

fn read(pooler: &mut Login<Pooler>, database: &str) -> Result<Configuration, RigError> {
    let settings = pooler.ask(Pooler::settings)?.ok_or_else(|| {
        let problem = "the pooler's console has no SHOW CONFIG, by which a sweep makes sure that its \
                       settings took effect: a sweep needs PgBouncer's console";
        RigError::Target(problem.to_owned())
    })?;
    let databases = pooler.ask(async |pooler| pooler.table("SHOW DATABASES").await)?;
    let row = databases.iter().find(|row| row.get("name").is_some_and(|name| name == database));
    Ok(configuration(&settings, row))
}

/// From the answers to SHOW CONFIG and SHOW DATABASES, of which the second goes first: an entry of
/// `[databases]` can have settings of its own.
fn configuration(settings: &Row, database: Option<&Row>) -> Configuration {
    let setting = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
    let effective = |column: &str, name: &str| {
        let own = database.and_then(|row| row.get(column)).filter(|cell| !cell.is_empty());
        own.cloned().unwrap_or_else(|| setting(name).into())
    };
    let number = |text: &str| text.parse().unwrap_or(0);
    let timeout_s: f64 = setting("reserve_pool_timeout").parse().unwrap_or(0.0);
    // Newer versions have the longer name.
    let has_long = database.is_some_and(|row| row.contains_key("reserve_pool_size"));
    let reserve = if has_long { "reserve_pool_size" } else { "reserve_pool" };
    Configuration {
        pool_mode: effective("pool_mode", "pool_mode"),
        pool_size: number(&effective("pool_size", "default_pool_size")),
        max_db_connections: number(&effective("max_connections", "max_db_connections")),
        reserve_pool_size: number(&effective(reserve, "reserve_pool_size")),
        reserve_pool_timeout_ns: (timeout_s * SECOND as f64) as Nanos,
        max_client_conn: number(setting("max_client_conn")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, &str)]) -> Row {
        cells.iter().map(|(name, cell)| ((*name).into(), (*cell).into())).collect()
    }

    #[test]
    fn what_a_database_sets_for_itself_goes_before_the_rest() {
        let settings = row(&[
            ("pool_mode", "session"),
            ("default_pool_size", "20"),
            ("max_db_connections", "50"),
            ("reserve_pool_size", "3"),
            ("reserve_pool_timeout", "5.0"),
            ("max_client_conn", "100"),
        ]);
        let common = configuration(&settings, None);
        assert_eq!((common.pool_size, common.max_db_connections), (20, 50));
        assert_eq!(common.reserve_pool_timeout_ns, 5 * SECOND);
        // An empty pool_mode is none of its own.
        let own = [("pool_size", "7"), ("max_connections", "0"), ("pool_mode", "")];
        for reserve in ["reserve_pool", "reserve_pool_size"] {
            let database = row(&[&own[..], &[(reserve, "2")]].concat());
            let found = configuration(&settings, Some(&database));
            assert_eq!((found.pool_size, found.max_db_connections), (7, 0));
            assert_eq!((found.pool_mode.as_str(), found.reserve_pool_size), ("session", 2));
        }
        assert_eq!(difference(&common, &common), None);
        let other = Configuration { max_db_connections: 0, ..common.clone() };
        let expected = ("max_db_connections", "0".to_owned(), "50".to_owned());
        assert_eq!(difference(&other, &common), Some(expected));
    }
}
