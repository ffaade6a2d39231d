use std::collections::BTreeMap;

use engine::MILLISECOND;

use super::*;
use crate::observe::{ClientLimit, GENERATOR, ProcessUse};
use crate::series::{PoolerSecond, ServerSecond};

/// Ten seconds, changed from second `from` up to second `to`.
fn run((from, to): (usize, usize), change: impl Fn(&mut Second)) -> Vec<Second> {
    let mut seconds: Vec<_> = (0..10).map(Second::at_ease).collect();
    seconds[from..to].iter_mut().for_each(change);
    seconds
}

fn process<'a>(second: &'a mut Second, name: &str) -> &'a mut ProcessUse {
    second.processes.get_mut(name).and_then(Option::as_mut).unwrap()
}

fn pooler(second: &mut Second) -> &mut PoolerSecond {
    second.poolers.get_mut("pooler").and_then(Option::as_mut).unwrap()
}

fn server(second: &mut Second) -> &mut ServerSecond {
    second.servers.get_mut("postgres").and_then(Option::as_mut).unwrap()
}

/// It is ready most of the time, and others are on its core.
fn starve(second: &mut Second, name: &str) {
    let used = process(second, name);
    (used.busiest_thread, used.busiest_thread_wait) = (Some(0.8), Some(0.75));
}

fn wait(second: &mut Second, event: &str) {
    let waits = BTreeMap::from([(event.to_owned(), 6), ("running".to_owned(), 2)]);
    server(second).waits = Some(waits);
}

