//! Whatever the bytes, and however they are cut.

use bytes::BytesMut;
use postgres_protocol::message::backend::Message;
use proptest::prelude::*;
use wire::postgres::{Pipeline, Protocol};
use wire::{Class, Outcome, Progress, Session};

use crate::batches::numbers;
use crate::peer::{bound, busy, feed, login, message, operation, ready, request, row, session};

/// Something to say, from the letters of every message that there is (Postgres manual, 55.7
/// "Message Formats"), and of some that there are not.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        3 => prop::sample::select(&b"ZCDEdN"[..]),
        6 => prop::sample::select(&b"RKS123CdDcGHWEIVvnNAtsTZ"[..]),
        1 => any::<u8>(),
    ];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(vec![]),
        prop::sample::select(&b"ITE"[..]).prop_map(|state| vec![state]),
        (0..14_u8).prop_map(|kind| vec![0, 0, 0, kind]),
        Just(b"\0\0\0\x0aSCRAM-SHA-256\0\0".to_vec()),
        Just(b"\0\0\0\x05salt".to_vec()),
        Just(b"VFATAL\0C57P01\0Mgone\0\0".to_vec()),
        Just(b"SERROR\0C26000\0Mprepared statement\0\0".to_vec()),
        Just(vec![0, 1, 0, 0, 0, 2, b'4', b'2']),
    ];
    let whole = (kind, body).prop_map(|(kind, body)| message(kind, &body));
    let noise = prop::collection::vec(any::<u8>(), 0..60);
    let stream = prop::collection::vec(whole, 0..10).prop_map(|messages| messages.concat());
    (stream, noise).prop_map(|(stream, noise)| [stream, noise].concat())
}

/// What comes of `stream`, with the end of the connection; nothing that follows a refusal is
/// anybody's, since a driver closes the connection there.
fn events(mut session: Session, stream: &[u8], cuts: &[usize]) -> Vec<Progress> {
    let mut events = feed(&mut session, stream, cuts);
    events.push(session.end_of_stream());
    let last = events.iter().position(|event| {
        matches!(event, Progress::Refused(_) | Progress::Response(Outcome::Failed(Class::Protocol)))
    });
    events.truncate(last.map_or(events.len(), |at| at + 1));
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_bytes_give_the_same_events_however_they_are_cut(
        stream in messages(),
        cuts in prop::collection::vec(1_usize..30, 1..10),
        stage in 0..7_u8,
    ) {
        let at_stage = || {
            let operation = match stage {
                2 => operation(Protocol::Prepared),
                4 => numbers(Protocol::Extended, Pipeline::Off),
                5 => numbers(Protocol::Simple, Pipeline::SyncEach),
                6 => numbers(Protocol::Extended, Pipeline::SyncOnce),
                _ => operation(Protocol::Extended),
            };
            let mut session = session(&operation);
            session.open(&mut BytesMut::new());
            match stage {
                0 => {}
                1 => {
                    feed(&mut session, &message(b'R', &[0; 4]), &[100]);
                }
                _ => {
                    feed(&mut session, &login(), &[1000]);
                }
            }
            if stage >= 3 {
                request(&mut session, &operation);
            }
            session
        };
        prop_assert_eq!(events(at_stage(), &stream, &[1000]), events(at_stage(), &stream, &cuts));
    }

    /// Where postgres-protocol's parser finds a message, so do we; where it waits for more, so do we.
    #[test]
    fn messages_are_where_postgres_protocol_finds_them(
        rows in 0..20_usize,
        notices in prop::collection::vec(prop::collection::vec(1..255_u8, 0..300), 0..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let notice = |text: &Vec<u8>| message(b'N', &[b"M", &text[..], b"\0\0"].concat());
        let stream = [
            notices.iter().flat_map(notice).collect(),
            bound(),
            row("42").repeat(rows.max(1)),
            message(b'C', b"SELECT 1\0"),
            ready(),
        ]
        .concat();
        let cut = cut.index(stream.len() + 1);
        let mut theirs = BytesMut::from(&stream[..cut]);
        let mut is_complete = false;
        while let Some(message) = Message::parse(&mut theirs).unwrap() {
            is_complete |= matches!(message, Message::ReadyForQuery(_));
        }
        let ours = feed(&mut busy(), &stream[..cut], &[7]);
        prop_assert_eq!(ours.len(), usize::from(is_complete));
    }
}
