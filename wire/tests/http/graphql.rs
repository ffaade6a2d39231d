//! Verdicts on replies that users of such tools met, and on their neighbours.

use wire::{Class, Code, Outcome, Progress};

use crate::peer::*;

// GraphQL verdicts.

#[test]
fn data_null_with_errors_is_a_graphql_error() {
    for body in [
        r#"{"data":null,"errors":[{"message":"boom"}]}"#,
        r#"{"errors":[{"message":"boom"}],"data":null}"#,
        r#"{"errors":[{"message":"boom"}]}"#,
        r#"{"errors":[{"path":["a","message"],"extensions":{"message":"no"},"message":"boom"}]}"#,
        " {\n \"errors\" : [ { \"message\" : \"boom\" } ] ,\t\"data\" : null }\r\n",
        r#"{"errors":[{"message":"b\u006fom"},{"message":"second"}],"data":null}"#,
    ] {
        assert_eq!(verdict(body), failed(Class::GraphqlError), "{body}");
        assert_eq!(server(json(body)).words(), (Code::None, "boom".into()), "{body}");
    }
}

#[test]
fn errors_without_a_message_are_errors_as_well() {
    for body in
        [r#"{"errors":[null]}"#, r#"{"errors":[{}]}"#, r#"{"errors":["x"]}"#, r#"{"errors":[[]]}"#]
    {
        assert_eq!(verdict(body), failed(Class::GraphqlError), "{body}");
        assert_eq!(server(json(body)).words(), (Code::None, String::new()), "{body}");
    }
}

#[test]
fn errors_that_are_no_list_are_errors_as_well() {
    for errors in [r#""boom""#, r#"{"message":"boom"}"#, "true", "1"] {
        let body = format!(r#"{{"data":{{}},"errors":{errors}}}"#);
        assert_eq!(verdict(&body), failed(Class::GraphqlPartial), "{body}");
    }
}

#[test]
fn data_with_errors_is_a_partial_result() {
    for body in [
        r#"{"data":{"user":null},"errors":[{"message":"boom"}]}"#,
        r#"{"errors":[{"message":"boom"}],"data":{"user":{"id":"5"}}}"#,
        r#"{"errors":[{"message":"boom"}],"data":{}}"#,
    ] {
        assert_eq!(verdict(body), failed(Class::GraphqlPartial), "{body}");
        assert_eq!(server(json(body)).words(), (Code::None, "boom".into()), "{body}");
    }
}

#[test]
fn empty_errors_and_the_text_errors_inside_data_are_no_failure() {
    for body in [
        OK,
        r#"{"data":{"user":{"id":"5"}},"errors":[]}"#,
        r#"{"errors":[ ],"data":{}}"#,
        r#"{"errors":null,"data":{}}"#,
        r#"{"data":{"text":"\"errors\":[{\"message\":\"boom\"}]"}}"#,
        r#"{"data":{"text":"errors"}}"#,
        r#"{"data":{"errors":[{"message":"a field of that name"}]}}"#,
        r#"{"data":{},"extensions":{"errors":[1]}}"#,
        r#"{"data":{},"x":"\\","y":"\\\" \"errors\":[1]"}"#,
    ] {
        assert_eq!(verdict(body), Outcome::Ok, "{body}");
    }
}

#[test]
fn keys_are_compared_as_text_not_as_bytes() {
    assert_eq!(verdict(r#"{"d\u0061ta":{}}"#), Outcome::Ok);
    assert_eq!(verdict(r#"{"\u0065rrors":[1]}"#), failed(Class::GraphqlError));
    assert_eq!(verdict(r#"{"datas":{}}"#), failed(Class::NoData));
    assert_eq!(verdict(r#"{"dat":{},"":{}}"#), failed(Class::NoData));
}

#[test]
fn no_data_and_no_errors_is_no_data() {
    for body in ["{}", r#"{"data":null}"#, r#"{"errors":[]}"#, r#"{"error":"token expired"}"#] {
        assert_eq!(verdict(body), failed(Class::NoData), "{body}");
    }
}

#[test]
fn what_is_no_graphql_response_is_not_graphql() {
    for body in [
        "",
        " ",
        "<!DOCTYPE html><html><body>Welcome</body></html>",
        "OK",
        "null",
        "true",
        "5",
        r#""data""#,
        "[]",
        r#"[{"data":{}}]"#,
        "{",
        r#"{"data":{"user":{"id":"5"}}"#,
        r#"{"data":{"user":{"id":"5"#,
        r#"{"data":{}}}"#,
        r#"{"data":{}} {}"#,
        r#"{"data":{}}x"#,
        r#"{"data":}"#,
        r#"{"data" 1}"#,
        r#"{"data"}"#,
        r#"{"data":1,}"#,
        r#"{"data":1 "x":2}"#,
        r#"{"data":1;"x":2}"#,
        r#"{,"data":1}"#,
        r#"{data:1}"#,
        r#"{'data':1}"#,
        r#"{"data"::1}"#,
        r#"{"data":nul}"#,
        r#"{"data":nulll}"#,
        r#"{"data":truefalse}"#,
        r#"{"data":01}"#,
        r#"{"data":1.}"#,
        r#"{"data":-}"#,
        r#"{"data":1e}"#,
        r#"{"data":+1}"#,
        r#"{"data":NaN}"#,
        r#"{"data":[1,2}"#,
        r#"{"data":{"a":[}]}"#,
        r#"{"data":]}"#,
        r#"{"errors":[}"#,
        r#"{"d\x61ta":1}"#,
        r#"{"d\u00g1ta":1}"#,
    ] {
        assert_eq!(verdict(body), failed(Class::NotGraphql), "{body}");
    }
}

#[test]
fn numbers_and_literals_are_values() {
    for value in ["0", "-0", "10", "-1.5", "1e5", "1.25E-10", "true", "false", r#""""#, "[]", "{}"]
    {
        let body = format!(r#"{{"data":{value}}}"#);
        assert_eq!(verdict(&body), Outcome::Ok, "{body}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        let mut session = session();
        let events = server(json(&format!(r#"{{"data":{open}{close}}}"#))).play(&mut session, &[]);
        events[0].progress
    };
    assert_eq!(nested(128), Progress::Response(Outcome::Ok));
    assert_eq!(nested(129), Progress::Response(failed(Class::NotGraphql)));
    assert_eq!(nested(1_000_000), Progress::Response(failed(Class::NotGraphql)));
}

// What a reply must carry.

fn expect(path: &'static str, body: &str) -> Outcome {
    server(json(body)).expecting(path).outcome_reusable()
}

#[test]
fn the_value_that_was_asked_for_is_found() {
    for (path, body) in [
        ("data.user.id", OK),
        ("data.user.id", r#"{"data":{"user":{"id":5}}}"#),
        ("data.user.id", r#"{"data":{"user":{"id":"\u0035"}}}"#),
        ("data.user.id", r#"{"data":{"user":{"name":{"id":"6"},"id":"5"},"x":{"id":"7"}}}"#),
        ("data.user.id", r#"{"data":{"id":"1","us":{"id":"2"},"user":{"i":"3","id":"5"}}}"#),
        ("data.user.id", r#"{"errors":[],"data":{"users":[{"id":1}],"user":{"x":[1],"id":5}}}"#),
        ("data.us\u{e9}r.id", r#"{"data":{"us\u00e9r":{"id":"5"}}}"#),
        ("data.feed.0.id", r#"{"data":{"feed":[{"id":"5"},{"id":"6"}]}}"#),
        ("data.feed.2.id", r#"{"data":{"feed":[{"id":"6"},null,{"id":5},{"id":"7"}]}}"#),
        ("data.feed.1.1", r#"{"data":{"feed":[[5,6],[7, 5 ]]}}"#),
        ("data.feed.0.id", r#"{"data":{"feed":{"0":{"id":"5"}}}}"#),
        ("data.0", r#"{"data":[ 5 ]}"#),
    ] {
        assert_eq!(expect(path, body), Outcome::Ok, "{path} {body}");
    }
}

#[test]
fn another_requests_reply_is_a_wrong_reply_and_both_numbers_are_shown() {
    for (value, found) in [
        ("7", "7"),
        (r#""7""#, "7"),
        ("55", "55"),
        (r#""""#, ""),
        ("5.0", "5.0"),
        ("-5", "-5"),
        ("true", "true"),
        (r#""\ud83d\ude00\n\ud83d""#, "\u{1f600}\n\u{fffd}"),
        (r#""\ud83dx""#, "\u{fffd}x"),
    ] {
        let body = format!(r#"{{"data":{{"user":{{"id":{value}}}}}}}"#);
        let conversation = server(json(&body)).expecting("data.user.id");
        assert_eq!(conversation.outcome_reusable(), failed(Class::WrongReply), "{body}");
        let words = format!("asked for 5, got {found}");
        assert_eq!(conversation.words(), (Code::None, words), "{body}");
    }
}

#[test]
fn a_reply_without_what_was_asked_for_is_an_empty_reply() {
    for (path, body) in [
        ("data.user.id", r#"{"data":{}}"#),
        ("data.user.id", r#"{"data":{"user":null}}"#),
        ("data.user.id", r#"{"data":{"user":5}}"#),
        ("data.user.id", r#"{"data":5}"#),
        ("data.user.id", r#"{"data":{"user":{}}}"#),
        ("data.user.id", r#"{"data":{"user":{"id":null}}}"#),
        ("data.user.id", r#"{"data":{"user":{"id":{"id":5}}}}"#),
        ("data.user.id", r#"{"data":{"user":[{"id":5}]}}"#),
        ("data.user.id", r#"{"user":{"id":5},"data":{"id":5,"x":{"user":{"id":5}}}}"#),
        ("data.feed.0.id", r#"{"data":{"feed":[]}}"#),
        ("data.feed.1.id", r#"{"data":{"feed":[{"id":5}]}}"#),
        ("data.feed.0.id", r#"{"data":{"feed":[[{"id":5}],{"id":5}]}}"#),
    ] {
        assert_eq!(expect(path, body), failed(Class::EmptyReply), "{path} {body}");
    }
}

#[test]
fn errors_and_missing_data_come_before_the_wrong_reply() {
    let partial = r#"{"data":{"user":{"id":7}},"errors":[{"message":"boom"}]}"#;
    assert_eq!(expect("data.user.id", partial), failed(Class::GraphqlPartial));
    assert_eq!(expect("data.user.id", r#"{"data":null}"#), failed(Class::NoData));
    assert_eq!(expect("data.user.id", r#"{"data":{"user":{"id":7}}"#), failed(Class::NotGraphql));
}

#[test]
fn of_members_with_the_same_name_the_last_counts() {
    let twice = r#"{"data":{"user":{"id":5}},"data":{}}"#;
    assert_eq!(expect("data.user.id", twice), failed(Class::EmptyReply));
    assert_eq!(verdict(r#"{"data":{},"data":null}"#), failed(Class::NoData));
    assert_eq!(verdict(r#"{"errors":[1],"data":{},"errors":[]}"#), Outcome::Ok);
}

// Statuses.

#[test]
fn a_502_with_a_html_page_is_unavailable_and_the_connection_stays_usable() {
    for status in ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        let page = "<html><head><title>error</title></head></html>";
        let mut bytes = response(status, "Content-Type: text/html\r\n", page);
        bytes.extend(json(OK));
        assert_eq!(
            server(bytes.clone()).asked(2).progress(),
            outcomes(&[failed(Class::Unavailable), Outcome::Ok])
        );
        let code = Code::Status(status[..3].parse().unwrap());
        assert_eq!(server(bytes).asked(2).words(), (code, page.into()));
    }
}

#[test]
fn the_status_decides_whatever_the_body_says() {
    for (status, class) in [
        ("401 Unauthorized", Class::Auth),
        ("403 Forbidden", Class::Auth),
        ("429 Too Many Requests", Class::Capacity),
        ("400 Bad Request", Class::Status),
        ("408 Request Timeout", Class::Status),
        ("500 Internal Server Error", Class::Status),
        ("302 Found", Class::Status),
        ("599 ", Class::Status),
    ] {
        for body in [OK, "", "<html>", r#"{"errors":[{"message":"token expired"}]}"#] {
            let headers = "Content-Type: application/graphql-response+json\r\n";
            let conversation = server(response(status, headers, body));
            assert_eq!(conversation.outcome_reusable(), failed(class), "{status} {body}");
        }
    }
}

#[test]
fn a_failing_status_keeps_the_errors_message_or_the_bodys_start() {
    let words = |body: &str| server(response("401 Unauthorized", "", body)).words();
    let code = Code::Status(401);
    let errors =
        r#"{"errors":[{"extensions":{"code":"X"},"message":"token expired"}],"data":null}"#;
    assert_eq!(words(errors), (code, "token expired".into()));
    assert_eq!(words(r#"{"error":"no token"}"#), (code, r#"{"error":"no token"}"#.into()));
    assert_eq!(words(""), (code, String::new()));
    let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(5000));
    assert_eq!(words(&long), (code, "x".repeat(200)));
    assert_eq!(words(&"y".repeat(1000)), (code, "y".repeat(200)));
}

#[test]
fn no_content_has_no_body_whatever_it_announces() {
    for status in ["204 No Content", "304 Not Modified"] {
        let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: 10\r\n\r\n").into_bytes();
        bytes.extend(json(OK));
        let progress = server(bytes).asked(2).progress();
        assert_eq!(progress.len(), 2, "{status}");
        assert_eq!(progress[1], Progress::Response(Outcome::Ok));
    }
}

// Bodies that can't be read.

#[test]
fn an_encoding_that_was_not_asked_for_is_its_own_class() {
    let gzip = "\u{1f}\u{8b}\u{8}not really";
    for coding in ["gzip", "br", "GZIP", "identity, gzip"] {
        let bytes = response("200 OK", &format!("Content-Encoding: {coding}\r\n"), gzip);
        let conversation = server([bytes, json(OK)].concat()).asked(2);
        let expected = outcomes(&[failed(Class::ContentEncoding), Outcome::Ok]);
        assert_eq!(conversation.progress(), expected, "{coding}");
        assert_eq!(conversation.words(), (Code::None, coding.into()));
    }
    let identity = response("200 OK", "Content-Encoding: identity\r\nContent-Encoding:\r\n", OK);
    assert_eq!(server(identity).outcome_reusable(), Outcome::Ok);
    let coded = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_vec(),
        chunked(gzip.as_bytes(), 5),
    ];
    assert_eq!(server(coded.concat()).outcome_reusable(), failed(Class::ContentEncoding));
    // The status still comes first.
    let bytes = response("502 Bad Gateway", "Content-Encoding: gzip\r\n", gzip);
    assert_eq!(server(bytes).outcome_reusable(), failed(Class::Unavailable));
}

#[test]
fn multipart_is_refused_as_one_operation() {
    let parts = "--abc\r\nContent-Type: application/json\r\n\r\n{\"data\":{}}\r\n--abc--\r\n";
    for kind in ["multipart/mixed; boundary=abc", "Multipart/Form-Data", "text/event-stream"] {
        let headers = format!("Content-Type: {kind}\r\n");
        let plain = response("200 OK", &headers, parts);
        let head = format!("HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n");
        let chunks = [head.into_bytes(), chunked(parts.as_bytes(), 7)].concat();
        for bytes in [plain, chunks] {
            let conversation = server([bytes, json(OK)].concat()).asked(2);
            let expected = outcomes(&[failed(Class::MediaType), Outcome::Ok]);
            assert_eq!(conversation.progress(), expected, "{kind}");
            assert_eq!(conversation.words(), (Code::None, kind.into()));
        }
    }
}
