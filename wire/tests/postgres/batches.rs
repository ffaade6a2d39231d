//! Requests of several statements.

use bytes::BytesMut;
use wire::postgres::{Batch, Parameter, Pipeline, Protocol, Statement};
use wire::{Class, Code, Counts, Operation, Outcome, Progress, Request, Session, Values};

use crate::peer::{bound, busy, error, feed, login, message, ready, row, session};

const ID: [Parameter; 1] = [Parameter { hole: 0, type_oid: 20 }];

fn statement(sql: &str, protocol: Protocol) -> Statement {
    let parameters = if sql.contains("$1") { &ID[..] } else { &[] };
    Statement::new(sql, parameters, protocol, sql).unwrap()
}

fn batch(statements: Vec<Statement>, pipeline: Pipeline) -> Operation {
    Operation {
        name: "batch".into(),
        idempotent: false,
        request: Request::PostgresBatch(Batch::new(statements, pipeline).into()),
        checks: Vec::new(),
    }
}

/// Three statements, each of which must bring a number of its own: 42, 43 and 44.
pub(crate) fn numbers(protocol: Protocol, pipeline: Pipeline) -> Operation {
    let number = |hole| {
        let statement = Statement::new("SELECT $1", &[Parameter { hole, ..ID[0] }], protocol, "n");
        statement.unwrap().expect_first_column(hole)
    };
    batch((0..3).map(number).collect(), pipeline)
}

fn transaction(protocol: Protocol) -> Operation {
    let select = statement("SELECT $1", protocol).expect_first_column(0);
    let statements = vec![statement("BEGIN", protocol), select, statement("COMMIT", protocol)];
    batch(statements, Pipeline::Off)
}

