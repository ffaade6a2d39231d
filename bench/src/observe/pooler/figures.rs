//! What a pooler's console shows beside the figures that we know.

use std::collections::BTreeMap;

use super::is_own;
use crate::observe::table::{Row, number};

/// Numbers by view and column, as in `pools.sv_login` or `lists.used_servers`, over all databases but
/// the console's own.
pub(crate) type Figures = BTreeMap<String, u64>;

/// What [`Pools`](super::Pools) has.
const KNOWN: [&str; 7] =
    ["cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_used", "maxwait", "maxwait_us"];
/// Numbers that count nothing.
const NO_FIGURES: [&str; 3] = ["id", "port", "shard"];

/// The columns of a view that are numbers, added up over its rows.
pub(super) fn of_view(view: &str, rows: &[Row]) -> Figures {
    let mut figures = Figures::new();
    for row in rows.iter().filter(|row| !is_own(row)) {
        let is_left_out = |name: &str| KNOWN.contains(&name) || NO_FIGURES.contains(&name);
        for name in row.keys().filter(|name| !is_left_out(name)) {
            if let Some(count) = number(row, name) {
                let sum = figures.entry(format!("{view}.{name}")).or_default();
                *sum = sum.saturating_add(count);
            }
        }
    }
    figures
}

/// The lengths that SHOW LISTS gives: a list in each row, or all in one (PgDog).
pub(super) fn of_lists(rows: &[Row]) -> Figures {
    let named = |row: &Row| match row.get("list") {
        Some(name) => Vec::from_iter(number(row, "items").map(|length| (name.clone(), length))),
        None => row.keys().filter_map(|name| Some((name.clone(), number(row, name)?))).collect(),
    };
    let all = rows.iter().flat_map(named);
    all.map(|(name, length)| (format!("lists.{name}"), length)).collect()
}
