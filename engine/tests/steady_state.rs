//! What a driver and its worker need once they run: no allocation, and little memory a connection.

use std::sync::Arc;

use engine::driver::{self, Clock, Driver, DriverKind, Options, Pump, Setup};
use engine::null_server::{NullServer, Speaks, phase, stream, target};
use engine::pgbench::{
    Amount, Command, Expression, Function, Program, Slot, Step, Value, Workload,
};
use engine::{
    Ending, Generator, Load, Mix, MixEntry, Nanos, SECOND, Script, Stream, Target, Worker,
};
use wire::postgres::{Batch, Parameter, Pipeline, Protocol, Statement};
use wire::{Operation, Request};

const CONNECTIONS: u32 = 16;
const WARM_UP: u64 = 5_000;
const REQUESTS: u64 = 100_000;

/// A worker's thread: opens all connections, and then has them loaded.
struct Loaded<'a> {
    server: &'a NullServer,
    worker: Worker,
    clock: Clock,
}

impl<'a> Loaded<'a> {
    fn new(server: &'a NullServer, target: Target) -> Self {
        let worker = Worker::new(0, 1, Arc::new([target]));
        Self { server, worker, clock: Clock::start() }
    }

    fn setup(&self, kind: DriverKind) -> Setup {
        let options = Options { stamps: true, ..Options::new(kind) };
        Setup { connections: self.worker.connections(), workers: 1, options }
    }

    fn open(&mut self, driver: &mut impl Driver) {
        self.worker.open(self.clock.now(), driver.transport());
        while self.worker.opened().is_none() {
            assert!(self.worker.refusal().is_none(), "{:?}", self.worker.refusal());
            self.turn(driver);
        }
    }

    fn turn(&mut self, driver: &mut impl Driver) {
        const WAIT_MAX_NS: Nanos = SECOND / 100;
        let now = self.clock.now();
        self.worker.poll(now, driver.transport());
        let deadline = self.worker.deadline().min(now + WAIT_MAX_NS);
        driver.turn(&mut self.worker, &self.clock, deadline).unwrap();
    }

    /// Until the server has answered so many more requests.
    fn load(&mut self, driver: &mut impl Driver, requests: u64) {
        let until = self.server.requests() + requests;
        while self.server.requests() < until {
            self.turn(driver);
        }
    }
}

/// Gives the allocations of [`REQUESTS`] iterations of so many statements each.
struct Allocations<'a>(Loaded<'a>, u64, Script);

/// Requests of one value.
fn mix() -> Script {
    // Numbers of six digits: each request is as long as the one before it.
    let entry = MixEntry { weight: 1, generators: vec![Generator::Uniform(100_000, 999_999)] };
    Script::Mix(Arc::new(Mix::new(vec![entry]).unwrap()))
}

impl Pump for Allocations<'_> {
    type Output = u64;

    fn pump(mut self, mut driver: impl Driver) -> u64 {
        let Self(loaded, statements, script) = &mut self;
        loaded.open(&mut driver);
        let load = stream(Load::ConstantVus { vus: CONNECTIONS, duration_ns: 600 * SECOND });
        let load = Stream { script: script.clone(), ..load };
        loaded.worker.begin(&phase(load), loaded.clock.now());
        loaded.load(&mut driver, WARM_UP * *statements);
        let requests = REQUESTS * *statements;
        let counted = allocation_counter::measure(|| loaded.load(&mut driver, requests));
        let now = loaded.clock.now();
        let ended = loaded.worker.finish(Ending::Interrupted, now, driver.transport());
        let report = ended.unwrap().1.streams.remove(0);
        assert!(report.recording.completed() >= WARM_UP + REQUESTS - u64::from(CONNECTIONS));
        assert_eq!(report.recording.whole().failures().count(), 0);
        counted.count_total
    }
}

fn allocations(kind: DriverKind, speaks: Speaks) -> u64 {
    let server = NullServer::start(speaks, None).unwrap();
    let loaded = Loaded::new(&server, target(server.address(), speaks, CONNECTIONS));
    driver::start(&loaded.setup(kind), Allocations(loaded, 1, mix())).unwrap()
}

