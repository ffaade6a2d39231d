//! A pooler's client and server connections at one instant.

use engine::{Nanos, SECOND};

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
    /// Adds one pool's row of SHOW POOLS, given its cells by name.
    pub(super) fn add(&mut self, cell: impl Fn(&str) -> Option<u64>) {
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
        let row = |cells: &'static [(&'static str, u64)]| {
            move |name: &str| cells.iter().find(|(known, _)| *known == name).map(|(_, cell)| *cell)
        };
        let mut pools = Pools::default();
        pools.add(row(&[
            ("maxwait_us", 5),
            ("maxwait", 2),
            ("cl_waiting", 10),
            ("cl_active", 30),
            ("sv_active", 5),
            ("sv_idle", 1),
        ]));
        pools.add(row(&[("cl_active", 8), ("cl_waiting", 0), ("sv_active", 1), ("sv_idle", 1)]));
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
