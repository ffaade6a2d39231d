//! pgbench's transactions in virtual time, against a scripted Postgres.

use std::sync::Arc;

use engine::driver::sim::{Event, Peer, Sim};
use engine::pgbench::{
    Amount, Command, Conflicts, Expression, Function, KeepRows, Program, ScriptReport, Slot, Step,
    Value, Workload,
};
use engine::{
    ConnectionId, Ending, Gaps, Load, MILLISECOND, Nanos, Opening, Phase, SECOND, Script, Stream,
    StreamReport, Target, Worker,
};
use wire::postgres::{Login, Statement};
use wire::{Class, Operation, Piece, Request};

const CLIENTS: u32 = 2;
/// The server answers after so long.
const ANSWER_NS: Nanos = MILLISECOND;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn done(status: &[u8]) -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), message(b'Z', status)].concat()
}

fn row(column: &str, value: &str) -> Vec<u8> {
    let description = [&[0, 1], column.as_bytes(), &[0; 19]].concat();
    let length = (value.len() as u32).to_be_bytes();
    let data = [&[0, 1], &length[..], value.as_bytes()].concat();
    [message(b'T', &description), message(b'D', &data), done(b"I")].concat()
}

fn error(sqlstate: &str) -> Vec<u8> {
    let words = format!("VERROR\0C{sqlstate}\0Mwords\0\0");
    [message(b'E', words.as_bytes()), message(b'Z', b"I")].concat()
}

/// Answers queries by their texts; no answer is the end of the connection.
struct Postgres<F> {
    answer: F,
    /// What came, on which connection.
    queries: Vec<(ConnectionId, String)>,
    /// A connection ends so long after each answer.
    ends_after_ns: Option<Nanos>,
    connecting_ns: Nanos,
}

impl<F: FnMut(&str) -> Option<Vec<u8>>> Peer for Postgres<F> {
    fn connect(&mut self, _: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        vec![(now + self.connecting_ns, Event::Connected)]
    }

    fn receive(&mut self, id: ConnectionId, now: Nanos, bytes: &[u8]) -> Vec<(Nanos, Event)> {
        if bytes[0] != b'Q' {
            let greeting = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
            return vec![(now, Event::Bytes(greeting))];
        }
        let text = String::from_utf8(bytes[5..bytes.len() - 1].to_vec()).unwrap();
        let answer = (self.answer)(&text);
        self.queries.push((id, text));
        let at = now + ANSWER_NS;
        let mut events = vec![(at, answer.map_or(Event::Closed, Event::Bytes))];
        events.extend(self.ends_after_ns.map(|after_ns| (at + after_ns, Event::Closed)));
        events
    }
}

/// Scripts, in the making.
#[derive(Default)]
struct Making {
    commands: Vec<Command>,
    operations: Vec<Operation>,
    /// How many commands are recorded.
    recorded: u32,
    latency_limit_ns: Option<Nanos>,
    is_timed: bool,
    /// Each transaction has a connection of its own, which takes so long to open.
    connecting_ns: Option<Nanos>,
}

const NAMES: [&str; 3] = ["a", "b", "client_id"];
const A: Slot = Slot(0);
const CLIENT_ID: Slot = Slot(2);

impl Making {
    fn step(mut self, step: Step) -> Self {
        let line = self.commands.len() as u32 + 1;
        self.commands.push(Command { line, column: 1, number: line, recording: None, step });
        self
    }

    /// Records the command that was added last.
    fn recorded(mut self) -> Self {
        self.commands.last_mut().unwrap().recording = Some(self.recorded);
        self.recorded += 1;
        self
    }

    /// A statement that is a word and a variable.
    fn send(mut self, word: &str, slot: Slot, rows: Option<KeepRows>) -> Self {
        let pieces = vec![Piece::Bytes(word.as_bytes().into()), Piece::Hole(0)];
        let statement = Statement::verbatim(pieces).unwrap();
        let statement = if rows.is_some() { statement.keeping_rows() } else { statement };
        let operation = self.operations.len() as u32;
        self.operations.push(Operation {
            name: word.into(),
            idempotent: false,
            request: Request::Postgres(statement),
            checks: Vec::new(),
        });
        self.step(Step::Statement { operation, parameters: [slot].into(), rows })
    }

    fn random(self) -> Self {
        let bound = |bound| Expression::Constant(Value::Integer(bound));
        let random = Expression::Call(Function::Random, [bound(1), bound(1_000_000)].into());
        self.step(Step::Set(A, random))
    }