/// Over TLS, rustls' buffered interface allocates what it seals and what it opens, a buffer for each
/// record: a request is one record here, and its reply another. Nothing of ours comes on top.
#[test]
fn a_hundred_thousand_requests_allocate_nothing_but_what_tls_needs() {
    // Of requests in flight at either end of the count, one record is in it and the other is not.
    const RECORDS_MAX: u64 = 2 * (REQUESTS + CONNECTIONS as u64);
    for kind in DriverKind::ALL {
        for speaks in Speaks::ALL {
            let most = if speaks.is_secured() { RECORDS_MAX } else { 0 };
            let counted = allocations(kind, speaks);
            assert!(counted <= most, "{kind:?} {speaks:?}: {counted} allocations");
        }
    }
}

/// Three statements with the request's number.
fn batch(pipeline: Pipeline) -> Operation {
    let number = [Parameter { hole: 0, type_oid: 20 }];
    let statement = Statement::new("SELECT $1", &number, Protocol::Prepared, "one").unwrap();
    let request = Request::PostgresBatch(Batch::new(vec![statement; 3], pipeline).into());
    Operation { name: "batch".into(), idempotent: false, request, checks: Vec::new() }
}

#[test]
fn requests_of_several_statements_allocate_nothing_either() {
    for kind in DriverKind::ALL {
        for pipeline in [Pipeline::Off, Pipeline::SyncEach, Pipeline::SyncOnce] {
            let server = NullServer::start(Speaks::Postgres, None).unwrap();
            let target = target(server.address(), Speaks::Postgres, CONNECTIONS);
            let operations = [batch(pipeline)].into();
            let loaded = Loaded::new(&server, Target { operations, ..target });
            let counted =
                driver::start(&loaded.setup(kind), Allocations(loaded, 3, mix())).unwrap();
            assert_eq!(counted, 0, "{kind:?} {pipeline:?}");
        }
    }
}

/// A transaction of a script: a random number, a condition, two statements one after the other, a
/// sleep, and two in a pipeline.
fn workload() -> (Workload, Arc<[Operation]>) {
    let number = |value| Expression::Constant(Value::Integer(value));
    let call =
        |function, arguments: [Expression; 2]| Expression::Call(function, Box::new(arguments));
    let statement =
        |operation| Step::Statement { operation, parameters: [Slot(0)].into(), rows: None };
    let steps = [
        Step::Set(Slot(0), call(Function::Random, [number(100_000), number(999_999)])),
        statement(0),
        Step::Unless(call(Function::Less, [Expression::Variable(Slot(0)), number(0)]), 4),
        statement(0),
        statement(1),
        Step::Sleep(Amount::Constant(1), 1000),
        Step::StartPipeline,
        statement(0),
        Step::SyncPipeline,
        statement(1),
        Step::EndPipeline,
    ];
    let command = |step| Command { line: 1, column: 1, number: 1, recording: None, step };
    let mut commands = steps.map(command).to_vec();
    commands[1].recording = Some(0);
    let operation = |number| {
        let parameter = [Parameter { hole: 0, type_oid: 0 }];
        let statement = Statement::new("SELECT $1", &parameter, Protocol::Prepared, "one").unwrap();
        let request = Request::Postgres(statement.prepared_late(number).keeping_rows());
        Operation { name: "one".into(), idempotent: false, request, checks: Vec::new() }
    };
    let workload = Workload {
        programs: vec![Program { name: "script".into(), weight: 1, commands }],
        variables: [b"a"[..].into()].into(),
        presets: Vec::new(),
        clients: CONNECTIONS,
        tries_max: Some(1),
        is_timed: false,
        latency_limit_ns: None,
        records_commands: true,
        keeps_samples: false,
        recorded_commands: 1,
        is_verbatim: false,
    };
    (workload, [operation(0), operation(1)].into())
}

#[test]
fn transactions_of_scripts_allocate_nothing_either() {
    for kind in DriverKind::ALL {
        let server = NullServer::start(Speaks::Postgres, None).unwrap();
        let target = target(server.address(), Speaks::Postgres, CONNECTIONS);
        let (workload, operations) = workload();
        let loaded = Loaded::new(&server, Target { operations, ..target });
        let script = Script::Pgbench(Arc::new(workload));
        let counted = driver::start(&loaded.setup(kind), Allocations(loaded, 4, script)).unwrap();
        assert_eq!(counted, 0, "{kind:?}");
    }
}

