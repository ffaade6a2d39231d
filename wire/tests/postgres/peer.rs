//! What a server says, and a session that hears it in pieces.

use std::sync::Arc;

use bytes::BytesMut;
use wire::postgres::{self, Login, Parameter, Protocol, Statement};
use wire::{Operation, Outcome, Progress, Request, Session, Values};

pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

pub(crate) fn row(column: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((column.len() as u32).to_be_bytes());
    body.extend(column.as_bytes());
    message(b'D', &body)
}

pub(crate) fn error(severity: &str, sqlstate: &str, words: &str) -> Vec<u8> {
    let fields = format!("S{severity}\0V{severity}\0C{sqlstate}\0M{words}\0\0");
    message(b'E', fields.as_bytes())
}

pub(crate) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

pub(crate) fn login() -> Vec<u8> {
    let key = message(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]);
    [message(b'R', &[0; 4]), message(b'S', b"TimeZone\0UTC\0"), key, ready()].concat()
}

/// The start of every reply in the extended protocol.
pub(crate) fn bound() -> Vec<u8> {
    [message(b'1', b""), message(b'2', b""), message(b'T', &[0, 0])].concat()
}

pub(crate) fn operation(protocol: Protocol) -> Operation {
    let parameters = [Parameter { hole: 0, type_oid: 20 }];
    let statement = Statement::new("SELECT $1", &parameters, protocol, "getUser").unwrap();
    Operation {
        name: "getUser".into(),
        idempotent: true,
        request: Request::Postgres(statement.expect_first_column(0)),
        checks: Vec::new(),
    }
}

pub(crate) fn session(operation: &Operation) -> Session {
    let login = Login::new("nova", "nova", "poolbench", Some(b"secret")).unwrap();
    Session::Postgres(postgres::Session::new(Arc::new(login), operation.request.statements()))
}

/// Feeds `bytes` in pieces of the given lengths (repeated); returns all events.
pub(crate) fn feed(session: &mut Session, bytes: &[u8], cuts: &[usize]) -> Vec<Progress> {
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
pub(crate) fn busy() -> Session {
    let operation = operation(Protocol::Extended);
    let mut session = session(&operation);
    let mut out = BytesMut::new();
    assert_eq!(session.open(&mut out), Progress::Write);
    assert_eq!(feed(&mut session, &login(), &[1000]), [Progress::Ready]);
    request(&mut session, &operation);
    session
}

pub(crate) fn request(session: &mut Session, operation: &Operation) {
    let mut values = Values::new();
    (42..45).for_each(|number| values.push_integer(number));
    session.request(operation, &values, &mut BytesMut::new());
}

/// The one outcome of `reply`, the same for every place it is cut at.
pub(crate) fn outcome(reply: &[u8]) -> (Outcome, Session) {
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
