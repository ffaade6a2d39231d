//! Framing, limits and closes that users of such tools met, and their neighbours.

use wire::{Class, Code, Outcome, Progress};

use crate::peer::*;

// Interim responses.

#[test]
fn unasked_interim_responses_are_passed_over() {
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 199 x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let mut bytes = Vec::new();
        for id in [5, 7, 5] {
            bytes.extend_from_slice(interim.as_bytes());
            bytes.extend(json(&format!(r#"{{"data":{{"user":{{"id":{id}}}}}}}"#)));
        }
        let conversation = server(bytes).asked(3).expecting("data.user.id");
        let expected = outcomes(&[Outcome::Ok, failed(Class::WrongReply), Outcome::Ok]);
        assert_eq!(conversation.progress(), expected, "{interim}");
    }
}

#[test]
fn switching_protocols_is_a_violation() {
    let bytes = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nxyz";
    assert_eq!(server(bytes).outcome(), (failed(Class::Protocol), false));
}

#[test]
fn a_close_behind_an_interim_response_is_a_disconnect() {
    let mut bytes = json(OK);
    bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    let expected = outcomes(&[Outcome::Ok, failed(Class::Disconnected)]);
    assert_eq!(server(bytes).asked(2).closing().progress(), expected);
}

// Framing.

#[test]
fn several_responses_in_one_piece_are_told_apart() {
    let bytes = [json(OK), chunked_response(&chunked(OK.as_bytes(), 3)), json(OK)].concat();
    assert_eq!(server(bytes).asked(3).progress(), outcomes(&[Outcome::Ok; 3]));
}

#[test]
fn equal_lengths_are_fine_and_conflicting_ones_a_violation() {
    let length = OK.len();
    let with = |headers: String| server(format!("HTTP/1.1 200 OK\r\n{headers}\r\n{OK}"));
    for headers in [
        format!("Content-Length: {length}\r\ncontent-length:{length}\r\n"),
        format!("Content-Length: {length}, {length}\r\n"),
        format!("CONTENT-LENGTH:   00{length}  \r\n"),
    ] {
        assert_eq!(with(headers).outcome_reusable(), Outcome::Ok);
    }
    for headers in [
        format!("Content-Length: {length}\r\nContent-Length: 5\r\n"),
        format!("Content-Length: {length}, 5\r\n"),
        "Content-Length: -1\r\n".into(),
        "Content-Length: +1\r\n".into(),
        "Content-Length: 1 2\r\n".into(),
        "Content-Length: 0x10\r\n".into(),
        "Content-Length:\r\n".into(),
        "Content-Length: 18446744073709551616\r\n".into(),
    ] {
        assert_eq!(with(headers.clone()).outcome(), (failed(Class::Protocol), false), "{headers}");
    }
}

#[test]
fn a_length_beyond_the_close_is_a_disconnect() {
    let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{OK}");
    assert_eq!(server(bytes).closing().outcome(), (failed(Class::Disconnected), false));
}

#[test]
fn transfer_encoding_overrides_content_length_and_ends_the_connection() {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n".to_vec();
    bytes.extend(chunked(OK.as_bytes(), 10));
    assert_eq!(server(bytes).outcome(), (Outcome::Ok, false));
}

#[test]
fn a_transfer_coding_that_is_not_chunked_at_last_ends_with_the_connection() {
    let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n{OK}");
    assert_eq!(server(bytes).closing().outcome(), (failed(Class::ContentEncoding), false));
    let twice =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(server(twice).outcome(), (failed(Class::Protocol), false));
    let identity = response("200 OK", "Transfer-Encoding: identity\r\n", OK);
    assert_eq!(server(identity).outcome_reusable(), Outcome::Ok);
}

#[test]
fn without_a_length_the_close_ends_the_body() {
    for (body, outcome) in [
        (OK, Outcome::Ok),
        ("", failed(Class::NotGraphql)),
        (r#"{"data":{"#, failed(Class::NotGraphql)),
        (r#"{"data":null,"errors":[{"message":"x"}]}"#, failed(Class::GraphqlError)),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}");
        assert_eq!(server(bytes.clone()).progress(), []);
        assert_eq!(server(bytes).closing().outcome(), (outcome, false));
    }
}

#[test]
fn the_connections_future_is_what_version_and_connection_say() {
    for (version, headers, reusable) in [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "connection: Keep-Alive, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: close, keep-alive\r\n", false),
    ] {
        let length = OK.len();
        let head = format!("HTTP/{version} 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n");
        let conversation = server(format!("{head}{OK}"));
        assert_eq!(conversation.outcome(), (Outcome::Ok, reusable), "{head}");
        if !reusable {
            // Whatever follows concerns nobody.
            let more = server(format!("{head}{OK}more")).closing().progress();
            assert_eq!(more, [Progress::Response(Outcome::Ok), Progress::NeedMore]);
        }
    }
}

#[test]
fn what_is_no_http_response_is_a_violation() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
        "Http/1.1 200 OK\r\n\r\n",
        "{\"data\":{}}",
    ] {
        assert_eq!(server(bytes).outcome(), (failed(Class::Protocol), false), "{bytes:?}");
    }
}

#[test]
fn a_head_like_the_one_before_is_read_anew_where_it_differs() {
    let plain = |length: &str, more: &str| {
        format!("HTTP/1.1 200 OK\r\nDate: Tue\r\n{more}Content-Length: {length}\r\n\r\n{OK}")
    };
    let empty = |length: usize| format!("HTTP/1.1 204 x\r\nContent-Length: {length}\r\n\r\n");
    let twice = |length: usize| plain("28", &format!("Content-Length: {length}\r\n"));
    let violation = [(failed(Class::Protocol), false)];
    for (first, second, outcome) in [
        (plain("28", ""), plain("28", ""), [(Outcome::Ok, true)]),
        (plain("28", ""), plain("28", "").replace("Tue", "Wednesday"), [(Outcome::Ok, true)]),
        (plain("28", ""), plain("28", "").replace("Tue", ""), [(Outcome::Ok, true)]),
        (plain("28", ""), plain("28", "").replace("Tue", "T\0e"), violation),
        (plain("28", ""), plain("28", "").replace("Date: Tue", "Date : Tue"), violation),
        (plain("28", ""), plain("028", ""), [(Outcome::Ok, true)]),
        (plain("28", ""), plain("2x", ""), violation),
        (plain("28", ""), plain("28, 5", ""), violation),
        (
            plain("28", ""),
            plain("27", "")[..].replace("}}}", "}}"),
            [(failed(Class::NotGraphql), true)],
        ),
        (twice(28), twice(5), violation),
        (empty(5), empty(7), [(failed(Class::NotGraphql), true)]),
    ] {
        let (first, second) = (server(first), server(second));
        let mut session = session();
        first.play(&mut session, &[]);
        let events = second.play(&mut session, &[]);
        let outcomes: Vec<_> =
            events.iter().map(|event| (event.progress, event.reusable)).collect();
        let expected = outcome.map(|(outcome, reusable)| (Progress::Response(outcome), reusable));
        assert_eq!(outcomes, expected, "{second:?}");
        assert_eq!(second.events(), events, "{second:?}");
    }
}

// The chunked coding.

#[test]
fn chunks_of_every_size_are_put_together() {
    for bytes in 1..=OK.len() {
        let conversation = server(chunked_response(&chunked(OK.as_bytes(), bytes)));
        assert_eq!(conversation.outcome_reusable(), Outcome::Ok);
    }
}

#[test]
fn sizes_extensions_and_trailers_are_read_as_written() {
    for coded in [
        "1C\r\n{}\r\n0\r\n\r\n",
        "0000001c\r\n{}\r\n000\r\n\r\n",
        "1c;name=value;x=\"a;b\"\r\n{}\r\n0;last\r\n\r\n",
        "1c \t\r\n{}\r\n0 ; x\r\n\r\n",
        "1c\r\n{}\r\n0\r\nDigest: abc\r\nX: y\r\n\r\n",
    ] {
        let coded = coded.replace("{}", OK);
        let bytes = [chunked_response(coded.as_bytes()), json(OK)].concat();
        assert_eq!(server(bytes).asked(2).progress(), outcomes(&[Outcome::Ok; 2]), "{coded}");
    }
}

#[test]
fn a_broken_chunk_is_a_violation() {
    for coded in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        " 1\r\n",
        "1\n",
        "1\r\r\n",
        "1;a\nb\r\n",
        "1 1\r\n",
        "1\r\n{\n",
        "1\r\n{}",
        "1\r\n{\r\r",
        "10000000000000000\r\n",
        "ffffffffffffffffffffffff\r\n",
        "0\r\n\n",
        "0\r\nA: b\n\r\n",
        "0\r\n\rx",
    ] {
        let conversation = server(chunked_response(coded.as_bytes()));
        assert_eq!(conversation.outcome(), (failed(Class::Protocol), false), "{coded:?}");
    }
}

