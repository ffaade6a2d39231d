//! One HTTP/1.1 connection: a response at a time, however its bytes were cut.

use super::chunked::{Chunked, Part};
use super::graphql::Scanner;
use super::head::{self, BadHead, Framing, HEAD_BYTES_MAX, Head, Parsed};
use super::known::Known;
use super::request::Request;
use super::server_timing::ServerTiming;
use crate::{Class, Code, Failure, HttpReply, Outcome, Progress, Values};

/// The client's side of an HTTP/1.1 connection (RFC 9112) that carries GraphQL.
///
/// There is no handshake: `open` is [`Progress::Ready`] at once. A response is complete where its
/// framing says so, whatever it carries, so the outcome of a request never decides whether the
/// connection can be used again; [`crate::Session::is_reusable`] does.
///
/// Interim responses (1xx) are passed over. Bytes that no request asked for make `receive` return
/// [`Progress::Refused`] once: with [`Class::StaleConnection`] where they look like a response (a
/// server or a load balancer that says 408 before it closes an idle connection), with
/// [`Class::Protocol`] otherwise. No request failed then, but the connection is of no more use.
/// From then on, and behind a response that was the connection's last, bytes are swallowed.
///
/// The outcome is decided at the response's end: first by the status, then by what the body can't
/// be read for ([`Class::ContentEncoding`], [`Class::MediaType`]), then by the GraphQL response in
/// it, then by what the request expects. The memory it takes is bounded: by
/// 64 KiB for a head that does not come in one piece, and a few hundred bytes beyond the expected
/// value for a body of any size.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
    /// What the head of the response in flight said.
    head: Option<Head>,
    /// Whether a byte of the reply in flight has come.
    replied: bool,
    /// Whether a request was answered on this connection before.
    served: bool,
    scanner: Scanner,
    /// One for each path that the request in flight checks, so that requests without such checks
    /// pay nothing for them; those past its number are left from other requests.
    path_scanners: Vec<Scanner>,
    path_checks: usize,
    /// A head that came in pieces, as far as it has come; behind the head, the start of a failure's
    /// body. Empty between two replies.
    kept: Vec<u8>,
    known: Known,
    failure: Failure,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Not open, or of no more use: bytes are swallowed.
    #[default]
    Closed,
    /// Nothing is in flight.
    Idle,
    /// Before the end of a head.
    Head,
    /// In a body of which so many bytes are left.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// The start of a value, in bytes, that a message about it shows.
const SHOWN_BYTES_MAX: usize = 80;

impl Session {
    /// A session without a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a connection and forgets the one before.
    pub(crate) fn open(&mut self) -> Progress {
        self.state = State::Idle;
        self.served = false;
        self.kept.clear();
        self.failure.set(Code::None, b"");
        Progress::Ready
    }

    /// A request with these values is being sent.
    pub(crate) fn begin(&mut self, request: &Request, values: &Values) {
        debug_assert!(matches!(self.state, State::Idle), "one request at a time");
        self.state = State::Head;
        self.head = None;
        self.replied = false;
        let expect = request.expect();
        self.scanner.begin(expect.map(|expect| (&expect.path, values.at(expect.hole()).0)));
        let checks = request.path_checks();
        self.path_checks = checks.len();
        if self.path_scanners.len() < checks.len() {
            self.path_scanners.resize_with(checks.len(), Scanner::default);
        }
        for (scanner, check) in self.path_scanners.iter_mut().zip(checks) {
            scanner.begin(Some((&check.path, check.value.as_bytes())));
        }
    }

    /// What checks can be made on, once the request has its outcome.
    pub(crate) fn reply(&self) -> HttpReply {
        let scanners = self.path_scanners[..self.path_checks].iter().enumerate();
        let paths = scanners.map(|(number, scanner)| u32::from(scanner.has_expected()) << number);
        HttpReply {
            status: self.head.map(|head| head.status),
            paths: paths.fold(0, |all, path| all | path),
        }
    }

