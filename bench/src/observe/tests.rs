//! Observers on consoles that answer by a script.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use engine::driver::Clock;
use tokio::task::LocalSet;

use super::pooler::PoolerSource;
use super::*;

/// What a console says to a command.
#[derive(Clone)]
enum Answer {
    Rows(&'static [&'static [&'static str]]),
    /// A message of the console's own; the connection stays.
    Refusal,
    /// The connection ends.
    Close,
    /// Nothing, ever.
    Silence,
}

/// A console that answers each command with the next of its answers, the last one for ever.
struct Console {
    conninfo: String,
    asked: Arc<Mutex<Vec<String>>>,
}

type Script = Vec<(&'static str, Vec<Answer>)>;

impl Console {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that breaks is made anew.
                let _ = serve(stream, &script, &heard);
            }
        });
        let conninfo = format!("host=127.0.0.1 port={port} user=u dbname=d sslmode=disable");
        Self { conninfo, asked }
    }

    fn count(&self, command: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == command).count()
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// Columns, then a row each; NULL is written as such.
fn table(rows: &[&[&str]]) -> Vec<u8> {
    let count = |cells: &[&str]| (cells.len() as u16).to_be_bytes();
    let mut bytes = Vec::new();
    for (number, cells) in rows.iter().enumerate() {
        let mut body = count(cells).to_vec();
        for cell in *cells {
            if number == 0 {
                // No table, and the type text.
                body.extend([cell.as_bytes(), b"\0", &[0; 6], &25_u32.to_be_bytes()].concat());
                body.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
            } else if *cell == "NULL" {
                body.extend((-1_i32).to_be_bytes());
            } else {
                body.extend((cell.len() as u32).to_be_bytes());
                body.extend(cell.as_bytes());
            }
        }
        bytes.extend(message(if number == 0 { b'T' } else { b'D' }, &body));
    }
    bytes.extend(message(b'C', b"SHOW\0"));
    bytes
}

fn serve(
    mut stream: TcpStream,
    script: &Script,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut hello = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut hello)?;
    let ready = message(b'Z', b"I");
    stream.write_all(&[message(b'R', &[0; 4]), ready.clone()].concat())?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        if head[0] != b'Q' {
            return Ok(());
        }
        let command = String::from_utf8_lossy(&body[..length - 1]).into_owned();
        let earlier = {
            let mut heard = heard.lock().unwrap();
            heard.push(command.clone());
            heard.iter().filter(|other| **other == command).count() - 1
        };
        let answers = script.iter().find(|(other, _)| *other == command).map(|(_, all)| all);
        let answer = answers.and_then(|all| all.get(earlier.min(all.len() - 1)));
        let bytes = match answer.unwrap_or(&Answer::Refusal) {
            Answer::Rows(rows) => table(rows),
            Answer::Refusal => message(b'E', b"SERROR\0C08P01\0Munknown command\0\0"),
            Answer::Close => return Ok(()),
            Answer::Silence => continue,
        };
        stream.write_all(&[bytes, ready.clone()].concat())?;
    }
}

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
    assert_eq!((seen.full.len(), seen.full[0].size), (1, 2));
    let counted = seen.counters.unwrap();
    assert_eq!((counted.queries(), counted.get("novelties")), (Some(100), Some(7)));
    assert_eq!((seen.clients_max, seen.lists.len()), (None, 0));
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
    let counted = seen.counters.unwrap();
    assert_eq!((counted.queries(), counted.wait_ns()), (Some(110), Some(12_350_000)));
    assert_eq!((seen.lists["used_clients"], seen.clients_max), (9, Some(77)));
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
    let [first, second, third] = &looks(&[&steady, &broken], 3)[..] else { panic!("three") };
    let first = first.as_ref().unwrap();
    assert_eq!(first.pools.unwrap().cl_waiting, Some(6));
    assert_eq!(first.counters.as_ref().unwrap().queries(), Some(200));
    assert_eq!(first.full.len(), 2);
    let error = second.as_ref().unwrap_err().to_string();
    assert!(error.starts_with("the pooler's console at 127.0.0.1:"), "{error}");
    assert!(third.is_ok(), "it is opened again: {third:?}");
}

/// All that an observer saw of this scenario in a bit more than a second.
fn observe(scenario: &str) -> Observations {
    let scenario = Scenario::parse("observed.toml", scenario, &|_| None).unwrap();
    let clock = Clock::start();
    let mut observer = Observer::start(Source::all(&scenario).unwrap(), clock, &[]);
    let mut seen = 0;
    // The machine is looked at a second time, whatever the others do.
    while seen < 2 {
        let heard = observer.hear();
        seen += heard.iter().filter(|look| matches!(look.reading, Reading::Machine(_))).count();
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
    let mut observer = Observer::open(Source::all(&scenario).unwrap(), clock, &[]);
    let of_machine = |looks: Vec<Look>| {
        looks.iter().filter(|look| matches!(look.reading, Reading::Machine(_))).count()
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
