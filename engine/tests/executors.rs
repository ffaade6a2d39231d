//! Every executor in virtual time: what is sent when, against what it should be, exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::driver::sim::{Event, Peer, Sim};
use engine::{
    Arrivals, ConnectionId, Ending, Gaps, Generator, Load, MILLISECOND, Mix, MixEntry, Nanos,
    Opening, Phase, Recording, SECOND, Script, Stage, Stream, StreamReport, Target, Worker,
};
use proptest::prelude::*;
use wire::http::Request;
use wire::{Operation, Piece, Template};

/// Requests by their number, with the instant at which the peer got them.
type Sent = BTreeMap<u64, Nanos>;

/// A peer that answers each request after some time, and notes what it got.
struct Noting<'a> {
    latency: &'a dyn Fn(u64, Nanos) -> Nanos,
    /// From a connection's beginning until it is up.
    connect_ns: Nanos,
    sent: Sent,
    connects: u32,
    bytes: (u64, u64),
}

impl Peer for Noting<'_> {
    fn connect(&mut self, _: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        self.connects += 1;
        // Those opened before the load are up at once.
        let takes = if now < START { 1 } else { self.connect_ns };
        vec![(now + takes, Event::Connected)]
    }

    fn receive(&mut self, _: ConnectionId, now: Nanos, bytes: &[u8]) -> Vec<(Nanos, Event)> {
        let text = std::str::from_utf8(bytes).unwrap();
        let number = text.rsplit(':').next().unwrap().trim_end_matches('}').parse().unwrap();
        assert_eq!(self.sent.insert(number, now - START), None, "request {number} came twice");
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"data\":{\"a\":1}}".to_vec();
        self.bytes.0 += bytes.len() as u64;
        self.bytes.1 += reply.len() as u64;
        vec![(now + (self.latency)(number, now - START), Event::Bytes(reply))]
    }
}

/// When phases start; what the peer notes counts from here.
const START: Nanos = SECOND;

