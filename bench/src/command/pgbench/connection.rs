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
    /// The console of a target that is a pooler (for PgBouncer the database `pgbouncer`), for each of its
    /// processes: shows whether its clients share server connections; without NAME= where there is one target
    #[arg(long, value_name = "[NAME=]CONNINFO")]
    console: Vec<String>,
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
            let (name, consoles) = (NAMELESS.into(), self.console.clone());
            return Ok(vec![PlannedTarget { name, conninfo, consoles }]);
        }
        let database = database.as_deref().map(named).unwrap_or_default();
        let mut targets: Vec<PlannedTarget> = Vec::new();
        for (name, own) in &self.target {
            if targets.iter().any(|target| target.name == *name) {
                let message = format!("--target {name}: there are two of this name");
                return Err(PgbenchOptionsError::Other(message));
            }
            let conninfo = vec![own.clone(), database.clone(), self.place()];
            targets.push(PlannedTarget { name: name.clone(), conninfo, consoles: Vec::new() });
        }
        for console in &self.console {
            give_console(&mut targets, console)?;
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

/// Gives a target the console that is named for it; the only one needs no name.
fn give_console(targets: &mut [PlannedTarget], console: &str) -> Result<(), PgbenchOptionsError> {
    if let Some((name, conninfo)) = console.split_once('=')
        && let Some(target) = targets.iter_mut().find(|target| target.name == name)
    {
        target.consoles.push(conninfo.into());
    } else if let [only] = targets {
        only.consoles.push(console.into());
    } else {
        let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        let message = format!(
            "--console {console}: write NAME=CONNINFO, with the name of a target: {}",
            names.join(", ")
        );
        return Err(PgbenchOptionsError::Other(message));
    }
    Ok(())
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

    fn planned(arguments: &[&str]) -> Result<Vec<PlannedTarget>, PgbenchOptionsError> {
        let command = ConnectionOptions::augment_args(Command::new("test").disable_help_flag(true));
        let given = std::iter::once("test").chain(arguments.iter().copied());
        let matches = command.try_get_matches_from(given).unwrap();
        let options = ConnectionOptions::from_arg_matches(&matches).unwrap();
        options.targets()
    }

    fn targets(arguments: &[&str]) -> Vec<Vec<String>> {
        planned(arguments).unwrap().into_iter().map(|target| target.conninfo).collect()
    }

    #[test]
    fn a_console_is_of_the_target_that_it_names_and_of_the_only_one_without_a_name() {
        let consoles = |arguments: &[&str]| {
            let targets = planned(arguments).map_err(|error| error.to_string())?;
            Ok::<_, String>(targets.into_iter().map(|one| one.consoles).collect::<Vec<_>>())
        };
        let string = "host=a dbname=pgbouncer";
        let named = format!("--console=b={string}");
        let nameless = format!("--console={string}");
        assert_eq!(consoles(&["d", &nameless, &nameless]).unwrap(), [[string, string]]);
        assert_eq!(consoles(&["--target=b=port=1", &nameless]).unwrap(), [[string]]);
        let both = ["--target=a=port=1", "--target=b=port=2"];
        let none: &[&str] = &[];
        assert_eq!(consoles(&[both[0], both[1], &named]).unwrap(), [none, &[string]]);
        assert_eq!(
            consoles(&[both[0], both[1], &nameless]).unwrap_err(),
            format!("--console {string}: write NAME=CONNINFO, with the name of a target: a, b")
        );
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
