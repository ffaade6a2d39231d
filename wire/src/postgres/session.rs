//! One connection's state in the Postgres protocol.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::{
    Fallback,
    error::ErrorResponse,
    login::{Authentication, Channel, Login, Refusal, Step},
    message::{BadLength, Message, Walk, first_column},
    method::Method,
    statement::Statement,
};
use crate::tls::Fault;
use crate::{Class, Code, Failure, Outcome, Progress, Values};

/// One connection to Postgres or to a pooler. See [`crate::Session`] for the order of calls.
#[derive(Debug)]
pub struct Session {
    login: Arc<Login>,
    prepare: Arc<[u8]>,
    fallback: Option<Fallback>,
    state: State,
    authentication: Authentication,
    channel: Channel,
    method: Method,
    is_authenticated: bool,
    is_bound: bool,
    walk: Walk,
    is_reusable: bool,
    /// Whether a request has completed on this connection.
    is_used: bool,
    negotiations: u8,
    /// The process id and the secret by which this connection's request can be cancelled.
    key: Option<(i32, i32)>,
    /// Whether the request in flight was asked to be cancelled.
    is_cancelled: bool,
    reply: Reply,
    failure: Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Login,
    /// Authenticated; the server tells its parameters up to ReadyForQuery.
    Starting,
    Preparing,
    Idle,
    Busy,
}

/// What has come of the reply to the request in flight.
#[derive(Debug, Default)]
struct Reply {
    /// Whether any byte came.
    is_begun: bool,
    error: Option<Class>,
    expects: bool,
    expected: Vec<u8>,
    found: Option<bool>,
}

/// BackendKeyData as protocol 3.0 has it; 3.2, which we do not ask for, has longer secrets.
fn key(body: &[u8]) -> Option<(i32, i32)> {
    let (process, secret) = body.split_first_chunk()?;
    Some((i32::from_be_bytes(*process), i32::from_be_bytes(secret.try_into().ok()?)))
}

