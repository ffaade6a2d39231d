//! `poolbench stack`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{Output, say};
use super::{CommandError, exit};
use crate::stack::{self, Options, StackInfo, Up};

/// The arguments of `poolbench stack`.
#[derive(Debug, Args)]
pub(crate) struct Stack {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start it and leave it running; if it is up already, say where
    Up {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        output: Output,
    },
    /// Stop it and remove its folder
    Down,
    /// Say what is running and how to reach it; exit code 1 unless all of it is
    Status {
        #[command(flatten)]
        output: Output,
    },
}

impl Stack {
    /// Does it and gives the exit code.
    pub(crate) fn run(self) -> Result<u8, CommandError> {
        match self.action {
            Action::Up { options, output } => {
                let info = match stack::up(&options, &mut say)? {
                    Up::Started(info) => info,
                    Up::Already(info) => {
                        say("it is up already");
                        if info.options != options {
                            say(
                                "with other pools than asked for: `poolbench stack down` first for new ones",
                            );
                        }
                        info
                    }
                };
                show(&output, &info)?;
                Ok(exit::OK)
            }
            Action::Down => {
                match stack::down(&mut say)? {
                    Some(folder) => say(&format!("stopped, and {} removed", folder.display())),
                    None => say("no stack is up"),
                }
                Ok(exit::OK)
            }
            Action::Status { output } => match stack::attach()? {
                Some(info) => {
                    show(&output, &info)?;
                    Ok(if info.missing().is_empty() { exit::OK } else { exit::FAILED })
                }
                None => {
                    say("no stack is up: `poolbench stack up` starts one");
                    Ok(exit::FAILED)
                }
            },
        }
    }
}

fn show(output: &Output, info: &StackInfo) -> Result<(), CommandError> {
    let report = Report::new(info);
    output.show(&report, &report.text())
}

/// What is said about a stack: everything but the secrets.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    folder: PathBuf,
    passfile: PathBuf,
    options: Options,
    servers: Vec<Server>,
    targets: Targets,
}

#[derive(Debug, Serialize)]
struct Server {
    name: &'static str,
    program: PathBuf,
    version: String,
    address: String,
    pid: u32,
    running: bool,
    uptime_s: u64,
    log: PathBuf,
}

/// How to reach each layer.
#[derive(Debug, Serialize)]
struct Targets {
    gateway_pooled: String,
    gateway_direct: String,
    pooler: String,
    postgres: String,
    console: String,
    observer: String,
    superuser: String,
}

impl Report {
    fn new(info: &StackInfo) -> Self {
        let missing = info.missing();
        let servers = info.servers().into_iter().map(|(name, server)| Server {
            name,
            program: server.program.clone(),
            version: server.version.clone(),
            address: server.address(),
            pid: server.pid,
            running: !missing.contains(&name),
            uptime_s: server.uptime().as_secs(),
            log: info.folder().join(format!("{name}.log")),
        });
        Self {
            schema: 1,
            folder: info.folder().to_path_buf(),
            passfile: info.passfile(),
            options: info.options.clone(),
            servers: servers.collect(),
            targets: Targets {
                gateway_pooled: info.gateway_pooled_url(),
                gateway_direct: info.gateway_direct_url(),
                pooler: info.pooler_conninfo("nova").to_string(),
                postgres: info.postgres_conninfo("nova").to_string(),
                console: info.console_conninfo().to_string(),
                observer: info.observer_conninfo().to_string(),
                superuser: info.superuser_conninfo().to_string(),
            },
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            let Server { name, version, address, pid, .. } = server;
            let state = if server.running {
                format!("pid {pid:<8} up {}", duration(Duration::from_secs(server.uptime_s)))
            } else {
                format!("ended by itself, see {}", server.log.display())
            };
            let _ = writeln!(text, "{name:<15} {version:<8} {address:<16} {state}");
        }
        let targets = &self.targets;
        for (name, target) in [
            ("gateway-pooled", &targets.gateway_pooled),
            ("gateway-direct", &targets.gateway_direct),
            ("pooler", &targets.pooler),
            ("postgres", &targets.postgres),
            ("console", &targets.console),
            ("observer", &targets.observer),
            ("superuser", &targets.superuser),
        ] {
            let _ = write!(text, "\n{name:<15} {target}");
        }
        let _ = writeln!(text, "\n\nfolder          {}", self.folder.display());
        text
    }
}

/// As in `3 s`, `4 min 5 s` or `2 h 3 min`.
fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        s @ ..60 => format!("{s} s"),
        s @ ..3600 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let text = |s| duration(Duration::from_secs(s));
        assert_eq!([text(0), text(59), text(61)], ["0 s", "59 s", "1 min 1 s"]);
        assert_eq!([text(3600), text(7384)], ["1 h 0 min", "2 h 3 min"]);
    }
}
