//! What other poolers' consoles mean by the columns that they share with PgBouncer's.

use super::is_own;
use crate::observe::table::{Row, number};

/// Whose console it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Dialect {
    /// PgBouncer's own.
    #[default]
    PgBouncer,
    /// A query's time is in ms, and begins when there is a server connection for it; transactions'
    /// times are not measured (src/stats/server.rs).
    PgCat,
    /// Its times are in ms, with a fraction (pgdog/src/admin/show_stats.rs); those of queries and
    /// transactions begin when there is a server connection (pgdog/src/backend/stats.rs).
    PgDog,
    /// It shows 0 for what it does not measure, has no SHOW CONFIG, and counts clients in other columns
    /// (sources/console.c; 1.5.2 is as its console answers). Times begin when there is a server
    /// connection.
    Odyssey {
        /// Whether it measures how long clients wait.
        knows_waits: bool,
    },
}

/// What Odyssey does not measure.
const ALWAYS_ZERO: [&str; 6] =
    ["maxwait", "maxwait_us", "sv_used", "sv_tested", "sv_login", "reserve_pool"];
/// What it began to measure at some time after 1.4, when it stopped to count what it sends.
const WAITS: [&str; 2] = ["total_wait_time", "avg_wait_time"];
const SENT: [&str; 2] = ["total_sent", "avg_sent"];

impl Dialect {
    /// By the answer to SHOW VERSION. Odyssey gives numbers up to 1.4, the others their names.
    pub(super) fn of(version: &str) -> Self {
        if version.starts_with("PgDog") {
            Self::PgDog
        } else if version.starts_with("PgCat") {
            Self::PgCat
        } else if version.starts_with("odyssey") {
            Self::Odyssey { knows_waits: true }
        } else if version.starts_with(|first: char| first.is_ascii_digit()) {
            Self::Odyssey { knows_waits: false }
        } else {
            Self::PgBouncer
        }
    }

    /// The row as PgBouncer would show it: times in us, those of queries and transactions with the wait
    /// for a server connection in them, and nothing where nothing is known.
    pub(super) fn translate(self, mut row: Row) -> Row {
        match self {
            Self::PgBouncer => {}
            Self::PgCat => {
                row.retain(|name, _| name != "total_xact_time" && name != "avg_xact_time");
                if let Some(ms) = number(&row, "total_query_time") {
                    row.insert("total_query_time".into(), ms.saturating_mul(1000).to_string());
                }
                add_wait(&mut row);
            }
            Self::PgDog => {
                let times = row.iter_mut().filter(|(name, _)| name.ends_with("_time"));
                for (_, cell) in times {
                    if let Ok(ms) = cell.parse::<f64>() {
                        *cell = format!("{:.0}", ms * 1000.0);
                    }
                }
                add_wait(&mut row);
            }
            Self::Odyssey { knows_waits } => {
                let unknown = if knows_waits { SENT } else { WAITS };
                row.retain(|name, _| {
                    !ALWAYS_ZERO.contains(&name.as_str()) && !unknown.contains(&name.as_str())
                });
                add_wait(&mut row);
                // Of a row of SHOW DATABASES: a limit of clients, and how many there are.
                for (own, meant) in [
                    ("max_connections", "max_client_connections"),
                    ("current_connections", "current_client_connections"),
                ] {
                    if let Some(count) = row.remove(own) {
                        row.insert(meant.to_owned(), count);
                    }
                }
            }
        }
        row
    }

    /// Whether the rows of SHOW POOLS need those of SHOW DATABASES: see [`Self::count_clients`].
    pub(super) fn needs_databases(self) -> bool {
        matches!(self, Self::Odyssey { .. })
    }

