//! The lines of pgbouncer.ini that an answer comes to.

use engine::SECOND;

use super::group::{AS_GOOD, Group};
use crate::duration::show;
use crate::statistics::in_system;
use crate::sweep::cell::{Cell, PoolFigures};

/// Connections that come and go beside the clients: a tenth of them.
const SPARE_SHARE: f64 = 1.1;
/// PgBouncer's default, where the pooler's own is not known.
const RESERVE_POOL_TIMEOUT_NS: u64 = 5 * SECOND;

impl Group<'_> {
    /// What to write for this cell.
    pub(super) fn settings(&self, cell: &Cell) -> Vec<String> {
        let size = cell.setting.pool_size.unwrap_or_default();
        let reserve = self.reserve(cell).0;
        let clients = (f64::from(cell.setting.clients) * SPARE_SHARE).ceil() as u32;
        let clients = clients.max(self.now.map_or(0, |now| now.max_client_conn));
        vec![
            format!("default_pool_size = {size}"),
            format!("max_db_connections = {}", size + reserve),
            format!("reserve_pool_size = {reserve}"),
            format!("max_client_conn = {clients}"),
        ]
    }

    /// What Little's law says to it at this rate, why the reserve is what it is, and how it is now.
    pub(super) fn remarks(&self, cell: &Cell, rate: f64) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(query_ns) = cell.pool.as_ref().and_then(|pool| pool.query_ns) {
            remarks.push(format!(
                "Little's law: {rate:.0}/s of {} each keep {:.2} server connections busy",
                show(query_ns),
                in_system(rate, query_ns)
            ));
        }
        remarks.push(self.reserve(cell).1);
        remarks.extend(self.now.map(|now| {
            format!(
                "now: default_pool_size = {}, max_db_connections = {}, reserve_pool_size = {}, \
                 max_client_conn = {}",
                now.pool_size, now.max_db_connections, now.reserve_pool_size, now.max_client_conn
            )
        }));
        remarks
    }

    /// How many connections of a reserve would have helped the clients of this cell, and why. The
    /// reserve is for those that have waited for reserve_pool_timeout (PgBouncer manual,
    /// "reserve_pool_size"): it has as many as a larger pool, that does no less, has more where
    /// nobody waits so long.
    fn reserve(&self, cell: &Cell) -> (u32, String) {
        let timeout_ns =
            self.now.map_or(RESERVE_POOL_TIMEOUT_NS, |now| now.reserve_pool_timeout_ns);
        let timeout = show(timeout_ns as f64);
        let waits = |pool: &PoolFigures| {
            Some(
                pool.maxwait_ns? >= timeout_ns || pool.clients_stuck.is_some_and(|stuck| stuck > 0),
            )
        };
        let pool = cell.pool.as_ref();
        let known = pool.and_then(|pool| Some((pool.maxwait_ns?, waits(pool)?)));
        let Some((maxwait_ns, is_waited)) = known else {
            let why = "unknown, since the pooler does not show how long clients wait";
            return (0, format!("reserve_pool_size: {why}"));
        };
        let longest = show(maxwait_ns as f64);
        if !is_waited {
            let why = match maxwait_ns {
                0 => "no client was seen waiting".to_owned(),
                _ => format!("no client waited longer than {longest}"),
            };
            return (0, format!("reserve_pool_size: {why}; the reserve is for waits of {timeout}"));
        }
        let size = cell.setting.pool_size.unwrap_or_default();
        let mut larger: Vec<_> = self
            .pooled
            .iter()
            .filter(|other| other.setting.clients == cell.setting.clients)
            .filter(|other| other.throughput_ci[1] >= AS_GOOD * cell.throughput)
            .filter_map(|other| Some((other.setting.pool_size?, other.pool.as_ref()?)))
            .filter(|(other, pool)| *other > size && waits(pool) == Some(false))
            .collect();
        larger.sort_unstable_by_key(|(size, _)| *size);
        match larger.first() {
            Some((enough, _)) => (
                enough - size,
                format!(
                    "reserve_pool_size: clients waited up to {longest}, and the reserve is for waits of \
                     {timeout}; with a pool of {enough} none does"
                ),
            ),
            None => {
                let seen = format!("reserve_pool_size: clients waited up to {longest}");
                let is_larger = |other: &Cell| other.setting.pool_size > Some(size);
                let why = match self.pooled.iter().any(|other| is_larger(other)) {
                    true => "and larger pools did not end that: more connections are no remedy",
                    false => "and no larger pool was measured that would end it",
                };
                (0, format!("{seen}, {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::configuration::Configuration;
    use crate::sweep::summary::tests::surface;

    /// Of all cells with 64 clients; the longest wait of each pool is as `wait_s` says.
    fn reserve(wait_s: impl Fn(u32) -> u64) -> (u32, String) {
        let (mut cells, now) = surface();
        for cell in &mut cells {
            let size = cell.setting.pool_size.unwrap_or_default();
            cell.pool.iter_mut().for_each(|pool| pool.maxwait_ns = Some(wait_s(size) * SECOND));
        }
        let now = Configuration { reserve_pool_timeout_ns: 3 * SECOND, ..now };
        let pooled: Vec<_> = cells
            .iter()
            .filter(|cell| cell.setting.pool_size.is_some() && cell.setting.clients == 64)
            .collect();
        let cell = pooled.iter().find(|cell| cell.setting.pool_size == Some(4)).unwrap();
        let group = Group {
            about: String::new(),
            pooled: pooled.clone(),
            direct: Vec::new(),
            deviation: 0.0,
            now: Some(&now),
        };
        let (reserve, why) = group.reserve(cell);
        let settings = group.settings(cell);
        assert_eq!(settings[1], format!("max_db_connections = {}", 4 + reserve));
        assert_eq!(settings[2], format!("reserve_pool_size = {reserve}"));
        (reserve, why)
    }

    #[test]
    fn a_reserve_is_for_waits_beyond_its_timeout_that_more_connections_end() {
        let (none, why) = reserve(|_| 2);
        assert_eq!(none, 0);
        assert!(why.contains("no client waited longer than 2.00 s"), "{why}");
        assert!(why.contains("for waits of 3.00 s"), "{why}");
        let (four, why) = reserve(|size| if size < 8 { 4 } else { 1 });
        assert_eq!(four, 4);
        assert!(why.contains("with a pool of 8 none does"), "{why}");
        let (none, why) = reserve(|_| 4);
        assert_eq!(none, 0);
        assert!(why.contains("no remedy"), "{why}");
    }
}
