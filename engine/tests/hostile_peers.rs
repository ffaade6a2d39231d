//! Peers that say nothing, too much, or never the end: each costs bounded memory and has its class.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use engine::driver::{self, Clock, Driver, DriverKind, Options, Pump, Setup};
use engine::null_server::{Speaks, phase, stream, target};
use engine::{
    Ending, Generator, Load, MILLISECOND, Mix, MixEntry, Nanos, SECOND, Script, Stream,
    StreamReport, Target, Worker,
};
use wire::postgres::{Batch, Parameter, Pipeline, Protocol, Statement};
use wire::{Class, Operation, Request};

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

/// Runs so many requests of a stream to their end.
struct Run(Worker, Clock, Stream);

impl Pump for Run {
    type Output = StreamReport;

    fn pump(self, mut driver: impl Driver) -> StreamReport {
        let Self(mut worker, clock, stream) = self;
        worker.open(clock.now(), driver.transport());
        while worker.opened().is_none() {
            assert!(worker.refusal().is_none(), "{:?}", worker.refusal());
            turn(&mut worker, &clock, &mut driver);
        }
        worker.begin(&phase(stream), clock.now());
        while !worker.is_drained(clock.now()) {
            turn(&mut worker, &clock, &mut driver);
        }
        let now = clock.now();
        worker.finish(Ending::Complete, now, driver.transport()).unwrap().1.streams.remove(0)
    }
}

fn iterations(vus: u32, iterations: u32) -> Stream {
    let iterations = u64::from(iterations);
    stream(Load::SharedIterations { vus, iterations, max_duration_ns: 60 * SECOND })
}

fn turn(worker: &mut Worker, clock: &Clock, driver: &mut impl Driver) {
    const WAIT_MAX_NS: Nanos = 10 * MILLISECOND;
    let now = clock.now();
    worker.poll(now, driver.transport());
    let deadline = worker.deadline().min(now + WAIT_MAX_NS);
    driver.turn(worker, clock, deadline).unwrap();
}

/// The most bytes that were allocated at once, and what came of so many requests.
fn run(
    kind: DriverKind,
    speaks: Speaks,
    (requests, timeout_ns): (u32, Nanos),
    answer: Answer,
) -> (u64, Outcomes) {
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
        let run = Run(worker, Clock::start(), iterations(CONNECTIONS, requests));
        let report = driver::start(&setup, run).unwrap();
        let whole = report.recording.whole();
        outcomes.extend(whole.failures().map(|(class, count, _)| (class, count)));
        assert_eq!(report.recording.completed(), u64::from(requests));
    });
    (counted.bytes_max, outcomes)
}

/// Failures by class.
type Outcomes = Vec<(Class, u64)>;

const PATIENT: (u32, Nanos) = (REQUESTS, 60 * SECOND);
/// Long enough for connections to open on a busy machine, and one request on each.
const SILENT: (u32, Nanos) = (CONNECTIONS, 500 * MILLISECOND);

/// That `answer` costs little more memory than `small`, and what it comes to.
fn assert_bounded(speaks: Speaks, small: Answer, answer: Answer, expected: &[(Class, u64)]) {
    for kind in DriverKind::ALL {
        let (usual, outcomes) = run(kind, speaks, PATIENT, small);
        assert_eq!(outcomes, [], "{kind:?}");
        let (most, outcomes) = run(kind, speaks, PATIENT, answer);
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

/// How many statements a pipeline has; together they are a mebibyte, and so are the notices.
const DEPTH: usize = 8;

/// A server that says a mebibyte before it reads on, as soon as a pipeline begins.
fn talk_before_reading(mut stream: TcpStream) {
    let mut chunk = [0; 4096];
    let _ = stream.read(&mut chunk);
    let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
    let noise = [
        message(b'N', format!("SNOTICE\0M{}\0\0", "n".repeat(900)).as_bytes()),
        message(b'S', b"application_name\0poolbench\0"),
    ];
    let noise = noise.concat().repeat(NOTICES as usize);
    let replies = row(b"", b"1").unwrap_or_default().repeat(DEPTH);
    let mut left = 0;
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        if left == 0 {
            if stream.write_all(&noise).is_err() {
                return;
            }
            left = pipeline_bytes();
        }
        left -= count;
        if left == 0 && stream.write_all(&replies).is_err() {
            return;
        }
    }
}

const NOTICES: u64 = 1100;

fn pipeline() -> Operation {
    let text = [Parameter { hole: 0, type_oid: 25 }];
    let statement = Statement::new("SELECT length($1)", &text, Protocol::Extended, "").unwrap();
    let request = Batch::new(vec![statement; DEPTH], Pipeline::SyncEach);
    Operation {
        name: "pipeline".into(),
        idempotent: false,
        request: Request::PostgresBatch(request.into()),
        checks: Vec::new(),
    }
}

/// How long a pipeline is on the wire.
fn pipeline_bytes() -> usize {
    let parse = 1 + 4 + 1 + "SELECT length($1)".len() + 1 + 2 + 4;
    let bind = 1 + 4 + 2 + 2 + 2 + 4 + MEBIBYTE / DEPTH + 2;
    let (describe, execute, sync) = (7, 10, 5);
    DEPTH * (parse + bind + describe + execute + sync)
}

#[test]
fn a_mebibyte_each_way_while_pipelining_blocks_nobody_and_is_not_kept() {
    const FEW: u32 = 8;
    for kind in DriverKind::ALL {
        let most = |requests: u32| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().into();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    std::thread::spawn(move || talk_before_reading(stream));
                }
            });
            let target = target(address, Speaks::Postgres, 2);
            let target = Target { operations: [pipeline()].into(), ..target };
            let text = Generator::Text("t".repeat(MEBIBYTE / DEPTH));
            let entry = MixEntry { weight: 1, generators: vec![text] };
            let script = Script::Mix(Arc::new(Mix::new(vec![entry]).unwrap()));
            let counted = allocation_counter::measure(|| {
                let worker = Worker::new(0, 1, Arc::new([target]));
                let setup = Setup {
                    connections: worker.connections(),
                    workers: 1,
                    options: Options::new(kind),
                };
                let stream = Stream { script: script.clone(), ..iterations(2, requests) };
                let report = driver::start(&setup, Run(worker, Clock::start(), stream)).unwrap();
                assert_eq!(report.recording.whole().failures().count(), 0, "{kind:?}");
                assert_eq!(report.recording.completed(), u64::from(requests), "{kind:?}");
                assert_eq!(report.counts.notices, NOTICES * u64::from(requests), "{kind:?}");
                assert_eq!(report.queries(), DEPTH as u64 * u64::from(requests), "{kind:?}");
            });
            counted.bytes_max
        };
        // Two connections are in the middle of theirs at most; kept, there were 56 MiB more.
        let (few, many) = (most(FEW), most(8 * FEW));
        assert!(many < few + MOST_BYTES, "{kind:?}: {few} bytes, and then {many}");
    }
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
            let (_, outcomes) = run(kind, speaks, SILENT, || None);
            assert_eq!(outcomes, [(Class::Timeout, u64::from(CONNECTIONS))], "{kind:?} {speaks:?}");
        }
    }
}