/// Who is to be named where this happens.
type Case = (&'static str, fn(&mut Second));

/// Who is named where this happens in seconds 4 to 9.
fn named(change: impl Fn(&mut Second)) -> Option<String> {
    let limiter = Limiter::find(&run((4, 10), change))?;
    assert_eq!((limiter.since_ns, limiter.until_ns), (4 * SECOND, 10 * SECOND));
    assert!(!limiter.evidence.is_empty());
    Some(limiter.name)
}

#[test]
fn where_nothing_runs_out_nothing_is_named() {
    assert_eq!(Limiter::find(&run((0, 10), |_| {})), None);
    assert_eq!(Limiter::find(&[]), None);
    // Backends that sleep take no resource.
    assert_eq!(named(|second| wait(second, "Timeout:PgSleep")), None);
}

#[test]
fn each_resource_is_named_when_it_runs_out() {
    let cases: [Case; 20] = [
        ("generator", |second| second.load.busiest_worker = Some(0.97)),
        ("generator", |second| process(second, GENERATOR).busiest_thread = Some(0.99)),
        ("generator", |second| starve(second, GENERATOR)),
        // Whatever keeps it from sending in time.
        ("generator", |second| second.load.lateness_ns.as_mut().unwrap().p50 = 6 * MILLISECOND),
        ("pooler CPU", |second| process(second, "pooler").busiest_thread = Some(0.97)),
        ("gateway CPU", |second| {
            let used = process(second, "gateway");
            (used.cpu_cores, used.usable_cores, used.is_under_quota) = (0.29, 0.3, true);
        }),
        ("postgres CPU", |second| process(second, "postgres").cpu_cores = 3.7),
        // Another process is on its cores.
        ("postgres CPU", |second| {
            let used = process(second, "postgres");
            (used.cores, used.usable_cores) = (vec![1], 1.0);
            (used.cpu_cores, used.wait_cores) = (0.4, Some(5.0));
            second.machine.as_mut().unwrap().idle_by_core.insert(1, 0.0);
        }),
        ("pooler CPU", |second| {
            starve(second, "pooler");
            process(second, "pooler").cores = vec![1];
            second.machine.as_mut().unwrap().idle_by_core.insert(1, 0.0);
        }),
        ("machine CPU", |second| {
            starve(second, "pooler");
            second.machine.as_mut().unwrap().idle = 0.0;
        }),
        ("machine CPU", |second| {
            let machine = second.machine.as_mut().unwrap();
            machine.idle = 0.01;
            machine.idle_by_core.values_mut().for_each(|idle| *idle = 0.01);
            process(second, "postgres").wait_cores = Some(3.0);
        }),
        ("locks in postgres", |second| wait(second, "Lock:tuple")),
        ("lightweight locks in postgres", |second| wait(second, "LWLock:WALWrite")),
        ("I/O of postgres", |second| wait(second, "IO:DataFileRead")),
        ("max_connections of postgres", |second| server(second).connections = Some(98)),
        ("pool of pooler", Second::fill_pool),
        ("max_client_conn of pooler", |second| pooler(second).clients = Some(100)),
        ("max_db_client_connections of pooler", |second| {
            let database = "nova".into();
            pooler(second).client_limits =
                vec![ClientLimit { database, clients: 40, clients_max: 40 }];
        }),
        ("open files of pooler", |second| process(second, "pooler").open_files = Some(1020)),
        ("listen backlog", |second| {
            second.machine.as_mut().unwrap().network.listen_overflows = Some(3);
        }),
    ];
    for (name, change) in cases {
        assert_eq!(named(change).as_deref(), Some(name));
    }
}

#[test]
fn what_hidden_backends_do_is_neither_a_limit_nor_evidence() {
    let hide = |second: &mut Second| {
        let server = server(second);
        (server.connections, server.states, server.waits) = (None, None, None);
    };
    assert_eq!(named(hide), None);
    let limiter = Limiter::find(&run((3, 10), |second| {
        Second::fill_pool(second);
        hide(second);
    }));
    let evidence = limiter.unwrap().evidence;
    assert!(evidence.iter().all(|words| !words.contains("backends")), "{evidence:?}");
}

#[test]
fn a_busy_machine_is_no_limit_to_a_load_that_wants_little_of_it() {
    let others = |second: &mut Second| {
        let machine = second.machine.as_mut().unwrap();
        machine.idle = 0.0;
        machine.idle_by_core.values_mut().for_each(|idle| *idle = 0.0);
    };
    assert_eq!(named(others), None);
}

#[test]
fn requests_that_waited_for_a_connection_are_no_limit_of_the_generator() {
    let waited = |second: &mut Second| {
        second.load.lateness_ns.as_mut().unwrap().p50 = 6 * MILLISECOND;
        second.load.late = second.load.requests / 2;
    };
    assert_eq!(named(waited), None);
}

/// What a kernel without the scheduler's statistics does not tell.
fn forget_the_schedule(second: &mut Second) {
    for used in second.processes.values_mut().flatten() {
        (used.wait_cores, used.busiest_thread, used.busiest_thread_wait) = (None, None, None);
    }
}

#[test]
fn where_the_scheduler_tells_nothing_cpu_time_decides_and_a_generator_is_busy_by_its_own_account() {
    assert_eq!(named(forget_the_schedule), None);
    let cases: [Case; 3] = [
        ("generator", |second| second.load.busiest_worker = Some(0.97)),
        ("pooler CPU", |second| process(second, "pooler").cpu_cores = 0.97),
        ("postgres CPU", |second| process(second, "postgres").cpu_cores = 3.7),
    ];
    for (name, change) in cases {
        let both = |second: &mut Second| {
            forget_the_schedule(second);
            change(second);
        };
        assert_eq!(named(both).as_deref(), Some(name));
    }
    let limiter = Limiter::find(&run((0, 10), |second| {
        forget_the_schedule(second);
        process(second, "pooler").cpu_cores = 0.97;
    }));
    insta::assert_snapshot!(limiter.unwrap(), @"pooler CPU, from the beginning to 10.0 s: it used 0.97 of 1.00 cores");
    // Neither tells: the generator was not seen.
    let limiter = Limiter::find(&run((0, 10), |second| {
        forget_the_schedule(second);
        second.load.busiest_worker = None;
        second.load.lateness_ns.as_mut().unwrap().p50 = 6 * MILLISECOND;
    }));
    assert_eq!(limiter.unwrap().name, "generator", "its requests were late");
}

#[test]
fn a_backend_that_never_rests_is_not_the_server_at_its_limit() {
    assert_eq!(named(|second| process(second, "postgres").busiest_thread = Some(1.0)), None);
}

#[test]
fn what_fills_the_pool_is_named_before_the_pool() {
    let causes: [Case; 3] = [
        ("postgres CPU", |second| process(second, "postgres").cpu_cores = 3.9),
        ("locks in postgres", |second| wait(second, "Lock:transactionid")),
        ("generator", |second| process(second, GENERATOR).busiest_thread = Some(1.0)),
    ];
    for (name, cause) in causes {
        let both = |second: &mut Second| {
            Second::fill_pool(second);
            cause(second);
        };
        assert_eq!(named(both).as_deref(), Some(name));
    }
}

#[test]
fn what_ran_out_first_is_named_even_where_more_follows() {
    let mut seconds = run((2, 10), Second::fill_pool);
    for second in &mut seconds[6..] {
        process(second, "postgres").cpu_cores = 4.0;
    }
    let limiter = Limiter::find(&seconds).unwrap();
    assert_eq!((limiter.name.as_str(), limiter.since_ns), ("pool of pooler", 2 * SECOND));
}

#[test]
fn a_fluctuation_is_none_and_a_gap_ends_nothing() {
    assert_eq!(Limiter::find(&run((4, 6), Second::fill_pool)), None, "two seconds of ten");
    let mut seconds = run((4, 7), Second::fill_pool);
    seconds[5].poolers.insert("pooler".into(), None);
    seconds[7].poolers.insert("pooler".into(), None);
    let limiter = Limiter::find(&seconds).unwrap();
    assert_eq!((limiter.since_ns, limiter.until_ns), (4 * SECOND, 7 * SECOND));
    // Nor is it where the pools alone are shown, and not what they may have.
    seconds.iter_mut().for_each(|second| {
        second
            .poolers
            .insert("pooler".into(), Second::at_ease(0).poolers.remove("pooler").unwrap());
        pooler(second).full = None;
    });
    assert_eq!(Limiter::find(&seconds), None);
    seconds.iter_mut().for_each(|second| drop(second.poolers.insert("pooler".into(), None)));
    assert_eq!(Limiter::find(&seconds), None, "what was never seen is not named");
    // A second with some of it left, between two without, is no end.
    let mut seconds = run((4, 9), Second::fill_pool);
    seconds[6] = Second::at_ease(6);
    assert_eq!(Limiter::find(&seconds).unwrap().until_ns, 9 * SECOND);
    // In a short run half of it is enough.
    assert!(Limiter::find(&run((0, 10), Second::fill_pool)[..2]).is_some());
}

#[test]
fn the_evidence_is_told_in_figures() {
    let limiter = Limiter::find(&run((3, 10), |second| {
        Second::fill_pool(second);
        wait(second, "Timeout:PgSleep");
        pooler(second).pools.maxwait_ns = Some(30 * MILLISECOND);
        pooler(second).wait_ns_per_query = Some(9e6);
    }));
    insta::assert_snapshot!(limiter.unwrap(), @"pool of pooler, from 3.00 s to 10.0 s: all 6 server connections for nova were in use while 14 clients waited, the longest for 30.0 ms; clients waited 9.00 ms for each query; backends of postgres that were not idle: 75 % Timeout:PgSleep, 25 % running");
    // What the console does not show is left out, and no zero.
    let limiter = Limiter::find(&run((3, 10), |second| {
        Second::fill_pool(second);
        let pooler = pooler(second);
        (pooler.pools.maxwait_ns, pooler.pools.cl_waiting) = (None, None);
        pooler.wait_ns_per_query = None;
        let full = pooler.full.as_mut().and_then(|full| full.first_mut()).unwrap();
        full.setting = "max_user_connections";
        second.servers.clear();
    }));
    insta::assert_snapshot!(limiter.unwrap(), @"pool of pooler, from 3.00 s to 10.0 s: all 6 server connections that max_user_connections allows nova were in use while clients waited");
    let limiter = Limiter::find(&run((0, 10), |second| {
        let late = second.load.lateness_ns.as_mut().unwrap();
        (late.p50, late.p99) = (6 * MILLISECOND, 9 * MILLISECOND);
        second.load.busiest_worker = None;
        second.processes.clear();
    }));
    insta::assert_snapshot!(limiter.unwrap(), @"generator, from the beginning to 10.0 s: requests left up to 6.00 ms late at the median and 9.00 ms at p99");
    let limiter = Limiter::find(&run((0, 10), |second| {
        let used = process(second, "postgres");
        (used.cpu_cores, used.usable_cores, used.is_under_quota) = (0.5, 0.5, true);
        used.throttled_cores = Some(2.25);
    }));
    insta::assert_snapshot!(limiter.unwrap(), @"postgres CPU, from the beginning to 10.0 s: it used 0.50 of 0.50 cores that its control group allows; its threads were throttled for 2.25 s a second; its threads waited for a core for 0.02 s a second, and the busiest one ran or waited for 20 % of the time");
}

#[test]
fn of_databases_whose_clients_are_limited_the_full_ones_are_the_evidence() {
    let limiter = Limiter::find(&run((3, 10), |second| {
        let limit = |(database, clients): (&str, u64)| ClientLimit {
            database: database.into(),
            clients,
            clients_max: 40,
        };
        pooler(second).client_limits = [("idle", 3), ("nova", 40), ("unused", 0)].map(limit).into();
    }));
    insta::assert_snapshot!(limiter.unwrap(), @"max_db_client_connections of pooler, from 3.00 s to 10.0 s: 40 clients of nova of 40 that max_db_client_connections allows");
}