    /// Makes the clients of SHOW POOLS what PgBouncer means by them. Odyssey's `cl_waiting` are clients
    /// that have asked for nothing; those that wait for a server connection are in none of its
    /// columns, but among all clients, which it shows in SHOW DATABASES, a row for each pool too and in
    /// the same order. Both are translated already.
    pub(super) fn count_clients(self, pools: &mut [Row], databases: &[Row]) {
        if !self.needs_databases() {
            return;
        }
        let same = |pool: &Row, database: &Row| pool.get("database") == database.get("name");
        let are_paired = pools.len() == databases.len()
            && pools.iter().zip(databases).all(|(pool, database)| same(pool, database));
        for (number_of_row, pool) in pools.iter_mut().enumerate() {
            let counted = || {
                let active = number(pool, "cl_active")?;
                let idle = number(pool, "cl_waiting")?;
                let all = number(databases.get(number_of_row)?, "current_client_connections")?;
                Some((active + idle, all.saturating_sub(active + idle)))
            };
            // The console's own are counted otherwise.
            let counted = if are_paired && !is_own(pool) { counted() } else { None };
            for (name, count) in [
                ("cl_active", counted.map(|(served, _)| served)),
                ("cl_waiting", counted.map(|(_, waiting)| waiting)),
            ] {
                match count {
                    Some(count) => pool.insert(name.to_owned(), count.to_string()),
                    None => pool.remove(name),
                };
            }
        }
    }
}

/// To times that begin when the wait is over.
fn add_wait(row: &mut Row) {
    let Some(wait) = number(row, "total_wait_time") else { return };
    for name in ["total_query_time", "total_xact_time"] {
        if let Some(time) = number(row, name) {
            row.insert(name.to_owned(), (time + wait).to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, &str)]) -> Row {
        cells.iter().map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned())).collect()
    }

    #[test]
    fn times_are_microseconds_whoever_shows_them() {
        let shown =
            [("total_wait_time", "12.345"), ("total_query_time", "7"), ("total_sent", "8.5")];
        let translated = |version| Dialect::of(version).translate(row(&shown));
        assert_eq!(translated("PgBouncer 1.25.0"), row(&shown));
        let pgdog = translated("PgDog v0.1.30 [main@abc, pgdog-plugin 1, rustc 1]");
        assert_eq!(pgdog["total_wait_time"], "12345");
        assert_eq!(pgdog["total_query_time"], "19345", "with the wait, as PgBouncer has it");
        assert_eq!(pgdog["total_sent"], "8.5");
    }

    #[test]
    fn what_pgcat_shows_begins_after_the_wait_and_is_in_milliseconds() {
        let shown =
            [("total_wait_time", "12345"), ("total_query_time", "7"), ("total_xact_time", "0")];
        let pgcat = Dialect::of("PgCat 1.2.0").translate(row(&shown));
        let meant = [("total_wait_time", "12345"), ("total_query_time", "19345")];
        assert_eq!(pgcat, row(&meant));
    }

    #[test]
    fn what_is_not_measured_is_no_zero() {
        let shown = [("total_wait_time", "0"), ("maxwait", "0"), ("cl_waiting", "0")];
        let odyssey = Dialect::of("1.4.1-0199d05-Release").translate(row(&shown));
        assert_eq!(odyssey, row(&[("cl_waiting", "0")]));
        let odyssey = Dialect::of("odyssey 1.5.2 release, compiled by gcc").translate(row(&shown));
        assert_eq!(odyssey, row(&[("cl_waiting", "0"), ("total_wait_time", "0")]));
    }

    #[test]
    fn where_rows_do_not_belong_together_it_is_not_known_who_waits() {
        let odyssey = Dialect::of("odyssey 1.5.2 release");
        let pool = |name| row(&[("database", name), ("cl_active", "3"), ("cl_waiting", "4")]);
        let databases = [row(&[("name", "a"), ("current_client_connections", "9")])];
        let mut pools = [pool("b")];
        odyssey.count_clients(&mut pools, &databases);
        assert_eq!(pools, [row(&[("database", "b")])]);
        let mut pools = [pool("a")];
        odyssey.count_clients(&mut pools, &databases);
        assert_eq!(pools, [row(&[("database", "a"), ("cl_active", "7"), ("cl_waiting", "2")])]);
    }
}