fn target(connections: u32, connections_max: u32) -> Target {
    let body = Template::new(vec![
        Piece::Bytes(br#"{"query":"{a}","n":"#.as_slice().into()),
        Piece::Hole(0),
        Piece::Bytes(b"}".as_slice().into()),
    ]);
    let operation = Operation {
        name: "a".into(),
        idempotent: true,
        request: wire::Request::Http(Request::new("/graphql", "peer", body).unwrap()),
        checks: Vec::new(),
    };
    Target {
        name: "peer".into(),
        address: "127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap().into(),
        opening: Opening::Http,
        operations: [operation].into(),
        connections,
        connections_max,
        opening_at_once: 1,
        timeout_ns: 600 * SECOND,
    }
}

fn stream(load: Load, think_time_ns: (Nanos, Nanos)) -> Stream {
    let entry = MixEntry { weight: 1, generators: vec![Generator::Sequence(0)] };
    Stream {
        target: 0,
        script: Script::Mix(Arc::new(Mix::new(vec![entry]).unwrap())),
        load,
        think_time_ns,
        start_ns: 0,
        graceful_stop_ns: 600 * SECOND,
        reconnect: false,
        cancel: None,
        seed: 1,
    }
}

fn phase(streams: Vec<Stream>) -> Phase {
    let mut phase = Phase::new(streams).unwrap();
    phase.drain_ns = 600 * SECOND;
    phase
}

/// What came of a phase.
struct Result {
    /// Per target.
    sent: Vec<Sent>,
    /// Per stream.
    reports: Vec<StreamReport>,
    connects: u32,
    /// Written and read by the peer.
    bytes: (u64, u64),
    ended: Nanos,
}

/// Runs a phase on so many workers, each with its own part of the peer.
fn run_on(
    workers: u32,
    phase: &Phase,
    connect_ns: Nanos,
    latency: &dyn Fn(u64, Nanos) -> Nanos,
) -> Result {
    let targets = phase.streams().iter().map(|stream| stream.target).max().unwrap() + 1;
    let of = |target, connections: fn(&Load) -> u32| -> u32 {
        let streams = phase.streams().iter().filter(|stream| stream.target == target);
        streams.map(|stream| connections(&stream.load)).sum()
    };
    let targets: Arc<[Target]> = (0..targets)
        .map(|number| target(of(number, Load::pre_allocated_vus), of(number, Load::vus_max)))
        .collect();
    let mut all: Option<Result> = None;
    for index in 0..workers {
        let mut worker = Worker::new(index, workers, Arc::clone(&targets));
        let (sent, connects, bytes) = (Sent::new(), 0, (0, 0));
        let mut sim = Sim::new(&worker, Noting { latency, connect_ns, sent, connects, bytes });
        sim.open(&mut worker);
        worker.begin(phase, START);
        sim.run(&mut worker, Worker::is_drained);
        let ended = sim.now() - START;
        let (_, rest) = worker.finish(Ending::Complete, sim.now(), &mut sim).unwrap();
        let Noting { sent, connects, bytes, .. } = sim.peer;
        match &mut all {
            None => {
                all = Some(Result {
                    sent: vec![sent],
                    reports: rest.streams,
                    connects,
                    bytes,
                    ended,
                });
            }
            Some(all) => {
                for (number, at) in sent {
                    assert_eq!(all.sent[0].insert(number, at), None, "{number} on two workers");
                }
                all.reports.iter_mut().zip(&rest.streams).for_each(|(a, b)| a.merge(b));
                all.connects += connects;
                all.bytes = (all.bytes.0 + bytes.0, all.bytes.1 + bytes.1);
                all.ended = all.ended.max(ended);
            }
        }
    }
    all.unwrap()
}

/// One stream, a peer that takes the same time for each request.
fn run(workers: u32, stream: Stream, latency_ns: Nanos) -> Result {
    run_on(workers, &phase(vec![stream]), 1000, &|_, _| latency_ns)
}

fn stages(stages: &[(Nanos, f64)]) -> Arc<[Stage]> {
    stages
        .iter()
        .map(|(duration_ns, target)| Stage { duration_ns: *duration_ns, target: *target })
        .collect()
}

fn ramping_vus(start_vus: u32, pieces: &[(Nanos, f64)], graceful_ramp_down_ns: Nanos) -> Load {
    Load::RampingVus { start_vus, stages: stages(pieces), graceful_ramp_down_ns }
}

fn constant_rate(rate: f64, duration_ns: Nanos, vus: (u32, u32)) -> Load {
    let (pre_allocated_vus, max_vus) = vus;
    let gaps = Gaps::Uniform;
    Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus, max_vus }
}

fn ramping_rate(start_rate: f64, pieces: &[(Nanos, f64)], gaps: Gaps) -> Load {
    let (pre_allocated_vus, max_vus) = (30, 30);
    let stages = stages(pieces);
    Load::RampingArrivalRate { start_rate, stages, gaps, pre_allocated_vus, max_vus }
}

/// User `vu` of `vus` does its iteration number `iteration` at each of `at`.
fn user(vu: u64, vus: u64, first: u64, at: impl IntoIterator<Item = Nanos>) -> Vec<(u64, Nanos)> {
    (first..).zip(at).map(|(iteration, at)| (iteration * vus + vu, at)).collect()
}

const MS: Nanos = MILLISECOND;
const S: Nanos = SECOND;

