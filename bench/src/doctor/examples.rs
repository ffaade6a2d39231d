//! A scenario and a machine on which all is well, for tests to spoil.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use engine::{Gaps, Load, MILLISECOND, SECOND};

use super::facts::{Ceiling, Facts, Machine, PoolerFacts, Process, ServerFacts, TargetFacts};
use crate::scenario::{Scenario, ScenarioLoad};

/// 2026-11-25T08:00:00Z.
const NOW: Duration = Duration::from_secs(1_795_593_600);

/// Users for 5 min on the gateway, with the least and the most think time in ms.
pub(super) fn closed(vus: u32, (least, most): (u64, u64)) -> ScenarioLoad {
    let mut load = ScenarioLoad::new(Load::ConstantVus { vus, duration_ns: 300 * SECOND });
    load.target = Some("gateway".into());
    load.think_time_ns = (least * MILLISECOND, most * MILLISECOND);
    load
}

/// A schedule for 5 min on the gateway.
pub(super) fn open(rate: f64, vus: u32) -> ScenarioLoad {
    let mut load = ScenarioLoad::new(Load::ConstantArrivalRate {
        rate,
        gaps: Gaps::Uniform,
        duration_ns: 300 * SECOND,
        pre_allocated_vus: vus,
        max_vus: vus,
    });
    load.target = Some("gateway".into());
    load
}

/// Two gateways, a pooler and a server, as the nova stack has them.
pub(super) fn scenario(loads: Vec<ScenarioLoad>) -> Scenario {
    let text = r#"
name = "example"
[targets.gateway]
url = "http://127.0.0.1:4000/graphql"
backends = "nova"
[targets.gateway-direct]
url = "http://127.0.0.1:4001/graphql"
backends = "nova-direct"
[targets.pooler]
conninfo = "host=127.0.0.1 port=6432 user=nova dbname=nova"
console = "host=127.0.0.1 port=6432 user=admin dbname=pgbouncer"
backends = "nova"
[targets.postgres]
conninfo = "host=127.0.0.1 port=5432 user=nova dbname=nova"
[[operations]]
name = "getUser"
graphql = "{ user(id: 1) { id } }"
sql = "SELECT 1"
"#;
    let scenario = Scenario::parse("example.toml", text, &|_| None).expect("a scenario");
    Scenario { loads, ..scenario }
}

/// What a machine of 8 cores with all four servers on it shows.
pub(super) fn facts() -> Facts {
    let now = SystemTime::UNIX_EPOCH + NOW;
    let target = |port: u16, pid: i32, program: &str| TargetFacts {
        place: format!("127.0.0.1:{port}"),
        reached: Some(Ok(())),
        listener: Some(Process {
            pid,
            program: program.into(),
            arguments: Vec::new(),
            cores: Some((0..8).collect()),
        }),
        pooler: None,
        server: None,
        consoles: usize::from(program == "pgbouncer"),
        application_name: None,
        isolation: None,
    };
    let settings = |settings: &[(&str, &str)]| {
        settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    };
    let mut pooler = target(6432, 102, "pgbouncer");
    pooler.pooler = Some(Ok(PoolerFacts {
        settings: settings(&[
            ("max_client_conn", "1000"),
            ("listen_backlog", "1024"),
            ("server_tls_sslmode", "disable"),
            ("auth_type", "scram-sha-256"),
        ]),
        pool_size: Some(25),
        reserve: Some(0),
        pool_mode: Some("transaction".into()),
        clients: Some(50),
        clients_in_all: Some(50),
        application_names: Some(["nova".to_owned()].into()),
    }));
    let mut postgres = target(5432, 101, "postgres");
    postgres.server = Some(Ok(ServerFacts {
        settings: settings(&[
            ("max_connections", "200"),
            ("superuser_reserved_connections", "3"),
            ("password_encryption", "scram-sha-256"),
            ("ssl", "off"),
        ]),
        backends: Some(BTreeMap::from([("nova".into(), (25, 0)), ("nova-direct".into(), (5, 0))])),
    }));
    Facts {
        ceiling: Some(Ceiling { workers: 1, http: 220_000.0, postgres: 230_000.0 }),
        now,
        machine: Machine {
            cores: Some(8),
            workers: None,
            worker_cores: vec![6, 7],
            open_files_max: Some(1 << 20),
            files_in_use: Some(8),
            clock_source: Some("tsc".into()),
            governors: Some(BTreeMap::new()),
            ring: Some(Ok(())),
            io_uring_disabled: Some(0),
            somaxconn: Some(4096),
        },
        targets: BTreeMap::from([
            ("gateway".into(), target(4000, 103, "nova-gateway")),
            ("gateway-direct".into(), target(4001, 104, "nova-gateway")),
            ("pooler".into(), pooler),
            ("postgres".into(), postgres),
        ]),
        token: None,
    }
}

/// The example's pooler.
pub(super) fn pooler(facts: &mut Facts) -> &mut PoolerFacts {
    let target = facts.targets.get_mut("pooler").expect("a pooler");
    target.pooler.as_mut().expect("a console").as_mut().expect("its answer")
}

/// The example's Postgres.
pub(super) fn server(facts: &mut Facts) -> &mut ServerFacts {
    let target = facts.targets.get_mut("postgres").expect("a server");
    target.server.as_mut().expect("a login").as_mut().expect("its answer")
}
