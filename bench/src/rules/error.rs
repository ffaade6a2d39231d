//! What the rules of a scenario (thresholds, checks and bands) have in common: a mistake and its
//! place.

use std::fmt;

use crate::cursor::Unreadable;

/// A way into the scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    /// From 0.
    Index(usize),
}

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuleError {
    /// Where it is.
    pub(crate) place: Vec<Step>,
    /// The text there, and what is wrong at which of its columns; a text that is a key is the last
    /// step.
    pub(crate) text: Option<String>,
    pub(crate) column: Option<usize>,
    pub(crate) problem: String,
}

impl RuleError {
    /// Something is wrong at `place`.
    pub(crate) fn new(place: Vec<Step>, problem: impl Into<String>) -> Self {
        Self { place, text: None, column: None, problem: problem.into() }
    }

    /// The text at `place` cannot be read.
    pub(crate) fn unreadable(place: Vec<Step>, text: &str, wrong: Unreadable) -> Self {
        let Unreadable { column, problem } = wrong;
        Self { place, text: Some(text.into()), column: Some(column), problem }
    }
}

/// `thresholds.errors[0]: "rate<<1": column 6: expected a number, found `<1``, in one line.
impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.place.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    let quote = if !key.is_empty() && key.chars().all(is_bare) { "" } else { "'" };
                    write!(f, "{}{quote}{key}{quote}", if number == 0 { "" } else { "." })?;
                }
            }
        }
        if let Some(text) = self.text.as_ref().filter(|text| !self.is_key(text)) {
            write!(f, ": \"{text}\"")?;
        }
        if let Some(column) = self.column {
            write!(f, ": column {column}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl RuleError {
    /// Whether it is the last key of its place that is wrong.
    pub(crate) fn is_about_key(&self) -> bool {
        self.text.as_ref().is_some_and(|text| self.is_key(text))
    }

    fn is_key(&self, text: &str) -> bool {
        matches!(self.place.last(), Some(Step::Key(key)) if key == text)
    }
}

/// The place of `key` in `outer`.
pub(crate) fn at(outer: &[Step], step: impl Into<Step>) -> Vec<Step> {
    outer.iter().cloned().chain([step.into()]).collect()
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}