/// A load, the peer's latency and the think time in ns, and what is to be sent when.
type Row = (&'static str, Load, (Nanos, Nanos), Vec<(u64, Nanos)>);

/// Each executor.
fn table() -> Vec<Row> {
    vec![
        (
            "constant-vus: all start at once; each takes 250 ms a turn",
            Load::ConstantVus { vus: 5, duration_ns: S },
            (100 * MS, 150 * MS),
            (0..5).flat_map(|vu| user(vu, 5, 0, (0..4).map(|n| n * 250 * MS))).collect(),
        ),
        (
            "constant-vus with fewer users than workers",
            Load::ConstantVus { vus: 1, duration_ns: S },
            (400 * MS, 0),
            user(0, 1, 0, [0, 400 * MS, 800 * MS]),
        ),
        (
            "ramping-vus up, level and down: user k starts at k s, and goes when the line is at k - 1",
            ramping_vus(0, &[(4 * S, 4.0), (2 * S, 4.0), (3 * S, 1.0)], 0),
            (100 * MS, 900 * MS),
            [
                user(0, 4, 0, (1..=8).map(|n| n * S)),
                user(1, 4, 0, (2..=8).map(|n| n * S)),
                user(2, 4, 0, (3..=7).map(|n| n * S)),
                user(3, 4, 0, (4..=6).map(|n| n * S)),
            ]
            .concat(),
        ),
        (
            "ramping-vus in jumps: users that come again go on with their next iteration",
            ramping_vus(1, &[(0, 3.0), (S, 3.0), (0, 1.0), (S, 1.0), (0, 3.0), (S, 3.0)], 500 * MS),
            (100 * MS, 400 * MS),
            [
                user(0, 3, 0, (0..6).map(|n| n * 500 * MS)),
                user(1, 3, 0, [0, 500 * MS, 2 * S, 2500 * MS]),
                user(2, 3, 0, [0, 500 * MS, 2 * S, 2500 * MS]),
            ]
            .concat(),
        ),
        (
            "per-vu-iterations",
            Load::PerVuIterations { vus: 4, iterations: 3, max_duration_ns: 60 * S },
            (100 * MS, 20 * MS),
            (0..4).flat_map(|vu| user(vu, 4, 0, [0, 120 * MS, 240 * MS])).collect(),
        ),
        (
            "per-vu-iterations up to maxDuration",
            Load::PerVuIterations { vus: 2, iterations: 100, max_duration_ns: S },
            (400 * MS, 0),
            (0..2).flat_map(|vu| user(vu, 2, 0, [0, 400 * MS, 800 * MS])).collect(),
        ),
        (
            "shared-iterations: ten for three users",
            Load::SharedIterations { vus: 3, iterations: 10, max_duration_ns: 60 * S },
            (100 * MS, 0),
            (0..10).map(|n| (n, n / 3 * 100 * MS)).collect(),
        ),
        (
            "shared-iterations, fewer than users",
            Load::SharedIterations { vus: 5, iterations: 2, max_duration_ns: 60 * S },
            (100 * MS, 0),
            vec![(0, 0), (1, 0)],
        ),
        (
            "constant-arrival-rate: n at n / rate",
            constant_rate(400.0, 5 * S, (30, 30)),
            (20 * MS, 0),
            (0..2000).map(|n| (n, n * 2500 * 1000)).collect(),
        ),
        (
            "ramping-arrival-rate from nothing: n at sqrt(2 n / slope), 5000 of them",
            ramping_rate(0.0, &[(10 * S, 1000.0)], Gaps::Uniform),
            (MS, 0),
            (0..5000).map(|n| (n, ((n as f64 / 50.0).sqrt() * 1e9).round() as Nanos)).collect(),
        ),
        (
            "ramping-arrival-rate: level, jump, level, down to nothing, pause, and again",
            ramping_rate(
                10.0,
                &[
                    (S, 10.0),
                    (0, 100.0),
                    (S, 100.0),
                    (2 * S, 0.0),
                    (3 * S, 0.0),
                    (0, 1.0),
                    (S, 1.0),
                ],
                Gaps::Uniform,
            ),
            (MS, 0),
            [
                (0..10).map(|n| (n, n * 100 * MS)).collect::<Vec<_>>(),
                (0..100).map(|n| (10 + n, S + n * 10 * MS)).collect(),
                // 100 t - 25 t^2 = n.
                (0..100)
                    .map(|n| {
                        let seconds = 2.0 - (4.0 - n as f64 / 25.0).sqrt();
                        (110 + n, 2 * S + (seconds * 1e9).round() as Nanos)
                    })
                    .collect(),
                vec![(210, 7 * S)],
            ]
            .concat(),
        ),
    ]
}

#[test]
fn every_executor_sends_exactly_what_it_should_when_it_should_on_any_number_of_workers() {
    for (name, load, (latency, think), expected) in table() {
        for workers in 1..=3 {
            let result = run(workers, stream(load.clone(), (think, think)), latency);
            let (sent, report) = (&result.sent[0], &result.reports[0]);
            let numbers = |pairs: &[(u64, Nanos)]| {
                let mut numbers: Vec<_> = pairs.iter().map(|(number, _)| *number).collect();
                numbers.sort_unstable();
                numbers
            };
            let got: Vec<_> = sent.iter().map(|(number, at)| (*number, *at)).collect();
            assert_eq!(numbers(&got), numbers(&expected), "{name}, {workers} workers");
            for (number, at) in &expected {
                let got = sent[number];
                // A nanosecond for the rounding of square roots.
                assert!(got.abs_diff(*at) <= 1, "{name}, {workers} workers: {number} at {got}");
            }
            let count = expected.len() as u64;
            assert_eq!((report.planned, report.sent, report.iterations), (count, count, count));
            assert_eq!((report.late, report.dropped, report.interrupted), (0, 0, 0), "{name}");
            assert_eq!(report.vus.max, load.vus_max(), "{name}");
            assert_eq!((report.data_sent, report.data_received), result.bytes, "{name}");
        }
    }
}

#[test]
fn poisson_arrivals_over_ramps_are_the_same_on_any_number_of_workers() {
    let load = ramping_rate(100.0, &[(3 * S, 1000.0), (0, 50.0), (S, 0.0)], Gaps::Poisson);
    let due: Sent = Arrivals::new(&load, 1, 0, (0, 1))
        .unwrap()
        .map(|arrival| (arrival.number, arrival.intended))
        .collect();
    assert!(due.len().abs_diff(1675) < 205, "five standard deviations: {}", due.len());
    for workers in 1..=3 {
        assert_eq!(run(workers, stream(load.clone(), (0, 0)), MS).sent[0], due);
    }
}

#[test]
fn think_times_lie_between_their_bounds_and_do_not_depend_on_the_workers() {
    let load = Load::ConstantVus { vus: 7, duration_ns: 10 * S };
    let think = (100 * MS, 300 * MS);
    let one = run(1, stream(load.clone(), think), MS).sent.remove(0);
    let mut gaps = Vec::new();
    for (number, at) in &one {
        gaps.extend(one.get(&(number + 7)).map(|next| next - at - MS));
    }
    assert!(gaps.iter().all(|gap| (think.0..=think.1).contains(gap)));
    let mean = gaps.iter().sum::<u64>() / gaps.len() as u64;
    assert!(mean.abs_diff(200 * MS) < 16 * MS, "five standard errors: {mean}");
    for workers in 2..=3 {
        assert_eq!(run(workers, stream(load.clone(), think), MS).sent[0], one);
    }
}

#[test]
fn a_user_that_is_to_go_may_finish_its_iteration_and_is_interrupted_after_its_time() {
    // Two users, one of which is to go at 1 s, in the middle of an iteration of 4 s.
    let load = |graceful_ramp_down_ns| {
        ramping_vus(2, &[(S, 2.0), (0, 1.0), (9 * S, 1.0)], graceful_ramp_down_ns)
    };
    let kind = run(1, stream(load(3 * S), (0, 0)), 4 * S);
    let report = &kind.reports[0];
    assert_eq!((report.interrupted, report.iterations, report.reopened), (0, 4, 0));
    assert_eq!(kind.sent[0].keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4]);

    let unkind = run(1, stream(load(2 * S), (0, 0)), 4 * S);
    let report = &unkind.reports[0];
    assert_eq!((report.interrupted, report.iterations, report.reopened), (1, 3, 1));
    assert_eq!(report.planned, report.iterations + report.interrupted);
}

