//! pgbench's tables before the load: their size, and their vacuum.

use std::io::{self, Write as _};

use postgres::{Client, SimpleQueryMessage, SimpleQueryRow};
use serde::Serialize;

use super::{PgbenchError, Plan, Vacuum};
use crate::conninfo::Conninfo;
use crate::interrupt;
use crate::rig::RigError;

/// What they are like.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tables {
    /// Branches; what `-s` says where no script is built in.
    pub(super) scale: i64,
    /// Of pgbench_accounts, where it is partitioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) partitions: Option<Partitions>,
}

/// How a table is partitioned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Partitions {
    pub(super) method: String,
    pub(super) count: u64,
}

/// The method, and how many there are; no row where it is not partitioned.
const PARTITIONS: &str = "\
SELECT CASE partstrat WHEN 'r' THEN 'range' WHEN 'h' THEN 'hash' ELSE 'list' END, \
(SELECT count(*) FROM pg_inherits WHERE inhparent = partrelid) \
FROM pg_partitioned_table WHERE partrelid = to_regclass('pgbench_accounts')";

impl Tables {
    /// Asks for their size where a script is built in, and has them vacuumed: what pgbench does before
    /// it starts.
    pub(super) fn prepare(
        plan: &Plan,
        conninfo: &Conninfo,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, PgbenchError> {
        let mut tables = Self { scale: plan.scale.unwrap_or(1), partitions: None };
        if !plan.has_builtin && plan.vacuum == Vacuum::None {
            return Ok(tables);
        }
        let failed = |error: String| RigError::Target(format!("{}: {error}", conninfo.place()));
        let mut client = conninfo.clone().connect().map_err(failed)?;
        if plan.has_builtin {
            tables = Self::find(&mut client).map_err(|error| {
                failed(format!(
                    "{}; `pgbench -i` makes the tables that built-in scripts need",
                    words(&error)
                ))
            })?;
            let found = tables.scale;
            if plan.scale.is_some_and(|scale| scale != found) {
                say(&format!(
                    "poolbench: warning: scale option ignored, using count from pgbench_branches table \
                     ({found})"
                ));
            }
        }
        if plan.vacuum != Vacuum::None {
            let statements =
                ["VACUUM pgbench_branches", "VACUUM pgbench_tellers", "TRUNCATE pgbench_history"];
            execute(&mut client, "starting vacuum...", &statements, say);
        }
        if plan.vacuum == Vacuum::All {
            let statement = "VACUUM ANALYZE pgbench_accounts";
            execute(&mut client, "starting vacuum pgbench_accounts...", &[statement], say);
        }
        interrupt::check().map_err(RigError::from)?;
        Ok(tables)
    }

    fn find(client: &mut Client) -> Result<Self, postgres::Error> {
        let branches = first_row(client, "SELECT count(*) FROM pgbench_branches")?;
        let scale = branches.and_then(|row| row.get(0)?.parse().ok()).unwrap_or_default();
        // Servers before Postgres 10 have no partitions, and no table of them.
        let partitioned = first_row(client, PARTITIONS).ok().flatten();
        let partitions = partitioned.and_then(|row| {
            let count = row.get(1)?.parse().ok()?;
            Some(Partitions { method: row.get(0)?.to_owned(), count })
        });
        Ok(Self { scale, partitions })
    }
}

fn first_row(client: &mut Client, sql: &str) -> Result<Option<SimpleQueryRow>, postgres::Error> {
    let mut messages = client.simple_query(sql)?.into_iter();
    Ok(messages.find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }))
}

/// Executes statements between `beginning` and `end.`, as pgbench shows it. Those that fail are told,
/// and do no harm.
fn execute(client: &mut Client, beginning: &str, statements: &[&str], say: &mut dyn FnMut(&str)) {
    let _ = write!(io::stderr(), "{beginning}");
    let failed = statements.iter().filter_map(|sql| client.batch_execute(sql).err());
    let failed: Vec<_> = failed.collect();
    say("end.");
    for error in failed {
        say(&format!("poolbench: {} (ignored: -n leaves the vacuum out)", words(&error)));
    }
}

fn words(error: &postgres::Error) -> String {
    error.as_db_error().map_or(error.to_string(), |error| error.message().into())
}
