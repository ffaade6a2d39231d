//! Peers that say nothing, too much, or never the end: each costs bounded memory and has its class.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use engine::driver::{self, Clock, Driver, DriverKind, Options, Pump, Setup};
use engine::null_server::{Speaks, phase, stream, target};
use engine::{Ending, Load, MILLISECOND, Nanos, SECOND, StreamReport, Worker};
use wire::Class;
use wire::postgres::{Protocol, Statement};

const CONNECTIONS: u32 = 32;
const REQUESTS: u32 = 128;
const MEBIBYTE: usize = 1 << 20;
/// What a run may hold beyond one with small replies: far less than the replies that arrive at the
/// same time, [`CONNECTIONS`] of a mebibyte each.
const MOST_BYTES: u64 = 8 << 20;

/// What a peer sends for each request; `None` is silence.
type Answer = fn() -> Option<Vec<u8>>;

/// A server with a thread a connection. A request is whatever one read gives.
fn serve(speaks: Speaks, answer: Answer) -> socket2::SockAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || talk(stream, speaks, answer));
        }
    });
    address.into()
}

fn talk(mut stream: TcpStream, speaks: Speaks, answer: Answer) {
    let mut chunk = [0; 4096];
    if speaks == Speaks::Postgres {
        let _ = stream.read(&mut chunk);
        // AuthenticationOk, ReadyForQuery.
        let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
    }
    while matches!(stream.read(&mut chunk), Ok(1..)) {
        if let Some(reply) = answer()
            && stream.write_all(&reply).is_err()
        {
            return;
        }
    }
}

fn http(body: &str) -> Option<Vec<u8>> {
    Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into())
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[tag], &length[..], body].concat()
}

/// The answer to an unnamed statement: one row of one column, and what comes before it.
fn row(before: &[u8], column: &[u8]) -> Option<Vec<u8>> {
    let length = (column.len() as u32).to_be_bytes();
    let row = message(b'D', &[&[0, 1], &length[..], column].concat());
    let parsed_and_bound = [message(b'1', b""), message(b'2', b"")].concat();
    let complete = message(b'C', b"SELECT 1\0");
    Some([&parsed_and_bound, before, &row, &complete, &message(b'Z', b"I")].concat())
}

fn notice() -> Vec<u8> {
    let text = "n".repeat(MEBIBYTE);
    message(b'N', format!("SNOTICE\0C00000\0M{text}\0\0").as_bytes())
}

/// Runs [`REQUESTS`] requests to their end.
struct Run(Worker, Clock);

impl Pump for Run {
    type Output = StreamReport;

    fn pump(self, mut driver: impl Driver) -> StreamReport {
        let Self(mut worker, clock) = self;
        worker.open(clock.now(), driver.transport());
        while worker.opened().is_none() {
            turn(&mut worker, &clock, &mut driver);
        }
        let load = Load::SharedIterations {
            vus: CONNECTIONS,
            iterations: u64::from(REQUESTS),
            max_duration_ns: 60 * SECOND,
        };
        worker.begin(&phase(stream(load)), clock.now());
        while !worker.is_drained(clock.now()) {
            turn(&mut worker, &clock, &mut driver);
        }
        let now = clock.now();
        worker.finish(Ending::Complete, now, driver.transport()).unwrap().1.streams.remove(0)
    }
}

fn turn(worker: &mut Worker, clock: &Clock, driver: &mut impl Driver) {
    const WAIT_MAX_NS: Nanos = 10 * MILLISECOND;
    let now = clock.now();
    worker.poll(now, driver.transport());
    let deadline = worker.deadline().min(now + WAIT_MAX_NS);
    driver.turn(worker, clock, deadline).unwrap();
}

/// The most bytes that were allocated at once, and what came of the requests.
fn run(kind: DriverKind, speaks: Speaks, timeout_ns: Nanos, answer: Answer) -> (u64, Outcomes) {
    let mut target = target(serve(speaks, answer), speaks, CONNECTIONS);
    target.timeout_ns = timeout_ns;
    if speaks == Speaks::Postgres {
        let statement = Statement::new("SELECT 1", &[], Protocol::Extended, "one").unwrap();
        let mut operation = target.operations[0].clone();
        operation.request = wire::Request::Postgres(statement);
        target.operations = [operation].into();
    }
    let mut outcomes = Vec::new();
    let counted = allocation_counter::measure(|| {
        let worker = Worker::new(0, 1, Arc::new([target]));
        let options = Options { stamps: true, ..Options::new(kind) };
        let setup = Setup { connections: worker.connections(), workers: 1, options };
        let report = driver::start(&setup, Run(worker, Clock::start())).unwrap();
        let whole = report.recording.whole();
        outcomes.extend(whole.failures().map(|(class, count, _)| (class, count)));
        assert_eq!(report.recording.completed(), u64::from(REQUESTS));
    });
    (counted.bytes_max, outcomes)
}

/// Failures by class.
type Outcomes = Vec<(Class, u64)>;

const PATIENT_NS: Nanos = 60 * SECOND;

/// That `answer` costs little more memory than `small`, and what it comes to.
fn assert_bounded(speaks: Speaks, small: Answer, answer: Answer, expected: &[(Class, u64)]) {
    for kind in DriverKind::ALL {
        let (usual, outcomes) = run(kind, speaks, PATIENT_NS, small);
        assert_eq!(outcomes, [], "{kind:?}");
        let (most, outcomes) = run(kind, speaks, PATIENT_NS, answer);
        assert_eq!(outcomes, expected, "{kind:?}");
        assert!(most < usual + MOST_BYTES, "{kind:?}: {most} bytes, {usual} with small replies");
    }
}

const ALL: u64 = REQUESTS as u64;

#[test]
fn replies_of_a_mebibyte_are_not_kept() {
    let small = || http(r#"{"data":{"user":{"id":"1"}}}"#);
    let large = || http(&format!(r#"{{"data":{{"user":{{"bio":"{}"}}}}}}"#, "b".repeat(MEBIBYTE)));
    assert_bounded(Speaks::Http, small, large, &[]);
    let large = || row(b"", &[b'1'; MEBIBYTE]);
    assert_bounded(Speaks::Postgres, || row(b"", b"1"), large, &[]);
}

#[test]
fn notices_of_a_mebibyte_are_not_kept() {
    assert_bounded(Speaks::Postgres, || row(b"", b"1"), || row(&notice(), b"1"), &[]);
}

#[test]
fn a_head_without_end_is_given_up() {
    let small = || http(r#"{"data":{"user":{"id":"1"}}}"#);
    let endless =
        || Some(format!("HTTP/1.1 200 OK\r\n{}", "X-Filler: 1\r\n".repeat(MEBIBYTE / 8)).into());
    assert_bounded(Speaks::Http, small, endless, &[(Class::TooLarge, ALL)]);
}

#[test]
fn a_peer_that_says_nothing_is_given_up() {
    for kind in DriverKind::ALL {
        for speaks in [Speaks::Http, Speaks::Postgres] {
            let (_, outcomes) = run(kind, speaks, 50 * MILLISECOND, || None);
            assert_eq!(outcomes, [(Class::Timeout, ALL)], "{kind:?} {speaks:?}");
        }
    }
}
