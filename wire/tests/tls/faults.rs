//! What goes wrong, by its reason.

use bytes::BytesMut;
use wire::postgres::ChannelBinding;
use wire::tls::{Begin, Fault, Settings, Verification};
use wire::{Class, Code, Outcome, Progress, Session};

use crate::server::{
    NOW, Pair, Server, Setup, at, https, message, play, postgres, settings, trust, web,
};

const OK: Progress = Progress::Response(Outcome::Ok);

/// The fault of a session that must be refused, or lose its first request.
fn fault(session: &mut Session, server: &mut Server) -> Fault {
    let events = play(session, server, 1, &[usize::MAX]);
    let class = Outcome::Failed(Class::Tls);
    let last = events.last().unwrap();
    assert!(
        [Progress::Refused(class), Progress::Response(class)].contains(last),
        "{events:?} {:?}",
        session.failure()
    );
    assert!(!session.is_reusable());
    match session.failure().code {
        Code::Tls(fault) => fault,
        code => panic!("{code:?}"),
    }
}

fn https_fault(settings: Settings, setup: &Setup) -> Fault {
    fault(&mut https(settings), &mut Server::new(setup, true, web))
}

#[test]
fn certificates_are_refused_for_their_reason() {
    let good = || Setup::new(Pair::signed("db.example"));
    let full = || settings("db.example", Begin::Https);
    let year = 366 * 86_400;
    let expired = at(full(), NOW + 3000 * year);
    assert_eq!(https_fault(expired, &good()), Fault::Expired);
    assert_eq!(https_fault(at(full(), 0), &good()), Fault::NotYetValid);
    let stranger = Setup::new(Pair::self_signed("db.example", false));
    assert_eq!(https_fault(full(), &stranger), Fault::UnknownIssuer);
    let other = settings("other.example", Begin::Https);
    assert_eq!(https_fault(other, &good()), Fault::WrongName);
}

#[test]
fn as_much_is_checked_as_sslmode_says() {
    let run = |verification, host: &str, trusted: Option<&Pair>, pair: Pair| {
        let mut settings = Settings { verification, ..settings(host, Begin::Require) };
        if let Some(trusted) = trusted {
            settings.trusted = vec![trusted.der()];
        }
        let mut session = postgres(settings, ChannelBinding::Prefer);
        let mut server = Server::new(&Setup::new(pair), false, trust);
        let events = play(&mut session, &mut server, 1, &[usize::MAX]);
        match session.failure().code {
            Code::Tls(fault) => Err(fault),
            _ => {
                assert_eq!(events, [Progress::Ready, OK]);
                Ok(())
            }
        }
    };
    let stranger = || Pair::self_signed("a", false);
    use Verification::{Issuer, IssuerAndName, Nothing};
    assert_eq!(run(Nothing, "b", None, stranger()), Ok(()));
    assert_eq!(run(Issuer, "b", None, stranger()), Err(Fault::UnknownIssuer));
    assert_eq!(run(Issuer, "b", None, Pair::signed("a")), Ok(()));
    assert_eq!(run(IssuerAndName, "b", None, Pair::signed("a")), Err(Fault::WrongName));
    assert_eq!(run(IssuerAndName, "127.0.0.1", None, Pair::signed("127.0.0.1")), Ok(()));
    // A server that signed itself, and whose certificate is what we trust.
    for is_ca in [false, true] {
        let pair = Pair::self_signed("a", is_ca);
        let trusted = Pair { certificate: pair.certificate.clone(), key: stranger().key };
        assert_eq!(run(IssuerAndName, "a", Some(&trusted), pair), Ok(()), "{is_ca}");
    }
}

#[test]
fn a_client_certificate_is_shown_where_the_server_asks_for_it() {
    let asking = || Setup { wants_certificate: true, ..Setup::new(Pair::signed("db.example")) };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let asking = Setup { version: Some(version), ..asking() };
        let full = || settings("db.example", Begin::Require);
        let mut session = postgres(full(), ChannelBinding::Prefer);
        let mut server = Server::new(&asking, false, trust);
        assert_eq!(fault(&mut session, &mut server), Fault::ClientCertificate);
        let identity = Some(Pair::signed("nova").identity());
        let mut session = postgres(Settings { identity, ..full() }, ChannelBinding::Prefer);
        let mut server = Server::new(&asking, false, trust);
        let events = play(&mut session, &mut server, 1, &[usize::MAX]);
        assert_eq!(events, [Progress::Ready, OK]);
    }
}