impl Session {
    /// A connection that will log in as `login` and then prepare those of `statements` that are
    /// [`super::Protocol::Prepared`].
    pub fn new<'a>(login: Arc<Login>, statements: impl IntoIterator<Item = &'a Statement>) -> Self {
        let mut prepare = BytesMut::new();
        let mut fallback = None;
        for statement in statements {
            prepare.extend_from_slice(statement.prepare().unwrap_or_default());
            fallback = fallback.or_else(|| statement.fallback().cloned());
        }
        if !prepare.is_empty() {
            frontend::sync(&mut prepare);
        }
        Self {
            login,
            prepare: prepare.as_ref().into(),
            fallback,
            state: State::Closed,
            authentication: Authentication::Begun,
            channel: Channel::Plain,
            method: Method::default(),
            is_authenticated: false,
            is_bound: false,
            walk: Walk::default(),
            is_reusable: false,
            is_used: false,
            negotiations: 0,
            key: None,
            is_cancelled: false,
            reply: Reply::default(),
            failure: Failure::default(),
        }
    }

    /// See [`crate::Session::open`].
    pub fn open(&mut self, out: &mut BytesMut) -> Progress {
        self.state = State::Login;
        self.authentication = Authentication::Begun;
        self.method = Method::default();
        self.is_authenticated = false;
        self.is_bound = false;
        self.walk.reset();
        self.is_reusable = true;
        self.is_used = false;
        self.negotiations = 0;
        self.key = None;
        self.reply.error = None;
        self.login.startup(out);
        Progress::Write
    }

    /// Remembers what the reply to `statement` must carry.
    pub(crate) fn begin(&mut self, statement: &Statement, values: &Values) {
        debug_assert_eq!(self.state, State::Idle);
        self.state = State::Busy;
        self.is_cancelled = false;
        self.reply.is_begun = false;
        self.reply.error = None;
        self.reply.found = None;
        self.reply.expects = statement.expect().is_some();
        if let Some(hole) = statement.expect() {
            self.reply.expected.clear();
            self.reply.expected.extend_from_slice(values.at(hole).0.as_bytes());
        }
    }

    /// See [`crate::Session::receive`].
    #[inline]
    pub fn receive(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Progress {
        self.reply.is_begun |= !input.is_empty();
        // The walk lends out messages while the rest of the session takes them.
        let mut walk = std::mem::take(&mut self.walk);
        let progress = loop {
            match walk.next(input) {
                Ok(None) => break Progress::NeedMore,
                Ok(Some(message)) => {
                    if let Some(progress) = self.message(message, out) {
                        break progress;
                    }
                }
                Err(BadLength) => {
                    *input = &[];
                    break self.violation("a message with an impossible length");
                }
            }
        };
        self.walk = walk;
        progress
    }

    /// See [`crate::Session::finish`].
    pub fn finish(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.state, State::Closed) == State::Idle {
            frontend::terminate(out);
        }
    }

    /// See [`crate::Session::end_of_stream`].
    pub fn end_of_stream(&mut self) -> Progress {
        let state = std::mem::replace(&mut self.state, State::Closed);
        self.is_reusable = false;
        match (state, self.reply.error) {
            (State::Idle | State::Closed, _) => Progress::NeedMore,
            (State::Busy, Some(class)) => Progress::Response(Outcome::Failed(class)),
            (State::Busy, None) => {
                self.failure.set(Code::None, b"the server closed the connection");
                let is_stale = self.is_used && !self.reply.is_begun;
                let class = if is_stale { Class::StaleConnection } else { Class::Disconnected };
                Progress::Response(Outcome::Failed(class))
            }
            (_, error) => {
                if error.is_none() {
                    self.failure.set(Code::None, b"the server closed the connection during login");
                }
                Progress::Refused(Outcome::Failed(error.unwrap_or(Class::Disconnected)))
            }
        }
    }

    /// See [`crate::Session::is_reusable`].
    pub fn is_reusable(&self) -> bool {
        self.is_reusable
    }

    /// See [`crate::Session::has_served`].
    pub fn has_served(&self) -> bool {
        self.is_used
    }

    /// See [`crate::Session::cancel`].
    pub fn cancel(&mut self, out: &mut BytesMut) -> bool {
        if let Some((process, secret)) = self.key {
            frontend::cancel_request(process, secret, out);
            self.is_cancelled = true;
        }
        self.key.is_some()
    }

    /// See [`crate::Session::failure`].
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// What the next connection goes over.
    pub(crate) fn secure(&mut self, channel: Channel) {
        self.channel = channel;
    }

    /// See [`crate::Session::login_method`].
    pub fn login_method(&self) -> Method {
        self.method
    }

    /// Whether the login was bound to the TLS connection.
    pub(crate) fn is_bound(&self) -> bool {
        self.is_bound
    }

    /// Whether the server has accepted who we are.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.is_authenticated
    }

    #[inline]
    fn message(&mut self, message: Message<'_>, out: &mut BytesMut) -> Option<Progress> {
        match (self.state, message.kind) {
            (State::Busy, b'D') => self.row(message.body),
            (State::Busy, b'1' | b'2' | b'C' | b'T') => {}
            (State::Busy, b'Z') => return Some(self.response()),
            (State::Busy, b'I' | b'n' | b's' | b'H' | b'd' | b'c') => {}
            // Asynchronous: NoticeResponse, ParameterStatus, NotificationResponse.
            (_, b'N' | b'S' | b'A') => {}
            (_, b'E') => return self.error(message.body),
            (State::Login, b'R') => return self.authenticate(message.body, out),
            (State::Login | State::Starting, b'v') => {
                self.negotiations += 1;
                if self.negotiations > 1 {
                    return Some(self.violation("NegotiateProtocolVersion came twice"));
                }
            }
            (State::Starting, b'K') => self.key = key(message.body),
            (State::Starting, b'Z') => return Some(self.started(out)),
            (State::Preparing, b'1') => {}
            (State::Preparing, b'Z') => return Some(self.prepared()),
            (state, kind) => {
                let words = format!("message '{}' does not fit ({state:?})", kind.escape_ascii());
                return Some(self.violation(&words));
            }
        }
        None
    }

    #[inline]
    fn row(&mut self, body: &[u8]) {
        let reply = &mut self.reply;
        if !reply.expects || reply.found.is_some() {
            return;
        }
        let Some(found) = first_column(body) else {
            return;
        };
        reply.found = Some(found == reply.expected);
        if found != reply.expected {
            let words = [b"asked for ", &reply.expected[..], b", got ", found].concat();
            self.failure.set(Code::None, &words);
        }
    }

    fn response(&mut self) -> Progress {
        self.state = State::Idle;
        self.is_used = true;
        let reply = &self.reply;
        Progress::Response(match (reply.error, reply.expects, reply.found) {
            (Some(class), ..) => Outcome::Failed(class),
            (None, false, _) | (None, true, Some(true)) => Outcome::Ok,
            (None, true, Some(false)) => Outcome::Failed(Class::WrongReply),
            (None, true, None) => {
                self.failure.set(Code::None, b"no row for what was asked for");
                Outcome::Failed(Class::EmptyReply)
            }
        })
    }

    /// The first error counts: a pooler that fails after the server did only repeats it.
    fn error(&mut self, body: &[u8]) -> Option<Progress> {
        let error = ErrorResponse::parse(body);
        let is_first = self.reply.error.is_none() || self.state == State::Idle;
        if is_first {
            error.keep(&mut self.failure);
            self.reply.error = Some(match error.class() {
                Class::WrongCancel if self.is_cancelled => Class::Cancelled,
                class => class,
            });
        }
        let class = self.reply.error.unwrap_or(Class::Sql);
        let falls_back = match &self.fallback {
            Some(fallback) if error.is_of_statement_name() => {
                fallback.happen();
                true
            }
            _ => false,
        };
        match self.state {
            // ReadyForQuery follows, and then all statements are sent unnamed.
            State::Preparing if falls_back && !error.is_fatal() => None,
            State::Busy if !error.is_fatal() => None,
            State::Busy => {
                self.is_reusable = false;
                self.state = State::Closed;
                Some(Progress::Response(Outcome::Failed(class)))
            }
            // A failed Parse: ReadyForQuery follows, but without its statements the connection
            // is of no use.
            _ => Some(self.refused(class)),
        }
    }

    fn authenticate(&mut self, body: &[u8], out: &mut BytesMut) -> Option<Progress> {
        self.method = Method::asked(body).unwrap_or(self.method);
        match self.authentication.receive(&self.login, &self.channel, body, out) {
            Ok(Step::Answer) => Some(Progress::Write),
            Ok(Step::Wait) => None,
            Ok(Step::Done { is_bound }) => {
                self.is_bound = is_bound;
                self.is_authenticated = true;
                self.state = State::Starting;
                None
            }
            Err(Refusal::Auth(words)) => {
                self.failure.set(Code::None, words.as_bytes());
                Some(self.refused(Class::Auth))
            }
            Err(Refusal::Unbound(words)) => {
                self.failure.set(Code::Tls(Fault::ChannelBinding), words.as_bytes());
                Some(self.refused(Class::Tls))
            }
            Err(Refusal::Protocol(words)) => Some(self.violation(&words)),
        }
    }

    fn started(&mut self, out: &mut BytesMut) -> Progress {
        let is_fallen_back = self.fallback.as_ref().is_some_and(Fallback::has_happened);
        if self.prepare.is_empty() || is_fallen_back {
            self.state = State::Idle;
            return Progress::Ready;
        }
        self.state = State::Preparing;
        out.extend_from_slice(&self.prepare);
        Progress::Write
    }

    fn prepared(&mut self) -> Progress {
        self.state = State::Idle;
        Progress::Ready
    }

    fn refused(&mut self, class: Class) -> Progress {
        self.is_reusable = false;
        self.state = State::Closed;
        Progress::Refused(Outcome::Failed(class))
    }

    #[cold]
    fn violation(&mut self, words: &str) -> Progress {
        self.failure.set(Code::None, words.as_bytes());
        let was_busy = self.state == State::Busy;
        match self.refused(Class::Protocol) {
            Progress::Refused(outcome) if was_busy => Progress::Response(outcome),
            progress => progress,
        }
    }
}
