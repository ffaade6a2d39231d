//! The worker in virtual time, against scripted HTTP peers.

use std::sync::Arc;

use engine::driver::sim::{Event, Peer, Sim};
use engine::{
    ConnectionId, Ending, Gaps, Generator, Load, MILLISECOND, Mix, MixEntry, Nanos, Opening, Phase,
    SECOND, Script, Stream, StreamReport, Target, Worker,
};
use wire::http::Request;
use wire::{Check, Class, Condition, Operation, Piece, Template};

/// A peer whose answer to request n (counted over all connections) is a function of n and time.
struct Scripted<F> {
    answer: F,
    requests: u64,
    connects: u64,
    /// Connections are refused in this range of time.
    refusing: std::ops::Range<Nanos>,
}

impl<F: FnMut(u64, Nanos) -> Vec<(Nanos, Event)>> Peer for Scripted<F> {
    fn connect(&mut self, _: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        self.connects += 1;
        let is_refused = self.refusing.contains(&now);
        vec![(now + 1000, if is_refused { Event::Refused } else { Event::Connected })]
    }

    fn receive(&mut self, _: ConnectionId, now: Nanos, _: &[u8]) -> Vec<(Nanos, Event)> {
        self.requests += 1;
        (self.answer)(self.requests - 1, now)
    }
}

fn ok() -> Event {
    Event::Bytes(response("{\"data\":{\"a\":1}}"))
}

fn response(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

struct Run {
    load: Load,
    think_time_ns: Nanos,
    connections: u32,
    idempotent: bool,
    waiting_max: usize,
    drain_ns: Nanos,
    timeout_ns: Nanos,
    refusing: std::ops::Range<Nanos>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            load: thousand_a_second(SECOND),
            think_time_ns: 0,
            connections: 10,
            idempotent: true,
            waiting_max: usize::MAX,
            drain_ns: 60 * SECOND,
            timeout_ns: 60 * SECOND,
            refusing: 0..0,
        }
    }
}

fn thousand_a_second(duration_ns: Nanos) -> Load {
    let (pre_allocated_vus, max_vus) = (10, 10);
    let gaps = Gaps::Uniform;
    Load::ConstantArrivalRate { rate: 1000.0, gaps, duration_ns, pre_allocated_vus, max_vus }
}

fn vus(vus: u32, duration_ns: Nanos) -> Load {
    Load::ConstantVus { vus, duration_ns }
}

fn phase(load: Load, think_time_ns: Nanos) -> Phase {
    let entry = MixEntry { weight: 1, generators: vec![Generator::Sequence(0)] };
    let stream = Stream {
        target: 0,
        script: Script::Mix(Arc::new(Mix::new(vec![entry]).unwrap())),
        load,
        think_time_ns: (think_time_ns, think_time_ns),
        start_ns: 0,
        graceful_stop_ns: 60 * SECOND,
        reconnect: false,
        cancel: None,
        seed: 1,
    };
    Phase::new(vec![stream]).unwrap()
}

