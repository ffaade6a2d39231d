//! The trial log: what a search knows, kept as it comes, so that it can go on after a kill.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A log that can't be written, or not be gone on with.
#[derive(Debug, Error)]
pub(crate) enum LogError {
    #[error("the log {}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the log {} exists: go on from it with --resume, or give another name", .0.display())]
    Exists(PathBuf),
    #[error(
        "the log {} is of another plan: give the options and the scenario that it was begun with, \
         or begin another log", .0.display()
    )]
    OtherPlan(PathBuf),
}

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    schema: u32,
    command: String,
    /// A digest of all that decides what is tried.
    plan: String,
}

/// Entries as JSON, a line each; each is on the disk before the next is made.
#[derive(Debug)]
pub(crate) struct Log<T> {
    path: PathBuf,
    file: Option<File>,
    /// Read from an earlier command, not yet taken.
    replayed: VecDeque<T>,
}

impl<T: Serialize + DeserializeOwned> Log<T> {
    /// Keeps nothing.
    pub(crate) fn none() -> Self {
        Self { path: PathBuf::new(), file: None, replayed: VecDeque::new() }
    }

    /// Begins one; with `is_resumed`, goes on from what is there. What was cut off in the middle
    /// of a line is taken away.
    pub(crate) fn open(
        path: &Path,
        command: &str,
        plan: &str,
        is_resumed: bool,
    ) -> Result<Self, LogError> {
        let fault = |source| LogError::File { path: path.into(), source };
        let header = Header { schema: 1, command: command.into(), plan: plan.into() };
        let text = match std::fs::read_to_string(path) {
            Ok(_) if !is_resumed => return Err(LogError::Exists(path.into())),
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(fault(error)),
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text[..whole].lines();
        let mut replayed = VecDeque::new();
        let first = lines.next();
        if let Some(line) = first {
            if serde_json::from_str::<Header>(line).ok().as_ref() != Some(&header) {
                return Err(LogError::OtherPlan(path.into()));
            }
            for line in lines {
                replayed
                    .push_back(serde_json::from_str(line).map_err(|error| fault(error.into()))?);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(fault)?;
        file.set_len(whole as u64).map_err(fault)?;
        let mut log = Self { path: path.into(), file: Some(file), replayed };
        if first.is_none() {
            log.line(&header)?;
        }
        Ok(log)
    }

    /// The next entry of the earlier command, if it is `wanted`.
    pub(crate) fn replay(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let entry = self.replayed.pop_front()?;
        if wanted(&entry) {
            return Some(entry);
        }
        self.replayed.push_front(entry);
        None
    }

    /// How many entries of the earlier command there are left.
    pub(crate) fn left(&self) -> usize {
        self.replayed.len()
    }

    /// Keeps an entry.
    pub(crate) fn push(&mut self, entry: &T) -> Result<(), LogError> {
        self.line(entry)
    }

    fn line(&mut self, entry: &impl Serialize) -> Result<(), LogError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let write = |file: &mut File| -> io::Result<()> {
            let mut line = serde_json::to_vec(entry)?;
            line.push(b'\n');
            file.write_all(&line)?;
            file.sync_data()
        };
        write(file).map_err(|source| LogError::File { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_on_after_a_kill_and_only_with_the_same_plan() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trials");
        let open = |plan, is_resumed| Log::<u32>::open(&path, "limit", plan, is_resumed);
        let mut log = open("a", false).unwrap();
        (1..=3).for_each(|entry| log.push(&entry).unwrap());
        drop(log);
        assert!(open("a", false).unwrap_err().to_string().contains("--resume"));
        assert!(open("b", true).unwrap_err().to_string().contains("another plan"));
        // Killed in the middle of the last line.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 1]).unwrap();
        let mut log = open("a", true).unwrap();
        assert_eq!(log.left(), 2);
        assert_eq!((log.replay(|n| *n == 1), log.replay(|n| *n == 9)), (Some(1), None));
        log.push(&7).unwrap();
        let mut log = open("a", true).unwrap();
        let entries: Vec<_> = std::iter::from_fn(|| log.replay(|_| true)).collect();
        assert_eq!(entries, [1, 2, 7]);
    }

    #[test]
    fn without_a_file_nothing_is_kept() {
        let mut log = Log::<u32>::none();
        log.push(&1).unwrap();
        assert_eq!(log.replay(|_| true), None);
    }
}