#[test]
fn a_user_that_is_called_back_while_it_finishes_goes_on() {
    let load = ramping_vus(2, &[(S, 2.0), (0, 1.0), (S, 1.0), (0, 2.0), (8 * S, 2.0)], 2 * S);
    let result = run(1, stream(load, (0, 0)), 4 * S);
    let report = &result.reports[0];
    assert_eq!((report.interrupted, report.iterations), (0, 6));
    assert_eq!(result.sent[0][&3], 4 * S, "its second iteration follows its first");
}

#[test]
fn what_is_in_flight_at_the_end_has_the_graceful_stop_and_is_then_interrupted() {
    for (load, vus) in [
        (Load::ConstantVus { vus: 6, duration_ns: S }, 6),
        (constant_rate(6.0, S, (6, 6)), 6),
        (Load::SharedIterations { vus: 6, iterations: 50, max_duration_ns: S }, 6),
    ] {
        for workers in 1..=3 {
            let graceful_stop_ns = 2 * S;
            let stream = Stream { graceful_stop_ns, ..stream(load.clone(), (0, 0)) };
            let result = run(workers, stream, 10 * S);
            let report = &result.reports[0];
            assert_eq!((report.planned, report.interrupted, report.iterations), (vus, vus, 0));
            assert_eq!(report.reopened, vus, "what comes late is nobody's");
            assert_eq!(result.ended, 3 * S);
            assert_eq!(report.vus.current, 0);
        }
    }
}

