//! Workers in virtual time, and peers that note what they get.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::driver::sim::{Event, Peer, Sim};
use engine::{
    ConnectionId, Ending, Gaps, Generator, Load, MILLISECOND, Mix, MixEntry, Nanos, Opening, Phase,
    SECOND, Script, Stage, Stream, StreamReport, Target, Worker,
};
use wire::http::Request;
use wire::{Operation, Piece, Template};

/// Requests by their number, with the instant at which the peer got them.
pub(crate) type Sent = BTreeMap<u64, Nanos>;

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
pub(crate) const START: Nanos = SECOND;

pub(crate) fn target(connections: u32, connections_max: u32) -> Target {
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

pub(crate) fn stream(load: Load, think_time_ns: (Nanos, Nanos)) -> Stream {
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

pub(crate) fn phase(streams: Vec<Stream>) -> Phase {
    let mut phase = Phase::new(streams).unwrap();
    phase.drain_ns = 600 * SECOND;
    phase
}

/// What came of a phase.
pub(crate) struct Result {
    /// Per target.
    pub(crate) sent: Vec<Sent>,
    /// Per stream.
    pub(crate) reports: Vec<StreamReport>,
    pub(crate) connects: u32,
    /// Written and read by the peer.
    pub(crate) bytes: (u64, u64),
    pub(crate) ended: Nanos,
}

/// Runs a phase on so many workers, each with its own part of the peer.
pub(crate) fn run_on(
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
pub(crate) fn run(workers: u32, stream: Stream, latency_ns: Nanos) -> Result {
    run_on(workers, &phase(vec![stream]), 1000, &|_, _| latency_ns)
}

pub(crate) fn stages(stages: &[(Nanos, f64)]) -> Arc<[Stage]> {
    stages
        .iter()
        .map(|(duration_ns, target)| Stage { duration_ns: *duration_ns, target: *target })
        .collect()
}

pub(crate) fn ramping_vus(
    start_vus: u32,
    pieces: &[(Nanos, f64)],
    graceful_ramp_down_ns: Nanos,
) -> Load {
    Load::RampingVus { start_vus, stages: stages(pieces), graceful_ramp_down_ns }
}

pub(crate) fn constant_rate(rate: f64, duration_ns: Nanos, vus: (u32, u32)) -> Load {
    let (pre_allocated_vus, max_vus) = vus;
    let gaps = Gaps::Uniform;
    Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus, max_vus }
}

pub(crate) fn ramping_rate(start_rate: f64, pieces: &[(Nanos, f64)], gaps: Gaps) -> Load {
    let (pre_allocated_vus, max_vus) = (30, 30);
    let stages = stages(pieces);
    Load::RampingArrivalRate { start_rate, stages, gaps, pre_allocated_vus, max_vus }
}

pub(crate) const MS: Nanos = MILLISECOND;
pub(crate) const S: Nanos = SECOND;

/// A peer that notes instants only.
pub(crate) struct Instants<'a> {
    pub(crate) latency: &'a dyn Fn(u64, Nanos) -> Nanos,
    pub(crate) instants: Vec<Nanos>,
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
