//! Where results go.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anstream::adapter::strip_str;
use clap::Args;
use serde::Serialize;

use super::CommandError;
use super::verdict::Judged;
use crate::scenario::Report;

/// `--json` and `--out`.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Write the same as JSON to FILE; - is stdout, then nothing else goes there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep all results in this folder: summary.json, report.txt and, where there are some,
    /// histograms.csv with the count of every value
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Output {
    /// Writes `report` to the files that were asked for, and `text` to stdout, whatever becomes of
    /// the files.
    pub(super) fn show(&self, report: &impl Serialize, text: &str) -> Result<(), CommandError> {
        let json = || {
            let json = serde_json::to_string_pretty(report).map_err(io::Error::other);
            json.map(|json| json + "\n")
        };
        let kept = self
            .keep("summary.json", json)
            .and_then(|()| self.keep("report.txt", || Ok(strip_str(text).to_string())));
        let shown = match &self.json {
            Some(file) if file == Path::new("-") => match json() {
                Ok(json) => print(&json),
                json => write(file, json),
            },
            Some(file) => print(text).and(write(file, json())),
            None => print(text),
        };
        shown.and(kept)
    }

    /// As [`Self::show`], and gives the code with which an experiment's result ends the process.
    pub(super) fn finish(
        &self,
        result: &(impl Serialize + Judged),
        text: &str,
    ) -> Result<u8, CommandError> {
        self.show(result, text)?;
        Ok(result.code())
    }

    /// Writes one file of the folder, if there is one.
    pub(super) fn keep(
        &self,
        name: &str,
        text: impl FnOnce() -> io::Result<String>,
    ) -> Result<(), CommandError> {
        let Some(folder) = &self.out else { return Ok(()) };
        write(&folder.join(name), fs::create_dir_all(folder).and_then(|()| text()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::exit;
    use crate::layers;

    #[test]
    fn an_invalid_result_is_kept_and_ends_with_its_own_code() {
        let folder = tempfile::tempdir().unwrap();
        let out = Some(folder.path().join("results"));
        let output = Output { json: Some(folder.path().join("other.json")), out: out.clone() };
        let mut summary = layers::Summary::example();
        summary.validity.invalid("the machine slept".into());
        let code = output.finish(&summary, "as it is shown").unwrap();
        assert_eq!(code, exit::INVALID_RUN);
        let kept = |name: &str| fs::read_to_string(out.as_ref().unwrap().join(name)).unwrap();
        assert!(kept("summary.json").contains(r#""valid": "invalid""#));
        assert_eq!(kept("report.txt"), "as it is shown");
        assert_eq!(
            fs::read_to_string(folder.path().join("other.json")).unwrap(),
            kept("summary.json")
        );
    }
}
