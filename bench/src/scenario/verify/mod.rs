//! What only the targets know: whether a scenario's documents fit the gateway's schema, and its
//! statements the database.

mod graphql;
mod schema;
mod sql;
#[cfg(test)]
mod tests;
mod value;

use super::mistake::Mistake;
use super::mistake::counted;
use super::node::{Node, Value};
use super::{Report, Scenario, TargetFile, auth};

/// What asking a scenario's targets came to.
#[derive(Debug)]
pub(crate) struct Verified {
    /// One line for each target.
    pub(crate) lines: Vec<String>,
    /// What does not fit.
    pub(crate) report: Report,
}

impl Scenario {
    /// Asks every target. A scenario that can't be used is told by the report.
    pub(crate) fn verify(&self) -> Verified {
        let mut lines = Vec::new();
        let mut mistakes = Vec::new();
        let has_server = self.targets.values().any(TargetFile::is_server);
        for (name, target) in &self.targets {
            let before = mistakes.len();
            let line = if target.url.is_some() {
                graphql::ask(self, target, &mut mistakes)
            } else {
                // A pooler may mix up what is prepared through it; its server says the same.
                let is_asked = target.is_server() || !has_server;
                let line = sql::ask(self, target, is_asked, &mut mistakes);
                match self.unpoolable(name) {
                    Ok(refused) => mistakes.extend(refused),
                    Err(error) => {
                        mistakes.push(target.mistake("console", error.to_string()).help(OFFLINE));
                    }
                }
                line
            };
            if mistakes[before..].iter().all(|mistake| !mistake.is_error()) {
                lines.push(format!("target {name}: {line}"));
            }
        }
        Verified { lines, report: self.report.with(mistakes) }
    }
}

impl TargetFile {
    /// Postgres itself, as far as one can tell: it has no pooler's console.
    fn is_server(&self) -> bool {
        self.conninfo.is_some() && self.consoles.is_empty()
    }

    /// A mistake at the value of one of its keys.
    fn mistake(&self, key: &str, message: String) -> Mistake {
        let value = match &self.node.value {
            Value::Table(table) => table.get(key),
            _ => None,
        };
        Mistake::error(&value.unwrap_or(&self.node).place, message)
    }
}

/// For targets that are not there.
const OFFLINE: &str = "is it up, and its address right? --offline leaves the targets out";

/// A mistake in the text of a node, at a line and a column of it.
fn mistake_in(node: &Node, line: usize, column: usize, message: String) -> Mistake {
    Mistake::error(&node.part(line, column), message)
}
