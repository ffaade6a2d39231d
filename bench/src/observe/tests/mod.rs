//! Observers on consoles that answer by a script.

mod aside;
mod login;
mod scripted;
mod servers;
mod versions;

use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use engine::driver::Clock;
use tokio::task::LocalSet;

use self::scripted::{Answer, Console};
use super::pooler::{CONFIG_EVERY, PoolerSource};
use super::*;
use crate::arm::ArmKind;
use crate::scenario::Scenario;
use crate::series::LoadSecond;

/// What so many looks at these consoles show.
fn looks(consoles: &[&Console], count: usize) -> Vec<Result<PoolerSample, ObserveError>> {
    let conninfos: Vec<_> = consoles.iter().map(|console| console.conninfo.clone()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut source = PoolerSource::new(&conninfos).unwrap();
        let mut looks = Vec::new();
        for _ in 0..count {
            looks.push(source.look().await);
        }
        looks
    })
}

const POOLS: Answer = Answer::Rows(&[
    &["database", "user", "cl_active", "cl_waiting", "sv_active", "sv_idle", "maxwait"],
    &["nova", "nova", "9", "3", "2", "0", "1"],
    &["pgbouncer", "pgbouncer", "1", "0", "0", "0", "0"],
]);
const DATABASES: Answer = Answer::Rows(&[
    &["pool_size", "name", "host"],
    &["2", "nova", "NULL"],
    &["2", "pgbouncer", "NULL"],
]);
const STATS: Answer = Answer::Rows(&[
    &["database", "total_query_count", "total_wait_time", "total_novelties"],
    &["nova", "100", "5000", "7"],
]);

#[test]
fn a_console_is_read_by_name_and_what_it_refuses_is_not_asked_again() {
    // As another pooler has them: other columns, another order, no LISTS, no CONFIG.
    let console = Console::start(vec![
        ("SHOW POOLS", vec![POOLS]),
        ("SHOW DATABASES", vec![DATABASES]),
        ("SHOW STATS", vec![STATS]),
        ("SHOW VERSION", vec![Answer::Rows(&[&["version"], &["PgCat 1.2"]])]),
    ]);
    let seen = looks(&[&console], 3).pop().unwrap().unwrap();
    let pools = seen.pools.unwrap();
    assert_eq!((pools.cl_active, pools.cl_waiting, pools.sv_active), (Some(9), Some(3), Some(2)));
    assert_eq!((pools.sv_used, pools.maxwait_ns), (None, None), "not shown is unknown");
    let full = seen.full.unwrap();
    assert_eq!((full.len(), full[0].size), (1, 2));
    let counted = seen.counters.unwrap().together();
    assert_eq!((counted.queries(), counted.get("novelties")), (Some(100), Some(7)));
    assert_eq!((seen.clients_max, seen.figures.get("lists.used_clients")), (None, None));
    assert_eq!(seen.figures["databases.pool_size"], 4);
    let counts = ["SHOW POOLS", "SHOW LISTS", "SHOW CONFIG", "SHOW VERSION"];
    assert_eq!(counts.map(|command| console.count(command)), [3, 1, 1, 1]);
    let all = console.asked.lock().unwrap();
    assert!(!all.iter().any(|asked| asked.contains("FDS") || asked.contains("SHOW CLIENTS")));
}

/// As PgDog has them (pgdog/src/admin).
#[test]
fn another_poolers_times_lists_and_settings_are_understood() {
    let console = Console::start(vec![
        ("SHOW VERSION", vec![Answer::Rows(&[&["version"], &["PgDog v0.1.30 [main@abc]"]])]),
        ("SHOW CONFIG", vec![Answer::Rows(&[&["name", "value"], &["max_client_conn", "77"]])]),
        ("SHOW POOLS", vec![POOLS]),
        ("SHOW DATABASES", vec![DATABASES]),
        (
            "SHOW STATS",
            vec![Answer::Rows(&[
                &["database", "user", "shard", "total_query_count", "total_wait_time"],
                &["nova", "nova", "0", "100", "12.345"],
                &["nova", "nova", "1", "10", "0.005"],
            ])],
        ),
        ("SHOW LISTS", vec![Answer::Rows(&[&["pools", "used_clients"], &["2", "9"]])]),
    ]);
    let seen = looks(&[&console], 1).pop().unwrap().unwrap();
    let counted = seen.counters.unwrap().together();
    assert_eq!((counted.queries(), counted.wait_ns()), (Some(110), Some(12_350_000)));
    assert_eq!((seen.figures["lists.used_clients"], seen.clients_max), (9, Some(77)));
}

