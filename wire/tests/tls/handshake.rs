//! The same outcome however the bytes are cut, in both protocols and both versions.

use bytes::BytesMut;
use proptest::prelude::*;
use rustls::version::{TLS12, TLS13};
use wire::postgres::ChannelBinding;
use wire::tls::Begin;
use wire::{Outcome, Progress, Session, Values};

use crate::server::{
    Pair, Script, Server, Setup, http_query, https, play, postgres, settings, trust, web,
};

const OK: Progress = Progress::Response(Outcome::Ok);

fn run(begin: Begin, setup: &Setup, cuts: &[usize]) -> (Vec<Progress>, Session) {
    let (mut session, script): (_, Script) = match begin {
        Begin::Https => (https(settings("db.example", begin)), web),
        _ => (postgres(settings("db.example", begin), ChannelBinding::Prefer), trust),
    };
    let is_direct = matches!(begin, Begin::Https | Begin::Direct);
    let mut server = Server::new(setup, is_direct, script);
    let events = play(&mut session, &mut server, 3, cuts);
    (events, session)
}

fn setup(version: &'static rustls::SupportedProtocolVersion) -> Setup {
    let alpn = [&b"http/1.1"[..], b"postgresql"].map(<[u8]>::to_vec).to_vec();
    Setup { alpn, version: Some(version), ..Setup::new(Pair::signed("db.example")) }
}

#[test]
fn requests_go_through_and_what_was_negotiated_is_told() {
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        let setup = setup(version);
        for begin in [Begin::Https, Begin::Direct, Begin::Require, Begin::Prefer] {
            let (events, session) = run(begin, &setup, &[usize::MAX]);
            assert_eq!(events, [Progress::Ready, OK, OK, OK], "{begin:?} {name}");
            let security = session.security().unwrap();
            assert_eq!(security.version, name);
            assert!(security.cipher.starts_with("TLS_"), "{}", security.cipher);
            assert!(!security.channel_binding, "trust binds nothing");
        }
    }
}

#[test]
fn the_outcome_is_the_same_for_a_cut_at_every_byte() {
    for version in [&TLS12, &TLS13] {
        let setup = setup(version);
        for begin in [Begin::Https, Begin::Require] {
            for cut in 1..1200 {
                let (events, _) = run(begin, &setup, &[cut, usize::MAX]);
                assert_eq!(events, [Progress::Ready, OK, OK, OK], "{begin:?} cut at {cut}");
            }
            let (events, _) = run(begin, &setup, &[1]);
            assert_eq!(events, [Progress::Ready, OK, OK, OK], "{begin:?} byte by byte");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_outcome_is_the_same_for_any_cuts(
        cuts in prop::collection::vec(1_usize..400, 1..20),
        is_http: bool,
    ) {
        let begin = if is_http { Begin::Https } else { Begin::Prefer };
        let (events, _) = run(begin, &setup(&TLS13), &cuts);
        prop_assert_eq!(events, [Progress::Ready, OK, OK, OK]);
    }
}

/// Replies in many records, and a request larger than rustls' own limit of 64 KiB.
#[test]
fn long_replies_and_requests_pass() {
    fn long(request: &[u8]) -> Vec<u8> {
        assert!(request.starts_with(b"POST"));
        let text = "x".repeat(100_000);
        let body = format!("{{\"data\":{{\"a\":\"{text}\"}}}}");
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
    for cuts in [vec![usize::MAX], vec![1000], vec![16_406, 3]] {
        let mut session = https(settings("db.example", Begin::Https));
        let mut server = Server::new(&Setup::new(Pair::signed("db.example")), true, long);
        let events = play(&mut session, &mut server, 2, &cuts);
        assert_eq!(events, [Progress::Ready, OK, OK], "{cuts:?}");
        let mut out = BytesMut::new();
        session.request(&http_query(&" ".repeat(100_000)), &Values::new(), &mut out);
        assert!(out.len() > 100_000, "sealed whole");
    }
}

/// Two events in one record: the caller comes for the second though all bytes were taken.
#[test]
fn what_follows_a_reply_in_the_same_record_is_told() {
    fn twice(request: &[u8]) -> Vec<u8> {
        [web(request), web(request)].concat()
    }
    for cuts in [vec![usize::MAX], vec![1], vec![40]] {
        let mut session = https(settings("db.example", Begin::Https));
        let mut server = Server::new(&Setup::new(Pair::signed("db.example")), true, twice);
        let events = play(&mut session, &mut server, 1, &cuts);
        let stale = Outcome::Failed(wire::Class::StaleConnection);
        assert_eq!(events, [Progress::Ready, OK, Progress::Refused(stale)], "{cuts:?}");
    }
}
