//! A Postgres session fed with scripted server bytes, cut at every place.

use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use wire::{
    Class, Code, Operation, Outcome, Progress, Request, Session, Values,
    postgres::{self, Login, Parameter, Protocol, Statement},
};

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn row(column: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((column.len() as u32).to_be_bytes());
    body.extend(column.as_bytes());
    message(b'D', &body)
}

fn error(severity: &str, sqlstate: &str, words: &str) -> Vec<u8> {
    let fields = format!("S{severity}\0V{severity}\0C{sqlstate}\0M{words}\0\0");
    message(b'E', fields.as_bytes())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn login() -> Vec<u8> {
    [message(b'R', &[0; 4]), message(b'S', b"TimeZone\0UTC\0"), message(b'K', &[0; 8]), ready()]
        .concat()
}

/// The start of every reply in the extended protocol.
fn bound() -> Vec<u8> {
    [message(b'1', b""), message(b'2', b""), message(b'T', &[0, 0])].concat()
}

fn operation(protocol: Protocol) -> Operation {
    let parameters = [Parameter { hole: 0, type_oid: 20 }];
    let statement = Statement::new("SELECT $1", &parameters, protocol, "getUser").unwrap();
    Operation {
        name: "getUser".into(),
        idempotent: true,
        request: Request::Postgres(statement.expect_first_column(0)),
        checks: Vec::new(),
    }
}

fn session(operation: &Operation) -> Session {
    let Request::Postgres(statement) = &operation.request else { panic!("a statement") };
    let login = Login::new("nova", "nova", "poolbench", Some(b"secret")).unwrap();
    Session::Postgres(postgres::Session::new(Arc::new(login), [statement]))
}

/// Feeds `bytes` in pieces of the given lengths (repeated); returns all events.
fn feed(session: &mut Session, bytes: &[u8], cuts: &[usize]) -> Vec<Progress> {
    let mut events = Vec::new();
    let mut out = BytesMut::new();
    let mut rest = bytes;
    let mut lengths = cuts.iter().cycle();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*lengths.next().unwrap()).clamp(1, rest.len()));
        rest = after;
        let mut input = piece;
        while !input.is_empty() {
            match session.receive(&mut input, &mut out) {
                Progress::NeedMore => {}
                progress => events.push(progress),
            }
        }
    }
    events
}

/// A ready session with request 42 in flight.
fn busy() -> Session {
    let operation = operation(Protocol::Extended);
    let mut session = session(&operation);
    let mut out = BytesMut::new();
    assert_eq!(session.open(&mut out), Progress::Write);
    assert_eq!(feed(&mut session, &login(), &[1000]), [Progress::Ready]);
    request(&mut session, &operation);
    session
}

fn request(session: &mut Session, operation: &Operation) {
    let mut values = Values::new();
    values.push_integer(42);
    session.request(operation, &values, &mut BytesMut::new());
}

/// The one outcome of `reply`, the same for every place it is cut at.
fn outcome(reply: &[u8]) -> (Outcome, Session) {
    let mut whole = busy();
    let expected = feed(&mut whole, reply, &[reply.len()]);
    for cut in 1..reply.len() {
        assert_eq!(feed(&mut busy(), reply, &[cut, reply.len()]), expected, "cut at {cut}");
    }
    assert_eq!(feed(&mut busy(), reply, &[1]), expected, "byte by byte");
    match expected[..] {
        [Progress::Response(outcome)] => (outcome, whole),
        ref events => panic!("one response, not {events:?}"),
    }
}

#[test]
fn a_row_with_the_number_asked_for_is_ok_and_another_is_a_wrong_reply() {
    let reply = |number| [bound(), row(number), message(b'C', b"SELECT 1\0"), ready()].concat();
    assert_eq!(outcome(&reply("42")).0, Outcome::Ok);
    let (wrong, session) = outcome(&reply("43"));
    assert_eq!(wrong, Outcome::Failed(Class::WrongReply));
    assert_eq!(session.failure().message, "asked for 42, got 43");
    let none = [bound(), message(b'C', b"SELECT 0\0"), ready()].concat();
    assert_eq!(outcome(&none).0, Outcome::Failed(Class::EmptyReply));
}

#[test]
fn notices_and_parameter_changes_in_between_are_passed_over() {
    let noise = [message(b'N', b"SNOTICE\0Mhello\0\0"), message(b'S', b"a\0b\0")].concat();
    let reply = [
        noise.clone(),
        bound(),
        noise.clone(),
        row("42"),
        noise.clone(),
        message(b'C', b"SELECT 1\0"),
        ready(),
        noise,
    ]
    .concat();
    assert_eq!(outcome(&reply).0, Outcome::Ok);
}

#[test]
fn an_sql_error_is_complete_at_ready_for_query_and_the_connection_stays_usable() {
    let (failed, session) =
        outcome(&[error("ERROR", "22012", "division by zero"), ready()].concat());
    assert_eq!(failed, Outcome::Failed(Class::Sql));
    assert_eq!(session.failure().code, Code::SqlState(*b"22012"));
    assert!(session.is_reusable());
}

