//! What a pooler has counted since it started.

use engine::Nanos;

use super::Row;

/// The counters of all of a pooler's databases together, but for its console's own (PgBouncer
/// manual, "SHOW STATS_TOTALS"). What this version of the pooler does not count is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) queries: Option<u64>,
    pub(crate) transactions: Option<u64>,
    /// How often a client was given a server connection; from PgBouncer 1.23 on.
    pub(crate) server_assignments: Option<u64>,
    /// How long clients waited for a server connection, added up, in ns.
    pub(crate) wait_ns: Option<Nanos>,
    /// How long servers worked on queries, added up, in ns.
    pub(crate) query_ns: Option<Nanos>,
}

impl Counters {
    /// The rows of SHOW STATS_TOTALS together.
    pub(super) fn new(rows: &[Row]) -> Self {
        let databases =
            rows.iter().filter(|row| row.get("database").is_none_or(|n| n != "pgbouncer"));
        let sum = |names: [&str; 2]| {
            let cell = |row: &Row| {
                let text = names.iter().find_map(|name| row.get(*name))?;
                text.parse::<u64>().ok()
            };
            let mut cells = databases.clone().filter_map(cell).peekable();
            cells.peek().is_some().then(|| cells.sum())
        };
        let counter = |name: &str| sum([name, &format!("total_{name}")]);
        let ns = |us: u64| us * 1000;
        Self {
            queries: counter("query_count"),
            transactions: counter("xact_count"),
            server_assignments: counter("server_assignment_count"),
            wait_ns: counter("wait_time").map(ns),
            query_ns: counter("query_time").map(ns),
        }
    }

    /// What was counted since `earlier`. A counter that has gone back was reset on the way: what it
    /// counted is unknown.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let counted =
            |figure: fn(&Self) -> Option<u64>| figure(self)?.checked_sub(figure(earlier)?);
        Self {
            queries: counted(|counters| counters.queries),
            transactions: counted(|counters| counters.transactions),
            server_assignments: counted(|counters| counters.server_assignments),
            wait_ns: counted(|counters| counters.wait_ns),
            query_ns: counted(|counters| counters.query_ns),
        }
    }

    /// Both together; what is unknown in one is unknown.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let sum = |figure: fn(&Self) -> Option<u64>| Some(figure(self)? + figure(other)?);
        Self {
            queries: sum(|counters| counters.queries),
            transactions: sum(|counters| counters.transactions),
            server_assignments: sum(|counters| counters.server_assignments),
            wait_ns: sum(|counters| counters.wait_ns),
            query_ns: sum(|counters| counters.query_ns),
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
    fn databases_add_up_and_what_is_not_counted_is_unknown() {
        let nova = [("query_count", "10"), ("xact_count", "8"), ("database", "nova")];
        let other = [("database", "other"), ("query_count", "1"), ("xact_count", "1")];
        let console = [("database", "pgbouncer"), ("query_count", "99"), ("xact_count", "99")];
        let counters = Counters::new(&[row(&nova), row(&other), row(&console)]);
        let expected = Counters { queries: Some(11), transactions: Some(9), ..Counters::default() };
        assert_eq!(counters, expected);
        assert_eq!(Counters::new(&[]), Counters::default());
    }

    #[test]
    fn the_columns_of_show_stats_are_understood_too() {
        let stats = [
            ("database", "nova"),
            ("total_wait_time", "7"),
            ("total_query_time", "30"),
            ("total_server_assignment_count", "5"),
        ];
        let counters = Counters::new(&[row(&stats)]);
        assert_eq!((counters.wait_ns, counters.query_ns), (Some(7000), Some(30_000)));
        assert_eq!(counters.server_assignments, Some(5));
    }

    #[test]
    fn a_counter_that_was_reset_is_unknown_and_no_giant() {
        let at = |queries, wait_ns| Counters { queries, wait_ns, ..Counters::default() };
        let since = at(Some(5), Some(300)).since(&at(Some(9), Some(100)));
        assert_eq!(since, at(None, Some(200)));
        assert_eq!(at(Some(1), Some(1)).plus(&at(Some(2), None)), at(Some(3), None));
    }
}
