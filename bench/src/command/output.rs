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
        let json = serde_json::to_string_pretty(report).map_err(io::Error::other);
        let json = json.map(|json| json + "\n");
        match json {
            Ok(json) if file == Path::new("-") => return print(&json),
            json => write(file, json)?,
        }
        print(text)
    }
}

/// Writes a file, if there is something to write.
pub(super) fn write(file: &Path, text: io::Result<String>) -> Result<(), CommandError> {
    let written = text.and_then(|text| fs::write(file, text));
    written.map_err(|source| CommandError::Output { what: file.display().to_string(), source })
}

/// A result, to stdout: without colours where nobody sees them (NO_COLOR, a pipe).
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let written = anstream::stdout().write_all(text.as_bytes());
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