fn state(byte: u8) -> Vec<u8> {
    message(b'Z', &[byte])
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

fn selected(number: &str) -> Vec<u8> {
    [bound(), row(number), complete("SELECT 1")].concat()
}

/// A session with `operation` in flight, and what it sent.
fn begun(operation: &Operation) -> (Session, BytesMut) {
    let mut one = session(operation);
    one.open(&mut BytesMut::new());
    let events = feed(&mut one, &login(), &[1000]);
    if events == [Progress::Write] {
        assert_eq!(
            feed(&mut one, &[message(b'1', b""), ready()].concat(), &[9]),
            [Progress::Ready]
        );
    }
    let mut values = Values::new();
    (42..45).for_each(|number| values.push_integer(number));
    let mut sent = BytesMut::new();
    one.request(operation, &values, &mut sent);
    (one, sent)
}

/// What comes of `reply`, which answers all that is sent: the messages that are sent after the
/// first ones, the outcome and the counts; the same for every place it is cut at.
fn played(operation: &Operation, reply: &[u8]) -> (Vec<Vec<u8>>, Outcome, Counts, Session) {
    let play = |cuts: &[usize]| {
        let mut one = begun(operation).0;
        let (mut sent, mut outcome) = (Vec::new(), None);
        let mut rest = reply;
        for length in cuts.iter().cycle() {
            let (mut piece, after) = rest.split_at((*length).min(rest.len()));
            rest = after;
            while !piece.is_empty() {
                let mut out = BytesMut::new();
                match one.receive(&mut piece, &mut out) {
                    Progress::NeedMore => {}
                    Progress::Write => sent.push(out.to_vec()),
                    Progress::Response(came) => assert_eq!(outcome.replace(came), None),
                    other => panic!("{other:?}"),
                }
            }
            if rest.is_empty() {
                break;
            }
        }
        let counts = one.take_counts().unwrap();
        ((sent, outcome.expect("a response"), counts), one)
    };
    let (expected, one) = play(&[reply.len()]);
    for cut in 1..reply.len() {
        assert_eq!(play(&[cut, reply.len()]).0, expected, "cut at {cut}");
    }
    assert_eq!(play(&[1]).0, expected, "byte by byte");
    let (sent, outcome, counts) = expected;
    (sent, outcome, counts, one)
}

fn encoded(statement: &Statement) -> Vec<u8> {
    let request = Request::Postgres(statement.clone());
    let operation = Operation { request, ..transaction(Protocol::Extended) };
    begun(&operation).1.to_vec()
}

const ROLLBACK: &[u8] = b"Q\0\0\0\x0dROLLBACK\0";

#[test]
fn each_statement_is_sent_when_the_one_before_it_was_answered() {
    for protocol in [Protocol::Simple, Protocol::Extended, Protocol::Prepared] {
        let operation = transaction(protocol);
        assert_eq!(begun(&operation).1, encoded(&statement("BEGIN", protocol)));
        let reply = [
            complete("BEGIN"),
            state(b'T'),
            selected("42"),
            state(b'T'),
            complete("COMMIT"),
            state(b'I'),
        ]
        .concat();
        let (sent, outcome, counts, one) = played(&operation, &reply);
        let rest = ["SELECT $1", "COMMIT"].map(|sql| encoded(&statement(sql, protocol)));
        assert_eq!((sent, outcome), (rest.to_vec(), Outcome::Ok));
        assert_eq!(counts, Counts { requests: 1, queries: 3, transactions: 1, ..counts });
        assert_eq!((counts.failed, counts.skipped), (0, 0));
        assert!(one.is_reusable());
    }
}

#[test]
fn a_transaction_that_failed_is_rolled_back_and_the_rest_is_not_sent() {
    let operation = transaction(Protocol::Extended);
    let failed = error("ERROR", "40001", "could not serialize access");
    let until_rollback = [complete("BEGIN"), state(b'T'), failed, state(b'E')].concat();
    let reply = [&until_rollback[..], &complete("ROLLBACK"), &state(b'I')].concat();
    let (sent, outcome, counts, one) = played(&operation, &reply);
    assert_eq!(outcome, Outcome::Failed(Class::Retryable));
    assert_eq!(one.failure().code, Code::SqlState(*b"40001"));
    assert_eq!(sent[1], ROLLBACK);
    assert!(one.is_reusable());
    let expected = Counts { requests: 1, queries: 3, failed: 1, transactions: 1, ..counts };
    assert_eq!(counts, expected);

    let (_, outcome, _, one) = played(&operation, &[&until_rollback[..], &state(b'E')].concat());
    assert_eq!(outcome, Outcome::Failed(Class::Retryable));
    assert!(!one.is_reusable(), "it could not be rolled back");
}

#[test]
fn a_transaction_that_is_left_open_is_rolled_back_and_told() {
    let begin = vec![statement("BEGIN", Protocol::Simple)];
    let reply = [complete("BEGIN"), state(b'T'), complete("ROLLBACK"), state(b'I')].concat();
    let (sent, outcome, _, one) = played(&batch(begin, Pipeline::Off), &reply);
    assert_eq!((sent, outcome), (vec![ROLLBACK.to_vec()], Outcome::Failed(Class::Sql)));
    assert!(one.failure().message.contains("left open"), "{:?}", one.failure());
}

#[test]
fn a_statement_alone_that_fails_in_a_block_of_its_own_is_rolled_back_too() {
    let request = Request::Postgres(statement("BEGIN; SELECT 1/0; COMMIT", Protocol::Simple));
    let operation = Operation { request, ..transaction(Protocol::Simple) };
    let failed = error("ERROR", "22012", "division by zero");
    let rolled_back = [complete("ROLLBACK"), state(b'I')].concat();
    let reply = [complete("BEGIN"), failed, state(b'E'), rolled_back].concat();
    let (sent, outcome, counts, _) = played(&operation, &reply);
    assert_eq!((sent, outcome), (vec![ROLLBACK.to_vec()], Outcome::Failed(Class::Sql)));
    assert_eq!(counts, Counts { requests: 1, queries: 2, failed: 1, ..counts });
}

#[test]
fn with_a_sync_each_one_that_fails_leaves_the_others_standing() {
    for protocol in [Protocol::Simple, Protocol::Extended] {
        let operation = numbers(protocol, Pipeline::SyncEach);
        let (_, sent) = begun(&operation);
        let ends = if protocol == Protocol::Simple { b'Q' } else { b'S' };
        assert_eq!(kinds(&sent).iter().filter(|kind| **kind == ends).count(), 3);
        let failed = error("ERROR", "22012", "division by zero");
        let reply = [selected("42"), ready(), failed, ready(), selected("44"), ready()].concat();
        let (sent, outcome, counts, one) = played(&operation, &reply);
        assert_eq!((sent.len(), outcome), (0, Outcome::Failed(Class::Sql)));
        assert_eq!(one.failure().message, "division by zero");
        let expected = Counts { requests: 1, queries: 3, failed: 1, transactions: 3, ..counts };
        assert_eq!(counts, expected);
    }
}

#[test]
fn with_one_sync_the_server_passes_over_what_is_behind_the_one_that_fails() {
    for protocol in [Protocol::Simple, Protocol::Extended, Protocol::Prepared] {
        let operation = numbers(protocol, Pipeline::SyncOnce);
        let (_, sent) = begun(&operation);
        let expected: &[u8] = match protocol {
            Protocol::Simple => b"Q",
            Protocol::Extended => b"PBDEPBDEPBDES",
            Protocol::Prepared => b"BDEBDEBDES",
        };
        assert_eq!(kinds(&sent), expected);
        let all = [selected("42"), selected("43"), selected("44"), ready()].concat();
        assert_eq!(played(&operation, &all).1, Outcome::Ok);
        let failed = error("ERROR", "22012", "division by zero");
        let (_, outcome, counts, _) =
            played(&operation, &[selected("42"), failed, ready()].concat());
        assert_eq!(outcome, Outcome::Failed(Class::Sql));
        let expected = Counts { queries: 3, failed: 1, skipped: 1, transactions: 1, ..counts };
        assert_eq!(counts, expected);
    }
}

#[test]
fn statements_under_one_sync_are_one_simple_query() {
    let texts = ["SELECT $1 -- first", "SELECT 2"];
    let statements = texts.map(|sql| statement(sql, Protocol::Simple)).to_vec();
    let (_, sent) = begun(&batch(statements, Pipeline::SyncOnce));
    assert_eq!(sent[..], *b"Q\0\0\0\x21SELECT 42 -- first\n;SELECT 2\0".as_slice());
}

#[test]
fn every_reply_must_bring_its_own_number() {
    for pipeline in [Pipeline::Off, Pipeline::SyncEach, Pipeline::SyncOnce] {
        let operation = numbers(Protocol::Extended, pipeline);
        let between = if pipeline == Pipeline::SyncOnce { Vec::new() } else { ready() };
        let reply = |numbers: [&str; 3]| {
            let [one, two, three] = numbers.map(selected);
            [one, between.clone(), two, between.clone(), three, ready()].concat()
        };
        assert_eq!(played(&operation, &reply(["42", "43", "44"])).1, Outcome::Ok);
        let (_, outcome, _, one) = played(&operation, &reply(["42", "44", "43"]));
        assert_eq!(outcome, Outcome::Failed(Class::WrongReply), "{pipeline:?}");
        assert_eq!(one.failure().message, "asked for 43, got 44", "the first of the two");
        let empty = [bound(), complete("SELECT 0")].concat();
        let reply =
            [selected("42"), between.clone(), empty, between, selected("44"), ready()].concat();
        assert_eq!(played(&operation, &reply).1, Outcome::Failed(Class::EmptyReply));
    }
}

#[test]
fn an_error_and_a_close_fail_the_whole_pipeline_at_once() {
    let (mut one, _) = begun(&numbers(Protocol::Extended, Pipeline::SyncEach));
    feed(&mut one, &selected("42"), &[7]);
    assert_eq!(feed(&mut one, &error("ERROR", "58000", "server conn crashed?"), &[7]), []);
    let failed = Outcome::Failed(Class::Unavailable);
    assert_eq!(one.end_of_stream(), Progress::Response(failed));
    assert!(!one.is_reusable());

    let (mut one, _) = begun(&numbers(Protocol::Extended, Pipeline::SyncEach));
    let fatal = error("FATAL", "57P01", "terminating connection");
    assert_eq!(feed(&mut one, &fatal, &[7]), [Progress::Response(failed)]);
}

#[test]
fn a_statement_that_is_sent_several_times_is_prepared_once() {
    let operation = numbers(Protocol::Prepared, Pipeline::SyncEach);
    let mut one = session(&operation);
    one.open(&mut BytesMut::new());
    let mut out = BytesMut::new();
    assert_eq!(one.receive(&mut &login()[..], &mut out), Progress::Write);
    assert_eq!(kinds(&out), b"PS");
}

#[test]
fn rows_that_are_copied_out_are_counted() {
    const LONG: usize = 100_000;
    let copied = [
        message(b'H', &[0, 0, 1, 0, 0]),
        message(b'd', b"1\n"),
        message(b'd', &[b'x'; LONG]),
        message(b'd', &[0xff, 0xff]),
        message(b'c', b""),
        complete("COPY 2"),
        ready(),
    ]
    .concat();
    for piece in [1000, copied.len()] {
        let mut one = busy_with("COPY a TO STDOUT", Protocol::Simple);
        assert_eq!(feed(&mut one, &copied, &[piece]), [Progress::Response(Outcome::Ok)]);
        let counts = one.take_counts().unwrap();
        let expected =
            Counts { copied_rows: 2, copied_bytes: LONG as u64 + 4, ..Counts::default() };
        assert_eq!(counts, expected, "the trailer of the binary format is no row");
    }
}

#[test]
fn a_copy_that_waits_for_data_is_refused_and_does_not_hang() {
    let waits = message(b'G', &[0, 0, 0]);
    let failed = error("ERROR", "57014", "COPY from stdin failed: no data is sent");
    for (protocol, expected) in
        [(Protocol::Simple, &b"f"[..]), (Protocol::Extended, b"fS"), (Protocol::Prepared, b"fS")]
    {
        let mut one = busy_with("COPY a FROM STDIN", protocol);
        let mut out = BytesMut::new();
        assert_eq!(one.receive(&mut &waits[..], &mut out), Progress::Write);
        assert_eq!(kinds(&out), expected);
        let response = Progress::Response(Outcome::Failed(Class::Sql));
        assert_eq!(feed(&mut one, &[failed.clone(), ready()].concat(), &[5]), [response]);
        assert!(one.failure().message.contains("waits for data"), "{:?}", one.failure());
        assert!(one.is_reusable());
    }
    for pipeline in [Pipeline::SyncEach, Pipeline::SyncOnce] {
        let copies = vec![statement("COPY a FROM STDIN", Protocol::Extended); 2];
        let (mut one, _) = begun(&batch(copies, pipeline));
        let response = Progress::Response(Outcome::Failed(Class::Sql));
        assert_eq!(feed(&mut one, &waits, &[5]), [response]);
        assert!(!one.is_reusable(), "nobody knows what it swallowed");
    }
}

#[test]
fn notices_are_counted_wherever_they_come() {
    let mut one = busy();
    let notice = message(b'N', b"SNOTICE\0Mhello\0\0");
    let reply = [&notice[..], &bound(), &notice, &row("42"), &ready(), &notice].concat();
    feed(&mut one, &reply, &[9]);
    assert_eq!(one.take_counts(), Some(Counts { notices: 3, ..Counts::default() }));
    assert_eq!(one.take_counts(), Some(Counts::default()), "since it was last asked");
    one.open(&mut BytesMut::new());
    assert_eq!(one.take_counts(), None);
}

/// A session with one statement in flight.
fn busy_with(sql: &str, protocol: Protocol) -> Session {
    let request = Request::Postgres(statement(sql, protocol));
    begun(&Operation { request, ..transaction(protocol) }).0
}

/// The type bytes of the messages.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        let length = u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize;
        kinds.push(*kind);
        bytes = &rest[length..];
    }
    kinds
}
