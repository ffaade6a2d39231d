//! A pooler's client and server connections at one instant.

use engine::{Nanos, SECOND};
use serde::Serialize;

use super::is_own;
use crate::observe::table::{Row, number};

/// The connections of all of a pooler's pools together (PgBouncer manual, "SHOW POOLS"). What this
/// version of the pooler does not show is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Pools {
    /// Clients that are linked to a server connection, or idle.
    pub(crate) cl_active: Option<u64>,
    /// Clients that have sent a query and wait for a server connection.
    pub(crate) cl_waiting: Option<u64>,
    /// Server connections that work for a client.
    pub(crate) sv_active: Option<u64>,
    /// Server connections that are ready for a client.
    pub(crate) sv_idle: Option<u64>,
    /// Server connections that were idle for so long that they are checked before their next use.
    pub(crate) sv_used: Option<u64>,
    /// How long the client that has waited longest has waited, in ns.
    pub(crate) maxwait_ns: Option<Nanos>,
}

impl Pools {
    /// The rows of SHOW POOLS together, without the console's own: that one only tells, where there
    /// is no pool yet, which figures there are.
    pub(super) fn new(rows: &[Row]) -> Self {
        let all: Vec<_> = rows.iter().filter(|row| !is_own(row)).map(Self::of).collect();
        match (all.is_empty(), rows.first()) {
            (true, Some(own)) => Self::of(own).emptied(),
            _ => Self::sum(&all),
        }
    }

    fn emptied(self) -> Self {
        Self {
            cl_active: self.cl_active.and(Some(0)),
            cl_waiting: self.cl_waiting.and(Some(0)),
            sv_active: self.sv_active.and(Some(0)),
            sv_idle: self.sv_idle.and(Some(0)),
            sv_used: self.sv_used.and(Some(0)),
            maxwait_ns: self.maxwait_ns.and(Some(0)),
        }
    }

    /// Those of several pools, or of several processes of one pooler.
    pub(super) fn sum(all: &[Self]) -> Self {
        let Some((first, rest)) = all.split_first() else { return Self::default() };
        rest.iter().fold(*first, |sum, other| {
            let both = |figure: fn(&Self) -> Option<u64>| Some(figure(&sum)? + figure(other)?);
            let longest = |one: Option<Nanos>, two: Option<Nanos>| Some(one?.max(two?));
            Self {
                cl_active: both(|pools| pools.cl_active),
                cl_waiting: both(|pools| pools.cl_waiting),
                sv_active: both(|pools| pools.sv_active),
                sv_idle: both(|pools| pools.sv_idle),
                sv_used: both(|pools| pools.sv_used),
                maxwait_ns: longest(sum.maxwait_ns, other.maxwait_ns),
            }
        })
    }

    fn of(row: &Row) -> Self {
        // The whole seconds and the rest are columns of their own.
        let maxwait_us = number(row, "maxwait").zip(number(row, "maxwait_us"));
        Self {
            cl_active: number(row, "cl_active"),
            cl_waiting: number(row, "cl_waiting"),
            sv_active: number(row, "sv_active"),
            sv_idle: number(row, "sv_idle"),
            sv_used: number(row, "sv_used"),
            maxwait_ns: maxwait_us.map(|(seconds, us)| seconds * SECOND + us * 1000),
        }
    }

    /// Client connections.
    pub(crate) fn clients(&self) -> Option<u64> {
        Some(self.cl_active? + self.cl_waiting?)
    }

    /// Server connections.
    pub(crate) fn servers(&self) -> Option<u64> {
        Some(self.sv_active? + self.sv_idle? + self.sv_used.unwrap_or_default())
    }

    /// Client connections for each server connection; unknown where there is no server connection.
    pub(crate) fn multiplexing_ratio(&self) -> Option<f64> {
        let (clients, servers) = (self.clients()?, self.servers()?);
        (servers > 0).then(|| clients as f64 / servers as f64)
    }
}

