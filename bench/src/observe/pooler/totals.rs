//! What a pooler has counted.

use std::collections::BTreeMap;

use engine::Nanos;
use serde::Serialize;

use super::is_own;
use crate::observe::table::{Row, risen, sum};

/// What a pooler has counted between two instants ([`Counters::since`]), or one of its processes since
/// it started, over all databases but its own: by the names of SHOW STATS without their `total_` (PgBouncer manual,
/// "SHOW STATS"). Times are in us there. A counter that this pooler does not have is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Totals(BTreeMap<String, u64>);

/// What each process of a pooler has counted since it started. Only differences are added up: in a sum
/// what one lost by a restart would be covered by what others counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counters(Vec<Totals>);

impl Counters {
    /// Those of one process each.
    pub(super) fn of_each(processes: Vec<Totals>) -> Self {
        Self(processes)
    }

    /// What all of them counted since `earlier`. `None` where a counter of one of them has fallen: it
    /// was started anew in between, or its statistics were reset.
    pub(crate) fn since(&self, earlier: &Self) -> Option<Totals> {
        let (now, then) = (&self.0, &earlier.0);
        let risen = now.iter().zip(then).map(|(now, then)| now.since(then));
        let risen = risen.collect::<Option<Vec<_>>>()?;
        (now.len() == then.len()).then(|| Totals::sum(&risen))
    }

    /// Whether all of them have a counter of this name.
    pub(crate) fn have(&self, name: &str) -> bool {
        !self.0.is_empty() && self.0.iter().all(|totals| totals.get(name).is_some())
    }
}

impl Totals {
    /// The rows of SHOW STATS, or of SHOW STATS_TOTALS.
    pub(super) fn new(rows: &[Row]) -> Self {
        let has_prefix = rows.iter().flat_map(Row::keys).any(|name| name.starts_with(PREFIX));
        let mut counters = BTreeMap::new();
        for row in rows {
            // The console's own row says that there is such a counter, also where no database was
            // used yet.
            let share = u64::from(!is_own(row));
            for (column, cell) in row {
                let name = column.strip_prefix(PREFIX);
                // Without the prefix all columns are counters; with it the rest are averages, ports
                // and the like.
                let name = if has_prefix { name } else { Some(column.as_str()) };
                if let (Some(name), Ok(count)) = (name, cell.parse::<u64>()) {
                    *counters.entry(in_totals(name).to_owned()).or_default() += share * count;
                }
            }
        }
        Self(counters)
    }

    /// What several processes of one pooler counted in the same time, or one in several stretches of
    /// it; what not all of them have is unknown.
    pub(crate) fn sum(all: &[Self]) -> Self {
        Self(sum(all.iter().map(|totals| &totals.0)))
    }

    /// What a process counted since `earlier`. `None` where a counter has fallen.
    fn since(&self, earlier: &Self) -> Option<Self> {
        risen(&self.0, &earlier.0).map(Self)
    }

    /// By its name, as in `xact_count`, `server_assignment_count` (from PgBouncer 1.23 on).
    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// Every counter with its name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// Queries of clients.
    pub(crate) fn queries(&self) -> Option<u64> {
        self.get("query_count")
    }

    /// How long clients waited for a server connection, over all of them, in ns.
    pub(crate) fn wait_ns(&self) -> Option<Nanos> {
        self.get("wait_time").map(|us| us.saturating_mul(1000))
    }

    /// From when a client sent a query to the end of its reply, over all queries, in ns. PgBouncer
    /// looks at its clock before it looks for a server connection (`handle_client_work` in its
    /// client.c): the wait is in it.
    pub(crate) fn query_ns(&self) -> Option<Nanos> {
        self.get("query_time").map(|us| us.saturating_mul(1000))
    }

    /// From when a client sent a transaction's first query to the transaction's end, over all
    /// transactions, in ns; the wait is in it too.
    pub(crate) fn transaction_ns(&self) -> Option<Nanos> {
        self.get("xact_time").map(|us| us.saturating_mul(1000))
    }
}

