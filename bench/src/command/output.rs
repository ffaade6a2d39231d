//! Where results go.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::CommandError;

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
        let to_stdout = |text: &str| {
            // Without colours where nobody sees them (NO_COLOR, a pipe).
            let written = anstream::stdout().write_all(text.as_bytes());
            written.map_err(|source| CommandError::Output { what: "to stdout".into(), source })
        };
        let Some(file) = &self.json else { return to_stdout(text) };
        let json = serde_json::to_string_pretty(report).map_err(io::Error::other);
        let json = json.map(|json| json + "\n");
        match json {
            Ok(json) if file == Path::new("-") => return to_stdout(&json),
            json => write(file, json)?,
        }
        to_stdout(text)
    }
}

/// Writes a file, if there is something to write.
pub(super) fn write(file: &Path, text: io::Result<String>) -> Result<(), CommandError> {
    let written = text.and_then(|text| fs::write(file, text));
    written.map_err(|source| CommandError::Output { what: file.display().to_string(), source })
}

/// A line of progress, to stderr. That nobody reads it is no reason to stop.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
