//! One worker on the driver under test: what differs between sockets and virtual time.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::driver::{DriverKind, sim::Sim};
use engine::{
    Fleet, FleetError, Gaps, Generator, Load, Mix, MixEntry, Opening, Phase, PhaseReport, Refusal,
    SECOND, Target, Worker,
};
use socket2::SockAddr;
use wire::http::{Expect, Request};
use wire::postgres::{Login, Parameter, Protocol, Statement};
use wire::{Class, Operation, Piece, Template};

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
        }]
        .into(),
        connections,
        opening_at_once: 16,
        timeout_ns: 20 * SECOND,
    }
}

/// A target with one prepared statement.
pub(crate) fn postgres_target(address: SockAddr, connections: u32) -> Target {
    let parameters = [Parameter { hole: 0, type_oid: 20 }];
    let statement = Statement::new("SELECT $1", &parameters, Protocol::Prepared, "one").unwrap();
    let login = Login::new("nova", "nova", "poolbench", None).unwrap();
    Target {
        opening: Opening::Postgres(Arc::new(login)),
        operations: [Operation {
            name: "one".into(),
            idempotent: true,
            request: wire::Request::Postgres(statement),
        }]
        .into(),
        ..target(address, connections, 0)
    }
}

pub(crate) fn phase(load: Load, duration_ns: u64) -> Phase {
    let entry = MixEntry { weight: 1, generators: vec![Generator::Sequence(1)] };
    Phase {
        target: 0,
        mix: Arc::new(Mix::new(vec![entry]).unwrap()),
        load,
        seed: 1,
        duration_ns,
        drain_ns: 20 * SECOND,
        waiting_max: usize::MAX,
    }
}

/// So many requests in 200 ms.
pub(crate) fn open_loop(requests: u32) -> Phase {
    let rate = f64::from(requests) * 5.0;
    phase(Load::ConstantArrivalRate { rate, gaps: Gaps::Uniform }, SECOND / 5)
}

/// One worker's fleet, its stop flag beside it.
pub(crate) fn fleet(kind: DriverKind, target: Target, spin_ns: u64) -> (Fleet, Arc<AtomicBool>) {
    let cores = core_affinity::get_core_ids().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    (Fleet::start(vec![target], &cores[..1], kind, spin_ns, Arc::clone(&stop)), stop)
}

/// Opens the target at `address` and runs a phase on it.
pub(crate) fn run_at(kind: DriverKind, target: Target, phase: &Phase) -> PhaseReport {
    let (mut fleet, _) = fleet(kind, target, 0);
    fleet.open().unwrap();
    fleet.run(phase).unwrap()
}

/// A case: a server that answers so, and a phase on its connections.
pub(crate) struct Case {
    pub(crate) answer: Answer,
    pub(crate) connections: u32,
    pub(crate) timeout_ns: u64,
    pub(crate) is_idempotent: bool,
    pub(crate) spin_ns: u64,
    pub(crate) phase: Phase,
}

impl Case {
    pub(crate) fn new(connections: u32, phase: Phase, answer: Answer) -> Self {
        Self {
            answer,
            connections,
            timeout_ns: 20 * SECOND,
            is_idempotent: true,
            spin_ns: 0,
            phase,
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
                fleet.run(&self.phase).unwrap()
            }
            On::Sim => {
                let mut worker = Worker::new(0, 1, Arc::new([target]));
                let mut sim = Sim::new(&worker, Script::new(Greeting::Accept, self.answer));
                sim.open(&mut worker);
                worker.begin(self.phase, sim.now());
                sim.run(&mut worker, |worker, now| worker.is_drained(now));
                let now = sim.now();
                worker.finish(false, now, &mut sim).unwrap()
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

pub(crate) fn failures(report: &PhaseReport) -> Vec<(Class, u64)> {
    report.recording.whole().failures().map(|(class, count, _)| (class, count)).collect()
}

pub(crate) fn assert_all_ok(report: &PhaseReport, requests: u64) {
    let whole = report.recording.whole();
    let failures: Vec<_> = whole.failures().map(|(c, n, f)| (c, n, f.cloned())).collect();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(report.recording.completed(), requests);
    assert_eq!(report.sent, requests + report.resent);
}
