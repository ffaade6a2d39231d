//! Values at paths, looked for beside the verdict.

use bytes::BytesMut;
use wire::{Class, Outcome, Progress, Request, Session, Values};

use crate::peer::*;

/// The outcome of a request with these path checks, and which of them found their value: the same
/// wherever the reply is cut.
fn play(checks: &[(&str, &str)], reply: &[u8]) -> (Outcome, Vec<bool>) {
    let mut operation = operation(Some("data.user.id"));
    let Request::Http(request) = &mut operation.request else { panic!("HTTP") };
    for (number, (path, value)) in checks.iter().enumerate() {
        assert_eq!(request.add_path_check(path, value), Ok(number));
    }
    let mut session = Session::Http(wire::http::Session::new());
    let mut results = Vec::new();
    for cut in 0..=reply.len() {
        let mut out = BytesMut::new();
        session.open(&mut out);
        let mut values = Values::new();
        values.push_text(ASKED_FOR);
        session.request(&operation, &values, &mut out);
        let mut outcome = None;
        for mut part in [&reply[..cut], &reply[cut..]] {
            while !part.is_empty() {
                if let Progress::Response(response) = session.receive(&mut part, &mut out) {
                    outcome = Some(response);
                }
            }
        }
        let outcome = outcome.expect("a whole reply");
        let paths = session.reply(outcome, 0).http.expect("HTTP").paths;
        let found = (0..checks.len()).map(|number| paths >> number & 1 == 1).collect();
        results.push((outcome, found));
    }
    results.dedup();
    assert_eq!(results.len(), 1, "every cut gives the same");
    results.remove(0)
}

#[test]
fn each_path_is_compared_with_its_value_and_none_of_them_fails_the_request() {
    let body = r#"{"data":{"user":{"id":"5","name":"a\"b","age":7,"admin":true,"no":null},
                   "feed":[{"id":1},{"id":20}]}}"#;
    let checks = [
        ("data.user.name", "a\"b"),
        ("data.user.age", "7"),
        ("data.user.admin", "true"),
        ("data.feed.1.id", "20"),
        ("data.feed.2.id", "20"),
        ("data.user.age", "8"),
        ("data.user.no", "null"),
    ];
    let (outcome, found) = play(&checks, &json(body));
    assert_eq!(outcome, Outcome::Ok);
    assert_eq!(found, [true, true, true, true, false, false, false]);
}

#[test]
fn paths_are_looked_for_in_replies_that_failed_too() {
    let checks = [("data.user.id", "5"), ("data.user.name", "x")];
    let body = r#"{"data":{"user":{"id":"6","name":"x"}},"errors":[{"message":"boom"}]}"#;
    let (outcome, found) = play(&checks, &json(body));
    assert_eq!((outcome, found), (failed(Class::GraphqlPartial), vec![false, true]));
    let (outcome, found) = play(&checks, &json(r#"{"data":{"user":{"name":"x"}"#));
    assert_eq!((outcome, found), (failed(Class::NotGraphql), vec![false, false]));
    let (_, found) = play(&checks, &response("502 Bad Gateway", "", "<html>"));
    assert_eq!(found, [false, false]);
}

#[test]
fn a_path_that_leads_nowhere_is_refused() {
    let mut request = operation(None);
    let Request::Http(request) = &mut request.request else { panic!("HTTP") };
    for path in ["", "data", "data.", "errors.0.message"] {
        assert!(request.add_path_check(path, "5").is_err(), "{path}");
    }
}
