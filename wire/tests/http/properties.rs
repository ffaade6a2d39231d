//! What holds for any reply: against serde_json as the oracle, and however the bytes are cut.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use wire::http::Request;
use wire::{Class, Outcome, Progress, Values};

use crate::peer::*;
use crate::requests::{encoded, template};

/// What the verdict on a whole body must be, worked out from its parsed value.
fn oracle(body: &[u8], path: Option<&str>) -> Outcome {
    let Ok(serde_json::Value::Object(response)) = serde_json::from_slice(body) else {
        return failed(Class::NotGraphql);
    };
    let data = response.get("data").filter(|data| !data.is_null());
    let errors = match response.get("errors") {
        None | Some(serde_json::Value::Null) => false,
        Some(serde_json::Value::Array(errors)) => !errors.is_empty(),
        Some(_) => true,
    };
    let Some(data) = data else {
        return failed(if errors { Class::GraphqlError } else { Class::NoData });
    };
    if errors {
        return failed(Class::GraphqlPartial);
    }
    let Some(path) = path else { return Outcome::Ok };
    let step = |value: &serde_json::Value, segment: &str| match value {
        serde_json::Value::Array(list) => list.get(segment.parse::<usize>().ok()?).cloned(),
        value => value.get(segment).cloned(),
    };
    let found = path.split('.').skip(1).try_fold(data.clone(), |value, key| step(&value, key));
    let text = match found {
        Some(serde_json::Value::String(text)) => text,
        Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
            value.to_string()
        }
        _ => return failed(Class::EmptyReply),
    };
    if text == ASKED_FOR { Outcome::Ok } else { failed(Class::WrongReply) }
}

/// The paths of the tests; the generated JSON uses their segments as keys.
fn paths() -> impl Strategy<Value = Option<&'static str>> {
    select(vec![
        None,
        Some("data.id"),
        Some("data.user.id"),
        Some("data.feed.0.id"),
        Some("data.feed.1.1"),
        Some("data.0"),
    ])
}

/// White space as JSON has it.
fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

