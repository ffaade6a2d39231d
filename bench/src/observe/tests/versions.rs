//! What each version of PgBouncer shows, and Odyssey, as psql -A writes it. The columns of 1.18, 1.24 and
//! 1.26 are those of consoles that were asked, the others those of the manual ("Admin console").

use super::scripted::{Answer, Console};
use super::*;

/// A version, what it answers, and what is to be read there.
struct Version {
    name: &'static str,
    pools: Answer,
    databases: Answer,
    stats: Answer,
    users: Answer,
    config: Answer,
    /// Server connections that cannot be given to a client while it waits, and why.
    full: Option<(u64, &'static str)>,
    server_assignments: Option<u64>,
    binds: Option<u64>,
    /// Of the only database.
    clients_max: Option<u64>,
    /// By names that only some versions have.
    figures: &'static [(&'static str, u64)],
}

const LISTS: Answer = Answer::Psql(
    "list|items\n\
     databases|2\n\
     users|2\n\
     pools|2\n\
     free_clients|10\n\
     used_clients|41\n\
     login_clients|0\n\
     free_servers|45\n\
     used_servers|5\n\
     dns_names|0\n\
     dns_zones|0\n\
     dns_queries|0\n\
     dns_pending|0",
);

/// From 1.18 on.
const POOLS: Answer = Answer::Psql(
    "database|user|cl_active|cl_waiting|cl_active_cancel_req|cl_waiting_cancel_req|\
     sv_active|sv_active_cancel|sv_being_canceled|sv_idle|sv_used|sv_tested|\
     sv_login|maxwait|maxwait_us|pool_mode\n\
     nova|app|30|10|1|2|3|1|0|0|0|1|0|2|5|transaction\n\
     pgbouncer|pgbouncer|1|0|0|0|0|0|0|0|0|0|0|0|0|statement",
);

/// Up to 1.22.
const STATS: Answer = Answer::Psql(
    "database|total_xact_count|total_query_count|total_received|total_sent|\
     total_xact_time|total_query_time|total_wait_time|avg_xact_count|\
     avg_query_count|avg_recv|avg_sent|avg_xact_time|avg_query_time|avg_wait_time\n\
     nova|90|100|8|9|70|60|50|1|1|1|1|1|1|1\n\
     pgbouncer|7|7|0|0|0|0|0|0|0|0|0|0|0|0",
);

/// From 1.24 on.
const POOLS_124: Answer = Answer::Psql(
    "database|user|cl_active|cl_waiting|cl_active_cancel_req|cl_waiting_cancel_req|\
     sv_active|sv_active_cancel|sv_being_canceled|sv_idle|sv_used|sv_tested|\
     sv_login|maxwait|maxwait_us|pool_mode|load_balance_hosts\n\
     nova|app|30|10|1|2|3|1|0|0|0|1|0|2|5|transaction|NULL",
);

const DATABASES_124: Answer = Answer::Psql(
    "name|host|port|database|force_user|pool_size|min_pool_size|reserve_pool_size|\
     server_lifetime|pool_mode|load_balance_hosts|max_connections|\
     current_connections|max_client_connections|current_client_connections|paused|\
     disabled\n\
     nova|127.0.0.1|5432|nova|NULL|9|0|3|3600|NULL|NULL|0|5|40|40|0|0",
);

const USERS_124: Answer = Answer::Psql(
    "name|pool_size|reserve_pool_size|pool_mode|max_user_connections|\
     current_connections|max_user_client_connections|current_client_connections\n\
     app|NULL|NULL|NULL|0|5|0|40",
);

const CONFIG_124: Answer = Answer::Psql(
    "key|value|default|changeable\n\
     max_client_conn|400|100|yes\n\
     max_db_client_connections|40|0|yes",
);