#[test]
fn a_chunked_body_without_its_end_is_a_disconnect() {
    let coded = chunked(OK.as_bytes(), 10);
    for length in 0..coded.len() {
        let conversation = server(chunked_response(&coded[..length])).closing();
        let events = conversation.play(&mut session(), &[]);
        assert_eq!(events[0].progress, Progress::Response(failed(Class::Disconnected)), "{length}");
    }
}

// Limits.

fn whole_and_halved(bytes: Vec<u8>) -> Vec<Progress> {
    let conversation = server(bytes);
    let mut session = session();
    let progress = |events: Vec<Event>| -> Vec<Progress> {
        events.into_iter().map(|event| event.progress).collect()
    };
    let whole = progress(conversation.play(&mut session, &[]));
    for cut in [1, 20, 1000, 65_535, 65_536, 65_537] {
        assert_eq!(progress(conversation.play(&mut session, &[cut])), whole, "cut at {cut}");
    }
    whole
}

#[test]
fn an_endless_head_is_too_large() {
    let too_large = outcomes(&[failed(Class::TooLarge)]);
    let value = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(1 << 20));
    assert_eq!(whole_and_halved(value.into_bytes()), too_large);
    let lines = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(30_000));
    assert_eq!(whole_and_halved(lines.into_bytes()), too_large);
    let complete = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(65_536));
    assert_eq!(whole_and_halved(complete.into_bytes()), too_large);
}