#[test]
fn streams_start_at_their_offsets_and_are_recorded_apart() {
    let first = stream(Load::ConstantVus { vus: 2, duration_ns: 2 * S }, (0, 0));
    let load = constant_rate(10.0, S, (6, 6));
    let second = Stream { start_ns: 5 * S, ..stream(load, (0, 0)) };
    // Numbers count in each stream: on one target they would come twice.
    let second = Stream { target: 1, ..second };
    let latency = |_, now: Nanos| if now < 5 * S { 100 * MS } else { 300 * MS };
    for workers in 1..=3 {
        let phase = phase(vec![first.clone(), second.clone()]);
        let worker_targets = Arc::new([target(2, 2), target(6, 6)]);
        let mut reports: Option<Vec<StreamReport>> = None;
        let mut instants = Vec::new();
        for index in 0..workers {
            let mut worker = Worker::new(index, workers, worker_targets.clone());
            let mut sim = Sim::new(&worker, Instants { latency: &latency, instants: Vec::new() });
            sim.open(&mut worker);
            worker.begin(&phase, START);
            sim.run(&mut worker, Worker::is_drained);
            let (_, rest) = worker.finish(Ending::Complete, sim.now(), &mut sim).unwrap();
            instants.extend(sim.peer.instants);
            match &mut reports {
                None => reports = Some(rest.streams),
                Some(all) => all.iter_mut().zip(&rest.streams).for_each(|(a, b)| a.merge(b)),
            }
        }
        instants.sort_unstable();
        let closed = (0..20).flat_map(|n| [n * 100 * MS; 2]);
        let open = (0..10).map(|n| 5 * S + n * 100 * MS);
        assert_eq!(instants, closed.chain(open).collect::<Vec<_>>(), "{workers} workers");
        let reports = reports.unwrap();
        assert_eq!((reports[0].iterations, reports[1].iterations), (40, 10));
        assert_eq!((reports[0].vus.max, reports[1].vus.max), (2, 6));
        let [fast, slow] = [0, 1].map(|n| reports[n].recording.whole().response.max());
        assert!(fast < 101 * MS && slow > 299 * MS, "{fast} {slow}");
    }
}

/// A peer that notes instants only.
struct Instants<'a> {
    latency: &'a dyn Fn(u64, Nanos) -> Nanos,
    instants: Vec<Nanos>,
}

impl Peer for Instants<'_> {
    fn connect(&mut self, _: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        vec![(now + 1, Event::Connected)]
    }

    fn receive(&mut self, _: ConnectionId, now: Nanos, _: &[u8]) -> Vec<(Nanos, Event)> {
        self.instants.push(now - START);
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"data\":{\"a\":1}}".to_vec();
        vec![(now + (self.latency)(0, now - START), Event::Bytes(reply))]
    }
}

#[test]
fn streams_on_one_target_share_its_connections_and_no_user_waits() {
    let closed = |vus| stream(Load::ConstantVus { vus, duration_ns: S }, (0, 0));
    let phase = phase(vec![closed(3), closed(3), closed(1)]);
    for workers in 1..=4 {
        let targets = Arc::new([target(7, 7)]);
        let (mut late, mut iterations) = (0, 0);
        for index in 0..workers {
            let mut worker = Worker::new(index, workers, targets.clone());
            let mut sim =
                Sim::new(&worker, Instants { latency: &|_, _| 100 * MS, instants: vec![] });
            sim.open(&mut worker);
            worker.begin(&phase, START);
            sim.run(&mut worker, Worker::is_drained);
            let (_, rest) = worker.finish(Ending::Complete, sim.now(), &mut sim).unwrap();
            late += rest.streams.iter().map(|stream| stream.late).sum::<u64>();
            iterations += rest.streams.iter().map(|stream| stream.iterations).sum::<u64>();
        }
        assert_eq!((late, iterations), (0, 70), "{workers} workers");
    }
}