const VERSIONS: [Version; 5] = [
    Version {
        name: "PgBouncer 1.18.0",
        pools: POOLS,
        databases: Answer::Psql(
            "name|host|port|database|force_user|pool_size|min_pool_size|reserve_pool|\
             pool_mode|max_connections|current_connections|paused|disabled\n\
             nova|127.0.0.1|5432|nova|NULL|5|0|0|NULL|0|5|0|0\n\
             pgbouncer|NULL|6432|pgbouncer|pgbouncer|2|0|0|statement|0|0|0|0",
        ),
        stats: STATS,
        users: Answer::Psql(
            "name|pool_mode\n\
             app|NULL",
        ),
        config: Answer::Psql(
            "key|value|default|changeable\n\
             max_client_conn|400|100|yes\n\
             max_user_connections|0|0|yes\n\
             so_reuseport|0|0|no",
        ),
        full: Some((5, "pool_size")),
        server_assignments: None,
        binds: None,
        clients_max: None,
        figures: &[("databases.reserve_pool", 0), ("pools.cl_waiting_cancel_req", 2)],
    },
    Version {
        name: "PgBouncer 1.21.0",
        pools: POOLS,
        databases: Answer::Psql(
            "name|host|port|database|force_user|pool_size|min_pool_size|reserve_pool|\
             pool_mode|max_connections|current_connections|paused|disabled\n\
             nova|127.0.0.1|5432|nova|NULL|9|0|3|NULL|5|5|0|0",
        ),
        stats: STATS,
        users: Answer::Psql(
            "name|pool_mode\n\
             app|NULL",
        ),
        config: Answer::Psql(
            "key|value|default|changeable\n\
             max_client_conn|400|100|yes\n\
             max_prepared_statements|100|0|yes\n\
             max_user_connections|0|0|yes",
        ),
        full: Some((5, "max_db_connections")),
        server_assignments: None,
        binds: None,
        clients_max: None,
        figures: &[("databases.reserve_pool", 3), ("pools.sv_active_cancel", 1)],
    },
    Version {
        name: "PgBouncer 1.23.1",
        pools: POOLS,
        databases: Answer::Psql(
            "name|host|port|database|force_user|pool_size|min_pool_size|reserve_pool|\
             server_lifetime|pool_mode|max_connections|current_connections|paused|disabled\n\
             nova|127.0.0.1|5432|nova|NULL|9|0|3|3600|NULL|0|5|0|0",
        ),
        stats: Answer::Psql(
            "database|total_server_assignment_count|total_xact_count|total_query_count|\
             total_received|total_sent|total_xact_time|total_query_time|total_wait_time|\
             avg_server_assignment_count|avg_query_count\n\
             nova|95|90|100|8|9|70|60|50|1|1",
        ),
        users: Answer::Psql(
            "name|pool_size|pool_mode|max_user_connections|current_connections\n\
             app|NULL|NULL|6|6",
        ),
        config: Answer::Psql(
            "key|value|default|changeable\n\
             max_client_conn|400|100|yes",
        ),
        full: Some((6, "max_user_connections")),
        server_assignments: Some(95),
        binds: None,
        clients_max: None,
        figures: &[("databases.server_lifetime", 3600), ("pools.sv_tested", 1)],
    },
    Version {
        name: "PgBouncer 1.24.1",
        pools: POOLS_124,
        databases: DATABASES_124,
        stats: Answer::Psql(
            "database|total_server_assignment_count|total_xact_count|total_query_count|\
             total_received|total_sent|total_xact_time|total_query_time|total_wait_time|\
             total_client_parse_count|total_server_parse_count|total_bind_count|\
             avg_server_assignment_count|avg_xact_count|avg_query_count|avg_recv|avg_sent|\
             avg_xact_time|avg_query_time|avg_wait_time|avg_client_parse_count|\
             avg_server_parse_count|avg_bind_count\n\
             nova|95|90|100|8|9|70|60|50|4|3|88|1|1|1|1|1|1|1|1|1|1|1",
        ),
        users: USERS_124,
        config: CONFIG_124,
        full: None,
        server_assignments: Some(95),
        binds: Some(88),
        clients_max: Some(40),
        figures: &[
            ("databases.reserve_pool_size", 3),
            ("databases.current_client_connections", 40),
        ],
    },
    Version {
        name: "PgBouncer 1.26.1",
        pools: POOLS_124,
        databases: DATABASES_124,
        stats: Answer::Psql(
            "database|total_server_assignment_count|total_xact_count|total_query_count|\
             total_received|total_sent|total_xact_time|total_query_time|total_wait_time|\
             total_client_parse_count|total_server_parse_count|total_bind_count|\
             total_client_login_count|avg_server_assignment_count|avg_xact_count|avg_query_count|avg_recv|avg_sent|\
             avg_xact_time|avg_query_time|avg_wait_time|avg_client_parse_count|\
             avg_server_parse_count|avg_bind_count|avg_client_login_count\n\
             nova|95|90|100|8|9|70|60|50|4|3|88|40|1|1|1|1|1|1|1|1|1|1|1|1",
        ),
        users: USERS_124,
        config: CONFIG_124,
        full: None,
        server_assignments: Some(95),
        binds: Some(88),
        clients_max: Some(40),
        figures: &[
            ("databases.reserve_pool_size", 3),
            ("databases.current_client_connections", 40),
        ],
    },
];