#[test]
fn a_head_within_the_limits_is_read() {
    let ok = outcomes(&[Outcome::Ok]);
    let lines: String = (0..120).map(|n| format!("X-{n}: {n}\r\n")).collect();
    assert_eq!(
        whole_and_halved([response("200 OK", &lines, OK), vec![b' '; 70_000]].concat())[..1],
        ok
    );
    let start = response("200 OK", "", OK);
    let filler = 65_536 - (start.len() - OK.len()) - "X: \r\n".len();
    let exact = response("200 OK", &format!("X: {}\r\n", "y".repeat(filler)), OK);
    assert_eq!(exact.len() - OK.len(), 65_536);
    assert_eq!(whole_and_halved([exact, vec![b' '; 2]].concat())[..1], ok);
}

#[test]
fn endless_chunk_extensions_and_trailers_are_too_large() {
    for coded in [
        format!("1;{}", "x".repeat(1 << 17)),
        "0".repeat(1 << 17),
        format!("0\r\n{}", "X: y\r\n".repeat(30_000)),
        format!("0\r\nX: {}", "y".repeat(1 << 17)),
    ] {
        let progress = whole_and_halved(chunked_response(coded.as_bytes()));
        assert_eq!(progress, outcomes(&[failed(Class::TooLarge)]), "{}", &coded[..10]);
    }
}

// Closes, and bytes that nobody asked for.

#[test]
fn a_close_before_the_first_byte_is_stale_only_on_a_used_connection() {
    let expected = outcomes(&[Outcome::Ok, failed(Class::StaleConnection)]);
    assert_eq!(server(json(OK)).asked(2).closing().progress(), expected);
    assert_eq!(server("").closing().outcome(), (failed(Class::Disconnected), false));
}

#[test]
fn a_close_after_the_first_byte_is_a_disconnect() {
    let reply = json(OK);
    for length in 1..reply.len() {
        let bytes = [&reply[..], &reply[..length]].concat();
        let expected = outcomes(&[Outcome::Ok, failed(Class::Disconnected)]);
        let events = server(bytes).asked(2).closing().play(&mut session(), &[]);
        let progress: Vec<Progress> = events.into_iter().map(|event| event.progress).collect();
        assert_eq!(progress, expected, "{length}");
    }
}

#[test]
fn a_close_of_an_idle_connection_is_no_failure() {
    let events = server(json(OK)).closing().events();
    assert_eq!(events[1].progress, Progress::NeedMore);
    assert!(!events[1].reusable);
}

#[test]
fn unasked_bytes_end_the_connection_but_fail_no_request() {
    let timeout = response("408 Request Timeout", "Connection: close\r\n", "");
    for (unasked, class) in [
        (timeout, Class::StaleConnection),
        (b"\r\n".to_vec(), Class::Protocol),
        (b"{\"data\":{}}".to_vec(), Class::Protocol),
    ] {
        let events = server([json(OK), unasked].concat()).closing().events();
        let progress: Vec<Progress> = events.iter().map(|event| event.progress).collect();
        let refused = Progress::Refused(failed(class));
        assert_eq!(progress, [Progress::Response(Outcome::Ok), refused, Progress::NeedMore]);
        assert!(events[0].reusable && !events[1].reusable);
    }
}

#[test]
fn a_failures_words_do_not_outlive_the_connection() {
    let mut session = session();
    let bad = server(response("401 Unauthorized", "", "no token")).play(&mut session, &[]);
    assert_eq!(bad[0].message, "no token");
    let lost = server("HTTP/1.1 200").closing().play(&mut session, &[]);
    assert_eq!((lost[0].code, lost[0].message.as_str()), (Code::None, ""));
}

/// Each reply's own figure is read, also where its head is otherwise like the last one.
#[test]
fn what_the_server_says_of_its_time_is_read_from_every_reply() {
    let reply = |timing: &str| response("200 OK", timing, "{\"data\":{}}");
    let mut session = session();
    let mut times = |timing: &str| {
        let events = server(reply(timing)).play(&mut session, &[]);
        let timing = events[0].server_timing;
        (timing.total_ns(), timing.database_ns())
    };
    let first = times("Server-Timing: total;dur=1.25, db;dur=0.5\r\n");
    assert_eq!(first, (Some(1_250_000), Some(500_000)));
    let longer = times("Server-Timing: total;dur=101.25, db;dur=30.5\r\n");
    assert_eq!(longer, (Some(101_250_000), Some(30_500_000)));
    assert_eq!(times("Server-Timing: total;dur=7\r\n"), (Some(7_000_000), None));
    assert_eq!(times(""), (None, None));
    let two = "Server-Timing: total;dur=9\r\nServer-Timing: db;dur=8\r\n";
    assert_eq!(times(two), (Some(9_000_000), Some(8_000_000)));
    let others = two.replace("dur=8", "dur=6");
    assert_eq!(times(&others), (Some(9_000_000), Some(6_000_000)));
}
