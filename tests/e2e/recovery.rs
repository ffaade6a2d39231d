//! What becomes of a load while connections are lost and requests given up.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use engine::driver::{DriverKind, Options};
use engine::{
    Fleet, Gaps, Load, MILLISECOND, Mix, MixEntry, Nanos, Opening, Phase, Recording, SECOND,
    Script, Stream, StreamReport, Target,
};
use poolbench_tests::Stack;
use poolbench_tests::session::{Client, Place, statement};
use wire::Class;
use wire::postgres::{Login, Protocol};

/// A load on one target.
struct Run {
    sql: &'static str,
    rate: f64,
    connections: u32,
    timeout_ns: Nanos,
    duration_ns: Nanos,
}

impl Run {
    fn target(&self, place: &Place) -> Target {
        let Place { user, database, password, port } = place;
        let login = Login::new(user, database, "poolbench", Some(password.as_bytes())).unwrap();
        Target {
            name: "it".into(),
            address: std::net::SocketAddr::from(([127, 0, 0, 1], *port)).into(),
            opening: Opening::Postgres(Arc::new(login)),
            operations: [statement(self.sql, Protocol::Simple)].into(),
            connections: self.connections,
            connections_max: self.connections,
            opening_at_once: 1,
            timeout_ns: self.timeout_ns,
        }
    }

    /// Runs it on one worker.
    fn on(&self, place: &Place) -> StreamReport {
        self.told(Arc::default(), place, |_| ())
    }

    /// Runs it on one worker, until `stop` at the latest.
    fn until(&self, stop: Arc<AtomicBool>, place: &Place) -> StreamReport {
        self.told(stop, place, |_| ())
    }

    /// Runs it on one worker while `meanwhile` acts on what it comes to.
    fn beside(&self, place: &Place, meanwhile: impl FnOnce(Course)) -> StreamReport {
        let (sender, pieces) = mpsc::channel();
        std::thread::scope(|scope| {
            let load = scope.spawn(move || {
                // Nobody listens any more where all was done.
                self.told(Arc::default(), place, |piece| drop(sender.send(piece.clone())))
            });
            meanwhile(Course { so_far: StreamReport::new(Recording::new(1)), pieces });
            load.join().unwrap()
        })
    }

    fn told(
        &self,
        stop: Arc<AtomicBool>,
        place: &Place,
        tell: impl Fn(&StreamReport),
    ) -> StreamReport {
        let options = Options::new(DriverKind::Uring);
        let mut fleet = Fleet::start(vec![self.target(place)], &[CoreId { id: 0 }], &options, stop);
        fleet.open().unwrap();
        let load = Load::ConstantArrivalRate {
            rate: self.rate,
            gaps: Gaps::Uniform,
            duration_ns: self.duration_ns,
            pre_allocated_vus: self.connections,
            max_vus: self.connections,
        };
        let stream = Stream {
            target: 0,
            script: Script::Mix(Arc::new(
                Mix::new(vec![MixEntry { weight: 1, generators: vec![] }]).unwrap(),
            )),
            load,
            think_time_ns: (0, 0),
            start_ns: 0,
            graceful_stop_ns: 60 * SECOND,
            reconnect: false,
            cancel: None,
            seed: 1,
        };
        let mut phase = Phase::new(vec![stream]).unwrap();
        phase.drain_ns = 60 * SECOND;
        phase.interval_ns = Some(20 * MILLISECOND);
        let told = fleet.run(&phase, |interval| {
            tell(&interval.streams[0]);
            ControlFlow::Continue(())
        });
        told.unwrap().streams.remove(0)
    }
}

/// What a load that runs has come to.
struct Course {
    so_far: StreamReport,
    pieces: mpsc::Receiver<StreamReport>,
}

impl Course {
    /// Waits until this holds of all that has happened.
    fn wait_until(&mut self, holds: impl Fn(&StreamReport) -> bool) {
        while !holds(&self.so_far) {
            let piece = self.pieces.recv();
            self.so_far.append(&piece.expect("it happens before the load is over"));
        }
    }

    fn wait_for_requests(&mut self, count: u64) {
        self.wait_until(|report| report.recording.completed() >= count);
    }
}

fn failures(report: &StreamReport) -> Vec<(Class, String)> {
    let whole = report.recording.whole();
    let words = |first: Option<&wire::Failure>| first.map(|first| first.message.clone());
    whole.failures().map(|(class, _, first)| (class, words(first).unwrap_or_default())).collect()
}

/// Backends that still run the statement.
fn running(superuser: &mut postgres::Client, sql: &str) -> i64 {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE query = $1 AND state = 'active'";
    superuser.query_one(query, &[&sql]).unwrap().get(0)
}

