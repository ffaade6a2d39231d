//! Where results go.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::CommandError;
use crate::scenario::Report;

/// `--json`.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Write the same as JSON to FILE; - is stdout, then nothing else goes there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Output {
    /// Writes `report` to the file, if there is one, and `text` to stdout.
    pub(super) fn show(&self, report: &impl Serialize, text: &str) -> Result<(), CommandError> {
        let Some(file) = &self.json else { return print(text) };
        let what = || file.display().to_string();
        let fault = |source| CommandError::Output { what: what(), source };
        let json = serde_json::to_string_pretty(report).map_err(io::Error::other);
        let json = json.map_err(fault)? + "\n";
        if file == Path::new("-") {
            return print(&json);
        }
        fs::write(file, json).map_err(fault)?;
        print(text)
    }
}

/// A result, to stdout.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|source| CommandError::Output { what: "to stdout".into(), source })
}

/// A line of progress, to stderr. That nobody reads it is no reason to stop.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// What is odd in a scenario but no error, to stderr, in colours where they are seen.
pub(super) fn warn(report: &Report) {
    if !report.is_empty() {
        let _ = writeln!(anstream::stderr(), "{report:#}\n");
    }
}