#[test]
fn a_fatal_error_ends_the_request_at_once_and_the_connection_with_it() {
    let (failed, session) = outcome(&error("FATAL", "57P01", "terminating connection"));
    assert_eq!(failed, Outcome::Failed(Class::Unavailable));
    assert!(!session.is_reusable());
}

#[test]
fn two_errors_then_the_end_are_one_failed_request() {
    let mut session = busy();
    let bytes =
        [error("ERROR", "42601", "syntax error"), error("ERROR", "08P01", "server lost")].concat();
    assert_eq!(feed(&mut session, &bytes, &[7]), []);
    let end = session.end_of_stream();
    assert_eq!(end, Progress::Response(Outcome::Failed(Class::Sql)), "the first error counts");
    assert!(!session.is_reusable());
}

#[test]
fn a_close_without_a_byte_is_stale_on_a_used_connection_only() {
    let mut session = busy();
    assert_eq!(
        session.end_of_stream(),
        Progress::Response(Outcome::Failed(Class::Disconnected)),
        "the first request of a connection"
    );
    let mut session = busy();
    let reply = [bound(), row("42"), ready()].concat();
    feed(&mut session, &reply, &[1000]);
    request(&mut session, &operation(Protocol::Extended));
    assert_eq!(
        session.end_of_stream(),
        Progress::Response(Outcome::Failed(Class::StaleConnection))
    );
}

#[test]
fn an_idle_connection_that_the_server_ends_is_refused_not_a_response() {
    let mut session = busy();
    feed(&mut session, &[bound(), row("42"), ready()].concat(), &[1000]);
    let shutdown = error("FATAL", "57P01", "terminating connection");
    assert_eq!(
        feed(&mut session, &shutdown, &[3]),
        [Progress::Refused(Outcome::Failed(Class::Unavailable))]
    );
}

#[test]
fn negotiate_protocol_version_once_is_fine_and_twice_a_violation() {
    let operation = operation(Protocol::Extended);
    let negotiate = message(b'v', &[0, 0, 0, 0, 0, 0, 0, 0]);
    let mut once = session(&operation);
    once.open(&mut BytesMut::new());
    let bytes = [negotiate.clone(), login()].concat();
    assert_eq!(feed(&mut once, &bytes, &[2]), [Progress::Ready]);

    let mut twice = session(&operation);
    twice.open(&mut BytesMut::new());
    let bytes = [negotiate.clone(), negotiate].concat();
    let violation = Progress::Refused(Outcome::Failed(Class::Protocol));
    assert_eq!(feed(&mut twice, &bytes, &[2]), [violation]);
}

#[test]
fn prepared_statements_are_prepared_before_the_connection_is_ready() {
    let operation = operation(Protocol::Prepared);
    let mut session = session(&operation);
    let mut out = BytesMut::new();
    session.open(&mut out);
    out.clear();
    let mut input = &login()[..];
    assert_eq!(session.receive(&mut input, &mut out), Progress::Write);
    assert!(out.starts_with(b"P") && out.ends_with(b"S\0\0\0\x04"));
    let prepared = [message(b'1', b""), ready()].concat();
    assert_eq!(feed(&mut session, &prepared, &[3]), [Progress::Ready]);

    session.open(&mut BytesMut::new());
    feed(&mut session, &login(), &[1000]);
    let failed = [error("ERROR", "42P05", "prepared statement exists"), ready()].concat();
    let refused = Progress::Refused(Outcome::Failed(Class::PoolingIncompatible));
    assert_eq!(feed(&mut session, &failed, &[3])[0], refused);
}

#[test]
fn a_wrong_password_is_refused_as_auth_with_the_servers_words() {
    let mut session = session(&operation(Protocol::Extended));
    session.open(&mut BytesMut::new());
    let bytes = error("FATAL", "28P01", "password authentication failed for user \"nova\"");
    assert_eq!(feed(&mut session, &bytes, &[5]), [Progress::Refused(Outcome::Failed(Class::Auth))]);
    assert!(session.failure().message.contains("password authentication failed"));
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_events_however_they_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 1..200),
        kinds in prop::collection::vec(prop::sample::select(&b"DZECTNS12R"[..]), 0..6),
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 6),
        cuts in prop::collection::vec(1_usize..30, 1..10),
    ) {
        let mut stream: Vec<u8> =
            kinds.iter().zip(&bodies).flat_map(|(kind, body)| message(*kind, body)).collect();
        stream.extend(bytes);
        let until_closed = |cuts: &[usize]| {
            let mut session = busy();
            let mut events = feed(&mut session, &stream, cuts);
            // What follows a refusal is nobody's: a driver closes the connection there.
            if let Some(at) = events.iter().position(is_last) {
                events.truncate(at + 1);
            }
            events
        };
        prop_assert_eq!(until_closed(&[stream.len()]), until_closed(&cuts));
    }
}

fn is_last(event: &Progress) -> bool {
    matches!(event, Progress::Refused(_) | Progress::Response(Outcome::Failed(Class::Protocol)))
}