#[test]
fn several_processes_add_up_and_one_that_is_missing_leaves_the_sum_unknown() {
    let script = |stats: Vec<Answer>| {
        vec![
            ("SHOW POOLS", vec![POOLS]),
            ("SHOW DATABASES", vec![DATABASES]),
            ("SHOW STATS", stats),
        ]
    };
    let steady = Console::start(script(vec![STATS]));
    let broken = Console::start(script(vec![STATS, Answer::Close, STATS]));
    let looks = looks(&[&steady, &broken], 3);
    let [first, second, third] = &looks[..] else { panic!("three") };
    let first = first.as_ref().unwrap();
    assert_eq!(first.pools.unwrap().cl_waiting, Some(6));
    assert_eq!(first.counters.as_ref().unwrap().together().queries(), Some(200));
    assert_eq!(first.full.as_ref().unwrap().len(), 2);
    let error = second.as_ref().unwrap_err().to_string();
    assert!(error.starts_with("the pooler's console at 127.0.0.1:"), "{error}");
    assert!(third.is_ok(), "it is opened again: {third:?}");
}

const BEFORE: Answer = Answer::Psql("database|total_query_count\nnova|100");
const AFTER: Answer = Answer::Psql("database|total_query_count\nnova|3");
const UNUSED: Answer = Answer::Psql("database|total_query_count\nnova|0");
const BUSY: Answer = Answer::Psql("database|total_query_count\nnova|1000");

#[test]
fn one_process_that_is_started_anew_is_noticed_while_another_counts_on() {
    let script = |stats: Vec<Answer>| {
        vec![
            ("SHOW VERSION", vec![Answer::Version("PgBouncer 1.18.0")]),
            ("SHOW POOLS", vec![POOLS]),
            ("SHOW DATABASES", vec![DATABASES]),
            ("SHOW STATS", stats),
        ]
    };
    let consoles = || [vec![BEFORE, AFTER], vec![UNUSED, BUSY]].map(script).map(Console::start);
    let [anew, on] = consoles();
    let seen: Vec<_> = looks(&[&anew, &on], 2).into_iter().map(Result::unwrap).collect();
    let [before, after] = [&seen[0], &seen[1]].map(|seen| Reading::Pooler(seen.clone()));
    assert!(after.has_begun_anew(&before));
    assert!(!after.has_begun_anew(&after));
    // Those that are asked between blocks too.
    let conninfos = consoles().map(|console| console.conninfo);
    let mut poolers = Poolers::connect(&conninfos).unwrap();
    let before = poolers.ask(Poolers::counters).unwrap();
    assert_eq!(poolers.ask(Poolers::counters).unwrap().since(&before), None);
}

#[test]
fn of_two_poolers_the_one_on_the_way_is_asked() {
    let console = |pools: &'static str| {
        Console::start(vec![
            ("SHOW VERSION", vec![Answer::Version("PgBouncer 1.18.0")]),
            ("SHOW POOLS", vec![Answer::Psql(pools)]),
        ])
    };
    let consoles = [
        console("database|user|cl_active|cl_waiting\nnova|nova|9|40"),
        console("database|user|cl_active|cl_waiting\nnova|nova|9|2"),
    ];
    let targets = ["a", "b"].iter().zip(&consoles).map(|(name, console)| {
        let conninfo = "host=127.0.0.1 dbname=d user=u";
        let console = &console.conninfo;
        format!("[targets.{name}]\nconninfo = \"{conninfo}\"\nconsole = \"{console}\"\n")
    });
    let scenario = format!(
        "name = \"o\"\n{}[targets.postgres]\nconninfo = \"host=127.0.0.1 dbname=d user=u\"\n\
         [[operations]]\nname = \"a\"\nsql = \"SELECT 1\"\n",
        targets.collect::<String>()
    );
    let scenario = Scenario::parse("observed.toml", &scenario, &|_| None).unwrap();
    let waiting = |target: &str| {
        let kind = ArmKind::of(target);
        let thread = ObserverThread::start(&[]);
        let mut pooler = Aside::<Poolers>::connect(&thread, &scenario, &kind).unwrap()?;
        pooler.ask(Poolers::pools).unwrap().cl_waiting
    };
    assert_eq!(["a", "b", "postgres"].map(waiting), [Some(40), Some(2), None]);
}