impl Run {
    fn target(&self) -> Target {
        let body = Template::new(vec![Piece::Bytes(br#"{"query":"{a}"}"#.as_slice().into())]);
        let operation = Operation {
            name: "a".into(),
            idempotent: self.idempotent,
            request: wire::Request::Http(Request::new("/graphql", "peer", body).unwrap()),
            checks: vec![
                Check { place: 0, condition: Condition::Status(200) },
                Check { place: 1, condition: Condition::Latency(5 * MILLISECOND) },
            ],
        };
        Target {
            name: "peer".into(),
            address: "127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap().into(),
            opening: Opening::Http,
            operations: [operation].into(),
            connections: self.connections,
            connections_max: self.connections,
            opening_at_once: 1,
            timeout_ns: self.timeout_ns,
        }
    }

    /// Runs one phase to its end; the peer's answer to request n is `answer(n, now)`.
    fn against(
        &self,
        answer: impl FnMut(u64, Nanos) -> Vec<(Nanos, Event)>,
    ) -> (StreamReport, Summary) {
        let mut worker = Worker::new(0, 1, Arc::new([self.target()]));
        let peer = Scripted { answer, requests: 0, connects: 0, refusing: self.refusing.clone() };
        let mut sim = Sim::new(&worker, peer);
        sim.open(&mut worker);
        assert!(worker.refusal().is_none());
        let mut phase = phase(self.load.clone(), self.think_time_ns);
        (phase.drain_ns, phase.waiting_max) = (self.drain_ns, self.waiting_max);
        worker.begin(&phase, SECOND);
        sim.run(&mut worker, Worker::is_drained);
        let now = sim.now();
        let (_, mut rest) = worker.finish(Ending::Complete, now, &mut sim).unwrap();
        let report = rest.streams.remove(0);
        (report, Summary { requests: sim.peer.requests, connects: sim.peer.connects, ended: now })
    }
}

struct Summary {
    requests: u64,
    connects: u64,
    ended: Nanos,
}

fn failures(report: &StreamReport) -> Vec<(Class, u64)> {
    report.recording.whole().failures().map(|(class, count, _)| (class, count)).collect()
}

/// Histograms keep three digits.
fn assert_near(value: u64, expected: u64) {
    assert!(value.abs_diff(expected) <= expected / 500, "{value} is not {expected}");
}

#[test]
fn an_open_loop_sends_every_arrival_on_time_and_measures_from_the_intended_instant() {
    let (report, peer) = Run::default().against(|_, now| vec![(now + 2 * MILLISECOND, ok())]);
    assert_eq!((report.planned, report.sent, peer.requests), (1000, 1000, 1000));
    let whole = report.recording.whole();
    assert_eq!(whole.response.len(), 1000);
    assert_eq!(whole.lateness.max(), 0);
    assert_near(whole.response.value_at_quantile(0.99), 2 * MILLISECOND);
}

#[test]
fn a_server_frozen_for_five_seconds_makes_five_thousand_late_arrivals() {
    let frozen = 3 * SECOND..8 * SECOND;
    let run = Run { load: thousand_a_second(20 * SECOND), ..Run::default() };
    let (report, _) = run.against(|_, now| {
        let start = if frozen.contains(&now) { frozen.end } else { now };
        vec![(start + MILLISECOND, ok())]
    });
    let whole = report.recording.whole();
    assert_eq!(whole.response.len(), 20_000);
    let late = whole.response.count_between(2 * MILLISECOND, u64::MAX);
    // 5000 came due in the freeze; ten connections then serve 10,000/s while 1000/s still come, so
    // the queue is gone after 5000 / 9000 s, in which 555 more were late.
    assert!((5540..=5570).contains(&late), "{late} late arrivals");
    assert_near(whole.response.max(), 5 * SECOND + MILLISECOND);
    let slow = whole.service.count_between(2 * MILLISECOND, u64::MAX);
    assert!(slow <= 10, "only the requests in flight were slow as the server sees it: {slow}");
}

#[test]
fn in_a_closed_loop_each_virtual_user_waits_for_its_reply_and_its_think_time() {
    let think_time_ns = 90 * MILLISECOND;
    let run = Run { load: vus(5, 10 * SECOND), think_time_ns, ..Run::default() };
    let (report, peer) = run.against(|_, now| vec![(now + 10 * MILLISECOND, ok())]);
    assert_eq!(peer.requests, 5 * 100, "five users, ten iterations a second each");
    assert_eq!(report.recording.completed(), 500);
    assert!(peer.ended <= 11 * SECOND + 10 * MILLISECOND, "think times are not waited for");
}

#[test]
fn a_closed_loop_without_think_time_goes_as_fast_as_the_replies() {
    let run = Run { load: vus(3, SECOND), ..Run::default() };
    let (_, peer) = run.against(|_, now| vec![(now + 10 * MILLISECOND, ok())]);
    assert_eq!(peer.requests, 300);
}

#[test]
fn a_query_on_a_stale_connection_is_sent_again_with_its_first_intended_instant() {
    let stale_at = |n, now| match n {
        500 => vec![(now + 5 * MILLISECOND, Event::Closed)],
        _ => vec![(now + MILLISECOND, ok())],
    };
    let (report, peer) = Run::default().against(stale_at);
    assert_eq!((report.resent, report.reopened), (1, 1));
    assert_eq!((peer.requests, peer.connects), (1001, 11));
    let whole = report.recording.whole();
    assert_eq!(whole.response.len(), 1000);
    assert_near(whole.response.max(), 6 * MILLISECOND);

    let (report, peer) = Run { idempotent: false, ..Run::default() }.against(stale_at);
    assert_eq!(peer.requests, 1000, "a mutation is never sent twice");
    assert_eq!(failures(&report), [(Class::StaleConnection, 1)]);
}

#[test]
fn a_peer_that_always_closes_is_asked_twice_and_no_more() {
    let load = thousand_a_second(100 * MILLISECOND);
    let run = Run { load, connections: 1, ..Run::default() };
    let mut on_connection = 0;
    let (report, _) = run.against(|_, now| {
        on_connection += 1;
        match on_connection % 2 {
            1 => vec![(now + 1000, ok())],
            _ => vec![(now + 1000, Event::Closed)],
        }
    });
    let total = report.recording.completed();
    assert_eq!(total, 100, "each arrival has exactly one outcome");
}

#[test]
fn connection_close_is_reopened_and_counted_without_an_error() {
    let (report, peer) = Run::default().against(|n, now| {
        let close = if n % 100 == 99 { "Connection: close\r\n" } else { "" };
        let body =
            format!("HTTP/1.1 200 OK\r\n{close}Content-Length: 16\r\n\r\n{{\"data\":{{\"a\":1}}}}");
        vec![(now + MILLISECOND, Event::Bytes(body.into_bytes()))]
    });
    assert_eq!(failures(&report), []);
    assert_eq!((report.reopened, peer.connects), (10, 20));
}

#[test]
fn a_body_that_ends_with_the_connection_is_a_success() {
    let (report, _) = Run::default().against(|_, now| {
        let head = b"HTTP/1.1 200 OK\r\n\r\n{\"data\":{\"a\"".to_vec();
        vec![
            (now + 1000, Event::Bytes(head)),
            (now + 2000, Event::Bytes(b":1}}".to_vec())),
            (now + MILLISECOND, Event::Closed),
        ]
    });
    assert_eq!(report.recording.whole().response.len(), 1000);
    assert_eq!(report.reopened, 1000);
}

#[test]
fn bytes_after_a_reply_end_the_connection_and_do_not_count_for_the_next_request() {
    let (report, _) = Run::default().against(|n, now| {
        let mut bytes = response("{\"data\":{\"a\":1}}");
        if n == 10 {
            bytes.extend(response("{\"data\":{\"a\":\"not asked for\"}}"));
        }
        vec![(now + 1000, Event::Bytes(bytes))]
    });
    assert_eq!(report.recording.whole().response.len(), 1000);
    assert_eq!(report.reopened, 1);
}

#[test]
fn a_request_without_a_reply_times_out_and_its_connection_is_replaced() {
    let run = Run { timeout_ns: 100 * MILLISECOND, ..Run::default() };
    let (report, peer) = run.against(|n, now| match n {
        7 => vec![],
        // Late, on a connection that was given up: nobody's.
        8 => vec![(now + SECOND / 2, ok())],
        _ => vec![(now + MILLISECOND, ok())],
    });
    assert_eq!(failures(&report), [(Class::Timeout, 2)]);
    assert_eq!(report.recording.completed(), 1000);
    assert_eq!(peer.connects, 12);
}

#[test]
fn arrivals_past_the_waiting_limit_are_dropped_and_those_past_the_drain_unserved() {
    let slow = |_, now| vec![(now + 100 * MILLISECOND, ok())];
    let run = Run { connections: 1, waiting_max: 5, ..Run::default() };
    let (report, peer) = run.against(slow);
    assert_eq!(report.planned, 1000);
    assert_eq!(peer.requests + report.dropped, 1000);
    assert!(report.dropped > 900, "{}", report.dropped);

    let run = Run { connections: 1, drain_ns: 250 * MILLISECOND, ..Run::default() };
    let (report, peer) = run.against(slow);
    assert_eq!(peer.requests + report.unserved, 1000);
    assert_eq!(peer.requests, 13, "ten in time, three in the drain");
}

#[test]
fn a_server_that_goes_away_costs_no_arrival_its_place_in_the_schedule() {
    let down = 1300 * MILLISECOND..1700 * MILLISECOND;
    let run = Run { refusing: down.clone(), ..Run::default() };
    let (report, _) = run.against(|_, now| {
        if down.contains(&now) {
            vec![(now + 1000, Event::Closed)]
        } else {
            vec![(now + 1000, ok())]
        }
    });
    assert_eq!(report.planned, 1000);
    assert_eq!(report.recording.completed(), 1000, "each has its outcome");
    assert!(report.recording.whole().response.max() > 300 * MILLISECOND, "they waited");
}

#[test]
fn a_refused_target_is_told_before_any_load() {
    let run = Run { refusing: 0..SECOND, ..Run::default() };
    let mut worker = Worker::new(0, 1, Arc::new([run.target()]));
    let answer = |_, _| Vec::new();
    let peer = Scripted { answer, requests: 0, connects: 0, refusing: run.refusing };
    let mut sim = Sim::new(&worker, peer);
    sim.open(&mut worker);
    let refusal = worker.refusal().expect("refused");
    assert_eq!(refusal.failure.message, "connection refused");
}

#[test]
fn an_interrupted_phase_ends_at_once_and_the_next_one_is_whole() {
    let run = Run::default();
    let mut worker = Worker::new(0, 1, Arc::new([run.target()]));
    let answer = |_, now| vec![(now + 50 * MILLISECOND, ok())];
    let peer = Scripted { answer, requests: 0, connects: 0, refusing: 0..0 };
    let mut sim = Sim::new(&worker, peer);
    sim.open(&mut worker);
    let phase = phase(vus(4, SECOND), 10 * MILLISECOND);
    worker.begin(&phase, SECOND);
    sim.run(&mut worker, |_, now| now >= SECOND + 75 * MILLISECOND);
    let now = sim.now();
    let (cut, rest) = worker.finish(Ending::Interrupted, now, &mut sim).unwrap();
    assert!(cut.is_interrupted);
    let cut = &rest.streams[0];
    assert_eq!((cut.planned, cut.recording.completed(), cut.interrupted), (8, 4, 4));

    let start = now + 10 * MILLISECOND;
    worker.begin(&phase, start);
    sim.run(&mut worker, Worker::is_drained);
    let now = sim.now();
    let (_, whole) = worker.finish(Ending::Complete, now, &mut sim).unwrap();
    assert_eq!(whole.streams[0].recording.completed(), 4 * 17, "a turn takes 60 ms");
}

#[test]
fn two_workers_together_send_what_one_would() {
    let run = Run { connections: 7, ..Run::default() };
    let share = |index| Worker::new(index, 2, Arc::new([run.target()])).connections();
    assert_eq!((share(0), share(1)), (4, 3));
}

#[test]
fn checks_are_counted_for_every_reply_and_fail_no_request() {
    let (report, _) = Run::default().against(|n, now| match n % 4 {
        0 => vec![(now + 9 * MILLISECOND, ok())],
        1 => vec![(now + MILLISECOND, Event::Closed)],
        _ => vec![(now + MILLISECOND, ok())],
    });
    let whole = &report.recording.operations[0];
    let replies = whole.completed();
    let (status, latency) = (whole.check(0), whole.check(1));
    assert_eq!(status.passes, whole.response.len(), "a request without a reply has no status");
    assert_eq!(status.passes + status.fails, replies);
    assert_eq!(latency.passes + latency.fails, replies);
    let slow = whole.service.count_between(6 * MILLISECOND, u64::MAX);
    assert!(slow > 100 && latency.passes == whole.response.len() - slow);
}
