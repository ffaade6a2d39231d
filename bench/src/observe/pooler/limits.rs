//! What keeps a pooler's clients from server connections, and others from becoming clients.

use serde::Serialize;

use super::is_own;
use crate::observe::table::{Row, number};

/// A pool that may have no more server connections while clients wait for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FullPool {
    pub(crate) database: String,
    /// Empty where the console does not name it.
    pub(crate) user: String,
    /// How many server connections it may have.
    pub(crate) size: u64,
    /// The setting that says so (PgBouncer manual, "Generic settings"): `pool_size`, or one for all
    /// pools of a database or user, `max_db_connections` or `max_user_connections`.
    pub(crate) setting: &'static str,
    pub(crate) cl_waiting: u64,
}

/// How many clients a database has and may have (from PgBouncer 1.24 on, "max_db_client_connections").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ClientLimit {
    pub(crate) database: String,
    pub(crate) clients: u64,
    pub(crate) clients_max: u64,
}

/// Server connections of a pool that can't be given to a client now. Before 1.18 PgBouncer counts
/// those that are cancelled with the active ones.
const TAKEN: [&str; 5] =
    ["sv_active", "sv_active_cancel", "sv_being_canceled", "sv_tested", "sv_login"];
/// Those that a client could have, but of another pool of the same user.
const FREE: [&str; 2] = ["sv_idle", "sv_used"];

fn sum(row: &Row, names: &[&str]) -> u64 {
    names.iter().filter_map(|name| number(row, name)).sum()
}

impl FullPool {
    /// Those among the rows of SHOW POOLS, by the sizes in SHOW DATABASES, or by the pool's own where
    /// the console shows that, and by the limits of SHOW USERS or else SHOW CONFIG. `None` where
    /// clients wait and what they wait for is not shown.
    pub(super) fn find(
        pools: &[Row],
        databases: &[Row],
        users: &[Row],
        settings: &Row,
    ) -> Option<Vec<Self>> {
        let all: Vec<_> = pools.iter().filter(|row| !is_own(row)).collect();
        let mut found = Vec::new();
        let mut is_known = !pools.is_empty();
        for row in &all {
            let Some(cl_waiting) = number(row, "cl_waiting") else {
                is_known = false;
                continue;
            };
            if cl_waiting == 0 {
                continue;
            }
            let database = row.get("database").cloned().unwrap_or_default();
            let user = row.get("user").cloned().unwrap_or_default();
            let shown = databases.iter().find(|other| other.get("name") == Some(&database));
            let of_database = |name| shown.and_then(|shown| number(shown, name));
            let taken = number(row, "sv_active").map(|_| sum(row, &TAKEN));
            let size = number(row, "pool_size").or_else(|| of_database("pool_size"));
            let limits = [
                ("pool_size", taken, size),
                (
                    "max_db_connections",
                    of_database("current_connections"),
                    of_database("max_connections").filter(|limit| *limit > 0),
                ),
                (
                    "max_user_connections",
                    of_user(&all, users, &user),
                    user_limit(users, settings, &user).filter(|limit| *limit > 0),
                ),
            ];
            let reached = limits.iter().find_map(|(setting, used, limit)| {
                let limit = limit.filter(|limit| used.is_some_and(|used| used >= *limit))?;
                Some((*setting, limit))
            });
            match reached {
                Some((setting, size)) => {
                    found.push(Self { database, user, size, setting, cl_waiting });
                }
                None => is_known &= taken.is_some() && size.is_some(),
            }
        }
        (is_known || !found.is_empty()).then_some(found)
    }
}

/// How many server connections a user has: as SHOW USERS tells it (from PgBouncer 1.23 on), or over
/// the pools.
fn of_user(pools: &[&Row], users: &[Row], user: &str) -> Option<u64> {
    let shown = row_of(users, user).and_then(|row| number(row, "current_connections"));
    let of_pools = || {
        let own = pools.iter().filter(|row| row.get("user").is_some_and(|name| name == user));
        own.map(|row| sum(row, &TAKEN) + sum(row, &FREE)).sum()
    };
    (!user.is_empty()).then(|| shown.unwrap_or_else(of_pools))
}

/// A user's own limit, or the one for all.
fn user_limit(users: &[Row], settings: &Row, user: &str) -> Option<u64> {
    let own = row_of(users, user).and_then(|row| number(row, "max_user_connections"));
    own.or_else(|| number(settings, "max_user_connections"))
}

fn row_of<'a>(users: &'a [Row], user: &str) -> Option<&'a Row> {
    users.iter().find(|row| row.get("name").is_some_and(|name| name == user))
}

