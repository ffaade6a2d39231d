//! A pooler's client and server connections at one instant.

use engine::{Nanos, SECOND};

use super::Row;

/// The connections of all of a pooler's pools together (PgBouncer manual, "SHOW POOLS"). What this
/// version of the pooler does not show is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// The rows of SHOW POOLS together, without the console's own.
    pub(super) fn new(rows: &[Row]) -> Self {
        let mut pools = Self::default();
        let is_pool = |row: &&Row| row.get("database").is_none_or(|name| name != "pgbouncer");
        rows.iter().filter(is_pool).for_each(|row| pools.add(row));
        pools
    }

    fn add(&mut self, row: &Row) {
        let cell = |name: &str| row.get(name)?.parse::<u64>().ok();
        let sum = |ours: &mut Option<u64>, theirs: Option<u64>| {
            *ours = theirs.map(|value| ours.unwrap_or_default() + value);
        };
        sum(&mut self.cl_active, cell("cl_active"));
        sum(&mut self.cl_waiting, cell("cl_waiting"));
        sum(&mut self.sv_active, cell("sv_active"));
        sum(&mut self.sv_idle, cell("sv_idle"));
        sum(&mut self.sv_used, cell("sv_used"));
        // The whole seconds and the rest are columns of their own.
        let maxwait_us = cell("maxwait").zip(cell("maxwait_us"));
        let maxwait_ns = maxwait_us.map(|(seconds, us)| seconds * SECOND + us * 1000);
        self.maxwait_ns = self.maxwait_ns.max(maxwait_ns);
    }

    /// Client connections for each server connection; unknown where there is no server connection.
    pub(crate) fn multiplexing_ratio(&self) -> Option<f64> {
        let clients = self.cl_active? + self.cl_waiting?;
        let servers = self.sv_active? + self.sv_idle? + self.sv_used.unwrap_or_default();
        (servers > 0).then(|| clients as f64 / servers as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_add_up_and_what_is_not_shown_stays_unknown() {
        let row = |database: &str, cells: &[(&str, u64)]| -> Row {
            let cells = cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.to_string()));
            cells.chain([("database".to_owned(), database.to_owned())]).collect()
        };
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
            row("other", &[("cl_active", 8), ("cl_waiting", 0), ("sv_active", 1), ("sv_idle", 1)]),
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
}