/// Whether every pool assigns a server connection to each transaction anew: in the modes
/// `transaction` and `statement` (PgBouncer manual, "pool_mode"). Not where there is no pool yet, and
/// not where a pool does not show its mode.
pub(super) fn assign_by_transaction(pools: &[Row]) -> bool {
    let mut modes = pools.iter().filter(|row| !is_own(row)).map(|row| row.get("pool_mode"));
    let is_either = |mode: Option<&String>| {
        mode.is_some_and(|mode| mode == "transaction" || mode == "statement")
    };
    let first = modes.next();
    first.is_some_and(is_either) && modes.all(is_either)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(database: &str, cells: &[(&str, u64)]) -> Row {
        let cells = cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.to_string()));
        cells.chain([("database".to_owned(), database.to_owned())]).collect()
    }

    #[test]
    fn pools_add_up_and_what_is_not_shown_stays_unknown() {
        let pools = Pools::new(&[
            row(
                "nova",
                &[
                    ("maxwait_us", 5),
                    ("maxwait", 2),
                    ("cl_waiting", 10),
                    ("cl_active", 30),
                    ("sv_active", 5),
                    ("sv_idle", 1),
                ],
            ),
            row("pgbouncer", &[("cl_active", 1), ("cl_waiting", 1)]),
            row(
                "other",
                &[
                    ("cl_active", 8),
                    ("cl_waiting", 0),
                    ("sv_active", 1),
                    ("sv_idle", 1),
                    ("maxwait", 1),
                    ("maxwait_us", 9),
                ],
            ),
        ]);
        let expected = Pools {
            cl_active: Some(38),
            cl_waiting: Some(10),
            sv_active: Some(6),
            sv_idle: Some(2),
            sv_used: None,
            maxwait_ns: Some(2_000_005_000),
        };
        assert_eq!(pools, expected);
        assert_eq!(pools.multiplexing_ratio(), Some(6.0));
        assert_eq!(Pools { cl_waiting: None, ..pools }.multiplexing_ratio(), None);
        assert_eq!(
            Pools { sv_active: Some(0), sv_idle: Some(0), ..pools }.multiplexing_ratio(),
            None
        );
    }

    #[test]
    fn servers_are_assigned_by_transaction_where_all_pools_do_so() {
        let pool = |database: &str, mode: &str| {
            let mut row = row(database, &[]);
            row.insert("pool_mode".into(), mode.into());
            row
        };
        let (transaction, session) = (pool("nova", "transaction"), pool("jobs", "session"));
        let own = pool("pgbouncer", "statement");
        let shared = [transaction.clone(), own.clone(), pool("other", "statement")];
        assert!(assign_by_transaction(&shared));
        assert!(!assign_by_transaction(&[transaction.clone(), session]));
        assert!(!assign_by_transaction(&[transaction, row("nova", &[])]), "not shown");
        assert!(!assign_by_transaction(&[own]));
    }

    #[test]
    fn where_there_is_no_pool_yet_nothing_is_in_use() {
        let pools = Pools::new(&[row("pgbouncer", &[("cl_active", 1), ("sv_active", 0)])]);
        assert_eq!((pools.cl_active, pools.sv_active, pools.sv_idle), (Some(0), Some(0), None));
        assert_eq!(Pools::new(&[]), Pools::default());
    }

    #[test]
    fn what_one_of_two_processes_does_not_show_is_unknown_of_both() {
        let (sv_active, maxwait_ns) = (Some(1), Some(7));
        let one = Pools { cl_active: Some(3), sv_active, maxwait_ns, ..Pools::default() };
        let two = Pools { cl_active: Some(4), ..Pools::default() };
        for all in [[one, two], [two, one]] {
            let sum = Pools::sum(&all);
            assert_eq!((sum.cl_active, sum.sv_active, sum.maxwait_ns), (Some(7), None, None));
        }
    }
}