impl ClientLimit {
    /// Of each database that has one.
    pub(super) fn all(databases: &[Row]) -> Vec<Self> {
        let limit = |row: &Row| {
            Some(Self {
                database: row.get("name")?.clone(),
                clients: number(row, "current_client_connections")?,
                clients_max: number(row, "max_client_connections").filter(|limit| *limit > 0)?,
            })
        };
        databases.iter().filter(|row| !is_own(row)).filter_map(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, &str)]) -> Row {
        cells.iter().map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned())).collect()
    }

    fn pool(cells: &[(&str, &str)]) -> Row {
        row(&[&[("database", "nova"), ("user", "app")], cells].concat())
    }

    fn found(pools: &[Row], databases: &[Row]) -> Option<Vec<FullPool>> {
        FullPool::find(pools, databases, &[], &Row::new())
    }

    #[test]
    fn a_pool_is_full_where_clients_wait_and_no_connection_is_left() {
        let sizes = [row(&[("name", "nova"), ("pool_size", "2")])];
        let full = |cells: &[(&str, &str)]| found(&[pool(cells)], &sizes);
        let all = full(&[("sv_active", "2"), ("cl_waiting", "7")]).unwrap();
        assert_eq!((all.len(), all[0].size, all[0].cl_waiting), (1, 2, 7));
        let logs_in = full(&[("sv_active", "1"), ("sv_login", "1"), ("cl_waiting", "7")]);
        assert_eq!(logs_in.unwrap().len(), 1);
        assert_eq!(full(&[("sv_active", "2"), ("cl_waiting", "0")]), Some(vec![]));
        assert_eq!(full(&[("sv_active", "1"), ("cl_waiting", "7")]), Some(vec![]));
        // The pool's own size, as some poolers show it.
        let own = pool(&[("sv_active", "2"), ("cl_waiting", "1"), ("pool_size", "3")]);
        assert_eq!(found(&[own], &sizes), Some(vec![]));
    }

    #[test]
    fn what_is_not_shown_makes_no_pool_full_and_none_that_is_not() {
        let sizes = [row(&[("name", "nova"), ("pool_size", "2")])];
        assert_eq!(found(&[], &sizes), None, "no pools");
        assert_eq!(found(&[pool(&[("cl_waiting", "7")])], &sizes), None, "taken is unknown");
        assert_eq!(found(&[pool(&[("sv_active", "2")])], &sizes), None, "waiting is unknown");
        let waits = pool(&[("sv_active", "2"), ("cl_waiting", "7")]);
        assert_eq!(found(std::slice::from_ref(&waits), &[]), None, "the size is unknown");
        let at_ease = pool(&[("sv_active", "2"), ("cl_waiting", "0")]);
        assert_eq!(found(&[at_ease], &[]), Some(vec![]), "nobody waits");
        let other = row(&[("database", "other"), ("sv_active", "9"), ("cl_waiting", "1")]);
        assert_eq!(found(&[other, waits], &sizes).unwrap().len(), 1);
    }

    #[test]
    fn limits_over_all_pools_of_a_database_or_user_fill_a_pool_too() {
        let waits = pool(&[("sv_active", "2"), ("sv_idle", "1"), ("cl_waiting", "1")]);
        let named = |full: Option<Vec<FullPool>>| {
            let full = full.unwrap();
            full.first().map(|full| (full.setting, full.size))
        };
        let limited = |max: &str, current: &str| {
            let limits = [("max_connections", max), ("current_connections", current)];
            [row(&[&[("name", "nova"), ("pool_size", "9")], &limits[..]].concat())]
        };
        let one = std::slice::from_ref(&waits);
        assert_eq!(named(found(one, &limited("4", "4"))), Some(("max_db_connections", 4)));
        assert_eq!(named(found(one, &limited("0", "4"))), None, "0 is no limit");
        // The default for all users, or a user's own; connections of another pool count.
        let other =
            row(&[("database", "b"), ("user", "app"), ("sv_idle", "2"), ("cl_waiting", "0")]);
        let both = [waits, other];
        let of_user = |users: &[Row], default: &str| {
            let settings = row(&[("max_user_connections", default)]);
            named(FullPool::find(&both, &limited("0", "5"), users, &settings))
        };
        assert_eq!(of_user(&[], "5"), Some(("max_user_connections", 5)));
        assert_eq!(of_user(&[], "6"), None);
        let user = |max: &str, current: &str| {
            let limits = [("max_user_connections", max), ("current_connections", current)];
            [row(&[&[("name", "app")], &limits[..]].concat())]
        };
        assert_eq!(of_user(&user("8", "8"), "5"), Some(("max_user_connections", 8)));
        assert_eq!(of_user(&user("8", "7"), "5"), None);
    }

    #[test]
    fn a_databases_limit_of_clients_is_seen_where_there_is_one() {
        let database = |max: &str| {
            let counts = [("current_client_connections", "40"), ("max_client_connections", max)];
            row(&[&[("name", "nova"), ("database", "nova")], &counts[..]].concat())
        };
        let expected = ClientLimit { database: "nova".into(), clients: 40, clients_max: 50 };
        assert_eq!(ClientLimit::all(&[database("50"), database("0")]), [expected]);
        assert_eq!(ClientLimit::all(&[row(&[("name", "nova")])]), []);
    }
}
