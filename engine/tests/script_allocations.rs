//! A transaction of a script costs no allocation, whatever it is made of.

use std::sync::Arc;

use bytes::BytesMut;
use engine::pgbench::{
    Action, Amount, Clients, Command, Expression, Function, KeepRows, Program, Sample,
    ScriptReport, Slot, Step, Value, Workload,
};
use wire::postgres::{self, Login, Parameter, Protocol, Statement};
use wire::{Operation, Outcome, Piece, Progress, Request, Session, Values};

const NAMES: [&str; 6] = ["a", "b", "kept", "p_kept", "default_seed", "client_id"];
const A: Slot = Slot(0);
const B: Slot = Slot(1);
const KEPT: Slot = Slot(2);
const P_KEPT: Slot = Slot(3);

fn integer(value: i64) -> Expression {
    Expression::Constant(Value::Integer(value))
}

fn double(value: f64) -> Expression {
    Expression::Constant(Value::Double(value))
}

fn call(function: Function, arguments: impl Into<Box<[Expression]>>) -> Expression {
    Expression::Call(function, arguments.into())
}

/// One call of every operator and function.
fn expressions() -> Vec<Expression> {
    use Function as F;
    let a = || Expression::Variable(A);
    let mut all = Vec::new();
    for function in [
        F::Add,
        F::Subtract,
        F::Multiply,
        F::Divide,
        F::Equal,
        F::NotEqual,
        F::LessOrEqual,
        F::Less,
        F::Is,
        F::Power,
        F::Greatest,
        F::Least,
    ] {
        all.push(call(function, [integer(7), integer(3)]));
        all.push(call(function, [double(7.5), integer(3)]));
    }
    for function in [F::Modulo, F::BitAnd, F::BitOr, F::BitXor, F::ShiftLeft, F::ShiftRight] {
        all.push(call(function, [integer(-7), integer(3)]));
    }
    for function in [F::Abs, F::Double, F::Exp, F::Int, F::Ln, F::Sqrt, F::Debug] {
        all.push(call(function, [double(2.5)]));
    }
    let holds = || call(F::Less, [integer(1), integer(2)]);
    all.extend([
        call(F::Pi, []),
        call(F::Not, [holds()]),
        call(F::And, [holds(), holds()]),
        call(F::Or, [holds(), holds()]),
        call(F::Case, [holds(), integer(1), integer(2)]),
        call(F::HashFnv1a, [integer(1), integer(2)]),
        call(F::HashMurmur2, [integer(1), integer(2)]),
        call(F::Permute, [integer(1), integer(1_000_000), integer(3)]),
        call(F::RandomExponential, [integer(1), integer(1000), double(2.5)]),
        call(F::RandomGaussian, [integer(1), integer(1000), double(2.5)]),
        call(F::RandomZipfian, [integer(1), integer(1000), double(1.5)]),
        call(F::Random, [integer(1), integer(1000)]),
        call(F::Add, [a(), Expression::Variable(KEPT)]),
        Expression::Constant(Value::Null),
    ]);
    all
}

/// Scripts in one protocol, in the making.
struct Making {
    protocol: Protocol,
    commands: Vec<Command>,
    operations: Vec<Operation>,
}

impl Making {
    fn step(&mut self, step: Step) {
        let number = self.commands.len() as u32 + 1;
        let recording = None;
        self.commands.push(Command { line: number, column: 1, number, recording, step });
    }

    fn statement(&mut self, slot: Slot, rows: Option<KeepRows>) {
        let operation = self.operations.len() as u32;
        let statement = match self.protocol {
            Protocol::Simple => {
                Statement::verbatim(vec![Piece::Bytes((*b"SELECT ").into()), Piece::Hole(0)])
            }
            protocol => {
                let name = format!("P{operation}");
                let parameter = [Parameter { hole: 0, type_oid: 0 }];
                Statement::new("SELECT $1", &parameter, protocol, &name)
            }
        };
        let statement = statement.unwrap().prepared_late(operation);
        let statement = if rows.is_some() { statement.keeping_rows() } else { statement };
        self.operations.push(Operation {
            name: "statement".into(),
            idempotent: false,
            request: Request::Postgres(statement),
            checks: Vec::new(),
        });
        self.step(Step::Statement { operation, parameters: [slot].into(), rows });
    }

    /// Every construct there is; a pipeline where the protocol has one.
    fn everything(protocol: Protocol) -> Self {
        let mut making = Self { protocol, commands: Vec::new(), operations: Vec::new() };
        let keep = |prefix: &str, is_single| Some(KeepRows { prefix: prefix.into(), is_single });
        making.statement(A, keep("", true));
        making.statement(B, keep("p_", false));
        for (number, expression) in expressions().into_iter().enumerate() {
            making.step(Step::Set([A, B][number % 2], expression));
            making.step(Step::Set(A, integer(7)));
        }
        let holds = |slot| call(Function::Less, [integer(0), Expression::Variable(slot)]);
        let at = making.commands.len();
        making.step(Step::Unless(holds(KEPT), at + 3));
        making.statement(KEPT, None);
        making.step(Step::Jump(at + 4));
        making.statement(B, None);
        making.step(Step::Sleep(Amount::Constant(1), 1));
        making.step(Step::Sleep(Amount::Variable(KEPT), 1));
        if protocol != Protocol::Simple {
            making.step(Step::StartPipeline);
            making.statement(P_KEPT, None);
            making.step(Step::SyncPipeline);
            making.statement(B, None);
            making.step(Step::EndPipeline);
        }
        making
    }