    /// Runs them to the load's end.
    fn run(
        self,
        load: Load,
        tries_max: Option<u32>,
        ends_after_ns: Option<Nanos>,
        answer: impl FnMut(&str) -> Option<Vec<u8>>,
    ) -> (StreamReport, Vec<(ConnectionId, String)>) {
        let (mut reports, queries) = self.phases(1, load, tries_max, ends_after_ns, answer);
        (reports.remove(0), queries)
    }

    /// Runs them so many times, with clients that begin anew.
    fn phases(
        self,
        count: usize,
        load: Load,
        tries_max: Option<u32>,
        ends_after_ns: Option<Nanos>,
        answer: impl FnMut(&str) -> Option<Vec<u8>>,
    ) -> (Vec<StreamReport>, Vec<(ConnectionId, String)>) {
        let workload = Workload {
            programs: vec![Program { name: "script".into(), weight: 1, commands: self.commands }],
            variables: NAMES.map(|name| name.as_bytes().into()).into(),
            presets: Vec::new(),
            clients: CLIENTS,
            tries_max,
            is_timed: self.is_timed,
            latency_limit_ns: self.latency_limit_ns,
            records_commands: self.recorded > 0,
            recorded_commands: self.recorded,
            keeps_samples: false,
            is_verbatim: true,
        };
        let login = Login::new("nova", "nova", "poolbench", None).unwrap();
        let target = Target {
            name: "postgres".into(),
            address: "127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap().into(),
            opening: Opening::Postgres(Arc::new(login)),
            operations: self.operations.into(),
            connections: CLIENTS,
            connections_max: CLIENTS,
            opening_at_once: 1,
            timeout_ns: 60 * SECOND,
        };
        let stream = Stream {
            target: 0,
            script: Script::Pgbench(Arc::new(workload)),
            load,
            think_time_ns: (0, 0),
            start_ns: 0,
            graceful_stop_ns: 60 * SECOND,
            reconnect: self.connecting_ns.is_some(),
            cancel: None,
            seed: 1,
        };
        let mut worker = Worker::new(0, 1, Arc::new([target]));
        let connecting_ns = self.connecting_ns.unwrap_or(0);
        let peer = Postgres { answer, queries: Vec::new(), ends_after_ns, connecting_ns };
        let mut sim = Sim::new(&worker, peer);
        sim.open(&mut worker);
        let phase = Phase::new(vec![stream]).unwrap();
        let reports = (0..count).map(|_| {
            worker.begin(&phase, sim.now());
            sim.run(&mut worker, |worker, now| worker.is_drained(now));
            let now = sim.now();
            let (_, mut rest) = worker.finish(Ending::Complete, now, &mut sim).unwrap();
            rest.streams.remove(0)
        });
        (reports.collect(), sim.peer.queries)
    }
}

fn each(iterations: u64) -> Load {
    Load::PerVuIterations { vus: CLIENTS, iterations, max_duration_ns: 3600 * SECOND }
}

fn script(report: &StreamReport) -> &ScriptReport {
    report.script.as_deref().expect("it ran a script")
}

fn conflicts(report: &StreamReport) -> Conflicts {
    script(report).conflicts[0]
}

fn failures(report: &StreamReport) -> Vec<(Class, u64)> {
    let transactions = &report.recording.operations[0];
    transactions.failures().map(|(class, count, _)| (class, count)).collect()
}

#[test]
fn a_transaction_keeps_its_connection_its_variables_and_its_time() {
    let keep = KeepRows { prefix: "".into(), is_single: true };
    let making = Making::default()
        .send("first ", CLIENT_ID, Some(keep))
        .step(Step::Sleep(Amount::Constant(5), MILLISECOND))
        .send("second ", A, None);
    let (report, queries) = making.run(each(3), Some(1), None, |text| {
        Some(match text.split_once(' ').unwrap() {
            ("first", client) => row("a", &format!("row-of-{client}")),
            _ => done(b"I"),
        })
    });
    assert_eq!((report.iterations, failures(&report)), (6, vec![]));
    for id in 0..CLIENTS {
        let own: Vec<_> = queries.iter().filter(|(other, _)| *other == id).collect();
        assert_eq!(own.len(), 6);
        for pair in own.chunks(2) {
            let client = pair[0].1.strip_prefix("first ").unwrap();
            assert_eq!(pair[1].1, format!("second row-of-{client}"));
        }
    }
    let took = &report.recording.whole().service;
    let expected = 2 * ANSWER_NS + 5 * MILLISECOND;
    assert_eq!(took.count_between(expected, expected), 6);
}

