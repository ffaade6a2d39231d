//! What the pool mode of a target's pooler makes impossible (PgBouncer manual, "pool_mode").

use wire::postgres::Command;

use super::mistake::Mistake;
use super::statements::StatementFile;
use super::{OperationFile, Scenario, ScenarioError};
use crate::conninfo::Conninfo;
use crate::observe::{ObserveError, Pooler};

impl Scenario {
    /// Asks the console of a target's pooler for its pool mode where a statement depends on it, and
    /// gives what can't work.
    pub(super) fn unpoolable(&self, target: &str) -> Result<Vec<Mistake>, ObserveError> {
        let Some(file) = self.targets.get(target) else { return Ok(Vec::new()) };
        let demands: Vec<_> = self.operations.iter().flat_map(OperationFile::demands).collect();
        let Some(conninfo) = file.conninfo.as_ref().filter(|_| !demands.is_empty()) else {
            return Ok(Vec::new());
        };
        // Several processes behind one port have one configuration.
        let mode = match file.consoles.first() {
            Some(console) => {
                let database = Conninfo::parse(conninfo).map(|one| one.database().to_owned());
                let database = database.unwrap_or_default();
                Pooler::connect(console)?.ask(async |pooler| pooler.pool_mode(&database).await)?
            }
            // As far as one can tell it is Postgres itself: it has no pooler's console.
            None if target == "postgres" => return Ok(Vec::new()),
            None => None,
        };
        let mode = mode.as_deref();
        Ok(demands.iter().filter_map(|demand| demand.refused(target, mode)).collect())
    }

    /// Refuses to send a target what its pooler's mode makes impossible.
    pub(crate) fn check_pooling(&self, target: &str) -> Result<(), PoolingError> {
        let report = self.report.with(self.unpoolable(target)?);
        if !report.has_errors() {
            return Ok(());
        }
        let file = report.file().to_owned();
        Err(PoolingError::Mode(ScenarioError::mistakes(&file, report)))
    }
}

/// Why a target can't be sent the scenario's statements, or nobody knows whether it can.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolingError {
    #[error(transparent)]
    Mode(ScenarioError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
}

/// A statement that needs more of a server connection than to run on it alone.
#[derive(Debug, Clone, Copy)]
struct Demand<'a> {
    operation: &'a OperationFile,
    statement: &'a StatementFile,
    /// [`Command::Listen`], [`Command::Begin`] for a transaction of several statements, or
    /// [`Command::CopyOut`] with other statements sent before it has ended.
    command: Command,
}

impl OperationFile {
    fn demands(&self) -> Vec<Demand<'_>> {
        let Some(sql) = &self.sql else { return Vec::new() };
        let of = |(statement, command)| Demand { operation: self, statement, command };
        let listens = sql.commands().filter(|(_, command)| *command == Command::Listen);
        let begins = sql.list.first().filter(|_| sql.has_transaction());
        let begins = begins.map(|statement| (statement, Command::Begin));
        let copies = sql.commands().filter(|(_, command)| *command == Command::CopyOut);
        let copies = copies.filter(|_| sql.has_syncs_ahead());
        listens.chain(begins).chain(copies).map(of).collect()
    }
}

impl Demand<'_> {
    /// What is wrong with it in this pool mode, `None` where the mode is not known.
    fn refused(&self, target: &str, mode: Option<&str>) -> Option<Mistake> {
        let Self { operation: OperationFile { name, .. }, statement, command } = self;
        let place = &statement.node.place;
        match (command, mode) {
            (Command::Listen, None) => {
                let message = format!(
                    "operation {name}: LISTEN is for a server connection of one's own, which a \
                     pooler in transaction mode does not give"
                );
                let help = format!("if {target} is a pooler, give its `console`: it is asked then");
                Some(Mistake::warning(place, message).help(help))
            }
            (Command::Listen, Some(mode @ ("transaction" | "statement"))) => {
                let message = format!(
                    "operation {name}: LISTEN is lost on target {target}, since in pool_mode = \
                     {mode} the server connection goes to another client after it"
                );
                let help = "send it to Postgres itself, or set pool_mode = session";
                Some(Mistake::error(place, message).help(help))
            }
            (Command::Begin, Some("statement")) => {
                let message = format!(
                    "operation {name}: target {target} takes no transactions of several \
                     statements, since its pool_mode is statement"
                );
                Some(Mistake::error(place, message).help("set pool_mode = transaction"))
            }
            // PgBouncer 1.18 does not count a Sync or a Query that comes while it copies, and so takes
            // the server connection away before they were answered.
            (Command::CopyOut, Some(_)) => {
                let message = format!(
                    "operation {name}: on target {target} replies get lost where COPY is in a \
                     pipeline with a Sync each: PgBouncer does not count what comes meanwhile"
                );
                Some(Mistake::error(place, message).help("set pipeline = \"off\""))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATIONS: &str = r#"name = "a"
[targets.pooler]
conninfo = "host=a"
[[operations]]
name = "hear"
sql = "LISTEN news"
[[operations]]
name = "pay"
transaction = true
sql = ["UPDATE a SET b = 1", "UPDATE c SET d = 2"]
[[operations]]
name = "read"
sql = ["SELECT 1", "SELECT 2"]
[[operations]]
name = "export"
sql = ["COPY a TO STDOUT", "SELECT 2"]
pipeline = "sync-each"
"#;

    #[test]
    fn each_pool_mode_refuses_what_it_cannot_do() {
        let scenario = Scenario::parse("a.toml", OPERATIONS, &|_| None);
        let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
        let refused = |mode: Option<&str>| {
            let demands = scenario.operations.iter().flat_map(OperationFile::demands);
            let mistakes = demands.filter_map(|demand| demand.refused("pooler", mode)).collect();
            scenario.report.with(mistakes)
        };
        assert_eq!(refused(Some("session")).tally(), "1 error");
        assert_eq!(refused(Some("transaction")).tally(), "2 errors");
        assert_eq!(refused(None).tally(), "1 warning");
        insta::assert_snapshot!(refused(Some("statement")).to_string());
    }
}
