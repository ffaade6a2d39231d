//! The bytes of requests.

use bytes::BytesMut;
use wire::http::{Expect, ExpectError, Request, RequestError};
use wire::{Operation, Piece, Progress, Template, Values};

use crate::peer::session;

/// The head and the body of a request.
pub(crate) fn encoded(request: Request, values: &Values) -> (String, String) {
    let operation = Operation {
        name: "test".into(),
        idempotent: true,
        request: wire::Request::Http(request),
        checks: Vec::new(),
    };
    let (mut session, mut out) = (session(), BytesMut::new());
    assert_eq!(session.open(&mut out), Progress::Ready);
    session.request(&operation, values, &mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The pieces of `text` around each `#`, which is the next hole.
pub(crate) fn template(text: &str) -> Template {
    let mut pieces = Vec::new();
    for (number, fixed) in text.split('#').enumerate() {
        if number > 0 {
            pieces.push(Piece::Hole(number - 1));
        }
        pieces.push(Piece::Bytes(fixed.as_bytes().into()));
    }
    Template::new(pieces)
}

fn request(body: &str) -> Request {
    Request::new("/graphql?x=1", "localhost:4000", template(body)).unwrap()
}

#[test]
fn head_and_body_are_as_written() {
    let mut values = Values::new();
    values.push_integer(-42);
    values.push_text("a\"b\\c\n\u{1}é");
    let (head, body) = encoded(request(r##"{"variables":{"id":#,"name":#}}"##), &values);
    let expected = r#"{"variables":{"id":-42,"name":"a\"b\\c\n\u0001é"}}"#;
    assert_eq!(body, expected);
    assert_eq!(
        head,
        format!(
            "POST /graphql?x=1 HTTP/1.1\r\nHost: localhost:4000\r\n\
             Content-Type: application/json\r\n\
             Accept: application/graphql-response+json, application/json;q=0.9\r\n\
             Content-Length: {}",
            expected.len()
        )
    );
}

#[test]
fn headers_are_added_and_replaced() {
    let mut request = request("{}").with_header("Authorization", "Bearer one").unwrap();
    request.set_header("authorization", "Bearer two").unwrap();
    request.set_header("Accept", "application/json").unwrap();
    let (head, _) = encoded(request, &Values::new());
    assert!(head.contains("\r\nAuthorization: Bearer two\r\n"), "{head}");
    assert!(head.contains("\r\nAccept: application/json\r\n"), "{head}");
    assert!(!head.contains("Bearer one") && !head.contains("graphql-response"), "{head}");
}

#[test]
fn nothing_can_be_injected() {
    let set = |name: &str, value: &str| request("{}").with_header(name, value).map(|_| ());
    for value in ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\u{7f}"] {
        assert_eq!(set("X", value), Err(RequestError::HeaderValue("X".into())), "{value:?}");
        let host = Request::new("/", value, Template::default()).map(|_| ());
        assert_eq!(host, Err(RequestError::HeaderValue("Host".into())), "{value:?}");
    }
    for name in ["", "a b", "a:", "a\r\n", "é"] {
        assert_eq!(set(name, "x"), Err(RequestError::HeaderName(name.into())), "{name:?}");
    }
    for name in ["content-length", "Transfer-Encoding"] {
        assert_eq!(set(name, "x"), Err(RequestError::FramingHeader(name.into())), "{name:?}");
    }
    for path in ["", "graphql", "/a b", "/a\r\nX: y", "/é"] {
        let refused = Request::new(path, "localhost", Template::default()).map(|_| ());
        assert_eq!(refused, Err(RequestError::Path(path.into())), "{path:?}");
    }
    assert_eq!(set("X", "tab\tand é"), Ok(()));
}

#[test]
fn secrets_are_in_no_debug_output() {
    let request = request("{}").with_header("Authorization", "Bearer s3cret").unwrap();
    let shown = format!("{request:?}");
    assert!(shown.contains("Authorization") && !shown.contains("s3cret"), "{shown}");
    let refused = request.clone().with_header("Authorization", "s3cret\n").unwrap_err();
    assert!(!format!("{refused:?} {refused}").contains("s3cret"));
}

#[test]
fn holes_are_those_of_the_body_and_of_what_is_expected() {
    assert_eq!(request("{}").holes(), 0);
    assert_eq!(request("{#,#}").holes(), 2);
    let expect = Expect::parse("data.user.id", 4).unwrap();
    assert_eq!(request("{#}").with_expect(expect).holes(), 5);
}

#[test]
fn paths_are_checked() {
    for path in ["data.user.id", "data.0", "data.feed.10.author.id"] {
        assert!(Expect::parse(path, 0).is_ok(), "{path}");
    }
    let deep = format!("data{}", ".x".repeat(32));
    for (path, error) in [
        ("", ExpectError::EmptySegment),
        ("data.", ExpectError::EmptySegment),
        (".data", ExpectError::EmptySegment),
        ("data..id", ExpectError::EmptySegment),
        ("data", ExpectError::OutsideData),
        ("user.id", ExpectError::OutsideData),
        (&deep, ExpectError::TooDeep),
    ] {
        assert_eq!(Expect::parse(path, 0), Err(error), "{path}");
    }
}
