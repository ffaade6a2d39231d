//! A session fed with scripted server bytes, cut at every place.

use std::sync::Arc;

use bytes::BytesMut;
use wire::postgres::{self, Fallback, Login, Parameter, Protocol, Statement};
use wire::{Class, Code, Operation, Outcome, Progress, Request, Session, Values};

use crate::peer::{
    bound, busy, error, feed, login, message, operation, outcome, ready, request, row, session,
};

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
    let failed = error("ERROR", "42P05", "prepared statement exists");
    assert_eq!(feed(&mut session, &failed, &[3]), [], "a pooler's server is not ready yet");
    let refused = Progress::Refused(Outcome::Failed(Class::PoolingIncompatible));
    assert_eq!(feed(&mut session, &ready(), &[3]), [refused]);
}

#[test]
fn a_lost_name_makes_every_session_of_the_target_send_its_statements_unnamed() {
    let fallback = Fallback::new();
    let parameters = [Parameter { hole: 0, type_oid: 20 }];
    let statement = Statement::new("SELECT $1", &parameters, Protocol::Prepared, "s").unwrap();
    let operation = Operation {
        name: "s".into(),
        idempotent: true,
        request: Request::Postgres(statement.or_unnamed(&fallback)),
        checks: Vec::new(),
    };
    let open = || {
        let mut one = session(&operation);
        one.open(&mut BytesMut::new());
        let events = feed(&mut one, &login(), &[1000]);
        (one, events)
    };
    let sent = |session: &mut Session| {
        let mut values = Values::new();
        values.push_integer(42);
        let mut out = BytesMut::new();
        session.request(&operation, &values, &mut out);
        out
    };
    let (mut one, events) = open();
    assert_eq!(events, [Progress::Write], "it prepares");
    assert_eq!(feed(&mut one, &[message(b'1', b""), ready()].concat(), &[3]), [Progress::Ready]);
    assert!(sent(&mut one).starts_with(b"B"));

    let (mut two, _) = open();
    let taken = [error("ERROR", "42P05", "prepared statement exists"), ready()].concat();
    assert_eq!(feed(&mut two, &taken, &[3]), [Progress::Ready]);
    assert!(fallback.has_happened());
    assert!(sent(&mut two).starts_with(b"P"));
    assert_eq!(open().1, [Progress::Ready], "nobody prepares any more");

    let gone = [error("ERROR", "26000", "prepared statement does not exist"), ready()].concat();
    let failed = Progress::Response(Outcome::Failed(Class::PoolingIncompatible));
    assert_eq!(feed(&mut one, &gone, &[3]), [failed], "it was on its way with its name");
    assert!(sent(&mut one).starts_with(b"P"));
    let reply = [bound(), row("42"), message(b'C', b"SELECT 1\0"), ready()].concat();
    assert_eq!(feed(&mut two, &reply, &[7]), [Progress::Response(Outcome::Ok)]);
}

#[test]
fn only_what_was_asked_for_is_said_at_the_start() {
    let startup = |login: Login| {
        let mut out = BytesMut::new();
        postgres::Session::new(Arc::new(login), []).open(&mut out);
        String::from_utf8(out[8..].to_vec()).unwrap()
    };
    let login = || Login::new("nova", "shop", "bench", None).unwrap();
    let parameters = "user\0nova\0database\0shop\0application_name\0bench\0client_encoding\0UTF8\0";
    assert_eq!(startup(login()), format!("{parameters}\0"));
    let options = login().with_options("-c TimeZone=UTC").unwrap();
    assert_eq!(startup(options), format!("{parameters}options\0-c TimeZone=UTC\0\0"));
    assert!(login().with_options("\0").is_err());
}

#[test]
fn a_session_knows_how_its_request_is_cancelled() {
    let mut session = busy();
    let mut out = BytesMut::new();
    assert!(session.cancel(&mut out));
    assert_eq!(out[..], [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 0, 0, 0, 9]);
    session.open(&mut BytesMut::new());
    assert!(!session.cancel(&mut out), "the key was the last connection's");
}