#[test]
fn each_version_of_pgbouncer_is_read_by_the_columns_that_it_has() {
    for version in VERSIONS {
        let name = version.name;
        let console = Console::start(vec![
            ("SHOW VERSION", vec![Answer::Version(name)]),
            ("SHOW POOLS", vec![version.pools]),
            ("SHOW DATABASES", vec![version.databases]),
            ("SHOW STATS", vec![version.stats]),
            ("SHOW LISTS", vec![LISTS]),
            ("SHOW USERS", vec![version.users]),
            ("SHOW CONFIG", vec![version.config]),
        ]);
        let seen = looks(&[&console], 1).pop().unwrap().unwrap();
        let pools = Pools {
            cl_active: Some(30),
            cl_waiting: Some(10),
            sv_active: Some(3),
            sv_idle: Some(0),
            sv_used: Some(0),
            maxwait_ns: Some(2_000_005_000),
        };
        assert_eq!(seen.pools, Some(pools), "{name}");
        let full = seen.full.unwrap();
        let full = full.first().map(|full| (full.size, full.setting));
        assert_eq!(full, version.full, "{name}");
        let counted = seen.counters.unwrap().together();
        assert_eq!((counted.queries(), counted.wait_ns()), (Some(100), Some(50_000)), "{name}");
        assert_eq!(
            (counted.get("server_assignment_count"), counted.get("bind_count")),
            (version.server_assignments, version.binds),
            "{name}"
        );
        assert!(counted.iter().all(|(counter, _)| !counter.starts_with("avg")), "{name}");
        assert_eq!(seen.clients_max, Some(400), "{name}");
        let of_database = seen.client_limits.first().map(|limit| limit.clients_max);
        assert_eq!(of_database, version.clients_max, "{name}");
        let figures = [("lists.used_clients", 41), ("lists.used_servers", 5)];
        for (figure, count) in figures.iter().chain(version.figures) {
            assert_eq!(seen.figures.get(*figure), Some(count), "{name}: {figure}");
        }
        assert!(!seen.figures.contains_key("databases.port"), "{name}");
    }
}

/// 1.5.2, with a pool of three: three clients run a statement, six wait, and four have asked for nothing.
#[test]
fn odyssey_is_read_by_what_its_columns_mean() {
    let console = Console::start(vec![
        (
            "SHOW VERSION",
            vec![Answer::Version("odyssey 1.5.2 release, compiled by gcc-16.2.0, 64-bit")],
        ),
        (
            "SHOW POOLS",
            vec![Answer::Psql(
                "database|user|cl_active|cl_waiting|sv_active|sv_idle|sv_used|sv_tested|sv_login|\
                 maxwait|maxwait_us|pool_mode\n\
                 nova|nova|3|4|3|0|0|0|0|0|0|transaction\n\
                 console|admin|0|1|0|0|0|0|0|0|0|session",
            )],
        ),
        (
            "SHOW DATABASES",
            vec![Answer::Psql(
                "name|host|port|database|force_user|pool_size|reserve_pool|pool_mode|\
                 max_connections|current_connections|paused|disabled\n\
                 nova|127.0.0.1|41403|nova|nova|3|0|transaction|0|13|0|0\n\
                 console||0|console|default_user|0|0|session|0|1|0|0",
            )],
        ),
        (
            "SHOW STATS",
            vec![Answer::Psql(
                "database|total_xact_count|total_query_count|total_server_assignment_count|\
                 total_received|total_sent|total_xact_time|total_query_time|total_wait_time|\
                 avg_xact_count|avg_query_count|avg_server_assignment_count|avg_recv|avg_sent|\
                 avg_xact_time|avg_query_time|avg_wait_time|total_parse_count|\
                 total_parse_count_reuse|total_cancel_count\n\
                 nova|18530|18530|23986|2299220|0|26409865|26409865|79766000|0|0|0|7|0|2021910|\
                 2021910|1991444|0|0|0\n\
                 console|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0",
            )],
        ),
        (
            "SHOW LISTS",
            vec![Answer::Psql("list|items\ndatabases|0\nusers|0\nused_clients|14\nused_servers|3")],
        ),
        ("SHOW CONFIG", vec![Answer::Refusal]),
        ("SHOW USERS", vec![Answer::Refusal]),
    ]);
    let seen = looks(&[&console], 1).pop().unwrap().unwrap();
    let pools = Pools {
        cl_active: Some(7),
        cl_waiting: Some(6),
        sv_active: Some(3),
        sv_idle: Some(0),
        sv_used: None,
        maxwait_ns: None,
    };
    assert_eq!(seen.pools, Some(pools));
    let full = seen.full.unwrap();
    assert_eq!((full[0].size, full[0].setting, full[0].cl_waiting), (3, "pool_size", 6));
    let counted = seen.counters.unwrap().together();
    assert_eq!((counted.queries(), counted.wait_ns()), (Some(18530), Some(79_766_000_000)));
    assert_eq!(counted.get("query_time"), Some(26_409_865 + 79_766_000), "with the wait");
    assert_eq!(counted.get("sent"), None, "it does not count them");
    assert_eq!((seen.clients_max, seen.client_limits), (None, vec![]));
    // The console that is asked between blocks, of which there is no setting either.
    let mut pooler = Pooler::connect(&console.conninfo).unwrap();
    assert_eq!(pooler.ask(Pooler::settings).unwrap(), None);
    assert_eq!(pooler.ask(Pooler::pools).unwrap(), pools);
    let mode = pooler.ask(async |pooler| pooler.pool_mode("nova").await);
    assert_eq!(mode.unwrap().as_deref(), Some("transaction"));
    assert!(pooler.ask(Pooler::assigns_by_transaction).unwrap());
}