#[test]
fn one_console_of_several_processes_is_told_from_all_of_them() {
    let console = |on: &'static str| {
        Console::start(vec![
            ("SHOW VERSION", vec![Answer::Version("PgBouncer 1.18.0")]),
            ("SHOW CONFIG", vec![Answer::Psql(on)]),
        ])
    };
    let is_one_of_several = |all: &[&Console]| {
        let conninfos: Vec<_> = all.iter().map(|console| console.conninfo.clone()).collect();
        Poolers::connect(&conninfos).unwrap().ask(Poolers::is_one_of_several).unwrap()
    };
    let [one, other] = [(); 2].map(|()| console("key|value\nso_reuseport|1"));
    assert!(is_one_of_several(&[&one]));
    assert!(!is_one_of_several(&[&one, &other]), "both are listed");
    assert!(!is_one_of_several(&[&console("key|value\nso_reuseport|0")]));
}

/// All that an observer saw of this scenario in a bit more than a second.
fn observe(scenario: &str) -> Observations {
    let scenario = Scenario::parse("observed.toml", scenario, &|_| None).unwrap();
    let clock = Clock::start();
    let mut observer =
        Observer::start(&ObserverThread::start(&[]), Source::all(&scenario).unwrap(), clock);
    let mut seen = 0;
    // The machine is looked at a second time, whatever the others do.
    while seen < 2 {
        let heard = observer.hear();
        seen +=
            heard.iter().filter(|(_, look)| matches!(look.reading, Reading::Machine(_))).count();
        thread::yield_now();
    }
    observer.finish()
}

#[test]
fn in_a_short_load_everything_is_looked_at_twice_and_between_loads_not_at_all() {
    let scenario = "name = \"o\"\n[targets.postgres]\nurl = \"http://127.0.0.1:1/\"\n\
                    [[operations]]\nname = \"a\"\ngraphql = \"{a}\"\n";
    let scenario = Scenario::parse("observed.toml", scenario, &|_| None).unwrap();
    let clock = Clock::start();
    let mut observer =
        Observer::open(&ObserverThread::start(&[]), Source::all(&scenario).unwrap(), clock);
    let of_machine = |looks: Vec<(String, Look)>| {
        looks.iter().filter(|(_, look)| matches!(look.reading, Reading::Machine(_))).count()
    };
    assert_eq!(of_machine(observer.hear()), 1, "before anything begins");
    let length_ns = 100 * engine::MILLISECOND;
    let mut load = || {
        let end_ns = clock.now() + length_ns;
        observer.look_within(length_ns);
        let mut seen = 0;
        while clock.now() < end_ns {
            seen += of_machine(observer.hear());
            thread::yield_now();
        }
        seen
    };
    // A turn that a busy machine misses is not made up for.
    let mut loads = vec![load()];
    while loads.last().is_some_and(|seen| *seen < 2) {
        loads.push(load());
    }
    let observations = observer.finish();
    assert_eq!(observations.due, 2 * loads.len() as u64);
    let machine = observations.sources.iter().find(|source| source.subject == Subject::Machine);
    let looks = machine.unwrap().looks.len();
    assert!((4..=2 + 2 * loads.len()).contains(&looks), "{looks} looks: {loads:?}");
}

#[test]
fn what_is_silent_refuses_or_is_gone_leaves_gaps_and_delays_nobody() {
    let silent = Console::start(vec![("SHOW CONFIG", vec![Answer::Silence])]);
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let observations = observe(&format!(
        "name = \"o\"\n\
         [targets.silent]\nconninfo = \"host=127.0.0.1 dbname=d user=u\"\nconsole = \"{}\"\n\
         [targets.refused]\nconninfo = \"host=127.0.0.1 dbname=d user=u\"\n\
         console = [\"host=127.0.0.1 port={closed} user=u dbname=d sslmode=disable\"]\n\
         [processes]\ngone = 4194304\n\
         [observe]\nprometheus = \"http://127.0.0.1:{closed}/metrics\"\n\
         [[operations]]\nname = \"a\"\nsql = \"SELECT 1\"\n",
        silent.conninfo
    ));
    let of = |name: &str| observations.sources.iter().find(|source| source.name == name).unwrap();
    let seen = |name: &str| (of(name).looks.len(), of(name).failures > 0, of(name).error.is_some());
    assert_eq!(seen("silent"), (0, false, false), "it is still waited for");
    for name in ["refused", "gone", &format!("http://127.0.0.1:{closed}/metrics")] {
        assert_eq!(seen(name), (0, true, true), "{name}");
    }
    assert!(of("machine").looks.len() >= 2 && of(GENERATOR).looks.len() >= 2);
    let times: Vec<_> = of("machine").looks.iter().map(|look| look.at_ns).collect();
    assert!(times.is_sorted());
}

