//! Streams whose iterations open a connection each, in virtual time.

use std::collections::HashSet;
use std::sync::Arc;

use engine::driver::sim::{Event, Peer, Sim};
use engine::{
    ConnectionId, ConnectionTimes, Ending, Gaps, Load, MILLISECOND, Mix, MixEntry, Nanos, Opening,
    Phase, SECOND, Script, Stream, StreamReport, Target, Worker,
};
use wire::postgres::{Login, Protocol, Statement};
use wire::{Class, Operation};

const CONNECT_NS: Nanos = MILLISECOND;
const LOGIN_NS: Nanos = 2 * MILLISECOND;
const QUERY_NS: Nanos = 4 * MILLISECOND;
const WHOLE_NS: Nanos = CONNECT_NS + LOGIN_NS + QUERY_NS;

/// A Postgres that takes the same time for each step.
#[derive(Default)]
struct Postgres {
    /// Connections are refused in this range of time.
    refusing: std::ops::Range<Nanos>,
    /// Logins are not answered in this range of time.
    silent: std::ops::Range<Nanos>,
    /// Logins are told that there are too many clients in this range of time.
    full: std::ops::Range<Nanos>,
    /// Each login is told a setting of its own, and not the same one.
    is_fickle: bool,
    connects: u64,
    queries: u64,
    goodbyes: u64,
    logging_in: HashSet<ConnectionId>,
    open: HashSet<ConnectionId>,
    open_most: usize,
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

impl Peer for Postgres {
    fn connect(&mut self, id: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        self.connects += 1;
        self.logging_in.insert(id);
        self.open.insert(id);
        self.open_most = self.open_most.max(self.open.len());
        let is_refused = self.refusing.contains(&now);
        vec![(now + CONNECT_NS, if is_refused { Event::Refused } else { Event::Connected })]
    }

    fn receive(&mut self, id: ConnectionId, now: Nanos, bytes: &[u8]) -> Vec<(Nanos, Event)> {
        if bytes == message(b'X', b"") {
            self.goodbyes += 1;
            self.open.remove(&id);
            return Vec::new();
        }
        let ready = message(b'Z', b"I");
        if self.logging_in.remove(&id) {
            if self.silent.contains(&now) {
                return Vec::new();
            }
            let error = message(b'E', b"SFATAL\0C53300\0Msorry, too many clients already\0\0");
            let zone = if self.is_fickle { self.connects } else { 0 };
            let zone = message(b'S', format!("TimeZone\0Etc/GMT+{zone}\0").as_bytes());
            let welcome = [message(b'R', &[0; 4]), zone, ready].concat();
            let answer = if self.full.contains(&now) { error } else { welcome };
            return vec![(now + LOGIN_NS, Event::Bytes(answer))];
        }
        self.queries += 1;
        let row = [message(b'D', b"\0\x01\0\0\0\x011"), message(b'C', b"SELECT 1\0")].concat();
        vec![(now + QUERY_NS, Event::Bytes([row, ready].concat()))]
    }
}

fn target(places: u32) -> Target {
    let statement = Statement::new("SELECT 1", &[], Protocol::Simple, "one").unwrap();
    let login = Login::new("nova", "nova", "poolbench", None).unwrap();
    let operation = Operation {
        name: "one".into(),
        idempotent: true,
        request: wire::Request::Postgres(statement),
        checks: Vec::new(),
    };
    Target {
        name: "postgres".into(),
        address: "127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap().into(),
        opening: Opening::Postgres(Arc::new(login)),
        operations: [operation].into(),
        connections: 1,
        connections_max: places,
        opening_at_once: 1,
        timeout_ns: 100 * MILLISECOND,
    }
}

fn stream(load: Load, reconnect: bool) -> Stream {
    let entry = MixEntry { weight: 1, generators: vec![] };
    Stream {
        target: 0,
        script: Script::Mix(Arc::new(Mix::new(vec![entry]).unwrap())),
        load,
        think_time_ns: (0, 0),
        start_ns: 0,
        graceful_stop_ns: 10 * SECOND,
        reconnect,
        cancel: None,
        seed: 1,
    }
}

fn rate(rate: f64, places: u32) -> Load {
    Load::ConstantArrivalRate {
        rate,
        gaps: Gaps::Uniform,
        duration_ns: SECOND,
        pre_allocated_vus: places,
        max_vus: places,
    }
}

struct Run {
    worker: Worker,
    sim: Sim<Postgres>,
}

impl Run {
    fn new(places: u32, peer: Postgres) -> Self {
        let mut worker = Worker::new(0, 1, Arc::new([target(places)]));
        let mut sim = Sim::new(&worker, peer);
        sim.open(&mut worker);
        assert!(worker.refusal().is_none());
        Self { worker, sim }
    }

