//! A made-up second.

use std::collections::BTreeMap;

use engine::{MILLISECOND, SECOND};

use super::{LoadSecond, PoolerSecond, Second, ServerSecond, Spread};
use crate::observe::{FullPool, GENERATOR, MachineUse, Network, Pools, ProcessUse};

impl Second {
    /// A machine of four cores that is half idle; a pooler, a server and us, at ease.
    pub(crate) fn at_ease(number: u64) -> Self {
        let spread = Spread { p50: 20_000, p95: 60_000, p99: 90_000, max: MILLISECOND };
        let load = LoadSecond {
            start_ns: number * SECOND,
            end_ns: (number + 1) * SECOND,
            requests: 1000,
            errors: 0,
            late: 0,
            response_ns: Some(spread),
            service_ns: Some(spread),
            lateness_ns: Some(spread),
            server_total_ns: None,
            server_database_ns: None,
            busiest_worker: Some(0.2),
            workers: Vec::new(),
        };
        let used = |cpu_cores, has_children| {
            let used = ProcessUse {
                cpu_cores,
                wait_cores: Some(0.02),
                busiest_thread: Some(0.2),
                busiest_thread_wait: Some(0.01),
                usable_cores: if has_children { 4.0 } else { 1.0 },
                cores: vec![0, 1, 2, 3],
                is_under_quota: false,
                throttled_cores: None,
                has_children,
                context_switches: Some(3000.0),
                group: None,
                resident_bytes: Some(1 << 20),
                open_files: Some(100),
                open_files_max: Some(1024),
            };
            Some(used)
        };
        let pools = Pools {
            cl_active: Some(20),
            cl_waiting: Some(0),
            sv_active: Some(2),
            sv_idle: Some(4),
            sv_used: Some(0),
            maxwait_ns: Some(0),
        };
        let counts = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let named = |name: &str, used| (name.to_owned(), used);
        Self {
            load,
            poolers: BTreeMap::from([(
                "pooler".to_owned(),
                Some(PoolerSecond {
                    pools,
                    full: Some(Vec::new()),
                    clients: Some(20),
                    clients_max: Some(100),
                    client_limits: Vec::new(),
                    figures: BTreeMap::new(),
                    wait_ns_per_query: Some(500.0),
                    counted_per_second: None,
                }),
            )]),
            servers: BTreeMap::from([(
                "postgres".to_owned(),
                Some(ServerSecond {
                    connections: Some(8),
                    connections_max: Some(100),
                    states: Some(counts(&[("active", 4), ("idle", 4)])),
                    waits: Some(counts(&[("running", 2), ("Client:ClientRead", 2)])),
                    counted_per_second: None,
                }),
            )]),
            processes: BTreeMap::from([
                named("pooler", used(0.2, false)),
                named("postgres", used(0.8, true)),
                named("gateway", used(0.4, false)),
                named(GENERATOR, used(0.2, false)),
            ]),
            machine: Some(MachineUse {
                idle: 0.5,
                softirq: 0.05,
                steal: 0.0,
                idle_by_core: (0..4).map(|core| (core, 0.5)).collect(),
                network: Network { listen_overflows: Some(0), ..Network::default() },
            }),
            expositions: BTreeMap::new(),
        }
    }

    /// All of its pool's server connections are in use, and clients wait.
    pub(crate) fn fill_pool(&mut self) {
        let pooler = self.poolers.get_mut("pooler").and_then(Option::as_mut).unwrap();
        let (database, user) = ("nova".into(), "nova".into());
        let (size, setting, cl_waiting) = (6, "pool_size", 14);
        pooler.full = Some(vec![FullPool { database, user, size, setting, cl_waiting }]);
        (pooler.pools.cl_waiting, pooler.pools.sv_active) = (Some(14), Some(6));
    }
}