    fn workload(&mut self) -> Workload {
        let commands = std::mem::take(&mut self.commands);
        Workload {
            programs: vec![Program { name: "script".into(), weight: 1, commands }],
            variables: NAMES.map(|name| name.as_bytes().into()).into(),
            presets: vec![(A, "1".into()), (B, "1".into())],
            clients: 1,
            tries_max: Some(1),
            is_timed: false,
            latency_limit_ns: None,
            records_commands: false,
            keeps_samples: false,
            recorded_commands: 0,
            is_verbatim: self.protocol == Protocol::Simple,
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

/// One client on one connection, whose server answers every statement with a row.
struct Client {
    clients: Clients,
    session: Session,
    operations: Vec<Operation>,
    report: ScriptReport,
    values: Values,
    out: BytesMut,
    /// The reply to a statement, without its end, and that end.
    row: Vec<u8>,
    ready: Vec<u8>,
}

impl Client {
    fn new(protocol: Protocol) -> Self {
        let mut making = Making::everything(protocol);
        let workload = Arc::new(making.workload());
        let login = Login::new("nova", "nova", "poolbench", None).unwrap();
        let statements = making.operations.iter().flat_map(|one| one.request.statements());
        let mut session = Session::Postgres(postgres::Session::new(
            Arc::new(login),
            statements.collect::<Vec<_>>(),
        ));
        let mut out = BytesMut::new();
        session.open(&mut out);
        let greeting = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
        assert_eq!(session.receive(&mut &greeting[..], &mut out), Progress::Ready);
        let bound = match protocol {
            Protocol::Simple => Vec::new(),
            Protocol::Extended | Protocol::Prepared => {
                [message(b'1', b""), message(b'2', b"")].concat()
            }
        };
        let described = message(b'T', &[&[0, 1][..], b"kept\0", &[0; 18]].concat());
        let data = message(b'D', &[0, 1, 0, 0, 0, 2, b'4', b'2']);
        Self {
            clients: Clients::new(workload, 1, 1, (0, 1)),
            session,
            operations: making.operations,
            report: ScriptReport::default(),
            values: Values::new(),
            out,
            row: [bound, described, data, message(b'C', b"SELECT 1\0")].concat(),
            ready: message(b'Z', b"I"),
        }
    }

    /// The server answers so many statements, each with a Sync behind it.
    fn answer(&mut self, statements: usize) {
        let mut progress = Progress::NeedMore;
        for _ in 0..statements {
            for mut bytes in [&self.row[..], &self.ready[..]] {
                progress = self.session.receive(&mut bytes, &mut self.out);
            }
        }
        assert_eq!(progress, Progress::Response(Outcome::Ok));
        self.clients.replied(0, self.session.rows()).unwrap();
    }

    fn transaction(&mut self) {
        self.clients.begin(0, 0);
        let mut queued = 0;
        loop {
            let action = self.clients.advance(0, &mut self.values).unwrap();
            self.out.clear();
            match action {
                Action::Send(number) => {
                    let operation = &self.operations[number as usize];
                    self.session.request(operation, &self.values, &mut self.out);
                    self.answer(1);
                }
                Action::Queue(number) => {
                    self.session.queue(&self.operations[number as usize], &self.values);
                    queued += 1;
                }
                Action::QueueSync => self.session.queue_sync(),
                Action::Sync => {
                    self.session.sync(&mut self.out);
                    self.answer(queued);
                }
                Action::Sleep(ns) => assert!(ns > 0),
                Action::End => break,
            }
        }
        let (client, number, script, intended, sent, done, retries) = (0, 0, 0, 0, 0, 0, 0);
        let (outcome, conflict) = (Outcome::Ok, None);
        let sample =
            Sample { client, number, script, outcome, conflict, intended, sent, done, retries };
        self.clients.end(0, &mut self.report, sample);
    }
}

#[test]
fn no_construct_of_a_script_allocates() {
    for protocol in [Protocol::Simple, Protocol::Extended, Protocol::Prepared] {
        let mut client = Client::new(protocol);
        // As many as it takes until no more calls of debug are kept.
        (0..2 * ScriptReport::DEBUGGED_MAX).for_each(|_| client.transaction());
        assert!(client.report.debugged_more > 0);
        let counted = allocation_counter::measure(|| (0..1000).for_each(|_| client.transaction()));
        assert_eq!(counted.count_total, 0, "{protocol:?}");
    }
}
