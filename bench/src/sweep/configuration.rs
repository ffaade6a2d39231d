//! The pooler's settings, changed through its console and looked up again.

use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::grid::{Mode, Setting};
use crate::conninfo::Conninfo;
use crate::interrupt;
use crate::observe::Pooler;
use crate::rig::RigError;
use crate::scenario::Scenario;

/// What is in effect for the load's database (PgBouncer manual, "SHOW CONFIG", "SHOW DATABASES").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) pool_mode: String,
    pub(crate) pool_size: u32,
    pub(crate) max_db_connections: u32,
    pub(crate) reserve_pool_size: u32,
    pub(crate) max_client_conn: u32,
}

/// The console of the pooler that is swept. Dropped, it gives the settings back.
pub(super) struct Control {
    pooler: Pooler,
    /// The name that clients ask for.
    database: String,
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
    pub(super) fn open(scenario: &Scenario, target: &str) -> Result<Self, RigError> {
        let file = scenario.target(target)?;
        let console = file.consoles.first().ok_or_else(|| {
            RigError::Target(format!(
                "targets.{target} has no console: a sweep changes the pooler's settings there; add \
                 console = \"host=… dbname=pgbouncer user=…\" of one of its admin_users"
            ))
        })?;
        let conninfo = file.conninfo.as_deref().and_then(|text| Conninfo::parse(text).ok());
        let database = conninfo.map(|conninfo| conninfo.database().to_owned()).unwrap_or_default();
        let mut pooler = Pooler::connect(console)?;
        let original = read(&mut pooler, &database)?;
        Ok(Self { pooler, database, original })
    }

    /// Sets what a cell needs, closes server connections of the cell before, and looks whether it
    /// took effect.
    pub(super) fn apply(
        &mut self,
        setting: &Setting,
        mode_command: Option<&str>,
    ) -> Result<Configuration, RigError> {
        let (Some(size), Some(mode)) = (setting.pool_size, setting.pool_mode) else {
            return self.read();
        };
        match mode_command {
            Some(command) => self.run(command, mode)?,
            None => self.set("pool_mode", mode.name())?,
        }
        self.set("default_pool_size", &size.to_string())?;
        self.set("reserve_pool_size", "0")?;
        // The size of the pool alone shall be the limit.
        self.set("max_db_connections", "0")?;
        let clients = setting.clients + SPARE_CLIENTS;
        if clients > self.original.max_client_conn {
            self.set("max_client_conn", &clients.to_string())?;
        }
        self.pooler.table("RECONNECT")?;
        self.settle()?;
        let found = self.read()?;
        let refused = |name: &str, wanted: &str, found: &str| {
            RigError::Target(format!(
                "{name} = {wanted} did not take effect at the pooler: SHOW DATABASES has {found} for \
                 {}; take {name} out of its [databases] entry",
                self.database
            ))
        };
        if found.pool_mode != mode.name() {
            return Err(refused("pool_mode", mode.name(), &found.pool_mode));
        }
        if found.pool_size != size {
            let (wanted, found) = (size.to_string(), found.pool_size.to_string());
            return Err(refused("pool_size", &wanted, &found));
        }
        Ok(found)
    }

    /// Waits until the clients of the cell before are gone: PgBouncer does not notice that one has
    /// left while it waits for a server connection.
    fn settle(&mut self) -> Result<(), RigError> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let rows = self.pooler.table("SHOW POOLS")?;
            let waiting = rows
                .iter()
                .filter_map(|row| row.get("cl_waiting")?.parse::<u64>().ok())
                .sum::<u64>();
            if waiting == 0 {
                break;
            }
            interrupt::sleep(TURN)?;
        }
        Ok(())
    }

    /// The console, to look through.
    pub(super) fn pooler(&mut self) -> &mut Pooler {
        &mut self.pooler
    }

    fn read(&mut self) -> Result<Configuration, RigError> {
        read(&mut self.pooler, &self.database)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), RigError> {
        self.pooler.table(&format!("SET {name} = '{value}'"))?;
        Ok(())
    }

    /// Has the user's command change the mode, and waits until the console shows it.
    fn run(&mut self, command: &str, mode: Mode) -> Result<(), RigError> {
        if self.read()?.pool_mode == mode.name() {
            return Ok(());
        }
        let status =
            Command::new("sh").args(["-c", command]).env("POOL_MODE", mode.name()).status();
        if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            let ended = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(RigError::Target(format!("--mode-command `{command}`: {ended}")));
        }
        let started = Instant::now();
        while self.read().is_ok_and(|found| found.pool_mode != mode.name()) {
            if started.elapsed() > PATIENCE {
                return Err(RigError::Target(format!(
                    "--mode-command `{command}` has run, and SHOW CONFIG does not have pool_mode = {}",
                    mode.name()
                )));
            }
            interrupt::sleep(TURN)?;
        }
        Ok(())
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let Configuration {
            pool_mode,
            pool_size,
            max_db_connections,
            reserve_pool_size,
            max_client_conn,
        } = self.original.clone();
        // Where the pooler is gone there is nothing to give back to.
        let _ = self.set("pool_mode", &pool_mode);
        let _ = self.set("default_pool_size", &pool_size.to_string());
        let _ = self.set("max_db_connections", &max_db_connections.to_string());
        let _ = self.set("reserve_pool_size", &reserve_pool_size.to_string());
        let _ = self.set("max_client_conn", &max_client_conn.to_string());
    }
}

fn read(pooler: &mut Pooler, database: &str) -> Result<Configuration, RigError> {
    let settings = pooler.settings()?;
    let databases = pooler.table("SHOW DATABASES")?;
    let row = databases.iter().find(|row| row.get("name").is_some_and(|name| name == database));
    let cell = |name: &str| row.and_then(|row| row.get(name)).filter(|cell| !cell.is_empty());
    let setting = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
    let number = |text: &str| text.parse().unwrap_or(0);
    Ok(Configuration {
        pool_mode: cell("pool_mode").map_or_else(|| setting("pool_mode").into(), Clone::clone),
        pool_size: number(cell("pool_size").map_or(setting("default_pool_size"), String::as_str)),
        max_db_connections: number(setting("max_db_connections")),
        reserve_pool_size: number(setting("reserve_pool_size")),
        max_client_conn: number(setting("max_client_conn")),
    })
}
