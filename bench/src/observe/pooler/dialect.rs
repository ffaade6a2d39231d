//! What other poolers' consoles mean by the columns that they share with PgBouncer's.

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
    /// It shows 0 for what it does not measure (sources/console.c).
    Odyssey,
}

/// What Odyssey does not measure.
const ALWAYS_ZERO: [&str; 7] = [
    "total_wait_time",
    "avg_wait_time",
    "maxwait",
    "maxwait_us",
    "sv_used",
    "sv_tested",
    "sv_login",
];

impl Dialect {
    /// By the answer to SHOW VERSION. Odyssey gives numbers, the others their names.
    pub(super) fn of(version: &str) -> Self {
        if version.starts_with("PgDog") {
            Self::PgDog
        } else if version.starts_with("PgCat") {
            Self::PgCat
        } else if version.starts_with(|first: char| first.is_ascii_digit()) {
            Self::Odyssey
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
            Self::Odyssey => row.retain(|name, _| !ALWAYS_ZERO.contains(&name.as_str())),
        }
        row
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
    }
}
