//! A private stack to measure: Postgres, PgBouncer before it, a gateway before that and another one
//! straight on Postgres.
//!
//! All of it lies in one folder below `$TMPDIR` or `/tmp` and listens on loopback ports that were free; no
//! server of the machine is touched and nothing is installed. Whatever was started is stopped, and its
//! folder removed: when the [`Stack`] is dropped, be it after success, an error or a signal; and after a
//! `kill -9`, by the next command that starts or stops a stack (see [`home`]).

mod account;
mod certificate;
mod conninfo;
mod error;
mod folder;
mod gateway;
mod home;
mod info;
mod login;
mod options;
mod pgbouncer;
mod ports;
mod postgres;
mod processes;
mod programs;
mod running;
mod secrets;
mod server;
mod template;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::interrupt;
use account::Account;
pub(crate) use error::StackError;
use home::{Home, Persistent};
pub(crate) use info::StackInfo;
pub(crate) use options::Options;
use programs::Programs;
use running::Running;

/// How long another command may take to start or stop the stack that outlives it.
const BUSY_PATIENCE: Duration = Duration::from_secs(120);

/// A running stack that belongs to this command. Dropping it stops all servers and removes their folder.
#[derive(Debug)]
pub(crate) struct Stack {
    running: Running,
    info: StackInfo,
}

/// What [`up`] found or did.
#[derive(Debug)]
pub(crate) enum Up {
    /// It was up already.
    Already(StackInfo),
    /// It has been started.
    Started(StackInfo),
}

impl Stack {
    /// Starts a stack of this command's own; `say` gets a line of progress now and then.
    ///
    /// Call [`interrupt::install`] before, so that a signal makes this return an error instead of
    /// ending the process with servers left behind.
    pub(crate) fn start(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Self, StackError> {
        let account = Account::current()?;
        let programs = Programs::find()?;
        let home = Home::create(account)?;
        home.sweep(say)?;
        let running = Running::new(home.new_folder()?);
        drop(home);
        Self::launch(running, &programs, &account, options, say)
    }

    /// Where everything is.
    pub(crate) fn info(&self) -> &StackInfo {
        &self.info
    }

    /// Stops all servers and removes their folder, as dropping does, and says what went wrong.
    pub(crate) fn stop(mut self) -> Result<(), StackError> {
        self.running.stop()
    }

    /// Leaves the stack running after this command's end.
    fn keep(self) -> Result<StackInfo, StackError> {
        let Self { running, info } = self;
        running.keep(&info)?;
        Ok(info)
    }

    fn launch(
        mut running: Running,
        programs: &Programs,
        account: &Account,
        options: &Options,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, StackError> {
        let started = Instant::now();
        let info = running.launch(programs, account, options, say)?;
        say(&format!("stack ready in {:.1} s", started.elapsed().as_secs_f64()));
        Ok(Self { running, info })
    }
}

/// Makes sure that the stack that outlives its command is up.
pub(crate) fn up(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Up, StackError> {
    let account = Account::current()?;
    let programs = Programs::find()?;
    let started = Instant::now();
    loop {
        let home = Home::create(account)?;
        home.sweep(say)?;
        match home.persistent()? {
            Persistent::Busy(path) => {
                drop(home);
                wait_for_other(path, started)?;
            }
            Persistent::Recorded(folder, text) => {
                match StackInfo::parse(&text) {
                    Some(info) if info.missing().is_empty() => return Ok(Up::Already(info)),
                    Some(info) => {
                        let missing = info.missing().join(" and ");
                        say(&format!(
                            "the stack that was up has lost its {missing}: starting anew"
                        ));
                    }
                    None => say("the stack that was up is of another version: starting anew"),
                }
                Running::new(folder).stop()?;
            }
            Persistent::None => {
                let folder = home.new_folder()?;
                let marked = folder.mark_persistent();
                let running = Running::new(folder);
                drop(home);
                marked?;
                let stack = Stack::launch(running, &programs, &account, options, say)?;
                return stack.keep().map(Up::Started);
            }
        }
    }
}

/// Stops the stack that outlives its command, and says where it was. None if there was none.
pub(crate) fn down(say: &mut dyn FnMut(&str)) -> Result<Option<PathBuf>, StackError> {
    let account = Account::current()?;
    let started = Instant::now();
    loop {
        let Some(home) = Home::existing(account)? else { return Ok(None) };
        home.sweep(say)?;
        match home.persistent()? {
            Persistent::None => return Ok(None),
            Persistent::Busy(path) => {
                drop(home);
                wait_for_other(path, started)?;
            }
            Persistent::Recorded(folder, _) => {
                let path = folder.path().to_path_buf();
                drop(home);
                Running::new(folder).stop()?;
                return Ok(Some(path));
            }
        }
    }
}

/// The stack that [`up`] started, if there is one. Some of its servers may have ended meanwhile: see
/// [`StackInfo::missing`].
pub(crate) fn attach() -> Result<Option<StackInfo>, StackError> {
    let Some(home) = Home::existing(Account::current()?)? else { return Ok(None) };
    match home.persistent()? {
        Persistent::Recorded(_, text) => Ok(StackInfo::parse(&text)),
        Persistent::Busy(_) | Persistent::None => Ok(None),
    }
}

fn wait_for_other(path: PathBuf, started: Instant) -> Result<(), StackError> {
    if started.elapsed() > BUSY_PATIENCE {
        return Err(StackError::Busy { path, waited: BUSY_PATIENCE });
    }
    Ok(interrupt::sleep(Duration::from_millis(100))?)
}
