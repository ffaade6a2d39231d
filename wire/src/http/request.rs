//! A GraphQL request over HTTP/1.1, encoded ahead of time as far as it can be.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::expect::{Expect, ExpectError, Path};
use super::json;
use crate::{CHECKS_MAX, Kind, Piece, Template, Values};

/// A POST with a JSON body (RFC 9110, section 9.3.3; GraphQL over HTTP, "POST").
///
/// The head is encoded whenever a header changes, the body's fixed pieces once; a request costs
/// the copies, its values and its Content-Length. Head and body are appended to one buffer, so
/// that they can leave in one write.
#[derive(Clone)]
pub struct Request {
    path: String,
    headers: Vec<(String, String)>,
    /// The head up to the number of the Content-Length.
    head: Vec<u8>,
    body: Template,
    /// The length of the body without its holes, in bytes.
    fixed_bytes: usize,
    expect: Option<Expect>,
    path_checks: Vec<PathCheck>,
}

/// A value that the reply should have at a path; whether it has is counted and fails nothing.
#[derive(Clone, Debug)]
pub(super) struct PathCheck {
    pub(super) path: Path,
    pub(super) value: String,
}

/// Why a request can't be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The path is not an origin-form target: `/` and then no space or control character, and
    /// nothing outside ASCII (RFC 9112, section 3.2.1).
    Path(String),
    /// Not a header name (RFC 9110, section 5.6.2).
    HeaderName(String),
    /// The header with this name has a value with a line break or another control character
    /// (RFC 9110, section 5.5). The value itself may be a secret and is not kept.
    HeaderValue(String),
    /// The header with this name decides where the request ends, which is not the caller's to say.
    FramingHeader(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{path:?} is not a path that HTTP can ask for"),
            Self::HeaderName(name) => write!(f, "{name:?} is not a header name"),
            Self::HeaderValue(name) => {
                write!(f, "the value of header {name} has a line break or a control character")
            }
            Self::FramingHeader(name) => write!(f, "the header {name} can't be set by hand"),
        }
    }
}

impl std::error::Error for RequestError {}

/// What GraphQL clients send: both media types, the newer one preferred (GraphQL over HTTP).
const ACCEPT: &str = "application/graphql-response+json, application/json;q=0.9";

impl Request {
    /// A POST of `body` to `path` (with its query, if any) on `host` (as in the Host header: with
    /// the port where it is not the scheme's own).
    pub fn new(path: &str, host: &str, body: Template) -> Result<Self, RequestError> {
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RequestError::Path(path.to_owned()));
        }
        let length = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Hole(_) => 0,
        };
        let fixed_bytes = body.pieces().iter().map(length).sum();
        let mut request = Self {
            path: path.to_owned(),
            headers: Vec::new(),
            head: Vec::new(),
            body,
            fixed_bytes,
            expect: None,
            path_checks: Vec::new(),
        };
        request.set_header("Host", host)?;
        request.set_header("Content-Type", "application/json")?;
        request.set_header("Accept", ACCEPT)?;
        Ok(request)
    }

    /// The request with one more header; see [`Request::set_header`].
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, RequestError> {
        self.set_header(name, value)?;
        Ok(self)
    }

    /// The request with a condition on its reply.
    pub fn with_expect(mut self, expect: Expect) -> Self {
        self.expect = Some(expect);
        self
    }

    /// Sets a header, in place of one of the same name if there is one, for every later request:
    /// a token that was renewed. Names are compared without regard to case.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<(), RequestError> {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(RequestError::HeaderName(name.to_owned()));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(RequestError::HeaderValue(name.to_owned()));
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if ["Content-Length", "Transfer-Encoding", "Trailer", "Upgrade"].into_iter().any(is) {
            return Err(RequestError::FramingHeader(name.to_owned()));
        }
        match self.headers.iter_mut().find(|header| is(&header.0)) {
            Some(header) => header.1 = value.to_owned(),
            None => self.headers.push((name.to_owned(), value.to_owned())),
        }
        self.encode_head();
        Ok(())
    }

    /// What the reply must carry.
    pub fn expect(&self) -> Option<&Expect> {
        self.expect.as_ref()
    }

    /// Looks for `value` at `path` (both as in [`Expect`]) in each reply; gives the number under
    /// which [`crate::Condition::Path`] asks for it. The request must not have [`CHECKS_MAX`] yet.
    pub fn add_path_check(&mut self, path: &str, value: &str) -> Result<usize, ExpectError> {
        assert!(self.path_checks.len() < CHECKS_MAX, "a bit for each");
        let path = Path::parse(path)?;
        self.path_checks.push(PathCheck { path, value: value.to_owned() });
        Ok(self.path_checks.len() - 1)
    }

    pub(super) fn path_checks(&self) -> &[PathCheck] {
        &self.path_checks
    }

    /// How many values a request needs at least, for its body and for what it expects.
    pub fn holes(&self) -> usize {
        let expected = self.expect.as_ref().map_or(0, |expect| expect.hole + 1);
        self.body.holes().max(expected)
    }

    fn encode_head(&mut self) {
        let mut head = format!("POST {} HTTP/1.1\r\n", self.path);
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("Content-Length: ");
        self.head = head.into_bytes();
    }

    /// Appends the request with these values to `out`.
    pub(crate) fn encode(&self, values: &Values, out: &mut BytesMut) {
        let mut body_bytes = self.fixed_bytes;
        for piece in self.body.pieces() {
            if let Piece::Hole(hole) = piece {
                body_bytes += match values.at(*hole) {
                    (text, Kind::Number | Kind::Verbatim | Kind::Null) => text.len(),
                    (text, Kind::Text) => text.len() + json::escapes_bytes(text) + 2,
                };
            }
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(body_bytes).as_bytes();
        out.reserve(self.head.len() + digits.len() + 4 + body_bytes);
        out.put_slice(&self.head);
        out.put_slice(digits);
        out.put_slice(b"\r\n\r\n");
        for piece in self.body.pieces() {
            match piece {
                Piece::Bytes(bytes) => out.put_slice(bytes),
                Piece::Hole(hole) => match values.at(*hole) {
                    (text, Kind::Number | Kind::Verbatim | Kind::Null) => {
                        out.put_slice(text);
                    }
                    (text, Kind::Text) => {
                        out.put_u8(b'"');
                        json::escape(text, out);
                        out.put_u8(b'"');
                    }
                },
            }
        }
    }
}

/// Without the headers' values, which may be secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.headers.iter().map(|header| &header.0).collect();
        f.debug_struct("Request")
            .field("path", &self.path)
            .field("headers", &names)
            .field("body", &self.body)
            .field("expect", &self.expect)
            .finish_non_exhaustive()
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