#[test]
fn what_a_console_refuses_for_a_moment_is_a_gap_and_what_it_never_answers_is_told() {
    let refuses_once = vec![POOLS, Answer::Refusal, POOLS];
    let console = Console::start(vec![
        ("SHOW POOLS", refuses_once),
        ("SHOW DATABASES", vec![DATABASES]),
        ("SHOW STATS", vec![Answer::Refusal, STATS]),
    ]);
    let looks = looks(&[&console], 3);
    let [first, second, third] = &looks[..] else { panic!("three") };
    assert_eq!(first.as_ref().unwrap().counters, None);
    let problem = second.as_ref().unwrap_err().to_string();
    assert!(problem.ends_with("SHOW POOLS: unknown command"), "{problem}");
    let third = third.as_ref().unwrap();
    assert!(third.pools.is_some() && third.counters.is_some(), "{third:?}");
    let console = Console::start(vec![("SHOW POOLS", vec![POOLS]), ("SHOW STATS", vec![STATS])]);
    let observations = observe(&pooler_scenario(&console));
    let source = &observations.sources[0];
    assert_eq!(
        source.about.notes,
        ["its console does not answer SHOW DATABASES (unknown command): that is not seen"]
    );
    let Reading::Pooler(sample) = &source.looks[0].reading else { panic!("{source:?}") };
    assert_eq!(sample.full, None, "whether the pool is full is not known");
}

fn pooler_scenario(console: &Console) -> String {
    format!(
        "name = \"o\"\n\
         [targets.pooler]\nconninfo = \"host=127.0.0.1 dbname=d user=u\"\nconsole = \"{}\"\n\
         [[operations]]\nname = \"a\"\nsql = \"SELECT 1\"\n",
        console.conninfo
    )
}

/// What a pooler's source says of itself after so many looks.
fn about(console: &Console, looks: u64) -> source::About {
    let scenario = Scenario::parse("o.toml", &pooler_scenario(console), &|_| None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut source = Source::all(&scenario).unwrap().remove(0);
        for _ in 0..looks {
            source.look().await.0.unwrap();
        }
        source.about()
    })
}

#[test]
fn one_process_of_several_and_settings_that_change_are_noted() {
    let config = |size: &'static [&'static [&'static str]]| Answer::Rows(size);
    let console = Console::start(vec![
        ("SHOW POOLS", vec![POOLS]),
        ("SHOW DATABASES", vec![DATABASES]),
        ("SHOW STATS", vec![STATS]),
        (
            "SHOW CONFIG",
            vec![
                config(&[&["key", "value"], &["so_reuseport", "1"], &["default_pool_size", "20"]]),
                config(&[&["key", "value"], &["so_reuseport", "1"], &["default_pool_size", "5"]]),
            ],
        ),
    ]);
    let about = about(&console, 1 + CONFIG_EVERY);
    assert_eq!(
        about.notes,
        [
            "so_reuseport is on, and its console shows one process of several: list the socket of \
             each in `console`",
            "its settings were changed meanwhile: default_pool_size from \"20\" to \"5\"",
        ]
    );
    assert_eq!(about.settings.unwrap()["default_pool_size"], "5");
}

#[test]
fn a_console_that_goes_away_on_the_way_leaves_a_gap_from_then_on() {
    let console = Console::start(vec![
        ("SHOW POOLS", vec![POOLS, Answer::Gone]),
        ("SHOW DATABASES", vec![DATABASES]),
        ("SHOW STATS", vec![STATS]),
    ]);
    let observations = observe(&pooler_scenario(&console));
    let source = &observations.sources[0];
    assert_eq!(source.looks.len(), 1);
    assert!(source.failures > 0, "{source:?}");
    let error = source.error.as_ref().unwrap();
    assert!(error.starts_with("the pooler's console at 127.0.0.1:"), "{error}");
    let seen_ns = source.looks[0].at_ns;
    let stretches = [(0, seen_ns + 1), (seen_ns + 1, seen_ns + engine::SECOND)];
    let load = stretches.map(|stretch| LoadSecond::of(stretch, &[], &[])).to_vec();
    let seconds = crate::series::lay(load, &observations, 0);
    let seen: Vec<_> = seconds.iter().map(|second| second.poolers["pooler"].is_some()).collect();
    assert_eq!(seen, [true, false]);
    let machine = observations.sources.iter().find(|source| source.subject == Subject::Machine);
    assert!(machine.unwrap().looks.len() >= 2, "the others go on");
}