    fn phase(&mut self, load: Load, reconnect: bool) -> StreamReport {
        let mut phase = Phase::new(vec![stream(load, reconnect)]).unwrap();
        phase.drain_ns = 10 * SECOND;
        // Whole seconds, so that ranges of time can be told beforehand.
        let start = self.sim.now().next_multiple_of(SECOND);
        self.worker.begin(&phase, start);
        self.sim.run(&mut self.worker, Worker::is_drained);
        let now = self.sim.now();
        let ended = self.worker.finish(Ending::Complete, now, &mut self.sim);
        ended.unwrap().1.streams.remove(0)
    }
}

fn times(report: &StreamReport) -> &ConnectionTimes {
    report.connections.as_deref().expect("a stream that reconnects")
}

fn failures(report: &StreamReport) -> Vec<(Class, u64)> {
    report.recording.whole().failures().map(|(class, count, _)| (class, count)).collect()
}

/// To the histogram's three digits.
fn assert_all_took(histogram: &hdrhistogram::Histogram<u64>, count: u64, ns: Nanos) {
    assert_eq!(histogram.len(), count);
    for value in [histogram.min(), histogram.max()] {
        assert!(value.abs_diff(ns) <= ns / 1000, "{value} ns, not {ns}");
    }
}

#[test]
fn each_iteration_opens_logs_in_asks_once_says_goodbye_and_closes() {
    let mut run = Run::new(20, Postgres::default());
    let report = run.phase(rate(1000.0, 20), true);
    assert_eq!(failures(&report), []);
    let whole = report.recording.whole();
    assert_eq!((report.planned, report.sent, report.iterations), (1000, 1000, 1000));
    assert_eq!((report.late, report.reopened, report.resent), (0, 0, 0));
    assert_all_took(&times(&report).connect, 1000, CONNECT_NS);
    assert_all_took(&times(&report).login, 1000, LOGIN_NS);
    assert_all_took(&times(&report).open, 1000, CONNECT_NS + LOGIN_NS);
    assert_all_took(&times(&report).first_query, 1000, QUERY_NS);
    assert_all_took(&whole.response, 1000, WHOLE_NS);
    assert_all_took(&whole.service, 1000, WHOLE_NS);
    assert!(whole.lateness.max() == 0, "the connection begins when it is due");
    let peer = &run.sim.peer;
    // The one that was open before the start was closed when its place was taken.
    assert_eq!((peer.connects, peer.queries, peer.goodbyes), (1001, 1000, 1001));
    assert_eq!(peer.open.len(), 0);
    assert_eq!(peer.open_most, (WHOLE_NS / MILLISECOND) as usize);
}

#[test]
fn each_user_of_a_closed_loop_has_one_connection_at_a_time() {
    let mut run = Run::new(5, Postgres::default());
    let report = run.phase(Load::ConstantVus { vus: 5, duration_ns: SECOND }, true);
    let rounds = SECOND.div_ceil(WHOLE_NS);
    assert_eq!((failures(&report), report.iterations), (vec![], 5 * rounds));
    assert_all_took(&report.recording.whole().response, 5 * rounds, WHOLE_NS);
    assert_eq!((run.sim.peer.open_most, run.sim.peer.open.len()), (5, 0));
}

#[test]
fn what_finds_no_place_waits_and_its_wait_counts() {
    // Two places take 2 / 7 ms = 286 a second.
    let mut run = Run::new(2, Postgres::default());
    let report = run.phase(rate(400.0, 2), true);
    assert_eq!((failures(&report), report.iterations), (vec![], 400));
    assert_eq!(run.sim.peer.open_most, 2);
    let whole = report.recording.whole();
    assert_all_took(&whole.service, 400, WHOLE_NS);
    assert!(whole.response.max() > 300 * MILLISECOND, "the last waits for those before it");
    assert_all_took(&times(&report).connect, 400, CONNECT_NS);
}

#[test]
fn what_fails_on_the_way_is_classed_and_the_offered_load_stays() {
    let peer = Postgres {
        refusing: SECOND..SECOND + SECOND / 10,
        full: SECOND + 2 * SECOND / 10..SECOND + 3 * SECOND / 10,
        silent: SECOND + 4 * SECOND / 10..SECOND + 5 * SECOND / 10,
        ..Postgres::default()
    };
    let mut run = Run::new(200, peer);
    let report = run.phase(rate(1000.0, 200), true);
    let failed = [(Class::Capacity, 100), (Class::ConnectFailed, 100), (Class::Timeout, 100)];
    assert_eq!(failures(&report), failed);
    assert_eq!((report.planned, report.iterations, report.sent), (1000, 1000, 700));
    assert_eq!(run.sim.peer.connects, 1001, "each tried once, when it was due");
    assert_eq!(times(&report).connect.len(), 900);
    assert_eq!(times(&report).login.len(), 700);
    assert_eq!(times(&report).first_query.len(), 700);
    let whole = report.recording.whole();
    let words = |class| {
        let mut all = whole.failures();
        all.find(|(other, ..)| *other == class).unwrap().2.unwrap().message.clone()
    };
    assert_eq!(words(Class::ConnectFailed), "connection refused");
    assert_eq!(words(Class::Capacity), "sorry, too many clients already");
    assert_eq!(words(Class::Timeout), "no answer within the time limit");
}

#[test]
fn a_phase_that_ends_early_closes_what_is_under_way() {
    let mut run = Run::new(10, Postgres::default());
    let load = Load::ConstantVus { vus: 10, duration_ns: 10 * SECOND };
    let phase = Phase::new(vec![stream(load, true)]).unwrap();
    run.worker.begin(&phase, run.sim.now());
    // In the middle of a login.
    let until = run.sim.now() + 5 * WHOLE_NS + CONNECT_NS + LOGIN_NS / 2;
    run.sim.run(&mut run.worker, |worker, now| now >= until || worker.is_drained(now));
    let now = run.sim.now();
    let (_, mut piece) = run.worker.finish(Ending::Interrupted, now, &mut run.sim).unwrap();
    let report = piece.streams.remove(0);
    assert_eq!((report.iterations, report.interrupted, report.reopened), (50, 10, 0));
    assert_eq!((run.sim.peer.queries, run.sim.peer.connects), (50, 61));
}

#[test]
fn an_ordinary_load_afterwards_opens_the_places_again_and_keeps_them() {
    let mut run = Run::new(3, Postgres::default());
    run.phase(Load::ConstantVus { vus: 3, duration_ns: SECOND }, true);
    let (connects, queries) = (run.sim.peer.connects, run.sim.peer.queries);
    let report = run.phase(Load::ConstantVus { vus: 3, duration_ns: SECOND }, false);
    assert!(report.connections.is_none());
    assert_eq!(failures(&report), []);
    assert_eq!(run.sim.peer.connects, connects + 3);
    assert_eq!(run.sim.peer.queries - queries, report.iterations);
    assert!(report.iterations > 3 * (SECOND / QUERY_NS - 2), "{}", report.iterations);
}

#[test]
fn reports_of_intervals_and_workers_add_up() {
    let mut workers = Vec::new();
    for index in 0..2 {
        let mut worker = Worker::new(index, 2, Arc::new([target(20)]));
        let mut sim = Sim::new(&worker, Postgres::default());
        sim.open(&mut worker);
        let mut phase = Phase::new(vec![stream(rate(1000.0, 20), true)]).unwrap();
        (phase.drain_ns, phase.interval_ns) = (SECOND, Some(SECOND / 4));
        worker.begin(&phase, SECOND);
        let mut pieces = Vec::new();
        sim.run(&mut worker, |worker, now| worker.is_drained(now));
        while let Some(piece) = worker.take_interval() {
            pieces.push(piece);
        }
        let now = sim.now();
        pieces.push(worker.finish(Ending::Complete, now, &mut sim).unwrap().1);
        let mut reports = pieces.into_iter().map(|mut piece| piece.streams.remove(0));
        let mut whole = reports.next().unwrap();
        reports.for_each(|later| whole.append(&later));
        workers.push(whole);
    }
    let [mut whole, other] = <[StreamReport; 2]>::try_from(workers).unwrap();
    assert_eq!(times(&whole).connect.len(), 500);
    whole.merge(&other);
    assert_all_took(&times(&whole).connect, 1000, CONNECT_NS);
    assert_all_took(&times(&whole).login, 1000, LOGIN_NS);
    assert_all_took(&times(&whole).first_query, 1000, QUERY_NS);
}

#[test]
fn what_logins_are_told_is_kept_once_and_a_server_that_says_more_and_more_fills_no_memory() {
    let told = |is_fickle, connections| {
        let target = Target { connections, ..target(100) };
        let mut worker = Worker::new(0, 1, Arc::new([target]));
        let mut sim = Sim::new(&worker, Postgres { is_fickle, ..Postgres::default() });
        sim.open(&mut worker);
        let opened = &worker.opened().expect("all are open")[0];
        let pairs = opened.parameters.iter().flat_map(|set| set.iter());
        pairs.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>()
    };
    assert_eq!(told(false, 100), ["TimeZone Etc/GMT+0"]);
    assert_eq!(told(true, 2), ["TimeZone Etc/GMT+1", "TimeZone Etc/GMT+2"]);
    assert_eq!(told(true, 100).len(), 8);
}