/// From 1.18 on; later versions have more columns in between.
const CLIENTS: Answer = Answer::Psql(
    "type|user|database|state|addr|port|local_addr|local_port|connect_time|request_time|wait|wait_us|\
     close_needed|ptr|link|remote_pid|tls|application_name\n\
     C|app|nova|active|127.0.0.1|5|127.0.0.1|6|-|-|0|0|0|0x1||0|TLSv1.3/TLS_AES_256_GCM_SHA384|nova\n\
     C|app|nova|active|127.0.0.1|7|127.0.0.1|6|-|-|0|0|0|0x2||0|TLSv1.3/TLS_AES_256_GCM_SHA384|nova\n\
     C|app|nova|active|127.0.0.1|8|127.0.0.1|6|-|-|0|0|0|0x3||0||nova\n\
     C|app|other|active|127.0.0.1|8|127.0.0.1|6|-|-|0|0|0|0x4||0||elsewhere\n\
     C|admin|pgbouncer|active|127.0.0.1|9|127.0.0.1|6|-|-|0|0|0|0x5||0||poolbench",
);

/// Up to 1.17.
const CLIENTS_OLD: Answer = Answer::Psql(
    "type|user|database|state|addr|port|local_addr|local_port|connect_time|request_time|wait|wait_us|\
     close_needed|ptr|link|remote_pid|tls\n\
     C|app|nova|active|127.0.0.1|5|127.0.0.1|6|-|-|0|0|0|0x1||0|",
);

#[test]
fn what_secures_clients_is_read_by_their_names_where_the_console_shows_both() {
    let shown = |consoles: &[Answer]| {
        let start = |clients: &Answer| {
            Console::start(vec![
                ("SHOW VERSION", vec![Answer::Version("PgBouncer 1.18.0")]),
                ("SHOW CLIENTS", vec![clients.clone()]),
            ])
        };
        let consoles: Vec<_> = consoles.iter().map(start).collect();
        let places: Vec<_> = consoles.iter().map(|console| console.conninfo.clone()).collect();
        let mut poolers = Poolers::connect(&places).unwrap();
        poolers.ask(async |poolers| poolers.client_tls("nova").await).unwrap()
    };
    let kinds = |plain, secured| {
        let kinds = [("", plain), ("TLSv1.3/TLS_AES_256_GCM_SHA384", secured)];
        let kinds = kinds.map(|(kind, count)| (kind.to_owned(), count));
        Some(ClientTls::from([("nova".to_owned(), kinds.into())]))
    };
    assert_eq!(shown(&[CLIENTS]), kinds(1, 2));
    assert_eq!(shown(&[CLIENTS, CLIENTS]), kinds(2, 4), "several processes behind one port");
    for unknown in [CLIENTS_OLD, Answer::Refusal] {
        assert_eq!(shown(std::slice::from_ref(&unknown)), None);
        assert_eq!(shown(&[CLIENTS, unknown]), None, "one of them does not show it");
    }
}
