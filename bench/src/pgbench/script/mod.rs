//! pgbench's scripts, read: statements and backslash commands (manual page of pgbench, "Custom
//! Scripts").

mod expression;
mod meta;
mod names;
mod sql;

use engine::Nanos;
use engine::pgbench::{Amount, Expression, KeepRows, Slot};
use thiserror::Error;

pub(super) use self::names::Names;
pub(crate) use self::names::invalid_name;
use self::sql::{End, cut};

/// One command of a script.
#[derive(Debug)]
pub(super) struct Line {
    /// Where it begins, as an offset in the text.
    pub(super) at: usize,
    /// As pgbench shows it: a statement's first line, or a backslash command.
    pub(super) text: String,
    pub(super) what: What,
}

/// What a command does.
#[derive(Debug)]
pub(super) enum What {
    Statement(String, Option<KeepRows>),
    Set(Slot, Expression),
    If(Expression),
    Elif(Expression),
    Else,
    Endif,
    Sleep(Amount, Nanos),
    StartPipeline,
    SyncPipeline,
    EndPipeline,
}

/// What is wrong at an offset of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    at: usize,
    message: String,
    /// Whether nothing else is to be tried.
    is_final: bool,
}

impl Problem {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), is_final: true }
    }

    /// Nothing else is to be tried: `what` is missing.
    fn expecting(self, what: &str) -> Self {
        match self.is_final {
            true => self,
            false => Self::new(self.at, format!("{}: {what} would fit here", self.message)),
        }
    }
}

/// A script that can't be read.
#[derive(Debug, Error)]
#[error("{script}:{line}:{column}: {message}\n  {text}\n  {mark}^")]
pub(crate) struct ScriptMistake {
    script: String,
    line: usize,
    column: usize,
    message: String,
    text: String,
    /// As far as the mark is to be moved to the right.
    mark: String,
}

impl ScriptMistake {
    /// At an offset in `text`.
    pub(super) fn new(script: &str, text: &str, at: usize, message: impl Into<String>) -> Self {
        let (line, column) = place(text, at);
        let before = text.get(..at).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let line_text = text[start..].lines().next().unwrap_or_default();
        let is_tab = |c| if c == '\t' { '\t' } else { ' ' };
        Self {
            script: script.into(),
            line,
            column,
            message: message.into(),
            text: line_text.into(),
            mark: before[start..].chars().map(is_tab).collect(),
        }
    }
}

/// What stands between the words of a command; a vertical tab does too (exprscan.l).
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// The line and the column of an offset, both from 1 on.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.split('\n').count(), line.chars().count() + 1)
}

/// Reads a script; its variables get their places in `names`.
pub(super) fn read(script: &str, text: &str, names: &Names) -> Result<Vec<Line>, ScriptMistake> {
    lines(text, names)
        .map_err(|problem| ScriptMistake::new(script, text, problem.at, problem.message))
}

fn lines(text: &str, names: &Names) -> Result<Vec<Line>, Problem> {
    let mut lines: Vec<Line> = Vec::new();
    let mut at = 0;
    loop {
        let cut = cut(text, at);
        if !cut.sql.is_empty() {
            let text = cut.sql.lines().next().unwrap_or_default().into();
            lines.push(Line { at: cut.start, text, what: What::Statement(cut.sql, None) });
        }
        at = cut.next;
        match cut.end {
            End::Text => return Ok(lines),
            End::Semicolon => {}
            End::Backslash => {
                let (command, next) = meta::read(text, at, names)?;
                match command {
                    meta::Meta::Command(what) => {
                        let text = text[at - 1..next].trim_end().into();
                        lines.push(Line { at: at - 1, text, what });
                    }
                    meta::Meta::KeepRows(keep) => match lines.last_mut() {
                        Some(Line { what: What::Statement(_, rows @ None), .. }) => {
                            *rows = Some(keep);
                        }
                        _ => {
                            let message = "\\gset and \\aset must follow an SQL command";
                            return Err(Problem::new(at - 1, message));
                        }
                    },
                }
                at = next;
            }
        }
    }
}