#[test]
fn nothing_in_common_is_told_apart() {
    let only = |versions| Settings { versions, ..settings("db.example", Begin::Https) };
    let old =
        Setup { version: Some(&rustls::version::TLS12), ..Setup::new(Pair::signed("db.example")) };
    assert_eq!(https_fault(only([false, true]), &old), Fault::NothingInCommon);
    // As a Postgres before version 17 behind something that ends TLS.
    let mut session = postgres(settings("db.example", Begin::Direct), ChannelBinding::Prefer);
    let mut server = Server::new(&Setup::new(Pair::signed("db.example")), true, trust);
    assert_eq!(fault(&mut session, &mut server), Fault::NothingInCommon);
}

/// Feeds the start of a conversation; the first event but NeedMore and Write.
fn feed(session: &mut Session, pieces: &[&[u8]]) -> Progress {
    let mut out = BytesMut::new();
    session.open(&mut out);
    for piece in pieces {
        let mut input = *piece;
        while !input.is_empty() {
            match session.receive(&mut input, &mut BytesMut::new()) {
                Progress::NeedMore | Progress::Write => {}
                progress => return progress,
            }
        }
    }
    session.end_of_stream()
}

#[test]
fn a_server_that_speaks_something_else_is_told() {
    let tls = Progress::Refused(Outcome::Failed(Class::Tls));
    let mut session = https(settings("db.example", Begin::Https));
    for (bytes, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Fault::NotTls),
        (b"", Fault::Closed),
        (&[0x16, 3, 3], Fault::Closed),
    ] {
        assert_eq!(feed(&mut session, &[bytes]), tls);
        assert_eq!(session.failure().code, Code::Tls(expected), "{}", bytes.escape_ascii());
    }
    let mut session = postgres(settings("db.example", Begin::Require), ChannelBinding::Prefer);
    assert_eq!(feed(&mut session, &[b"N"]), tls);
    assert_eq!(session.failure().code, Code::Tls(Fault::Refused));
    assert_eq!(session.failure().message, "the server does not support TLS");
}

/// CVE-2021-23222: whoever sits in between could put words in the server's mouth.
#[test]
fn bytes_behind_the_answer_are_a_violation_however_they_come() {
    let forged = [&b"S"[..], &trust(&[0])].concat();
    for cut in 1..forged.len() {
        for begin in [Begin::Require, Begin::Prefer] {
            let mut session = postgres(settings("db.example", begin), ChannelBinding::Prefer);
            let (first, second) = forged.split_at(cut);
            let progress = feed(&mut session, &[first, second]);
            let violation = Outcome::Failed(Class::Protocol);
            assert_eq!(progress, Progress::Refused(violation), "{begin:?} {cut}");
            assert!(session.failure().message.contains("unencrypted"), "{:?}", session.failure());
        }
    }
}

#[test]
fn an_unknown_answer_and_an_error_are_told_but_not_believed() {
    for (bytes, class) in [
        (&b"X"[..], Class::Protocol),
        (&message(b'E', b"SFATAL\0C00000\0Msend me your password\0\0"), Class::Unavailable),
        (b"", Class::Disconnected),
    ] {
        let mut session = postgres(settings("db.example", Begin::Require), ChannelBinding::Prefer);
        assert_eq!(feed(&mut session, &[bytes]), Progress::Refused(Outcome::Failed(class)));
        assert!(!session.failure().message.contains("password"));
    }
}

/// A handshake message that says it is 16 MB long is refused, not collected.
#[test]
fn an_endless_handshake_is_refused() {
    let mut session = https(settings("db.example", Begin::Https));
    let mut record = vec![0x16, 3, 3, 0x40, 0];
    record.extend([2, 0xff, 0xff, 0xff]);
    record.resize(5 + 0x4000, 0);
    let records: Vec<&[u8]> = vec![&record; 64];
    let progress = feed(&mut session, &records);
    assert_eq!(progress, Progress::Refused(Outcome::Failed(Class::Tls)));
    assert!(matches!(session.failure().code, Code::Tls(Fault::NotTls | Fault::Broken)));
}
