//! Where the load goes: the database, `-h`, `-p`, `-U`, and `--target`.

use std::env;

use clap::Args;

use super::PgbenchOptionsError;
use crate::command::run_options::assignment;
use crate::conninfo::{account, is_uri};
use crate::pgbench::PlannedTarget;

/// The options that say where the targets are.
#[derive(Debug, Args)]
pub(super) struct ConnectionOptions {
    /// The database, or a connection string, which goes before -h, -p and -U [default: PGDATABASE,
    /// PGUSER, or the account]
    dbname: Option<String>,
    /// The server, or the folder of its socket
    #[arg(short = 'h', long)]
    host: Option<String>,
    /// Its port
    #[arg(short, long)]
    port: Option<String>,
    /// Who logs in
    #[arg(short = 'U', long)]
    username: Option<String>,
    /// The database, as newer versions of pgbench take it
    #[arg(long = "dbname", value_name = "DBNAME", conflicts_with = "dbname")]
    database: Option<String>,
    /// A target with a connection string, which goes before -h, -p, -U and the database; several with
    /// several of these, to be compared
    #[arg(long, value_name = "NAME=CONNINFO", value_parser = assignment)]
    target: Vec<(String, String)>,
}

/// How a target is called that was given no name.
const NAMELESS: &str = "pgbench";

impl ConnectionOptions {
    /// The targets; one without a name where none is named.
    pub(super) fn targets(&self) -> Result<Vec<PlannedTarget>, PgbenchOptionsError> {
        let database = self.dbname.clone().or_else(|| self.database.clone());
        if self.target.is_empty() {
            let database = database.or_else(default_database);
            let conninfo = vec![database.as_deref().map(named).unwrap_or_default(), self.place()];
            return Ok(vec![PlannedTarget { name: NAMELESS.into(), conninfo }]);
        }
        let database = database.as_deref().map(named).unwrap_or_default();
        let mut targets: Vec<PlannedTarget> = Vec::new();
        for (name, own) in &self.target {
            if targets.iter().any(|target| target.name == *name) {
                let message = format!("--target {name}: there are two of this name");
                return Err(PgbenchOptionsError::Other(message));
            }
            let conninfo = vec![own.clone(), database.clone(), self.place()];
            targets.push(PlannedTarget { name: name.clone(), conninfo });
        }
        Ok(targets)
    }

    /// What -h, -p and -U say.
    fn place(&self) -> String {
        let all = [("host", &self.host), ("port", &self.port), ("user", &self.username)];
        let given = all.iter().filter_map(|(keyword, value)| Some((keyword, value.as_deref()?)));
        given.map(|(keyword, value)| format!("{keyword}={} ", quoted(value))).collect()
    }
}

/// A database, or what is a connection string already (Postgres manual, 34.1, PQconnectdbParams with
/// expand_dbname).
fn named(database: &str) -> String {
    match database {
        "" => String::new(),
        _ if is_uri(database) || database.contains('=') => database.into(),
        _ => format!("dbname={}", quoted(database)),
    }
}

/// As pgbench has it, with whom -U does not count.
fn default_database() -> Option<String> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    set("PGDATABASE").or_else(|| set("PGUSER")).or_else(account)
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn targets(arguments: &[&str]) -> Vec<Vec<String>> {
        let command = ConnectionOptions::augment_args(Command::new("test").disable_help_flag(true));
        let given = std::iter::once("test").chain(arguments.iter().copied());
        let matches = command.try_get_matches_from(given).unwrap();
        let options = ConnectionOptions::from_arg_matches(&matches).unwrap();
        options.targets().unwrap().into_iter().map(|target| target.conninfo).collect()
    }

    #[test]
    fn a_connection_string_goes_before_the_options() {
        let place = ["-h", "a", "-p", "1,2", "-U", "it's"];
        let of = |database: &str| targets(&[&place[..], &[database]].concat()).remove(0);
        let options = "host='a' port='1,2' user='it\\'s' ";
        assert_eq!(of("postgres:///d"), ["postgres:///d", options]);
        assert_eq!(of("host=b"), ["host=b", options]);
        assert_eq!(of("d d"), ["dbname='d d'", options]);
        assert_eq!(of(""), ["", options]);
    }

    #[test]
    fn a_target_goes_before_all() {
        let found = targets(&["--target=a=port=1", "--target=b=postgres://h", "-h", "c", "d"]);
        let rest = ["dbname='d'", "host='c' "];
        assert_eq!(found, [["port=1", rest[0], rest[1]], ["postgres://h", rest[0], rest[1]]]);
    }
}
