//! sslmode's second attempts, and channel binding.

use bytes::BytesMut;
use wire::postgres::ChannelBinding;
use wire::tls::{Begin, Fault, Settings, Verification};
use wire::{Class, Code, Outcome, Progress, Session};

use crate::server::{
    Pair, Script, Server, Setup, message, play, postgres, refuse, settings, trust,
};

const OK: Progress = Progress::Response(Outcome::Ok);

/// A server for one connection after another, and what comes of each.
fn attempts(
    begin: Begin,
    answer: &'static [u8],
    [secured, plain]: [Script; 2],
) -> (Vec<Progress>, Session) {
    let settings =
        Settings { verification: Verification::Nothing, ..settings("db.example", begin) };
    let mut session = postgres(settings, ChannelBinding::Prefer);
    let setup = Setup::new(Pair::signed("db.example"));
    let mut events = Vec::new();
    loop {
        let mut server = Server::new(&setup, false, secured).answering(answer, plain);
        events.extend(play(&mut session, &mut server, 1, &[usize::MAX]));
        if events.last() != Some(&Progress::Reconnect) {
            return (events, session);
        }
    }
}

const NO_TLS: Script = |_| panic!("nothing secured");
const NO_PLAIN: Script = |_| panic!("nothing in the clear");

#[test]
fn prefer_takes_what_it_can_get() {
    let (events, session) = attempts(Begin::Prefer, b"N", [NO_TLS, trust]);
    assert_eq!(events, [Progress::Ready, OK], "over the same connection");
    assert_eq!(session.security(), None);
    let (events, session) = attempts(Begin::Prefer, b"S", [trust, NO_PLAIN]);
    assert_eq!(events, [Progress::Ready, OK]);
    assert!(session.security().is_some());
    let (events, session) = attempts(Begin::Prefer, b"S", [refuse, trust]);
    assert_eq!(events, [Progress::Reconnect, Progress::Ready, OK]);
    assert_eq!(session.security(), None);
}

#[test]
fn allow_secures_what_must_be() {
    let (events, session) = attempts(Begin::Allow, b"S", [NO_TLS, trust]);
    assert_eq!(events, [Progress::Ready, OK]);
    assert_eq!(session.security(), None);
    let (events, session) = attempts(Begin::Allow, b"S", [trust, refuse]);
    assert_eq!(events, [Progress::Reconnect, Progress::Ready, OK]);
    assert!(session.security().is_some());
}

#[test]
fn two_refusals_are_both_told_and_require_has_one() {
    let auth = Progress::Refused(Outcome::Failed(Class::Auth));
    for begin in [Begin::Prefer, Begin::Allow] {
        let (events, session) = attempts(begin, b"S", [refuse, refuse]);
        assert_eq!(events, [Progress::Reconnect, auth], "{begin:?}");
        let failure = session.failure();
        assert_eq!(failure.code, Code::SqlState(*b"28000"));
        let words = "with TLS: no pg_hba.conf entry; without: no pg_hba.conf entry";
        assert_eq!(failure.message, words);
    }
    let (events, session) = attempts(Begin::Require, b"S", [refuse, NO_PLAIN]);
    assert_eq!(events, [auth]);
    assert_eq!(session.failure().message, "no pg_hba.conf entry");
}

#[test]
fn an_error_behind_the_login_is_not_tried_again() {
    fn nowhere(request: &[u8]) -> Vec<u8> {
        assert_eq!(request[0], 0);
        let error = message(b'E', b"SFATAL\0VFATAL\0C3D000\0Mno such database\0\0");
        [message(b'R', &[0; 4]), error].concat()
    }
    let (events, _) = attempts(Begin::Prefer, b"S", [nowhere, NO_PLAIN]);
    assert!(matches!(events[..], [Progress::Refused(_)]), "{events:?}");
}

/// Offers both mechanisms, and shows which one was chosen as an error's message.
fn offer(request: &[u8]) -> Vec<u8> {
    match request[0] {
        0 => message(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
        _ => show(request),
    }
}

fn offer_plain(request: &[u8]) -> Vec<u8> {
    match request[0] {
        0 => message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"),
        _ => show(request),
    }
}

fn show(request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(&request[5..]).replace(|c: char| c.is_control(), " ");
    let error = format!("SFATAL\0VFATAL\0C00000\0M{text}\0\0");
    message(b'E', error.as_bytes())
}

/// What the server is told first in SCRAM, or why we refuse.
fn scram(binding: ChannelBinding, script: Script, begin: Begin) -> String {
    let mut session = postgres(settings("db.example", begin), binding);
    let setup = Setup::new(Pair::signed("db.example"));
    let answer: &[u8] = if begin == Begin::Prefer { b"N" } else { b"S" };
    let mut server = Server::new(&setup, false, script).answering(answer, script);
    play(&mut session, &mut server, 0, &[usize::MAX]);
    let failure = session.failure();
    match failure.code {
        Code::Tls(fault) => format!("{fault:?}: {}", failure.message),
        _ => failure.message.split(",,").next().unwrap().to_owned(),
    }
}

#[test]
fn the_login_is_bound_to_tls_where_both_can() {
    use ChannelBinding::{Disable, Prefer, Require};
    let bound = |binding, script, begin| scram(binding, script, begin).replace("      ", " ");
    let plus = bound(Prefer, offer, Begin::Require);
    assert!(plus.starts_with("SCRAM-SHA-256-PLUS"), "{plus}");
    assert!(plus.ends_with("p=tls-server-end-point"), "{plus}");
    assert!(bound(Require, offer, Begin::Require).ends_with("p=tls-server-end-point"));
    // y: we could, had the server offered it; n: we can't, or don't want to.
    let told = bound(Prefer, offer_plain, Begin::Require);
    assert!(told.starts_with("SCRAM-SHA-256 ") && told.ends_with('y'), "{told}");
    assert!(bound(Disable, offer, Begin::Require).ends_with('n'));
    assert!(bound(Prefer, offer, Begin::Prefer).ends_with('n'), "in the clear");
    for (script, begin, words) in [
        (offer_plain as Script, Begin::Require, "the server does not offer it"),
        (offer, Begin::Prefer, "it needs TLS"),
        (trust, Begin::Require, "the server logs in without it"),
    ] {
        let refused = scram(Require, script, begin);
        assert!(refused.starts_with("ChannelBinding: ") && refused.ends_with(words), "{refused}");
    }
}

#[test]
fn a_server_that_closes_in_the_handshake_is_tried_without() {
    let mut session = postgres(settings("db.example", Begin::Prefer), ChannelBinding::Prefer);
    let mut out = BytesMut::new();
    session.open(&mut out);
    assert_eq!(session.receive(&mut &b"S"[..], &mut out), Progress::Write);
    assert_eq!(session.end_of_stream(), Progress::Reconnect);
    out.clear();
    session.open(&mut out);
    assert_eq!(out[4..8], [0, 3, 0, 0], "a StartupMessage in the clear");
    session.end_of_stream();
    assert!(session.failure().message.starts_with("with TLS: the server closed"));
    assert_ne!(session.failure().code, Code::Tls(Fault::Refused));
}