    /// What the server says of the time that the last request took it.
    pub(crate) fn server_timing(&self) -> ServerTiming {
        self.head.map(|head| head.server_timing).unwrap_or_default()
    }

    /// Takes received bytes from the front of `input` up to the next event.
    pub(crate) fn receive(&mut self, input: &mut &[u8]) -> Progress {
        loop {
            let progress = match &mut self.state {
                State::Closed => {
                    *input = &[];
                    Progress::NeedMore
                }
                State::Idle if input.is_empty() => Progress::NeedMore,
                State::Idle => self.unasked(input),
                State::Head => match self.receive_head(input) {
                    // The body may be complete with it.
                    Ok(true) => continue,
                    Ok(false) => Progress::NeedMore,
                    Err(BadHead(class, what)) => self.broken(class, what, input),
                },
                State::Length(left) => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= take as u64;
                    let complete = *left == 0;
                    let (body, rest) = input.split_at(take);
                    *input = rest;
                    self.body(body);
                    if complete { self.respond() } else { Progress::NeedMore }
                }
                State::Chunked(chunked) => match chunked.next(input) {
                    Part::NeedMore => Progress::NeedMore,
                    Part::Data(body) => {
                        self.body(body);
                        continue;
                    }
                    Part::End => self.respond(),
                    Part::Bad(Class::TooLarge) => {
                        self.broken(Class::TooLarge, "chunk extensions or trailers", input)
                    }
                    Part::Bad(class) => self.broken(class, "malformed chunk", input),
                },
                State::UntilClose => {
                    self.body(std::mem::take(input));
                    Progress::NeedMore
                }
            };
            return progress;
        }
    }

    /// The peer closed the connection.
    pub(crate) fn end_of_stream(&mut self) -> Progress {
        let class = match self.state {
            State::Closed | State::Idle => {
                self.state = State::Closed;
                return Progress::NeedMore;
            }
            State::UntilClose => return self.respond(),
            State::Head if !self.replied && self.served => Class::StaleConnection,
            _ => Class::Disconnected,
        };
        self.broken(class, "", &mut [].as_slice())
    }

    /// Whether another request may be sent on this connection.
    pub(crate) fn is_reusable(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// See [`crate::Session::has_served`].
    pub(crate) fn has_served(&self) -> bool {
        self.served
    }

    /// The last failure in the peer's words.
    pub(crate) fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Bytes on an idle connection.
    fn unasked(&mut self, input: &mut &[u8]) -> Progress {
        let class = match input[0] {
            b'H' => Class::StaleConnection,
            _ => Class::Protocol,
        };
        self.failure.set(Code::None, input);
        self.state = State::Closed;
        *input = &[];
        Progress::Refused(Outcome::Failed(class))
    }

    /// The request in flight fails, and the connection with it.
    #[cold]
    fn broken(&mut self, class: Class, what: &'static str, input: &mut &[u8]) -> Progress {
        *input = &[];
        self.state = State::Closed;
        self.failure.set(Code::None, what.as_bytes());
        Progress::Response(Outcome::Failed(class))
    }

    /// Reads the head, or as much of it as there is. True where it is complete.
    fn receive_head(&mut self, input: &mut &[u8]) -> Result<bool, BadHead> {
        if input.is_empty() {
            return Ok(false);
        }
        self.replied = true;
        if self.kept.is_empty() {
            if let Some((head, length)) = self.known.recognize(input) {
                *input = &input[length..];
                self.accept(head, b"");
                return Ok(true);
            }
            // An error is left to the slow way, which finds it at the same byte for every cut.
            if let Ok(Some(Parsed { head, length, culprit })) = head::parse(input)
                && length <= HEAD_BYTES_MAX
            {
                let (front, rest) = input.split_at(length);
                if culprit.is_empty() && !head.is_interim() {
                    self.known.remember(front, head);
                }
                self.accept(head, culprit);
                *input = rest;
                return Ok(true);
            }
        }
        self.receive_head_pieces(input)
    }

    /// Collects a head that comes in pieces, and tries to read it at the end of each line.
    #[cold]
    fn receive_head_pieces(&mut self, input: &mut &[u8]) -> Result<bool, BadHead> {
        let mut pieces = std::mem::take(&mut self.kept);
        let mut complete = Ok(false);
        while !input.is_empty() && complete == Ok(false) {
            let line = memchr::memchr(b'\n', input).map_or(input.len(), |end| end + 1);
            let take = line.min(HEAD_BYTES_MAX - pieces.len());
            let (piece, rest) = input.split_at(take);
            *input = rest;
            pieces.extend_from_slice(piece);
            complete = self.read_pieces(&pieces);
        }
        if complete != Ok(false) {
            pieces.clear();
        }
        self.kept = pieces;
        complete
    }

    fn read_pieces(&mut self, pieces: &[u8]) -> Result<bool, BadHead> {
        let worth_a_try = pieces.ends_with(b"\n") || pieces[0] != b'H';
        if worth_a_try && let Some(parsed) = head::parse(pieces)? {
            self.accept(parsed.head, parsed.culprit);
            return Ok(true);
        }
        if pieces.len() == HEAD_BYTES_MAX {
            return Err(BadHead(Class::TooLarge, "response head"));
        }
        Ok(false)
    }

    /// Goes on to what the head announces.
    fn accept(&mut self, head: Head, culprit: &[u8]) {
        if head.is_interim() {
            return;
        }
        self.head = Some(head);
        self.state = match head.framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::Close => State::UntilClose,
        };
        if !head.is_success() {
            self.kept.clear();
        } else if head.unreadable.is_some() {
            self.failure.set(Code::None, culprit);
        }
    }

    /// A part of the body.
    fn body(&mut self, bytes: &[u8]) {
        let Some(head) = self.head.filter(|head| head.unreadable.is_none()) else {
            return;
        };
        if !head.is_success() {
            let room = Failure::MESSAGE_BYTES_MAX - self.kept.len();
            self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.scanner.feed(bytes);
        for scanner in &mut self.path_scanners[..self.path_checks] {
            scanner.feed(bytes);
        }
    }

    /// The response is complete.
    fn respond(&mut self) -> Progress {
        self.served = true;
        let persistent = self.head.is_some_and(|head| head.persistent);
        self.state = if persistent { State::Idle } else { State::Closed };
        let outcome = match self.head {
            Some(Head { status: 200..300, unreadable: None, .. }) => self.scanner.verdict(),
            Some(Head { status: 200..300, unreadable: Some(class), .. }) => Outcome::Failed(class),
            Some(Head { status, .. }) => Outcome::Failed(status_class(status)),
            None => Outcome::Failed(Class::Protocol),
        };
        if outcome != Outcome::Ok {
            self.explain(outcome);
            self.kept.clear();
        }
        Progress::Response(outcome)
    }

    /// Keeps the peer's words on a failure.
    #[cold]
    fn explain(&mut self, outcome: Outcome) {
        let status = self.head.map_or(0, |head| head.status);
        let message = self.scanner.message();
        match outcome {
            _ if !(200..300).contains(&status) => {
                let words = if message.is_empty() { &self.kept } else { message };
                self.failure.set(Code::Status(status), words);
            }
            Outcome::Failed(Class::ContentEncoding | Class::MediaType) => {}
            Outcome::Failed(Class::WrongReply) => {
                let (expected, found) = self.scanner.mismatch();
                self.kept.clear();
                self.kept.extend_from_slice(b"asked for ");
                self.kept.extend_from_slice(shown(expected));
                self.kept.extend_from_slice(b", got ");
                self.kept.extend_from_slice(shown(found));
                self.failure.set(Code::None, &self.kept);
            }
            _ => self.failure.set(Code::None, message),
        }
    }
}

fn status_class(status: u16) -> Class {
    match status {
        401 | 403 => Class::Auth,
        429 => Class::Capacity,
        502..=504 => Class::Unavailable,
        _ => Class::Status,
    }
}

fn shown(value: &[u8]) -> &[u8] {
    &value[..value.len().min(SHOWN_BYTES_MAX)]
}
