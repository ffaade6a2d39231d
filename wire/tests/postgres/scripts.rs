//! What scripts need: rows that are kept, and pipelines of any statements.

use bytes::BytesMut;
use wire::postgres::{Protocol, Statement};
use wire::{Class, Operation, Outcome, Progress, Request, Session, Values};

use crate::peer::{error, feed, login, message, ready, row, session};

fn operation(statement: Statement) -> Operation {
    Operation {
        name: "statement".into(),
        idempotent: false,
        request: Request::Postgres(statement),
        checks: Vec::new(),
    }
}

fn opened(operation: &Operation) -> Session {
    let mut session = session(operation);
    session.open(&mut BytesMut::new());
    assert_eq!(feed(&mut session, &login(), &[1000]), [Progress::Ready]);
    session
}

/// The types of the messages that are sent.
fn kinds(mut bytes: &[u8]) -> String {
    let mut kinds = String::new();
    while let [kind, a, b, c, d, ..] = *bytes {
        kinds.push(char::from(kind));
        bytes = &bytes[1 + u32::from_be_bytes([a, b, c, d]) as usize..];
    }
    kinds
}

#[test]
fn rows_are_kept_whole_in_however_many_pieces_they_come() {
    let statement = Statement::new("SELECT a", &[], Protocol::Simple, "").unwrap();
    let operation = operation(statement.keeping_rows());
    let described = message(b'T', &[&[0, 1, b'a', 0][..], &[0; 18]].concat());
    let done = message(b'C', b"SELECT 1\0");
    for (length, is_kept) in [(100_000, true), (17 * 1024 * 1024, false)] {
        let value = "x".repeat(length);
        let mut session = opened(&operation);
        session.request(&operation, &Values::new(), &mut BytesMut::new());
        let reply = [described.clone(), row(&value), done.clone(), done.clone(), ready()].concat();
        assert_eq!(feed(&mut session, &reply, &[4096]), [Progress::Response(Outcome::Ok)]);
        let rows = session.rows().expect("it kept some");
        assert_eq!(rows.is_cut(), !is_kept, "{length}");
        let counts: Vec<_> = rows.results().map(|result| result.count()).collect();
        assert_eq!(counts, [1, 0], "the second statement had no rows");
        let kept = rows.results().next().and_then(|result| result.last().next());
        let whole = is_kept.then_some(value.as_bytes());
        assert!(kept == Some((b"a", whole)), "{length}");
    }
}

#[test]
fn what_stands_behind_an_inner_sync_is_done_where_something_before_it_failed() {
    let statement = |sql, number| {
        let statement = Statement::new(sql, &[], Protocol::Prepared, sql).unwrap();
        operation(statement.prepared_late(number))
    };
    let [a, b, c] = [statement("a", 0), statement("b", 1), statement("c", 2)];
    let mut session = opened(&a);
    let mut out = BytesMut::new();
    let none = Values::new();
    session.queue(&a, &none);
    session.queue(&b, &none);
    session.queue_sync();
    session.queue(&c, &none);
    session.sync(&mut out);
    assert_eq!(kinds(&out), "PBDEPBDESPBDES");
    let done = || [message(b'2', b""), message(b'n', b""), message(b'C', b"x\0")].concat();
    let parsed = || message(b'1', b"");
    let first = [parsed(), error("ERROR", "22012", "division by zero"), ready()].concat();
    assert_eq!(feed(&mut session, &first, &[7]), [], "the rest is still to come");
    let second = [parsed(), done(), ready()].concat();
    let failed = Progress::Response(Outcome::Failed(Class::Sql));
    assert_eq!(feed(&mut session, &second, &[7]), [failed]);
    // What was passed over is not known to the server; what came behind it is.
    for (operation, expected) in [(&a, "BDES"), (&b, "PBDES"), (&c, "BDES")] {
        out.clear();
        session.request(operation, &none, &mut out);
        assert_eq!(kinds(&out), expected);
        let reply = [if expected.len() > 4 { parsed() } else { vec![] }, done(), ready()].concat();
        assert_eq!(feed(&mut session, &reply, &[5]), [Progress::Response(Outcome::Ok)]);
    }
}