/// Has connections opened for one request each; gives how many bytes the last
/// [`RECONNECTIONS`] of them left behind.
struct Reconnecting<'a>(Loaded<'a>);

const RECONNECTIONS: u64 = 2_000;

impl Pump for Reconnecting<'_> {
    type Output = i64;

    fn pump(mut self, mut driver: impl Driver) -> i64 {
        let loaded = &mut self.0;
        loaded.open(&mut driver);
        let load = stream(Load::ConstantVus { vus: CONNECTIONS, duration_ns: 600 * SECOND });
        let load = Stream { reconnect: true, ..load };
        loaded.worker.begin(&phase(load), loaded.clock.now());
        loaded.load(&mut driver, RECONNECTIONS);
        let counted = allocation_counter::measure(|| loaded.load(&mut driver, RECONNECTIONS));
        let now = loaded.clock.now();
        let ended = loaded.worker.finish(Ending::Interrupted, now, driver.transport());
        let report = ended.unwrap().1.streams.remove(0);
        assert_eq!(report.recording.whole().failures().count(), 0);
        let times = report.connections.unwrap();
        assert!(times.open.len() >= 2 * RECONNECTIONS - u64::from(CONNECTIONS));
        counted.bytes_current
    }
}

#[test]
fn connections_that_came_and_went_leave_no_memory_behind() {
    for kind in DriverKind::ALL {
        for speaks in [Speaks::Http, Speaks::Postgres] {
            let server = NullServer::start(speaks, None).unwrap();
            let loaded = Loaded::new(&server, target(server.address(), speaks, CONNECTIONS));
            let left = driver::start(&loaded.setup(kind), Reconnecting(loaded)).unwrap();
            // Some are in the middle of their way at either end.
            let most = i64::from(CONNECTIONS) * 16 * 1024;
            assert!(left <= most, "{kind:?} {speaks:?}: {left} bytes");
        }
    }
}

/// Opens connections, uses each several times, and leaves them idle.
struct Idle<'a>(Loaded<'a>, u32);

impl Pump for Idle<'_> {
    type Output = ();

    fn pump(mut self, mut driver: impl Driver) {
        let Self(loaded, connections) = &mut self;
        loaded.open(&mut driver);
        // Each connection has one request at least: all virtual users begin at once.
        let load = stream(Load::ConstantVus { vus: *connections, duration_ns: SECOND / 20 });
        loaded.worker.begin(&phase(load), loaded.clock.now());
        while !loaded.worker.is_drained(loaded.clock.now()) {
            loaded.turn(&mut driver);
        }
        let now = loaded.clock.now();
        let ended = loaded.worker.finish(Ending::Complete, now, driver.transport());
        let report = ended.unwrap().1.streams.remove(0);
        assert_eq!((report.reopened, report.recording.whole().failures().count()), (0, 0));
        let connections = *connections as usize;
        assert_eq!(loaded.server.wait_for_connections(connections), connections);
    }
}

/// The most bytes that so many connections ever had allocated, the fixed cost included.
fn bytes(kind: DriverKind, speaks: Speaks, connections: u32) -> u64 {
    let server = NullServer::start(speaks, None).unwrap();
    let counted = allocation_counter::measure(|| {
        let loaded = Loaded::new(&server, target(server.address(), speaks, connections));
        driver::start(&loaded.setup(kind), Idle(loaded, connections)).unwrap();
    });
    counted.bytes_max
}

#[test]
fn an_idle_connection_over_uring_costs_less_than_a_kibibyte() {
    for speaks in [Speaks::Http, Speaks::Postgres] {
        let (few, many) = (500, 1500);
        let [less, more] = [few, many].map(|count| bytes(DriverKind::Uring, speaks, count));
        let each = (more - less) / u64::from(many - few);
        assert!(each < 1024, "{speaks:?}: {each} bytes a connection");
    }
}
