//! One worker on the driver under test: what differs between sockets and virtual time.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::driver::{DriverKind, Options, sim::Sim};
use engine::{
    Ending, Fleet, FleetError, Gaps, Interval, Load, Nanos, Opening, PhaseReport, Refusal, SECOND,
    Stream, StreamReport, Target, Worker,
};
use socket2::SockAddr;
use wire::http::{Expect, Request};
use wire::{Class, Operation, Piece, Template};

use crate::null_server::{phase, stream};
use crate::peer::{Answer, Greeting, Script, nobody, serve};

/// Where a case runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On {
    Sockets(DriverKind),
    Sim,
}

impl On {
    /// The driver of a case that needs real sockets.
    pub(crate) fn kind(self) -> DriverKind {
        match self {
            Self::Sockets(kind) => kind,
            Self::Sim => unreachable!("a case for sockets"),
        }
    }
}

/// A target with one operation: a query for the user with the next id.
pub(crate) fn target(address: SockAddr, connections: u32, padding: usize) -> Target {
    let query = format!("{{\"query\":\"{}\",\"id\":", "q".repeat(padding));
    let body = Template::new(vec![
        Piece::Bytes(query.as_bytes().into()),
        Piece::Hole(0),
        Piece::Bytes(b"}".as_slice().into()),
    ]);
    let request = Request::new("/graphql", "peer", body).unwrap();
    let request = request.with_expect(Expect::parse("data.user.id", 0).unwrap());
    Target {
        name: "peer".into(),
        address,
        opening: Opening::Http,
        operations: [Operation {
            name: "user".into(),
            idempotent: true,
            request: wire::Request::Http(request),
            checks: Vec::new(),
        }]
        .into(),
        connections,
        connections_max: connections,
        opening_at_once: 16,
        timeout_ns: 20 * SECOND,
    }
}

/// Arrivals at a rate on as many connections as there are.
pub(crate) fn rate(rate: f64, gaps: Gaps, duration_ns: Nanos) -> Load {
    Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus: 1, max_vus: 1000 }
}

/// So many requests in 200 ms.
pub(crate) fn open_loop(requests: u32) -> Stream {
    stream(rate(f64::from(requests) * 5.0, Gaps::Uniform, SECOND / 5))
}

/// A load without think time.
pub(crate) fn closed_loop(vus: u32, duration_ns: Nanos) -> Stream {
    stream(Load::ConstantVus { vus, duration_ns })
}

/// One worker's fleet, its stop flag beside it.
pub(crate) fn fleet(kind: DriverKind, target: Target, spin_ns: u64) -> (Fleet, Arc<AtomicBool>) {
    let cores = core_affinity::get_core_ids().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let options = Options { spin_ns, ..Options::new(kind) };
    (Fleet::start(vec![target], &cores[..1], &options, Arc::clone(&stop)), stop)
}

/// Runs a phase without reports of intervals.
pub(crate) fn run(fleet: &mut Fleet, stream: Stream) -> PhaseReport {
    let told = |_: &Interval| unreachable!("no intervals are asked for");
    fleet.run(&phase(stream), told).unwrap()
}

/// Opens the target and has it loaded.
pub(crate) fn run_at(kind: DriverKind, target: Target, stream: Stream) -> StreamReport {
    let (mut fleet, _) = fleet(kind, target, 0);
    fleet.open().unwrap();
    run(&mut fleet, stream).streams.remove(0)
}

/// A case: a server that answers so, and a load on its connections.
pub(crate) struct Case {
    pub(crate) answer: Answer,
    pub(crate) connections: u32,
    pub(crate) timeout_ns: u64,
    pub(crate) is_idempotent: bool,
    pub(crate) spin_ns: u64,
    pub(crate) stream: Stream,
}

impl Case {
    pub(crate) fn new(connections: u32, stream: Stream, answer: Answer) -> Self {
        Self {
            answer,
            connections,
            timeout_ns: 20 * SECOND,
            is_idempotent: true,
            spin_ns: 0,
            stream,
        }
    }

    pub(crate) fn run(self, on: On) -> PhaseReport {
        let address = match on {
            On::Sockets(_) => serve(self.answer),
            On::Sim => nobody(),
        };
        let mut target = target(address, self.connections, 10);
        target.timeout_ns = self.timeout_ns;
        let mut operations = target.operations.to_vec();
        operations[0].idempotent = self.is_idempotent;
        target.operations = operations.into();
        match on {
            On::Sockets(kind) => {
                let (mut fleet, _) = fleet(kind, target, self.spin_ns);
                fleet.open().unwrap();
                run(&mut fleet, self.stream)
            }
            On::Sim => {
                let mut worker = Worker::new(0, 1, Arc::new([target]));
                let mut sim = Sim::new(&worker, Script::new(Greeting::Accept, self.answer));
                sim.open(&mut worker);
                worker.begin(&phase(self.stream), sim.now());
                sim.run(&mut worker, |worker, now| worker.is_drained(now));
                let now = sim.now();
                let (report, piece) = worker.finish(Ending::Complete, now, &mut sim).unwrap();
                PhaseReport { streams: piece.streams, ..report }
            }
        }
    }
}

/// Opens a target that can't be opened.
pub(crate) fn refusal(on: On, address: SockAddr, greeting: Greeting, timeout_ns: u64) -> Refusal {
    let mut target = target(address, 4, 10);
    target.timeout_ns = timeout_ns;
    match on {
        On::Sockets(kind) => match fleet(kind, target, 0).0.open() {
            Err(FleetError::Refused(refusal)) => refusal,
            other => panic!("refused, not {other:?}"),
        },
        On::Sim => {
            let mut worker = Worker::new(0, 1, Arc::new([target]));
            let mut sim = Sim::new(&worker, Script::new(greeting, |_, _| Vec::new()));
            sim.open(&mut worker);
            worker.refusal().expect("refused").clone()
        }
    }
}

pub(crate) fn failures(report: &StreamReport) -> Vec<(Class, u64)> {
    report.recording.whole().failures().map(|(class, count, _)| (class, count)).collect()
}

pub(crate) fn assert_all_ok(report: &StreamReport, requests: u64) {
    let whole = report.recording.whole();
    let failures: Vec<_> = whole.failures().map(|(c, n, f)| (c, n, f.cloned())).collect();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(report.recording.completed(), requests);
    assert_eq!(report.sent, requests + report.resent);
}