#[cfg(test)]
impl Totals {
    pub(crate) fn of(counters: &[(&str, u64)]) -> Self {
        Self(counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    }
}

#[cfg(test)]
impl Counters {
    /// Those of a pooler of one process.
    pub(crate) fn of(counters: &[(&str, u64)]) -> Self {
        Self(vec![Totals::of(counters)])
    }

    /// What they have counted by now.
    pub(crate) fn together(&self) -> Totals {
        Totals::sum(&self.0)
    }
}

const PREFIX: &str = "total_";

/// Two counters have other names in SHOW STATS_TOTALS.
fn in_totals(name: &str) -> &str {
    match name {
        "received" => "bytes_received",
        "sent" => "bytes_sent",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, &str)]) -> Row {
        cells.iter().map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned())).collect()
    }

    #[test]
    fn consoles_of_several_poolers_are_read_by_name() {
        // PgBouncer 1.18, 1.23 (one counter more) and PgDog (ports and shards are no counters).
        let old = [
            row(&[
                ("database", "nova"),
                ("total_xact_count", "10"),
                ("total_query_count", "12"),
                ("total_received", "900"),
                ("total_wait_time", "7"),
                ("avg_query_count", "5"),
            ]),
            row(&[("database", "pgbouncer"), ("total_query_count", "99")]),
        ];
        let old = Totals::new(&old);
        assert_eq!((old.queries(), old.get("xact_count")), (Some(12), Some(10)));
        assert_eq!((old.wait_ns(), old.get("server_assignment_count")), (Some(7000), None));
        assert_eq!(old.get("bytes_received"), Some(900));
        assert_eq!(old.get("avg_query_count"), None);
        let unused = [row(&[("database", "pgbouncer"), ("total_query_count", "9")])];
        assert_eq!(Totals::new(&unused).queries(), Some(0));
        let new = Totals::new(&[row(&[
            ("total_server_assignment_count", "4"),
            ("port", "5432"),
            ("database", "a"),
            ("shard", "0"),
            ("total_client_parse_count", "6"),
        ])]);
        assert_eq!(new.get("server_assignment_count"), Some(4));
        assert_eq!((new.get("port"), new.get("client_parse_count")), (None, Some(6)));
        let totals = [row(&[("database", "a"), ("query_count", "3"), ("bytes_sent", "8")])];
        let totals = Totals::new(&totals);
        assert_eq!((totals.queries(), totals.get("bytes_sent")), (Some(3), Some(8)));
    }

    #[test]
    fn a_counter_that_went_back_is_a_reset_and_no_difference() {
        let at = |queries: &str, rest: &[(&str, &str)]| {
            Totals::new(&[row(&[&[("total_query_count", queries)], rest].concat())])
        };
        let before = at("100", &[("total_xact_count", "90")]);
        let after = at("130", &[]).since(&before).unwrap();
        assert_eq!((after.queries(), after.get("xact_count")), (Some(30), None));
        assert_eq!(at("20", &[]).since(&before), None);
    }

    #[test]
    fn one_process_that_begins_anew_is_not_covered_by_what_another_counts() {
        let at = |counts: &[u64]| {
            let totals = |count: &u64| Totals::of(&[("query_count", *count)]);
            Counters::of_each(counts.iter().map(totals).collect())
        };
        let queries = |now: &[u64], then: &[u64]| Some(at(now).since(&at(then))?.queries());
        assert_eq!(queries(&[130, 20], &[100, 0]), Some(Some(50)));
        assert_eq!(queries(&[3, 1000], &[100, 0]), None);
        assert_eq!(queries(&[130], &[100, 0]), None, "one is missing");
        assert!(at(&[1, 2]).have("query_count") && !at(&[1]).have("xact_count"));
    }

    #[test]
    fn processes_add_up_where_all_of_them_count() {
        let one = |cells: &[(&str, &str)]| Totals::new(&[row(cells)]);
        let sum = Totals::sum(&[
            one(&[("total_query_count", "5"), ("total_bind_count", "1")]),
            one(&[("total_query_count", "7")]),
        ]);
        assert_eq!((sum.queries(), sum.get("bind_count")), (Some(12), None));
    }
}