#[test]
fn at_the_ceiling_of_users_a_fifth_of_the_arrivals_is_dropped_and_counted() {
    // Eight users do 800 a second at 10 ms each.
    let stream = stream(constant_rate(1000.0, 10 * S, (8, 8)), (0, 0));
    for workers in [1, 2] {
        let mut phase = phase(vec![stream.clone()]);
        phase.waiting_max = 0;
        let result = run_on(workers, &phase, 1000, &|_, _| 10 * MS);
        let report = &result.reports[0];
        assert_eq!((report.planned, report.dropped, report.late), (10_000, 2000, 2000));
        assert_eq!((report.iterations, report.vus.max), (8000, 8));
        let whole = report.recording.whole();
        assert_eq!((whole.response.len(), whole.lateness.max()), (8000, 0));
    }
    // Where they may wait, k6 would have dropped them: here their wait counts.
    let result = run(1, stream, 10 * MS);
    let report = &result.reports[0];
    assert_eq!((report.dropped, report.iterations, report.vus.max), (0, 10_000, 8));
    assert!(report.recording.whole().response.max() > 2 * S, "the last waited for 2.5 s");
}

#[test]
fn connections_are_opened_up_to_the_ceiling_when_all_are_busy() {
    // Twenty a second at 475 ms each keep nine or ten users busy; two are there at the start.
    let load = |max_vus| stream(constant_rate(20.0, 5 * S, (2, max_vus)), (0, 0));
    let open = phase(vec![load(50)]);
    let result = run_on(1, &open, 1000, &|_, _| 475 * MS);
    let report = &result.reports[0];
    assert_eq!((report.iterations, report.dropped), (100, 0));
    assert_eq!((result.connects, report.vus.max, report.late), (10, 10, 8));
    assert_eq!(report.recording.whole().lateness.max(), 1023, "the time that a connection takes");

    let capped = run_on(1, &phase(vec![load(4)]), 1000, &|_, _| 475 * MS);
    assert_eq!((capped.connects, capped.reports[0].vus.max), (4, 4));

    // k6's way: what finds no user is dropped, and one is added for the next.
    let mut dropping = phase(vec![load(50)]);
    dropping.waiting_max = 0;
    let result = run_on(1, &dropping, 1000, &|_, _| 475 * MS);
    assert_eq!((result.connects, result.reports[0].dropped), (10, 8));
}

#[test]
fn an_arrival_does_not_wait_for_an_opening_where_another_connection_is_free_earlier() {
    let stream = stream(constant_rate(100.0, 20 * MS, (1, 2)), (0, 0));
    let result = run_on(1, &phase(vec![stream]), S, &|_, _| 15 * MS);
    assert_eq!(result.sent[0], Sent::from([(0, 0), (1, 15 * MS)]));
    assert_eq!(result.reports[0].late, 1);
}

#[test]
fn a_frozen_server_makes_late_arrivals_in_the_response_series_and_not_in_the_service_series() {
    let latency = |_, now: Nanos| if now < 3 * S { MS } else { (8 * S).saturating_sub(now) + MS };
    for workers in 1..=3 {
        let stream = stream(constant_rate(1000.0, 20 * S, (12, 12)), (0, 0));
        let result = run_on(workers, &phase(vec![stream]), 1000, &latency);
        let report = &result.reports[0];
        let whole = report.recording.whole();
        assert_eq!((whole.response.len(), report.dropped), (20_000, 0));
        let late = whole.response.count_between(2 * MS, u64::MAX);
        // Those due in the freeze, and those due while the queue was worked off.
        assert!((5000..5600).contains(&late), "{late} late arrivals");
        assert!(report.late.abs_diff(late) < 50, "{} had to wait", report.late);
        let slow = whole.service.count_between(2 * MS, u64::MAX);
        assert_eq!(slow, 12, "only those in flight were slow as the server sees it");
    }
}

