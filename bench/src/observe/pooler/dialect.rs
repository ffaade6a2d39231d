//! What other poolers' consoles mean by the columns that they share with PgBouncer's.

use crate::observe::table::Row;

/// Whose console it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Dialect {
    /// PgBouncer's own, and those that mean the same by each of its columns (PgCat).
    #[default]
    PgBouncer,
    /// Its times are in ms, with a fraction (pgdog/src/admin/show_stats.rs).
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
        } else if version.starts_with(|first: char| first.is_ascii_digit()) {
            Self::Odyssey
        } else {
            Self::PgBouncer
        }
    }

    /// The row as PgBouncer would show it: times in us, and nothing where nothing is known.
    pub(super) fn translate(self, mut row: Row) -> Row {
        match self {
            Self::PgBouncer => {}
            Self::PgDog => {
                let times = row.iter_mut().filter(|(name, _)| name.ends_with("_time"));
                for (_, cell) in times {
                    if let Ok(ms) = cell.parse::<f64>() {
                        *cell = format!("{:.0}", ms * 1000.0);
                    }
                }
            }
            Self::Odyssey => row.retain(|name, _| !ALWAYS_ZERO.contains(&name.as_str())),
        }
        row
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
        assert_eq!(translated("PgCat 1.2.0"), row(&shown));
        let pgdog = translated("PgDog v0.1.30 [main@abc, pgdog-plugin 1, rustc 1]");
        assert_eq!(pgdog["total_wait_time"], "12345");
        assert_eq!(pgdog["total_query_time"], "7000");
        assert_eq!(pgdog["total_sent"], "8.5");
    }

    #[test]
    fn what_is_not_measured_is_no_zero() {
        let shown = [("total_wait_time", "0"), ("maxwait", "0"), ("cl_waiting", "0")];
        let odyssey = Dialect::of("1.4.1-0199d05-Release").translate(row(&shown));
        assert_eq!(odyssey, row(&[("cl_waiting", "0")]));
    }
}
