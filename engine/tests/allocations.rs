//! In steady state the worker allocates nothing: every allocation of the thread is counted.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::{
    ConnectionId, Ending, Gaps, Generator, Load, MILLISECOND, Mix, MixEntry, Nanos, Opening, Phase,
    Recording, SECOND, Script, Stream, StreamReport, Target, Transport, Worker,
};
use socket2::SockAddr;
use wire::http::Request;
use wire::{Operation, Piece, Template};

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"data\":{\"a\":1}}";
const LATENCY_NS: Nanos = 2 * MILLISECOND;
const CONNECTIONS: u32 = 16;

/// A peer that answers everything after the same time: its replies are in order.
struct Fixed {
    now: Nanos,
    connecting: VecDeque<ConnectionId>,
    replies: VecDeque<(Nanos, ConnectionId)>,
}

impl Transport for Fixed {
    fn connect(&mut self, id: ConnectionId, _: &SockAddr) {
        self.connecting.push_back(id);
    }

    fn send(&mut self, id: ConnectionId, _: &[u8]) {
        self.replies.push_back((self.now + LATENCY_NS, id));
    }

    fn end(&mut self, id: ConnectionId, _: &[u8]) {
        self.replies.retain(|(_, other)| *other != id);
    }
}

/// What the fleet does once a second, with all of its memory beforehand.
struct FleetSide {
    spares: Vec<Vec<StreamReport>>,
    taken: Vec<engine::Piece>,
}

impl Fixed {
    /// Runs until so many requests have been answered, or the phase is drained.
    fn run(&mut self, worker: &mut Worker, replies: u64, fleet: &mut FleetSide) {
        let mut answered = 0;
        while answered < replies && !worker.is_drained(self.now) {
            let reply = self.replies.front().map_or(Nanos::MAX, |(at, _)| *at);
            self.now = self.now.max(reply.min(worker.deadline()));
            while let Some((at, id)) = self.replies.front().copied()
                && at <= self.now
            {
                self.replies.pop_front();
                worker.received(id, REPLY, self.now, self);
                answered += 1;
            }
            worker.poll(self.now, self);
            while let Some(piece) = worker.take_interval() {
                fleet.taken.push(piece);
            }
            if worker.wants_back()
                && let Some(empty) = fleet.spares.pop()
            {
                worker.give_back(empty);
            }
        }
    }
}

fn target() -> Target {
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
        connections: CONNECTIONS,
        connections_max: CONNECTIONS,
        opening_at_once: 1,
        timeout_ns: 60 * SECOND,
    }
}

fn stream(load: Load) -> Stream {
    let entry = MixEntry { weight: 1, generators: vec![Generator::Sequence(0)] };
    Stream {
        target: 0,
        script: Script::Mix(Arc::new(Mix::new(vec![entry]).unwrap())),
        load,
        think_time_ns: (0, 3 * MILLISECOND),
        start_ns: 0,
        graceful_stop_ns: SECOND,
        reconnect: false,
        cancel: None,
        seed: 1,
    }
}

#[test]
fn a_hundred_thousand_requests_and_their_intervals_allocate_nothing() {
    let duration_ns = 600 * SECOND;
    let vus = (CONNECTIONS, CONNECTIONS);
    let rate = |rate, gaps| {
        let (pre_allocated_vus, max_vus) = vus;
        Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus, max_vus }
    };
    let loads = [
        rate(5000.0, Gaps::Uniform),
        rate(5000.0, Gaps::Poisson),
        Load::ConstantVus { vus: CONNECTIONS, duration_ns },
        // More users than connections: some always wait.
        Load::ConstantVus { vus: 2 * CONNECTIONS, duration_ns },
    ];
    for load in loads {
        let mut worker = Worker::new(0, 1, Arc::new([target()]));
        let mut peer = Fixed {
            now: 0,
            connecting: VecDeque::new(),
            replies: VecDeque::with_capacity(4 * CONNECTIONS as usize),
        };
        worker.open(0, &mut peer);
        while let Some(id) = peer.connecting.pop_front() {
            worker.connected(id, 0, &mut peer);
        }
        assert!(worker.opened().is_some());
        let mut phase = Phase::new(vec![stream(load.clone())]).unwrap();
        (phase.waiting_max, phase.interval_ns) = (1000, Some(SECOND));
        worker.begin(&phase, SECOND);
        let mut fleet = FleetSide {
            spares: (0..100).map(|_| vec![StreamReport::new(Recording::new(1))]).collect(),
            taken: Vec::with_capacity(100),
        };
        peer.run(&mut worker, 10_000, &mut fleet);
        let counted = allocation_counter::measure(|| peer.run(&mut worker, 100_000, &mut fleet));
        assert_eq!(counted.count_total, 0, "{load:?}");

        assert!(fleet.taken.len() >= 10, "{} intervals on the way", fleet.taken.len());
        let cut: u64 = fleet.taken.iter().map(|piece| piece.streams[0].iterations).sum();
        let (_, rest) = worker.finish(Ending::Interrupted, peer.now, &mut peer).unwrap();
        assert!(cut + rest.streams[0].iterations >= 110_000);
    }
}
