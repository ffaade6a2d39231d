//! What Postgres refuses, and what anything shows as Prometheus text.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};

use super::scripted::{Answer, Console};
use super::server::ServerSource;
use super::*;

const ACTIVITY: &[&[&str]] = &[
    &["application_name", "state", "wait_event_type", "wait_event", "backend_type", "backends"],
    &["nova", "active", "NULL", "NULL", "client backend", "3"],
];
const SETTINGS: &[&[&str]] =
    &[&["version", "max_connections", "role"], &["15.18 (Debian)", "100", "plain"]];
const DATABASE: &[&[&str]] = &[&["datname", "xact_commit"], &["nova", "120"]];
const WAL: &[&[&str]] = &[&["wal_bytes"], &["7"]];
const STATEMENTS: &[&[&str]] = &[&["calls", "rows"], &["40", "80"]];

/// A server that has what these answers say, and no other views.
fn server(wal: Vec<Answer>, all: Vec<Answer>) -> Console {
    let absent = || vec![Answer::RefusalOf("42P01")];
    Console::start(vec![
        ("SELECT current_setting", vec![Answer::Rows(SETTINGS)]),
        ("SELECT * FROM pg_stat_database", vec![Answer::Rows(DATABASE)]),
        ("SELECT * FROM pg_stat_bgwriter", absent()),
        ("SELECT * FROM pg_stat_checkpointer", absent()),
        ("SELECT * FROM pg_stat_wal", wal),
        // Its library is not loaded, or it has a row.
        ("SELECT sum(calls)", vec![Answer::RefusalOf("55000"), Answer::Rows(STATEMENTS)]),
        ("SELECT application_name", all),
    ])
}

/// What so many looks at such a server show.
fn server_looks(
    wal: Vec<Answer>,
    all: Vec<Answer>,
    count: usize,
) -> Vec<Result<ServerSample, ObserveError>> {
    let server = server(wal, all);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut source = ServerSource::new(&server.conninfo).unwrap();
        let mut looks = Vec::new();
        for _ in 0..count {
            looks.push(source.look().await);
        }
        looks
    })
}

#[test]
fn what_postgres_refuses_of_a_sudden_is_a_gap_and_no_empty_server() {
    let looks = server_looks(
        vec![Answer::Rows(WAL), Answer::RefusalOf("42501")],
        vec![
            Answer::Tables(&[ACTIVITY, DATABASE, WAL]),
            // A time limit; or a view was revoked, and is asked for no more. What has come is.
            Answer::RefusalOf("57014"),
            Answer::Tables(&[ACTIVITY, DATABASE, STATEMENTS]),
        ],
        3,
    );
    let [first, second, third] = &looks[..] else { panic!("three: {looks:?}") };
    let names = |sample: &ServerSample| {
        let names = sample.counters.iter().map(|(name, _)| name.to_owned());
        (sample.backends.all(), names.collect::<Vec<_>>())
    };
    let first = first.as_ref().unwrap();
    assert_eq!(first.connections_max, Some(100));
    assert_eq!(
        names(first),
        (Some(3), vec!["database.xact_commit".into(), "wal.wal_bytes".into()])
    );
    let problem = second.as_ref().unwrap_err().to_string();
    assert!(problem.starts_with("the observer's connection to Postgres at "), "{problem}");
    let expected = ["database.xact_commit", "statements.calls", "statements.rows"];
    assert_eq!(names(third.as_ref().unwrap()), (Some(3), expected.map(str::to_owned).to_vec()));
}

const HIDDEN: &[&[&str]] = &[
    &["application_name", "state", "wait_event_type", "wait_event", "backend_type", "backends"],
    &["nova", "NULL", "NULL", "NULL", "NULL", "20"],
    &["psql", "active", "NULL", "NULL", "client backend", "1"],
];

#[test]
fn what_postgres_hides_from_the_observers_role_is_unknown_and_the_remedy_is_told() {
    let server = server(vec![Answer::Rows(WAL)], vec![Answer::Tables(&[HIDDEN, DATABASE, WAL])]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (seen, note) = LocalSet::new().block_on(&runtime, async {
        let mut source = ServerSource::new(&server.conninfo).unwrap();
        (source.look().await.unwrap(), source.note())
    });
    assert_eq!(
        (seen.backends.all(), seen.backends.named("nova"), seen.activity),
        (None, None, None)
    );
    assert_eq!(seen.backends.named("psql"), Some(1));
    assert_eq!(
        note.as_deref(),
        Some(
            "other roles' backends are hidden from plain: how many there are and what they do is not \
             known (GRANT pg_read_all_stats TO plain, or pg_monitor)"
        )
    );
}

#[test]
fn a_view_that_is_refused_for_now_is_not_taken_for_one_that_is_not_there() {
    let wal = vec![Answer::RefusalOf("40001"), Answer::Rows(WAL)];
    let looks = server_looks(wal, vec![Answer::Tables(&[ACTIVITY, DATABASE, WAL])], 2);
    assert!(looks[0].is_err(), "{looks:?}");
    let seen = looks[1].as_ref().unwrap();
    assert!(seen.counters.iter().any(|(name, _)| name == "wal.wal_bytes"), "{seen:?}");
}

#[test]
fn prometheus_text_is_scraped_over_http_and_laid_beside_the_load() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = AtomicU32::new(0);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    break;
                }
                head.extend(byte);
            }
            let asked = answers.fetch_add(1, Ordering::Relaxed) + 1;
            let body = format!(
                "# TYPE requests_total counter\nrequests_total{{path=\"/\"}} {}\n\
                 # TYPE idle gauge\nidle 7\n",
                asked * 100
            );
            let head = String::from_utf8_lossy(&head);
            let status = if head.starts_with("GET /metrics ") { "200 OK" } else { "404 Not Found" };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    let url = format!("http://127.0.0.1:{port}/metrics");
    let observations = observe(&format!(
        "name = \"o\"\n[targets.postgres]\nurl = \"http://127.0.0.1:1/\"\n\
         [observe]\nprometheus = \"{url}\"\n\
         [[operations]]\nname = \"a\"\ngraphql = \"{{a}}\"\n"
    ));
    let source = observations.sources.iter().find(|source| source.name == url).unwrap();
    assert_eq!((source.failures, &source.error), (0, &None));
    let [first, .., last] = &source.looks[..] else { panic!("two: {source:?}") };
    let Reading::Exposition(exposition) = &last.reading else { panic!("{last:?}") };
    assert_eq!(exposition.gauges["idle"], 7.0);
    let load = LoadSecond::of((0, last.at_ns + 1), &[], &[]);
    let seconds = crate::series::lay(vec![load], &observations, 0);
    let seen = seconds[0].expositions[&url].as_ref().unwrap();
    let rates = seen.counted_per_second.as_ref().unwrap();
    assert!(rates["requests_total{path=\"/\"}"] > 0.0, "{rates:?}");
    assert!(first.at_ns < last.at_ns);
}