#[test]
fn a_cancel_that_was_asked_for_is_told_from_one_that_was_not() {
    let cancelled = error("ERROR", "57014", "canceling statement due to user request");
    let cancelled = [cancelled, ready()].concat();
    let outcome = |class| [Progress::Response(Outcome::Failed(class))];
    let mut session = busy();
    session.cancel(&mut BytesMut::new());
    assert_eq!(feed(&mut session, &cancelled, &[9]), outcome(Class::Cancelled));
    // The same once more: a cancel that came late and hit the next request.
    request(&mut session, &operation(Protocol::Extended));
    assert_eq!(feed(&mut session, &cancelled, &[9]), outcome(Class::WrongCancel));
    assert!(session.is_reusable());
    request(&mut session, &operation(Protocol::Extended));
    session.cancel(&mut BytesMut::new());
    let timed_out = error("ERROR", "57014", "canceling statement due to statement timeout");
    let timed_out = [timed_out, ready()].concat();
    assert_eq!(feed(&mut session, &timed_out, &[9]), outcome(Class::Sql));
}

#[test]
fn a_wrong_password_is_refused_as_auth_with_the_servers_words() {
    let mut session = session(&operation(Protocol::Extended));
    session.open(&mut BytesMut::new());
    let bytes = error("FATAL", "28P01", "password authentication failed for user \"nova\"");
    assert_eq!(feed(&mut session, &bytes, &[5]), [Progress::Refused(Outcome::Failed(Class::Auth))]);
    assert!(session.failure().message.contains("password authentication failed"));
}

#[test]
fn a_megabyte_of_notices_and_parameters_while_a_reply_comes_is_passed_over() {
    let noise = [
        message(b'N', &[b"SNOTICE\0M", &[b'x'; 900][..], b"\0\0"].concat()),
        message(b'S', b"application_name\0poolbench\0"),
    ]
    .concat();
    let noise = noise.repeat(1 + (1 << 20) / noise.len());
    let one = message(b'N', &[b"M", &vec![b'y'; 1 << 20][..], b"\0\0"].concat());
    let reply =
        [&noise[..], &bound(), &one, &row("42"), &noise, &message(b'C', b"SELECT 1\0"), &ready()]
            .concat();
    for piece in [1000, 16 * 1024, reply.len()] {
        assert_eq!(feed(&mut busy(), &reply, &[piece]), [Progress::Response(Outcome::Ok)]);
    }
}

#[test]
fn settings_are_kept_where_that_is_asked_for_and_every_opening_begins_anew() {
    let settings = |session: &mut Session, login: &[u8], cuts: &[usize]| {
        session.open(&mut BytesMut::new());
        assert_eq!(feed(session, login, cuts), [Progress::Ready]);
        session.take_parameters()
    };
    let zone = |zone: &str| message(b'S', format!("TimeZone\0{zone}\0").as_bytes());
    let started = |zones: &[&str]| {
        let zones = zones.iter().flat_map(|name| zone(name)).collect();
        [message(b'R', &[0; 4]), zones, ready()].concat()
    };
    let mut session = session(&operation(Protocol::Extended));
    assert_eq!(settings(&mut session, &login(), &[1000]), None, "nobody asked");
    for cuts in [[1000], [1], [7]] {
        session.keep_parameters();
        let found = settings(&mut session, &started(&["UTC", "Asia/Tokyo"]), &cuts).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), [("TimeZone", "Asia/Tokyo")]);
    }
    // An opening that was given up.
    session.keep_parameters();
    session.open(&mut BytesMut::new());
    assert_eq!(feed(&mut session, &[message(b'R', &[0; 4]), zone("UTC")].concat(), &[1000]), []);
    let found = settings(&mut session, &started(&[]), &[1000]).unwrap();
    assert_eq!(found.iter().count(), 0);
    // What comes later is of the server's own accord.
    session.keep_parameters();
    session.open(&mut BytesMut::new());
    assert_eq!(
        feed(&mut session, &[login(), zone("Asia/Tokyo")].concat(), &[1000]),
        [Progress::Ready]
    );
    assert_eq!(session.take_parameters().unwrap().iter().next(), Some(("TimeZone", "UTC")));
}