/// A JSON string with its quotes: plain, with escapes, or with every character as an escape.
fn quoted(text: String) -> impl Strategy<Value = String> {
    let escaped = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
    let plain = serde_json::to_string(&text).unwrap();
    prop_oneof![4 => Just(plain), 1 => Just(format!("\"{escaped}\""))]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(ASKED_FOR.to_owned()),
        2 => select(vec!["", "6", "55", "errors", "]}", "\"", "\\", "\\\"{[", "\u{1f600}"])
            .prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn key() -> impl Strategy<Value = String> {
    let known = ["id", "user", "feed", "0", "1", "errors", "data", "message", "i", "idd"];
    prop_oneof![6 => select(known.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(ASKED_FOR.to_owned()),
        2 => any::<i64>().prop_map(|number| number.to_string()),
        2 => select(vec!["null", "true", "false", "-0.5", "1e3", "1.25E-2"])
            .prop_map(str::to_owned),
        4 => text().prop_flat_map(quoted),
    ]
}

/// Any JSON value, as text.
fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(5, 60, 5, |inner| {
        prop_oneof![list(inner.clone()), object(key().boxed(), inner)]
    })
}

fn list(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (vec(inner, 0..4), space()).prop_map(|(elements, space)| {
        format!("[{space}{}{space}]", elements.join(&format!("{space},")))
    })
}

fn object(
    key: BoxedStrategy<String>,
    inner: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    let members = btree_map(key, inner, 0..5);
    (members.prop_shuffle_members(), space()).prop_map(|(members, space)| {
        let members: Vec<String> =
            members.iter().map(|(key, value)| format!("{key}{space}:{space}{value}")).collect();
        format!("{{{space}{}{space}}}", members.join(&format!(",{space}")))
    })
}

/// Members in any order, with their keys quoted.
trait ShuffleMembers: Strategy<Value = std::collections::BTreeMap<String, String>> + Sized {
    fn prop_shuffle_members(self) -> impl Strategy<Value = Vec<(String, String)>> {
        self.prop_map(|members| members.into_iter().collect::<Vec<_>>())
            .prop_shuffle()
            .prop_flat_map(|members| {
                let quote = |(key, value)| (quoted(key), Just(value));
                members.into_iter().map(quote).collect::<Vec<_>>()
            })
    }
}

impl<S: Strategy<Value = std::collections::BTreeMap<String, String>>> ShuffleMembers for S {}

/// Data in which each of the paths leads somewhere.
fn shaped() -> impl Strategy<Value = String> {
    (scalar(), value(), any::<bool>()).prop_map(|(id, other, list)| {
        if list {
            return format!("[{id}, {other}]");
        }
        let user = format!(r#"{{"x":{other}, "id":{id}, "y":{other}}}"#);
        let feed = format!(r#"[{{"y":{{"id":{other}}},"id": {id} }},[{other},{id}]]"#);
        format!(r#"{{"other":{other},"user":{user},"feed":{feed},"id":{id}}}"#)
    })
}

/// A GraphQL response, more or less.
fn body() -> impl Strategy<Value = String> {
    let key = select(vec!["data", "data", "errors", "extensions"]).prop_map(str::to_owned);
    let member = prop_oneof![1 => Just("[]".to_owned()), 3 => value(), 3 => shaped()];
    let any = (space(), object(key.boxed(), member), space());
    prop_oneof![
        any.prop_map(|(before, body, behind)| before + &body + &behind),
        shaped().prop_map(|data| format!(r#"{{"errors":[],"data":{data}}}"#)),
    ]
}

/// A body in one of its framings: how it is said, and whether the close ends it.
fn framed(body: &[u8], framing: usize) -> Conversation {
    match framing {
        0 => {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            server([text.as_bytes(), body].concat())
        }
        1 => server([&b"HTTP/1.1 200 OK\r\n\r\n"[..], body].concat()).closing(),
        chunk => server(chunked_response(&chunked(body, chunk - 1))),
    }
}

/// Plays it whole, at random cuts, and a byte at a time: the same events, which it gives.
fn any_cut(conversation: &Conversation, cuts: &[Index]) -> Vec<Event> {
    let length = conversation.length();
    let mut session = session();
    let whole = conversation.play(&mut session, &[]);
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
    places.sort_unstable();
    assert_eq!(conversation.play(&mut session, &places), whole, "cut at {places:?}");
    let everywhere: Vec<usize> = (0..length).collect();
    assert_eq!(conversation.play(&mut session, &everywhere), whole, "one byte at a time");
    whole
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..6)
}

/// Pieces of replies, which together are sometimes one.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"data\":{}}",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.0 500 x\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"Content-Length: 11\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Content-Type: multipart/mixed\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"X: y\r\n",
        b"Server-Timing: total;dur=7\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"{\"data\":{}}",
        b"b\r\n{\"data\":{}}\r\n0\r\n\r\n",
        b"3\r\n{\"d\r\n8;x\r\nata\":{}}\r\n",
        b"0\r\n\r\n",
        b"{\"errors\":[{\"message\":\"",
        b"\"}]}",
        b"\\",
    ];
    let fragment = prop_oneof![
        8 => select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
}

/// A replacement for so many bytes at a place.
fn edit() -> impl Strategy<Value = (Index, usize, String)> {
    (any::<Index>(), 0_usize..3, "[{}\\[\\],:\"0-9a-f tnulrse.+-]{0,2}")
}

fn edited(text: &str, (at, removed, inserted): &(Index, usize, String)) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = at.index(characters.len() + 1);
    let behind = (at + removed).min(characters.len());
    let (front, back) = (&characters[..at], &characters[behind..]);
    front.iter().copied().chain(inserted.chars()).chain(back.iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_verdict_is_the_oracles(
        body in body(), path in paths(), framing in 0_usize..12, cuts in cuts()
    ) {
        let mut conversation = framed(body.as_bytes(), framing);
        if let Some(path) = path {
            conversation = conversation.expecting(path);
        }
        let events = any_cut(&conversation, &cuts);
        let expected = Progress::Response(oracle(body.as_bytes(), path));
        prop_assert_eq!(events[0].progress, expected, "{}", body);
    }

    #[test]
    fn a_truncated_body_is_no_response(body in body(), at in any::<Index>(), cuts in cuts()) {
        let body = body.trim();
        let boundaries: Vec<usize> = body.char_indices().map(|(at, _)| at).collect();
        let body = &body[..boundaries[at.index(boundaries.len())]];
        let events = any_cut(&framed(body.as_bytes(), 0), &cuts);
        prop_assert_eq!(events[0].progress, Progress::Response(failed(Class::NotGraphql)));
    }

    #[test]
    fn an_edited_body_is_judged_as_the_oracle_does(
        data in scalar(), errors in scalar(), edit in edit(), path in paths(), cuts in cuts()
    ) {
        let body = edited(&format!(r#"{{"data":{data}, "errors" : {errors},"x":null}}"#), &edit);
        let mut conversation = framed(body.as_bytes(), 0);
        if let Some(path) = path {
            conversation = conversation.expecting(path);
        }
        let events = any_cut(&conversation, &cuts);
        let expected = oracle(body.as_bytes(), path);
        // Strings and inner brackets that nothing is looked for in may hold anything.
        let inner = body.contains('\\') || body.matches(['{', '[']).count() > 1;
        // Numbers beyond f64 are JSON to us, and to RFC 8259.
        let huge = serde_json::from_str::<serde_json::Value>(&body)
            .is_err_and(|error| error.to_string().contains("out of range"));
        if !inner && !huge || expected != failed(Class::NotGraphql) {
            prop_assert_eq!(events[0].progress, Progress::Response(expected), "{}", body);
        }
    }

    #[test]
    fn any_bytes_come_out_the_same_however_they_are_cut(
        bytes in fragments(), requests in 0_usize..4, closes: bool, cuts in cuts()
    ) {
        let mut conversation = server(bytes).asked(requests).expecting("data.user.id");
        if closes {
            conversation = conversation.closing();
        }
        any_cut(&conversation, &cuts);
    }

    #[test]
    fn a_head_seen_before_changes_nothing(
        number in 0_usize..6, edits in vec(edit(), 0..3), cuts in cuts()
    ) {
        let first = [
            json(r#"{"data":{}}"#),
            response("200 OK", "ETag: \"a\"\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\n", "{}"),
            response("204 No Content", "Connection: keep-alive\r\n", ""),
            chunked_response(b"2\r\n{}\r\n0\r\n\r\n"),
            response("200 OK", "Server-Timing: total;dur=1.25, db;dur=0.5\r\n", "{}"),
            response("200 OK", "Server-Timing: total;dur=9\r\nServer-Timing: db;dur=8\r\n", "{}"),
        ][number].clone();
        let text = String::from_utf8(first.clone()).unwrap();
        let second = edits.iter().fold(text, |text, edit| edited(&text, edit));
        let second = server(second).closing();
        let mut used = session();
        server(first).play(&mut used, &[]);
        prop_assert_eq!(second.play(&mut used, &[]), any_cut(&second, &cuts));
    }

    #[test]
    fn any_text_arrives_as_it_was(first: String, number: i64, second: String) {
        let body = template(r##"{"a":#,"b":#,"c":#}"##);
        let request = Request::new("/", "localhost", body).unwrap();
        let mut values = Values::new();
        values.push_text(&first);
        values.push_integer(number);
        values.push_text(&second);
        let (head, body) = encoded(request, &values);
        let length = format!("\r\nContent-Length: {}", body.len());
        prop_assert!(head.ends_with(&length), "{}", head);
        let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(parsed, serde_json::json!({ "a": first, "b": number, "c": second }));
    }
}
