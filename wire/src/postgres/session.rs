//! One connection's state in the Postgres protocol.

mod batches;
mod opening;

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::{
    Fallback,
    batch::{Batch, InFlight},
    error::ErrorResponse,
    login::{Authentication, Channel, Login},
    message::{BadLength, Message, Walk, whole},
    method::Method,
    parameters::Parameters,
    preparation::Preparation,
    reply::Reply,
    rows::Rows,
    statement::{Statement, encode_without_sync},
};
use crate::{Class, Code, Counts, Failure, Outcome, Progress, Values};

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
    /// Where they are kept.
    parameters: Option<Box<Parameters>>,
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
    /// Once there was a batch.
    in_flight: Option<Box<InFlight>>,
    /// Once there was something to count.
    counts: Option<Box<Counts>>,
    /// Once a statement was prepared with its first use.
    preparation: Option<Box<Preparation>>,
    /// Statements that wait for their common Sync.
    queued: BytesMut,
    /// Syncs between them, each of which is answered too.
    inner_syncs: u32,
    is_in_transaction: bool,
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
    /// A statement is in flight.
    Busy,
    /// A batch is in flight.
    Batch,
    /// What the request left of its transaction is being rolled back.
    RollingBack,
}

impl State {
    /// Whether a request is in flight.
    fn has_request(self) -> bool {
        matches!(self, Self::Busy | Self::Batch | Self::RollingBack)
    }
}

/// BackendKeyData as protocol 3.0 has it; 3.2, which we do not ask for, has longer secrets.
fn key(body: &[u8]) -> Option<(i32, i32)> {
    let (process, secret) = body.split_first_chunk()?;
    Some((i32::from_be_bytes(*process), i32::from_be_bytes(secret.try_into().ok()?)))
}

