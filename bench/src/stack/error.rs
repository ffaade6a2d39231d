//! What can keep a stack from starting or stopping, each with the remedy.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::interrupt::Interrupted;

/// Why a stack did not start or stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    /// A program is not installed.
    #[error("{program} is not installed (looked {places}); to get it: `{remedy}`")]
    Missing { program: &'static str, places: String, remedy: &'static str },

    /// Root cannot run the servers itself and found nobody to run them as.
    #[error(
        "Postgres and PgBouncer refuse to run as root and /etc/passwd has no user `postgres` to run \
         them as; `apt-get install postgresql` creates it"
    )]
    NoAccount,

    /// No folder for temporary files will do.
    #[error("no place for the stack's folder: {}; set TMPDIR to a short path that you can write", .tried.join("; "))]
    NoPlace { tried: Vec<String> },

    /// The folder of all the user's stacks is not the user's.
    #[error("{} {why}; remove it, or set TMPDIR to another place", .path.display())]
    NotOurs { path: PathBuf, why: &'static str },

    /// A file or folder of the stack could not be used.
    #[error("cannot {action} {}: {source}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },

    /// A program is there but cannot be run.
    #[error("cannot start {name}: {source}")]
    Spawn { name: &'static str, source: io::Error },

    /// A server ended instead of serving.
    #[error("{name} ended while it was starting ({status}); its last words were:\n{log}")]
    Died { name: &'static str, status: String, log: String },

    /// Another program took the server's port between the choice and its use.
    #[error("{name} found port {port} taken by another program")]
    PortTaken { name: &'static str, port: u16 },

    /// A server runs but does not answer.
    #[error("{name} did not answer within {} s{}; its last words were:\n{log}", .waited.as_secs(), because(.why))]
    NotReady { name: &'static str, waited: Duration, why: String, log: String },

    /// A statement of the setup failed.
    #[error("cannot {step}: {why}; the last words of postgres were:\n{log}")]
    Setup { step: &'static str, why: String, log: String },

    /// Filling a template left something out.
    #[error("{template} asks for {{{placeholder}}}, which the stack does not know")]
    Template { template: &'static str, placeholder: String },

    /// No random numbers for the passwords.
    #[error("the system has no random numbers for passwords: {0}")]
    Random(getrandom::Error),

    /// No certificate for the servers.
    #[error("cannot make a certificate for the servers: {0}")]
    Certificate(rcgen::Error),

    /// Processes would not go away.
    #[error("processes {pids:?} of the stack in {} would not end even by SIGKILL", .folder.display())]
    Unstoppable { pids: Vec<i32>, folder: PathBuf },

    /// Another command holds what this one needs.
    #[error("another poolbench command has been working on {} for {} s; try again when it is done", .path.display(), .waited.as_secs())]
    Busy { path: PathBuf, waited: Duration },

    /// A signal came.
    #[error("stopped by a signal")]
    Interrupted,
}

impl StackError {
    /// For `map_err` after an operation on a file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { action, path, source }
    }
}

impl From<Interrupted> for StackError {
    fn from(Interrupted: Interrupted) -> Self {
        Self::Interrupted
    }
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(" ({why})") }
}