#[test]
fn what_may_be_tried_again_is_with_the_same_random_numbers() {
    let mut failing = 2;
    let making = || Making::default().random().send("draw ", A, None);
    let one = Load::PerVuIterations { vus: 1, iterations: 2, max_duration_ns: SECOND };
    let (report, queries) = making().run(one.clone(), Some(3), None, |_| {
        failing -= 1;
        Some(if failing >= 0 { error("40001") } else { done(b"I") })
    });
    assert_eq!(failures(&report), []);
    assert_eq!(conflicts(&report), Conflicts { retried: 1, retries: 2, ..Conflicts::default() });
    let texts: Vec<_> = queries.into_iter().map(|(_, text)| text).collect();
    assert!(texts[0] == texts[1] && texts[1] == texts[2] && texts[2] != texts[3], "{texts:?}");
    let (report, _) = making().run(one, Some(3), None, |_| Some(error("40P01")));
    assert_eq!(failures(&report), [(Class::Retryable, 2)]);
    let expected =
        Conflicts { retried: 2, retries: 4, deadlock_failures: 2, ..Conflicts::default() };
    assert_eq!(conflicts(&report), expected);
}

#[test]
fn commands_that_take_time_are_recorded_with_their_failures_and_retries() {
    let mut failing = 2;
    let making = Making::default()
        .random()
        .send("first ", A, None)
        .recorded()
        .step(Step::Sleep(Amount::Constant(5), MILLISECOND))
        .recorded()
        .send("second ", A, None)
        .recorded();
    let one = Load::PerVuIterations { vus: 1, iterations: 2, max_duration_ns: SECOND };
    let (report, _) = making.run(one, Some(2), None, |text| {
        failing -= i32::from(text.starts_with("second"));
        Some(if text.starts_with("second") && failing >= 0 { error("40001") } else { done(b"I") })
    });
    // The first transaction fails twice, the second succeeds.
    let expected =
        Conflicts { retried: 1, retries: 1, serialization_failures: 1, ..Conflicts::default() };
    assert_eq!(conflicts(&report), expected);
    assert_eq!(script(&report).command_retries, [0, 0, 1]);
    let [_, first, sleep, second] = &report.recording.operations[..] else { panic!() };
    assert_eq!((first.service.len(), first.failed.len()), (3, 0));
    assert_eq!(sleep.service.count_between(5 * MILLISECOND, 5 * MILLISECOND), 3);
    assert_eq!((second.service.len(), second.failed.len()), (1, 2));
}

#[test]
fn an_error_that_is_not_the_scripts_ends_the_transaction_alone() {
    let mut number = 0;
    let making = Making::default().send("first ", A, None).send("second ", A, None);
    let load = Load::PerVuIterations { vus: 1, iterations: 8, max_duration_ns: SECOND };
    let (report, queries) = making.run(load, Some(5), None, |text| {
        number += u32::from(text.starts_with("first"));
        // insufficient_resources
        Some(if number % 2 == 0 { error("53000") } else { done(b"I") })
    });
    assert_eq!(report.iterations, 8);
    assert_eq!(failures(&report), [(Class::Capacity, 4)]);
    let [failed] = &script(&report).failures[..] else { panic!("{report:?}") };
    assert_eq!((failed.line, failed.class, failed.count), (1, Class::Capacity, 4));
    assert_eq!(failed.first.message, "words");
    let seconds = queries.iter().filter(|(_, text)| text.starts_with("second")).count();
    assert_eq!(seconds, 4, "what failed went no further");
}

#[test]
fn a_script_without_statements_does_not_keep_everything_else_from_being_done() {
    let making = || Making::default().random();
    let (report, _) = making().run(each(10_000), Some(1), None, |_| None);
    assert_eq!((report.iterations, failures(&report)), (20_000, vec![]));
    let load = Load::ConstantArrivalRate {
        rate: 100_000.0,
        gaps: Gaps::Poisson,
        duration_ns: SECOND,
        pre_allocated_vus: CLIENTS,
        max_vus: CLIENTS,
    };
    let (report, _) = making().run(load, Some(1), None, |_| None);
    assert_eq!((report.iterations, report.dropped), (report.planned, 0));
}