impl Session {
    /// A connection that will log in as `login` and then prepare those of `statements` that are
    /// [`super::Protocol::Prepared`], each once.
    pub fn new<'a>(login: Arc<Login>, statements: impl IntoIterator<Item = &'a Statement>) -> Self {
        let mut parses = Vec::new();
        let mut fallback = None;
        for statement in statements {
            parses.extend(statement.prepare().filter(|parse| !parses.contains(parse)));
            fallback = fallback.or_else(|| statement.fallback().cloned());
        }
        let mut prepare = BytesMut::from(&parses.concat()[..]);
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
            parameters: None,
            walk: Walk::default(),
            is_reusable: false,
            is_used: false,
            negotiations: 0,
            key: None,
            is_cancelled: false,
            reply: Reply::default(),
            in_flight: None,
            counts: None,
            preparation: None,
            queued: BytesMut::new(),
            inner_syncs: 0,
            is_in_transaction: false,
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
        self.parameters = self.parameters.take().map(|_| Box::default());
        self.walk.reset();
        self.is_reusable = true;
        self.is_used = false;
        self.negotiations = 0;
        self.key = None;
        self.counts = None;
        self.queued.clear();
        self.inner_syncs = 0;
        self.is_in_transaction = false;
        if let Some(preparation) = &mut self.preparation {
            preparation.reset();
        }
        self.reply.error = None;
        self.login.startup(out);
        Progress::Write
    }

    /// Remembers what the reply to `statement` must carry, and has it prepared if it must be.
    #[inline]
    pub(crate) fn begin(&mut self, statement: &Statement, values: &Values, out: &mut BytesMut) {
        debug_assert_eq!(self.state, State::Idle);
        self.state = State::Busy;
        self.is_cancelled = false;
        self.reply.begin(statement, values);
        if let Some((number, parse)) = statement.late() {
            let preparation = self.preparation.get_or_insert_default();
            preparation.begin();
            if preparation.needs(number) {
                out.extend_from_slice(parse);
            }
        }
    }

    /// See [`crate::Session::queue`].
    pub(crate) fn queue(&mut self, statement: &Statement, values: &Values) {
        debug_assert_eq!(self.state, State::Idle);
        let is_first = self.queued.is_empty();
        if is_first {
            self.reply.begin(statement, values);
        }
        if let Some((number, parse)) = statement.late() {
            let preparation = self.preparation.get_or_insert_default();
            if is_first {
                preparation.begin();
            }
            if preparation.needs(number) {
                self.queued.extend_from_slice(parse);
            }
        }
        encode_without_sync(statement, values, &mut self.queued);
    }

    /// See [`crate::Session::queue_sync`].
    pub(crate) fn queue_sync(&mut self) {
        debug_assert!(self.state == State::Idle && !self.queued.is_empty());
        frontend::sync(&mut self.queued);
        self.inner_syncs += 1;
        if let Some(preparation) = &mut self.preparation {
            preparation.sync();
        }
    }

    /// See [`crate::Session::sync`].
    pub(crate) fn sync(&mut self, out: &mut BytesMut) {
        self.state = State::Busy;
        self.is_cancelled = false;
        out.extend_from_slice(&self.queued);
        self.queued.clear();
        frontend::sync(out);
    }

    /// See [`crate::Session::rows`].
    pub(crate) fn rows(&self) -> Option<&Rows> {
        self.reply.rows.as_deref()
    }

    /// See [`crate::Session::is_in_transaction`].
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.is_in_transaction
    }

    /// Remembers what the reply to `batch` must carry, and what is still to be sent.
    pub(crate) fn begin_batch(&mut self, batch: &Arc<Batch>, values: &Values) {
        debug_assert_eq!(self.state, State::Idle);
        self.state = State::Batch;
        self.is_cancelled = false;
        self.reply.begin(&batch.statements()[0], values);
        let counts = self.counts.get_or_insert_default();
        counts.requests += 1;
        counts.queries += batch.sent_at_once() as u64;
        match &mut self.in_flight {
            Some(in_flight) => in_flight.begin(batch, values),
            None => self.in_flight = Some(Box::new(InFlight::new(batch, values))),
        }
    }

    /// See [`crate::Session::receive`].
    #[inline]
    pub fn receive(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Progress {
        self.reply.is_begun |= !input.is_empty();
        loop {
            let message = if self.walk.is_at_rest() { whole(input) } else { Ok(None) };
            let progress = match message {
                Ok(Some(message)) => self.message(message, out),
                Ok(None) => self.receive_piece(input, out),
                Err(BadLength) => Some(self.impossible_length(input)),
            };
            if let Some(progress) = progress {
                return progress;
            }
        }
    }

    /// Takes a part of a message, or the last one of it.
    #[cold]
    fn receive_piece(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Option<Progress> {
        // The walk lends out the message while the rest of the session takes it.
        let mut walk = std::mem::take(&mut self.walk);
        let progress = match walk.next(input, self.reply.held_bytes_max()) {
            Ok(None) => Some(Progress::NeedMore),
            Ok(Some(message)) => self.message(message, out),
            Err(BadLength) => Some(self.impossible_length(input)),
        };
        self.walk = walk;
        progress
    }

    fn impossible_length(&mut self, input: &mut &[u8]) -> Progress {
        *input = &[];
        self.violation("a message with an impossible length")
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
            (state, Some(class)) if state.has_request() => {
                Progress::Response(Outcome::Failed(class))
            }
            (state, None) if state.has_request() => {
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

    /// See [`crate::Session::take_counts`].
    pub(crate) fn take_counts(&mut self) -> Option<Counts> {
        self.counts.as_deref_mut().map(std::mem::take)
    }

    // A call for each message costs 3 % of all that a request does in the worker and here.
    #[inline(always)]
    fn message(&mut self, message: Message<'_>, out: &mut BytesMut) -> Option<Progress> {
        match (self.state, message.kind) {
            (State::Busy | State::Batch, b'D') => self.reply.row(message, &mut self.failure),
            (State::Busy, b'T') => self.reply.describe(message),
            (State::Busy, b'1') => self.parsed(),
            (State::Busy, b'C' | b'I') => self.reply.complete(),
            (State::Busy, b'2') => {}
            (State::Busy, b'Z') if self.inner_syncs > 0 => self.synced(),
            (State::Busy, b'Z') => return Some(self.ready(message.body, out)),
            (State::Batch, b'C' | b'I') => self.completed(),
            (State::Batch, b'Z') => return self.ready_in_batch(message.body, out),
            (State::RollingBack, b'Z') => return Some(self.rolled_back(message.body)),
            (State::Busy | State::Batch, b'd') => self.copied(message),
            (State::Busy | State::Batch, b'G') => return Some(self.refuse_data(out)),
            (state, b'1' | b'2' | b'C' | b'T' | b'I' | b'n' | b's' | b'H' | b'c')
                if state.has_request() => {}
            (_, b'N') => self.counts.get_or_insert_default().notices += 1,
            (State::Starting, b'S') => {
                self.parameters.iter_mut().for_each(|kept| kept.add(message.body));
            }
            // As asynchronous as that: ParameterStatus, NotificationResponse.
            (_, b'S' | b'A') => {}
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

    /// The server is ready for a query, and with that the request is at its end.
    #[inline]
    fn ready(&mut self, status: &[u8], out: &mut BytesMut) -> Progress {
        match (self.state, status) {
            (State::Busy | State::Batch, b"E") => self.roll_back(out),
            (State::Batch, b"T") => {
                let words =
                    "the transaction was left open, and was rolled back: end it with COMMIT";
                self.reply.fail(Class::Sql, words, &mut self.failure);
                self.roll_back(out)
            }
            _ => {
                self.is_in_transaction = status == b"T";
                self.response()
            }
        }
    }

    /// A part of what was queued was answered.
    #[cold]
    fn synced(&mut self) {
        self.inner_syncs -= 1;
        if let Some(preparation) = &mut self.preparation {
            preparation.synced();
        }
    }

    /// The server knows a statement.
    #[inline]
    fn parsed(&mut self) {
        if let Some(preparation) = &mut self.preparation {
            preparation.completed();
        }
    }

    #[inline]
    fn response(&mut self) -> Progress {
        self.state = State::Idle;
        self.is_used = true;
        Progress::Response(self.reply.outcome(&mut self.failure))
    }

    /// The request fails, and the connection with it.
    fn broken_off(&mut self, class: Class) -> Progress {
        self.is_reusable = false;
        self.state = State::Closed;
        Progress::Response(Outcome::Failed(class))
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
        if self.state == State::Batch {
            self.counts.get_or_insert_default().failed += 1;
        }
        match self.state {
            // ReadyForQuery follows. Who leaves before it costs a pooler the server connection.
            State::Preparing if !error.is_fatal() => {
                if falls_back {
                    self.reply.error = None;
                }
                None
            }
            state if state.has_request() && !error.is_fatal() => None,
            state if state.has_request() => Some(self.broken_off(class)),
            _ => Some(self.refused(class)),
        }
    }

    fn refused(&mut self, class: Class) -> Progress {
        self.is_reusable = false;
        self.state = State::Closed;
        Progress::Refused(Outcome::Failed(class))
    }

    #[cold]
    fn violation(&mut self, words: &str) -> Progress {
        self.failure.set(Code::None, words.as_bytes());
        match self.state.has_request() {
            true => self.broken_off(Class::Protocol),
            false => self.refused(Class::Protocol),
        }
    }
}
