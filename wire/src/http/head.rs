//! The head of a response: what it says about the body and about the connection's future.

use std::mem::MaybeUninit;

use super::ServerTiming;
use crate::Class;

/// A head may be this long, in bytes, with its blank line.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// A head may have this many header lines.
pub(super) const HEADERS_MAX: usize = 128;

/// How a body's end is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// By the chunk of size 0.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// Whether another request may follow on the connection (RFC 9112, section 9.3).
    pub(super) persistent: bool,
    /// Whether Content-Length came in one field with one number.
    pub(super) has_one_length: bool,
    /// What the server says of its own time.
    pub(super) server_timing: ServerTiming,
    /// Whether that came in one field at most.
    pub(super) has_one_timing: bool,
    /// Why the body can't be read although it can be passed over, if so.
    pub(super) unreadable: Option<Class>,
}

impl Head {
    /// Whether this is not yet the response (RFC 9110, section 15.2).
    pub(super) fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// Whether there is no body, whatever the fields say (RFC 9112, section 6.3, rule 1).
    pub(super) fn is_bodiless(&self) -> bool {
        self.is_interim() || self.status == 204 || self.status == 304
    }

    /// Whether the server says that it did what was asked.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A head, its length in bytes, and the header value that makes the body unreadable.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) head: Head,
    pub(super) length: usize,
    pub(super) culprit: &'a [u8],
}

/// Why a head can't be used, with a few words on what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadHead(pub(super) Class, pub(super) &'static str);

const fn malformed<T>(what: &'static str) -> Result<T, BadHead> {
    Err(BadHead(Class::Protocol, what))
}

/// Reads the head at the start of `bytes`; `None` where more bytes are needed.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Parsed<'_>>, BadHead> {
    match bytes.first() {
        None => return Ok(None),
        Some(b'H') => {}
        Some(_) => return malformed("not an HTTP response"),
    }
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut headers,
    );
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(BadHead(Class::TooLarge, "too many response headers"));
        }
        Err(_) => return malformed("malformed response head"),
    };
    let mut fields = Fields::default();
    for header in response.headers.iter() {
        fields.take(header.name, header.value)?;
    }
    let head = fields.head(response.code.unwrap_or(0), response.version == Some(1))?;
    Ok(Some(Parsed { head, length, culprit: fields.culprit }))
}

/// The header fields that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Connection,
    ContentType,
    ContentLength,
    ContentEncoding,
    TransferEncoding,
    ServerTiming,
    /// One that says nothing to us.
    Other,
}

impl Field {
    /// The field with this name. The length alone rules most names out.
    pub(super) fn of(name: &[u8]) -> Self {
        let (field, its_name): (_, &[u8]) = match name.len() {
            10 => (Self::Connection, b"connection"),
            12 => (Self::ContentType, b"content-type"),
            13 => (Self::ServerTiming, b"server-timing"),
            14 => (Self::ContentLength, b"content-length"),
            16 => (Self::ContentEncoding, b"content-encoding"),
            17 => (Self::TransferEncoding, b"transfer-encoding"),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(its_name) { field } else { Self::Other }
    }
}

/// What the header fields say, as they are met.
#[derive(Default)]
struct Fields<'a> {
    length: Option<u64>,
    /// How many numbers there were, all the same.
    length_count: usize,
    transfer_encoding: bool,
    /// How often `chunked` was named, and whether it was the last one.
    chunked_count: usize,
    chunked_last: bool,
    close: bool,
    keep_alive: bool,
    unreadable: Option<Class>,
    culprit: &'a [u8],
    server_timing: ServerTiming,
    timing_count: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, name: &str, value: &'a [u8]) -> Result<(), BadHead> {
        match Field::of(name.as_bytes()) {
            Field::Connection => self.connection(value),
            Field::ContentType => self.content_type(value),
            Field::ContentLength => self.content_length(value)?,
            Field::ContentEncoding => {
                let coded = |coding: &[u8]| !coding.eq_ignore_ascii_case(b"identity");
                if tokens(value).any(coded) {
                    self.refuse(Class::ContentEncoding, value);
                }
            }
            Field::TransferEncoding => self.transfer_encoding(value),
            Field::ServerTiming => {
                self.server_timing.take(value);
                self.timing_count += 1;
            }
            Field::Other => {}
        }
        Ok(())
    }

    fn refuse(&mut self, class: Class, culprit: &'a [u8]) {
        // An encoding hides the media type, so it is the one to name.
        if self.unreadable != Some(Class::ContentEncoding) {
            self.unreadable = Some(class);
            self.culprit = culprit;
        }
    }

    /// RFC 9112, section 9.6.
    fn connection(&mut self, value: &[u8]) {
        for option in tokens(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Neither several parts nor a stream of events is one GraphQL response.
    fn content_type(&mut self, value: &'a [u8]) {
        let starts = |prefix: &[u8]| {
            value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if starts(b"multipart/") || starts(b"text/event-stream") {
            self.refuse(Class::MediaType, value);
        }
    }

    /// RFC 9112, section 6.3, rule 5: the same number several times counts once.
    fn content_length(&mut self, value: &[u8]) -> Result<(), BadHead> {
        for number in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            let Some(length) = decimal(number) else {
                return malformed("invalid Content-Length");
            };
            if self.length.is_some_and(|before| before != length) {
                return malformed("conflicting Content-Length");
            }
            self.length = Some(length);
            self.length_count += 1;
        }
        Ok(())
    }

    /// RFC 9112, section 6.1. `identity` is RFC 2616's word for none.
    fn transfer_encoding(&mut self, value: &'a [u8]) {
        for coding in tokens(value).filter(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            self.transfer_encoding = true;
            self.chunked_last = coding.eq_ignore_ascii_case(b"chunked");
            self.chunked_count += usize::from(self.chunked_last);
            if !self.chunked_last {
                self.refuse(Class::ContentEncoding, value);
            }
        }
    }

    /// RFC 9112, section 6.3, for the response to a POST.
    fn head(&self, status: u16, version_1_1: bool) -> Result<Head, BadHead> {
        if status == 101 {
            return malformed("101 Switching Protocols, which was not asked for");
        }
        if status < 100 {
            return malformed("invalid status code");
        }
        if self.chunked_count > 1 {
            return malformed("chunked more than once");
        }
        let framing = match self.length {
            _ if self.chunked_last => Framing::Chunked,
            Some(length) if !self.transfer_encoding => Framing::Length(length),
            _ => Framing::Close,
        };
        // Both fields together, or a transfer coding from a 1.0 server, may be an attempt to
        // smuggle a response; section 6.1 closes the connection after it.
        let dubious = self.transfer_encoding && (self.length.is_some() || !version_1_1);
        let mut head = Head {
            status,
            framing,
            persistent: !self.close && (version_1_1 || self.keep_alive) && !dubious,
            has_one_length: self.length_count == 1,
            server_timing: self.server_timing,
            has_one_timing: self.timing_count <= 1,
            unreadable: self.unreadable,
        };
        if head.is_bodiless() {
            head.framing = Framing::Length(0);
        }
        head.persistent &= head.framing != Framing::Close;
        Ok(head)
    }
}

/// The elements of a comma-separated list, without parameters (RFC 9110, section 5.6.1).
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(|element| element.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii())
        .filter(|element| !element.is_empty())
}

/// Digits and nothing else, up to `u64::MAX`.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
