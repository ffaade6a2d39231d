//! A server program that runs until its value is dropped.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User};
use rustix::process::{Pid, Signal, kill_process};

use crate::cores::Cores;
use crate::programs;

/// A running server.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    ending: Ending,
}

/// What ends a server without further ado.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// Postgres would wait for its clients otherwise.
    Quit,
    Terminate,
}

impl Ending {
    fn signal(self) -> Signal {
        match self {
            Self::Quit => Signal::QUIT,
            Self::Terminate => Signal::TERM,
        }
    }

    /// As setpriv knows it.
    fn name(self) -> &'static str {
        match self {
            Self::Quit => "QUIT",
            Self::Terminate => "TERM",
        }
    }
}

/// How long a server may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_millis(10);

/// Postgres and PgBouncer refuse to run as root; Debian's package brings this user.
const SERVER_USER: &str = "postgres";

impl Daemon {
    /// Starts `name` on the servers' core, with its output in `folder`. `ending` ends it, also where
    /// this process is killed.
    pub(crate) fn start(
        name: &'static str,
        arguments: &[String],
        folder: &Path,
        ending: Ending,
        cores: Cores,
        account: Account,
    ) -> Result<Self, String> {
        let log = File::create(folder.join(format!("{name}.log")));
        let log = log.map_err(|error| format!("{name}: {error}"))?;
        let mut command = account.command(&programs::find(name)?, Some(ending));
        let errors = log.try_clone().map_err(|error| format!("{name}: {error}"))?;
        // A group of its own: Ctrl-C is for us, and we end it.
        command.args(arguments).current_dir(folder).process_group(0);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let started = cores.to_server().and_then(|()| command.spawn());
        let back = cores.to_client();
        let child = started.map_err(|error| format!("{name}: {error}"))?;
        let daemon = Self { name, child, ending };
        back.map_err(|error| error.to_string()).map(|()| daemon)
    }

    /// Waits until `probe` succeeds; what it says last is in the error.
    pub(crate) fn wait(
        &mut self,
        folder: &Path,
        mut probe: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let Err(why) = probe() else { return Ok(()) };
            let ended = !matches!(self.child.try_wait(), Ok(None));
            if ended || started.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(folder.join(format!("{}.log", self.name)));
                let last = log.unwrap_or_default().lines().last().unwrap_or(&why).to_owned();
                return Err(format!("{} did not start: {last}", self.name));
            }
            sleep(TURN);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Not after it has ended: another process may have its pid.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.child), self.ending.signal());
        }
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if started.elapsed() > PATIENCE {
                let _ = self.child.kill();
            }
            sleep(TURN);
        }
    }
}

/// Whom a program runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    Ourselves,
    /// [`SERVER_USER`] where we are root.
    Servers,
}

impl Account {
    /// A command that runs `program`; `with_us` is what ends it when we end.
    pub(crate) fn command(self, program: &Path, with_us: Option<Ending>) -> Command {
        let mut command = Command::new("setpriv");
        if self == Self::Servers && Uid::effective().is_root() {
            command.arg(format!("--reuid={SERVER_USER}")).arg(format!("--regid={SERVER_USER}"));
            command.arg("--clear-groups");
        }
        if let Some(ending) = with_us {
            command.arg(format!("--pdeathsig={}", ending.name()));
        }
        command.arg("--").arg(program);
        command
    }

    /// Creates a folder that belongs to it.
    pub(crate) fn folder(self, path: &Path) -> Result<(), String> {
        let fault = |error: io::Error| format!("cannot make {}: {error}", path.display());
        std::fs::create_dir_all(path).map_err(fault)?;
        if self == Self::Servers && Uid::effective().is_root() {
            let user = User::from_name(SERVER_USER).map_err(|error| fault(error.into()))?;
            let user = user.ok_or_else(|| format!("there is no user {SERVER_USER}"))?;
            let ids = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
            std::os::unix::fs::chown(path, ids.0, ids.1).map_err(fault)?;
        }
        Ok(())
    }
}

/// A port of 127.0.0.1 that nobody uses.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(|error| format!("no port is free: {error}"))?.port())
}

/// Whether something listens.
pub(crate) fn connect(port: u16) -> Result<(), String> {
    let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    connected.map(drop).map_err(|error| error.to_string())
}
