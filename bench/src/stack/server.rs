//! One server process while it starts.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::account::Account;
use super::error::StackError;
use super::folder::{self, Folder};
use crate::interrupt;

/// How often a starting server is looked at.
const TURN: Duration = Duration::from_millis(10);

/// How many of its last lines an error shows.
const LAST_LINES: usize = 12;

/// What the servers get of our environment. All else (PGPORT, PGDATA ..) could lead them astray.
const ENVIRONMENT: [&str; 3] = ["PATH", "TZ", "LD_LIBRARY_PATH"];

/// A program that was started in the stack's `run` folder.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `program`; `set` adds its arguments and environment. Its output goes to `<name>.log`.
    ///
    /// It gets a process group of its own, so that a Ctrl-C in the terminal reaches us alone, and is
    /// run by the servers' user if `account` is given.
    pub(crate) fn spawn(
        name: &'static str,
        program: &Path,
        folder: &Folder,
        account: Option<&Account>,
        set: impl FnOnce(&mut Command),
    ) -> Result<Self, StackError> {
        interrupt::check()?;
        let log = folder.path().join(format!("{name}.log"));
        let output = folder::create_private(&log)?;
        let errors = output.try_clone().map_err(StackError::file("open", &log))?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
        command.current_dir(folder.run()).process_group(0);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        if let Some(account) = account {
            account.apply(&mut command);
        }
        set(&mut command);
        let child = command.spawn().map_err(|source| StackError::Spawn { name, source })?;
        Ok(Self { name, child, log })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Where that is.
    pub(crate) fn log_path(&self) -> &Path {
        &self.log
    }

    /// Waits until `probe` gives something. `Ok(None)` and `Err(why)` both mean not yet.
    pub(crate) fn wait_ready<T>(
        &mut self,
        port: u16,
        patience: Duration,
        mut probe: impl FnMut(&Self) -> Result<Option<T>, String>,
    ) -> Result<T, StackError> {
        let started = Instant::now();
        let mut why = String::new();
        loop {
            let status = self.ended()?;
            // PgBouncer goes on without the port, and then another program answers there.
            if says_port_is_taken(&self.log()) {
                self.end_after_clash();
                return Err(StackError::PortTaken { name: self.name, port });
            }
            if let Some(status) = status {
                return Err(self.early_end(status));
            }
            match probe(self) {
                Ok(Some(ready)) => return Ok(ready),
                Ok(None) => {}
                Err(reason) => why = reason,
            }
            if started.elapsed() > patience {
                let log = last_words(&self.log);
                return Err(StackError::NotReady { name: self.name, waited: patience, why, log });
            }
            interrupt::sleep(TURN)?;
        }
    }

    /// Waits until it has ended, and well.
    pub(crate) fn wait_success(&mut self, patience: Duration) -> Result<(), StackError> {
        let started = Instant::now();
        loop {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.early_end(status)),
                None if started.elapsed() > patience => {
                    let (why, log) = (String::new(), last_words(&self.log));
                    return Err(StackError::NotReady {
                        name: self.name,
                        waited: patience,
                        why,
                        log,
                    });
                }
                None => interrupt::sleep(TURN)?,
            }
        }
    }

    /// Frees the entry in the process table if the process has ended; never waits.
    pub(crate) fn reap(&mut self) {
        let _ = self.child.try_wait();
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, StackError> {
        self.child.try_wait().map_err(|source| StackError::Spawn { name: self.name, source })
    }

    fn early_end(&self, status: ExitStatus) -> StackError {
        let status = match status.signal() {
            Some(signal) => format!("killed by signal {signal}"),
            None => status.to_string(),
        };
        StackError::Died { name: self.name, status, log: last_words(&self.log) }
    }

    /// Lets it end by itself, as Postgres does, and ends it if it does not. It has served nobody yet.
    fn end_after_clash(&mut self) {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(300) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(TURN);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn says_port_is_taken(log: &str) -> bool {
    log.to_ascii_lowercase().contains("address already in use")
}

fn read(log: &Path) -> String {
    fs::read(log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
}

/// The last lines of a log, for an error.
pub(crate) fn last_words(log: &Path) -> String {
    let log = read(log);
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    let lines: Vec<String> = lines[from..].iter().map(|line| format!("    {line}")).collect();
    if lines.is_empty() { "    (nothing)".into() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn check(script: &str, patience: Duration, expected: impl Fn(&StackError) -> bool) {
        let temporary = tempfile::tempdir().unwrap();
        let account = Account::current().unwrap();
        let folder = Folder::create(temporary.path(), &account).unwrap();
        let mut server = Server::spawn("it", Path::new("/bin/sh"), &folder, None, |command| {
            command.args(["-c", script]);
        })
        .unwrap();
        let error = server.wait_ready(7, patience, |_| Ok(None::<()>)).unwrap_err();
        assert!(expected(&error), "{error:?}");
        super::super::processes::stop(folder.path()).unwrap();
        server.reap();
        assert!(server.child.try_wait().unwrap().is_some());
    }

    #[test]
    fn every_way_not_to_become_ready_has_its_error() {
        check("echo one; echo two >&2; exit 3", LONG, |error| match error {
            StackError::Died { status, log, .. } => {
                status.ends_with('3') && log == "    one\n    two"
            }
            _ => false,
        });
        check("kill -9 $$", LONG, |error| match error {
            StackError::Died { status, log, .. } => {
                status == "killed by signal 9" && log.contains("nothing")
            }
            _ => false,
        });
        check("exec sleep 60", Duration::from_millis(500), |error| {
            matches!(error, StackError::NotReady { .. })
        });
        let clash = "echo 'bind(): Address already in use'";
        for rest in ["exit 1", "exec sleep 60"] {
            check(&format!("{clash}; {rest}"), LONG, |error| {
                matches!(error, StackError::PortTaken { port: 7, .. })
            });
        }
    }

    #[test]
    fn the_environment_is_not_handed_down() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::create(temporary.path(), &Account::current().unwrap()).unwrap();
        let mut server =
            Server::spawn("env", Path::new("/usr/bin/env"), &folder, None, |_| {}).unwrap();
        server.wait_success(Duration::from_secs(5)).unwrap();
        let known = |line: &str| ENVIRONMENT.iter().any(|key| line.starts_with(&format!("{key}=")));
        assert!(server.log().lines().all(known), "{}", server.log());
    }
}