/// Once a server has dealt with what it was told, which takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn no_backend_goes_on_with_a_request_that_timed_out() {
    let stack = Stack::small(&["--pool-size", "3"]);
    let mut superuser = stack.connect("superuser");
    for target in ["postgres", "pooler"] {
        // Closing the connection alone ends nothing: neither server looks until it has an answer.
        let sql = "SELECT pg_sleep(61)";
        let mut client =
            Client::open(&stack.place(target)).unwrap_or_else(|error| panic!("{error:?}"));
        client.send(&statement(sql, Protocol::Simple));
        while running(&mut superuser, sql) == 0 {}
        drop(client);
        // What it does about a close it has done when it has served another client since.
        Client::open(&stack.place(target)).unwrap().sql("SELECT 1").unwrap();
        assert_eq!(running(&mut superuser, sql), 1, "{target}: it takes more than a close");
        superuser
            .execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = $1",
                &[&sql],
            )
            .unwrap();

        let run = Run {
            sql: "SELECT pg_sleep(62)",
            rate: 10.0,
            connections: 3,
            timeout_ns: 300 * MILLISECOND,
            duration_ns: SECOND,
        };
        let report = run.on(&stack.place(target));
        let whole = report.recording.whole();
        assert_eq!((report.planned, whole.completed()), (10, 10), "{target}");
        let failed = failures(&report);
        assert!(failed.iter().any(|(class, _)| *class == Class::Timeout), "{target}: {failed:?}");
        assert_none_runs(&mut superuser, run.sql);

        // As Ctrl-C does it.
        let run = Run { sql: "SELECT pg_sleep(63)", timeout_ns: 60 * SECOND, ..run };
        let stop = Arc::new(AtomicBool::new(false));
        let report = std::thread::scope(|scope| {
            let load = scope.spawn(|| run.until(Arc::clone(&stop), &stack.place(target)));
            while running(&mut superuser, run.sql) == 0 {}
            stop.store(true, Ordering::Relaxed);
            load.join().unwrap()
        });
        assert!(report.interrupted > 0, "{target}");
        assert_none_runs(&mut superuser, run.sql);
    }
}

fn assert_none_runs(superuser: &mut postgres::Client, sql: &str) {
    let deadline = Instant::now() + PATIENCE;
    while running(superuser, sql) > 0 {
        assert!(Instant::now() < deadline, "{sql}: {}", running(superuser, sql));
    }
}

#[test]
fn a_pooler_that_loses_prepared_names_is_named_and_can_be_worked_with() {
    let stack = Stack::small(&["--pool-size", "2"]);
    let conninfo = stack.target("pooler");
    let scenario = format!(
        "name = \"names\"\n[targets.pooler]\nconninfo = \"{conninfo}\"\nprotocol = \"prepared\"\n\
         [[operations]]\nname = \"one\"\nsql = \"SELECT 1\"\n"
    );
    let file = stack.home.write("names.toml", &scenario);
    let arguments = ["run", &file, "--vus", "8", "--duration", "500ms"];
    let ended = stack.home.run(&arguments);
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.contains("poolbench: ")).collect();
    assert_eq!((ended.code, lines.len()), (104, 1), "{ended:?}");
    for words in ["target pooler", "42P05", "prepared statement \"one\"", "--unnamed-fallback"] {
        assert!(lines[0].contains(words), "{words} is missing in: {}", lines[0]);
    }
    let ended = stack.home.run(&[&arguments[..], &["--unnamed-fallback"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("they were sent unnamed from then on"), "{ended:?}");
    let ended = stack.home.run(&[&arguments[..], &["--unnamed-fallback", "--json", "-"]].concat());
    let arm = &ended.json()["arms"][0];
    assert_eq!(arm["fell_back_to_unnamed"], true, "{arm}");
    assert_eq!(arm["errors"], serde_json::json!({}), "{arm}");
}

#[test]
fn a_restart_behind_the_pooler_costs_no_arrival_its_place_and_its_length_is_told() {
    let stack = Stack::small(&["--pool-size", "3"]);
    let place = stack.place("pooler");
    stack.connect("console").simple_query("SET server_login_retry = 1").unwrap();
    let run = Run {
        sql: "SELECT 1",
        rate: 200.0,
        // More than wait before the pooler knows: those that come then are told.
        connections: 600,
        timeout_ns: 30 * SECOND,
        duration_ns: 8 * SECOND,
    };
    let report = run.beside(&place, |mut course| {
        course.wait_for_requests(100);
        let mut start = stack.stop("postgres", "INT");
        // The pooler has tried again in vain, and tells clients so.
        course.wait_until(|report| {
            failures(report).iter().any(|(class, _)| *class == Class::Unavailable)
        });
        std::thread::spawn(move || start.status());
    });
    let whole = report.recording.whole();
    assert_eq!((report.planned, whole.completed()), (1600, 1600), "each has its outcome");
    let failed = failures(&report);
    assert!(failed.iter().any(|(class, _)| *class == Class::Unavailable), "{failed:?}");
    assert!(failed.iter().all(|(class, _)| class.is_of_connection()), "{failed:?}");
    assert!(report.reopened > 0 && report.disconnected_ns > 0);
    assert!(report.outage_ns > 0 && !report.is_out, "it recovered");
    assert!(whole.response.len() > 500, "the load went on: {failed:?}");
}

#[test]
fn a_pooler_that_refuses_logins_for_a_while_is_asked_again_until_it_takes_them() {
    let stack = Stack::small(&["--pool-size", "3"]);
    let place = stack.place("pooler");
    let mut console = stack.connect("console");
    let run = Run {
        sql: "SELECT 1",
        rate: 200.0,
        connections: 10,
        timeout_ns: 30 * SECOND,
        duration_ns: 3 * SECOND,
    };
    let report = run.beside(&place, |mut course| {
        course.wait_for_requests(100);
        for command in ["SET max_client_conn = 1", "KILL nova", "RESUME nova"] {
            console.simple_query(command).unwrap();
        }
        // Each connection was refused at least once.
        course.wait_until(|report| report.reopened > u64::from(run.connections));
        console.simple_query("SET max_client_conn = 100").unwrap();
    });
    let whole = report.recording.whole();
    assert_eq!((report.planned, whole.completed()), (600, 600), "each has its outcome");
    assert!(whole.response.len() > 580, "they waited: {:?}", failures(&report));
    assert!(report.disconnected_ns > report.outage_ns, "all were lost at the same time");
    assert!(report.outage_ns > 0 && !report.is_out, "it recovered");
}