/// Compares everything but the users' numbers.
fn assert_same(left: &StreamReport, right: &StreamReport) {
    let counts = |report: &StreamReport| {
        [
            report.planned,
            report.sent,
            report.iterations,
            report.late,
            report.dropped,
            report.interrupted,
            report.reopened,
            report.data_sent,
            report.data_received,
            u64::from(report.vus.max),
            u64::from(report.vus.current),
        ]
    };
    assert_eq!(counts(left), counts(right));
    let (left, right) = (left.recording.whole(), right.recording.whole());
    assert_eq!(left.response, right.response);
    assert_eq!(left.service, right.service);
    assert_eq!(left.lateness, right.lateness);
    assert_eq!(left.failed, right.failed);
}

/// Runs a phase with intervals of `interval_ns`; `gives_back` says after which of them an empty
/// report comes back.
fn run_in_intervals(
    stream: &Stream,
    interval_ns: Nanos,
    gives_back: impl Fn(u64) -> bool,
) -> Vec<engine::Piece> {
    let mut phase = phase(vec![stream.clone()]);
    phase.interval_ns = Some(interval_ns);
    let targets = Arc::new([target(stream.load.pre_allocated_vus(), stream.load.vus_max())]);
    let mut worker = Worker::new(0, 1, targets);
    let mut sim = Sim::new(&worker, Instants { latency: &|_, _| 30 * MS, instants: vec![] });
    sim.open(&mut worker);
    worker.begin(&phase, START);
    let mut pieces = Vec::new();
    for number in 1.. {
        let boundary = START + number * interval_ns;
        sim.run(&mut worker, |worker, now| worker.is_drained(now) || now >= boundary);
        pieces.extend(std::iter::from_fn(|| worker.take_interval()));
        if worker.wants_back() && gives_back(number) {
            worker.give_back(vec![StreamReport::new(Recording::new(1))]);
        }
        if worker.is_drained(sim.now()) {
            break;
        }
    }
    let (_, rest) = worker.finish(Ending::Complete, sim.now(), &mut sim).unwrap();
    pieces.push(rest);
    pieces
}

#[test]
fn every_second_has_its_own_requests_and_users() {
    let load = ramping_vus(0, &[(4 * S, 4.0), (2 * S, 0.0)], 0);
    let pieces = run_in_intervals(&stream(load, (70 * MS, 70 * MS)), S, |_| true);
    let shape: Vec<_> = pieces
        .iter()
        .map(|piece| {
            let report = &piece.streams[0];
            (piece.first, piece.end, report.vus.current, report.vus.max)
        })
        .collect();
    assert_eq!(
        shape,
        [
            (0, 1, 0, 0),
            (1, 2, 1, 1),
            (2, 3, 2, 2),
            (3, 4, 3, 3),
            (4, 5, 3, 4),
            (5, 6, 1, 3),
            (6, 7, 0, 1)
        ]
    );
    let begun: Vec<_> = pieces.iter().map(|piece| piece.streams[0].planned).collect();
    assert_eq!(begun, [0, 10, 20, 30, 35, 15, 0], "ten a second each");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_intervals_of_a_phase_are_the_whole_of_it(
        rate in 1.0_f64..500.0,
        max_vus in 2_u32..30,
        interval_ms in 20_u64..700,
        returns: u64,
    ) {
        let stream = stream(constant_rate(rate, 2 * S, (2, max_vus)), (0, 0));
        let interval_ns = interval_ms * MS;
        // Where reports do not come back in time, intervals become longer and nothing is lost.
        let pieces = run_in_intervals(&stream, interval_ns, |number| returns >> (number % 64) & 1 == 1);
        let mut next = 0;
        for piece in &pieces {
            prop_assert_eq!(piece.first, next);
            prop_assert!(piece.end > piece.first);
            next = piece.end;
        }
        let mut sum = pieces[0].streams[0].clone();
        pieces[1..].iter().for_each(|piece| sum.append(&piece.streams[0]));
        let whole = run_in_intervals(&stream, 60 * S, |_| false);
        prop_assert_eq!(whole.len(), 1);
        assert_same(&sum, &whole[0].streams[0]);
    }
}