#[test]
fn a_connection_that_ends_in_a_sleep_is_the_transactions_failure_and_is_opened_again() {
    let making = Making::default()
        .send("first ", A, None)
        .step(Step::Sleep(Amount::Constant(1), SECOND))
        .send("second ", A, None);
    let ends_after_ns = Some(MILLISECOND);
    let (report, _) = making.run(each(3), Some(1), ends_after_ns, |_| Some(done(b"I")));
    assert_eq!(failures(&report), [(Class::Disconnected, 6)]);
    assert!(report.reopened >= 5, "{}", report.reopened);
    let [failed] = &script(&report).failures[..] else { panic!("{report:?}") };
    assert_eq!((failed.line, failed.class, failed.count), (2, Class::Disconnected, 6));
}

/// An answer, and with the same bytes the end of the connection, as a pooler's that lets nobody stay.
fn done_and_thrown_out() -> Vec<u8> {
    let words = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0";
    [done(b"I"), message(b'E', words)].concat()
}

#[test]
fn who_is_thrown_out_with_an_answer_has_it_and_another_connection() {
    let thrown_out =
        |making: Making| making.run(each(3), Some(1), None, |_| Some(done_and_thrown_out())).0;
    let report = thrown_out(Making::default().send("only ", A, None));
    assert_eq!((report.iterations, failures(&report)), (6, vec![]));
    assert!(report.reopened >= 5, "{}", report.reopened);
    // What is not at its end can't come to it.
    let report = thrown_out(Making::default().send("first ", A, None).send("second ", A, None));
    assert_eq!((report.iterations, failures(&report)), (6, vec![(Class::Unavailable, 6)]));
    let [failed] = &script(&report).failures[..] else { panic!("{report:?}") };
    assert_eq!((failed.line, failed.class, failed.count), (2, Class::Unavailable, 6));
    let asleep = Making::default()
        .send("first ", A, None)
        .step(Step::Sleep(Amount::Constant(1), SECOND))
        .send("second ", A, None);
    let report = thrown_out(asleep);
    assert_eq!((report.iterations, failures(&report)), (6, vec![(Class::Unavailable, 6)]));
}

/// Why clients have gone.
fn aborted(report: &StreamReport) -> Vec<String> {
    script(report).aborted.iter().map(ToString::to_string).collect()
}

#[test]
fn a_client_whose_script_cannot_go_on_goes_alone() {
    let one = Expression::Constant(Value::Integer(1));
    let divided = [one, Expression::Variable(CLIENT_ID)].into();
    let divided = Expression::Call(Function::Divide, divided);
    let making = Making::default().send("first ", A, None).step(Step::Set(A, divided));
    let (report, queries) = making.run(each(3), Some(1), None, |_| Some(done(b"I")));
    // Client 0 divides by its number.
    assert_eq!((queries.len(), report.iterations, report.interrupted), (4, 3, 1));
    assert_eq!(report.reopened, 0);
    let words = &aborted(&report)[..];
    let start = "client 0 aborted in command 1 at script:2:1: division by zero: ";
    assert!(words.len() == 1 && words[0].starts_with(start), "{words:?}");
}

#[test]
fn a_statement_that_the_server_refuses_costs_its_client() {
    let answer = |text: &str| Some(if text.ends_with('0') { error("22012") } else { done(b"I") });
    let making = Making::default().random().send("first ", CLIENT_ID, None);
    let (report, queries) = making.run(each(3), Some(5), None, answer);
    assert_eq!((queries.len(), report.iterations, report.interrupted), (4, 4, 0));
    assert_eq!((report.reopened, failures(&report)), (0, vec![(Class::Sql, 1)]));
    let expected = "client 0 aborted in command 1 at script:2:1: SQLSTATE 22012: words";
    assert_eq!(aborted(&report), [expected]);
    let [failed] = &script(&report).failures[..] else { panic!("{report:?}") };
    assert_eq!((failed.line, failed.class, failed.count), (2, Class::Sql, 1));
}

#[test]
fn clients_that_have_gone_are_there_again_in_the_next_phase() {
    let answer = |text: &str| Some(if text.ends_with('0') { error("22012") } else { done(b"I") });
    let making = Making::default().send("first ", CLIENT_ID, None);
    let (reports, queries) = making.phases(2, each(3), Some(1), None, answer);
    for report in &reports {
        assert_eq!((report.iterations, aborted(report).len()), (4, 1));
    }
    let of_first = queries.iter().filter(|(_, text)| text == "first 0").count();
    assert_eq!((queries.len(), of_first), (8, 2));
}

#[test]
fn a_transaction_that_is_left_open_counts_and_costs_its_client() {
    let making = Making::default().send("BEGIN ", A, None);
    let (report, _) = making.run(each(3), Some(1), None, |_| Some(done(b"T")));
    assert_eq!((report.iterations, failures(&report)), (2, vec![]));
    let words = aborted(&report);
    assert_eq!(words.len(), 2);
    assert!(words[0].contains("with its transaction still open"), "{words:?}");
}

/// Transactions that are due at this rate for so long.
fn scheduled(rate: f64, duration_ns: Nanos) -> Load {
    let (pre_allocated_vus, max_vus) = (CLIENTS, CLIENTS);
    let gaps = Gaps::Uniform;
    Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus, max_vus }
}

#[test]
fn a_rate_without_clients_left_is_over() {
    let making = Making::default().send("first ", A, None);
    let load = scheduled(100.0, 3600 * SECOND);
    let (report, queries) = making.run(load, Some(1), None, |_| Some(error("42P01")));
    assert_eq!((queries.len(), aborted(&report).len()), (2, 2));
    assert!(report.planned < 5, "{}", report.planned);
    // One that is left carries all that it can.
    let making = Making::default().send("first ", CLIENT_ID, None);
    let answer = |text: &str| Some(if text.ends_with('0') { error("42P01") } else { done(b"I") });
    let (report, _) = making.run(scheduled(100.0, SECOND), Some(1), None, answer);
    assert_eq!((report.planned, report.iterations), (100, 100));
    assert_eq!(failures(&report), [(Class::Sql, 1)]);
}

#[test]
fn nothing_is_tried_again_after_the_time() {
    let making = Making { is_timed: true, ..Making::default() }.send("first ", A, None);
    let load = Load::ConstantVus { vus: CLIENTS, duration_ns: 10 * MILLISECOND };
    let (report, _) = making.run(load, None, None, |_| Some(error("40001")));
    assert_eq!(failures(&report), [(Class::Retryable, 2)]);
    // The tenth answer comes when the time is over.
    assert_eq!(conflicts(&report).retries, 18);
}

#[test]
fn the_limit_of_tries_runs_from_the_instant_that_was_due() {
    let limit = Some(3 * MILLISECOND);
    let making = Making { latency_limit_ns: limit, ..Making::default() }.send("first ", A, None);
    let load = scheduled(2000.0, 10 * MILLISECOND);
    let (report, _) = making.run(load, None, None, |_| Some(error("40001")));
    assert!(report.iterations > 10, "{}", report.iterations);
    // The first two are answered after 1, 2, 3 and 4 ms; those behind them have waited for as long.
    assert_eq!((conflicts(&report).retried, conflicts(&report).retries), (2, 6));
}

#[test]
fn what_takes_exactly_the_limit_is_not_above_it() {
    for (limit_ns, above) in [(ANSWER_NS, 0), (ANSWER_NS - 1, 6)] {
        let making = Making { latency_limit_ns: Some(limit_ns), ..Making::default() };
        let making = making.send("first ", A, None);
        let (report, _) = making.run(each(3), Some(1), None, |_| Some(done(b"I")));
        assert_eq!(script(&report).above_limit, [above], "{limit_ns}");
    }
}

#[test]
fn connecting_counts_where_there_is_a_schedule_as_with_pgbench() {
    let connecting_ns = 5 * MILLISECOND;
    for (load, expected) in
        [(each(3), ANSWER_NS), (scheduled(50.0, 120 * MILLISECOND), connecting_ns + ANSWER_NS)]
    {
        let making = Making { connecting_ns: Some(connecting_ns), ..Making::default() };
        let making = making.send("first ", A, None);
        let (report, _) = making.run(load, Some(1), None, |_| Some(done(b"I")));
        let took = &report.recording.operations[0].response;
        assert_eq!((took.len(), took.count_between(expected, expected)), (6, 6), "{took:?}");
        let opened = &report.connections.as_ref().expect("one for each").open;
        assert_eq!(opened.count_between(connecting_ns, connecting_ns), 6);
    }
}
