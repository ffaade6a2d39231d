//! One secured connection.

mod opening;

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use postgres_protocol::message::frontend;
use rustls::ClientConnection;

use super::{Begin, Config, Fault, Security};
use crate::{Class, Code, Failure, Operation, Outcome, Progress, Values};

/// A connection of either protocol with TLS around it. See [`crate::Session`] for the order of
/// calls.
///
/// What a server sends makes it hold at most a handshake message of 64 KiB, or a record of 16 KiB:
/// rustls refuses longer ones, and every record's bytes are handed on before the next is read.
///
/// rustls allocates two small buffers a request: one to seal it, one to open the reply.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    inner: crate::Session,
    state: State,
    /// Whether this is the second attempt, secured where the first was not, or the other way.
    attempt: Attempt,
    /// The next opening is the second attempt.
    tries_again: bool,
    connection: Option<Box<ClientConnection>>,
    /// What the protocol inside wants to send.
    plain: BytesMut,
    /// The last byte of `input` was taken though it was left in place: more events are to come.
    is_byte_held: bool,
    /// An event that waits until bytes that came before it are sent.
    next: Option<Progress>,
    /// What rustls found wrong behind the bytes that are still to be handed on.
    fault: Option<rustls::Error>,
    is_ready: bool,
    is_busy: bool,
    is_ended: bool,
    failure: Failure,
    /// Why the first attempt failed.
    first: Failure,
    /// Whether the last failure is TLS' own, not the inner protocol's.
    is_failure_ours: bool,
}

const UNENCRYPTED: &str = "unencrypted data came behind the answer to the SSLRequest";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// An SSLRequest went out; one byte answers it.
    Asked,
    Handshake,
    Secured,
    /// The connection is not secured, nor will it be.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

impl Session {
    /// A session that secures `inner` as `config` says.
    pub fn new(config: Arc<Config>, inner: crate::Session) -> Self {
        Self {
            config,
            inner,
            state: State::Closed,
            attempt: Attempt::First,
            tries_again: false,
            connection: None,
            plain: BytesMut::new(),
            is_byte_held: false,
            next: None,
            fault: None,
            is_ready: false,
            is_busy: false,
            is_ended: false,
            failure: Failure::default(),
            first: Failure::default(),
            is_failure_ours: false,
        }
    }

    /// See [`crate::Session::open`].
    pub(crate) fn open(&mut self, out: &mut BytesMut) -> Progress {
        self.attempt = match std::mem::take(&mut self.tries_again) {
            true => Attempt::Second,
            false => Attempt::First,
        };
        self.connection = None;
        self.is_byte_held = false;
        self.next = None;
        self.fault = None;
        self.is_ready = false;
        self.is_busy = false;
        self.is_ended = false;
        match (self.config.begin, self.attempt) {
            (Begin::Https | Begin::Direct, _) => self.begin_handshake(out),
            (Begin::Allow, Attempt::First) | (Begin::Prefer, Attempt::Second) => {
                self.open_plain(out)
            }
            _ => {
                self.state = State::Asked;
                frontend::ssl_request(out);
                Progress::Write
            }
        }
    }

    /// Seals one request. See [`crate::Session::request`].
    pub(crate) fn request(&mut self, operation: &Operation, values: &Values, out: &mut BytesMut) {
        self.is_busy = true;
        if self.state == State::Plain {
            return self.inner.request(operation, values, out);
        }
        self.inner.request(operation, values, &mut self.plain);
        self.seal(out);
    }

    /// Seals what was queued. See [`crate::Session::sync`].
    pub(crate) fn sync(&mut self, out: &mut BytesMut) {
        self.is_busy = true;
        if self.state == State::Plain {
            return self.inner.sync(out);
        }
        self.inner.sync(&mut self.plain);
        self.seal(out);
    }

    /// See [`crate::Session::finish`].
    pub(crate) fn finish(&mut self, out: &mut BytesMut) {
        match self.state {
            State::Plain => self.inner.finish(out),
            State::Secured => {
                self.inner.finish(&mut self.plain);
                self.seal(out);
                if let Some(connection) = &mut self.connection {
                    connection.send_close_notify();
                }
                self.flush(out);
            }
            _ => {}
        }
    }

    /// See [`crate::Session::is_secured`].
    pub(crate) fn is_secured(&self) -> bool {
        self.state == State::Secured
    }

    /// See [`crate::Session::receive`].
    pub(crate) fn receive(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Progress {
        let all = *input;
        if std::mem::take(&mut self.is_byte_held) {
            *input = input.get(1..).unwrap_or_default();
        }
        if let Some(progress) = self.next.take() {
            self.hold_byte_for_more(input, all);
            return progress;
        }
        match self.state {
            State::Asked => self.answered(input, out),
            State::Plain => {
                let progress = self.inner.receive(input, out);
                self.settle(progress)
            }
            State::Handshake | State::Secured => self.receive_records(input, all, out),
            State::Closed => {
                *input = &[];
                Progress::NeedMore
            }
        }
    }

    /// See [`crate::Session::end_of_stream`].
    pub(crate) fn end_of_stream(&mut self) -> Progress {
        match self.state {
            State::Asked => {
                self.state = State::Closed;
                self.fail(Code::None, "the server closed the connection at the SSLRequest");
                self.refused(Class::Disconnected)
            }
            State::Handshake => self.broken(Fault::Closed, ""),
            State::Secured | State::Plain => {
                let progress = self.inner.end_of_stream();
                self.settle(progress)
            }
            State::Closed => Progress::NeedMore,
        }
    }

    /// See [`crate::Session::is_reusable`].
    pub(crate) fn is_reusable(&self) -> bool {
        self.state != State::Closed && !self.is_ended && self.inner.is_reusable()
    }

    /// See [`crate::Session::failure`].
    pub(crate) fn failure(&self) -> &Failure {
        if self.is_failure_ours { &self.failure } else { self.inner.failure() }
    }

    /// The protocol that is spoken inside.
    pub(crate) fn inner(&self) -> &crate::Session {
        &self.inner
    }

    /// The same, to be changed.
    pub(crate) fn inner_mut(&mut self) -> &mut crate::Session {
        &mut self.inner
    }

    /// See [`crate::Session::security`].
    pub(crate) fn security(&self) -> Option<Security> {
        let connection = self.connection.as_ref().filter(|_| self.state == State::Secured)?;
        Security::of(connection, self.inner.is_bound())
    }

    /// Opens records one after another until one of them holds an event.
    fn receive_records<'a>(
        &mut self,
        input: &mut &'a [u8],
        all: &'a [u8],
        out: &mut BytesMut,
    ) -> Progress {
        let before = out.len();
        let progress = loop {
            if let Some(progress) = self.hand_on(out) {
                break progress;
            }
            if let Some(error) = self.fault.take() {
                *input = &[];
                break self.untrusted(&error);
            }
            if input.is_empty() {
                self.seal(out);
                let is_silent = out.len() == before;
                return if is_silent { Progress::NeedMore } else { Progress::Write };
            }
            self.read_record(input);
        };
        self.seal(out);
        if out.len() > before {
            self.next = Some(progress);
            self.hold_byte(input, all);
            return Progress::Write;
        }
        self.hold_byte_for_more(input, all);
        progress
    }

    /// What rustls does not accept.
    #[cold]
    fn untrusted(&mut self, error: &rustls::Error) -> Progress {
        let is_begun = self.connection.as_ref().is_some_and(|connection| {
            connection.protocol_version().is_some() || !connection.is_handshaking()
        });
        match Fault::of(error, is_begun) {
            // The server has just said that it speaks TLS.
            Fault::NotTls if !matches!(self.config.begin, Begin::Https | Begin::Direct) => {
                self.violation(UNENCRYPTED)
            }
            fault => self.broken(fault, &details(error)),
        }
    }

    /// Gives some bytes to rustls.
    fn read_record(&mut self, input: &mut &[u8]) {
        let Some(connection) = &mut self.connection else { return };
        if self.is_ended {
            *input = &[];
            return;
        }
        let read = connection.read_tls(input).map_err(|error| error.to_string());
        match read {
            Ok(_) => match connection.process_new_packets() {
                Ok(state) => self.is_ended = state.peer_has_closed(),
                Err(error) => self.fault = Some(error),
            },
            Err(words) => self.fault = Some(rustls::Error::General(words)),
        }
    }

    /// Gives what was opened to the protocol inside, up to its next event.
    fn hand_on(&mut self, out: &mut BytesMut) -> Option<Progress> {
        if self.state == State::Handshake {
            if self.connection.as_ref()?.is_handshaking() {
                return None;
            }
            return self.secured(out);
        }
        let connection = self.connection.as_mut()?;
        let mut reader = connection.reader();
        while let Ok(chunk) = reader.fill_buf() {
            if chunk.is_empty() {
                break;
            }
            let mut rest = chunk;
            let progress = self.inner.receive(&mut rest, &mut self.plain);
            let taken = chunk.len() - rest.len();
            reader.consume(taken);
            match progress {
                Progress::NeedMore | Progress::Write => {}
                progress => return Some(self.settle(progress)),
            }
        }
        // The end of a body that ends with the connection.
        if self.is_ended && (self.is_busy || !self.is_ready) {
            let progress = self.inner.end_of_stream();
            return Some(self.settle(progress)).filter(|progress| *progress != Progress::NeedMore);
        }
        None
    }

    /// Seals what the protocol inside wants to send, behind what TLS itself does.
    fn seal(&mut self, out: &mut BytesMut) {
        if let Some(connection) = &mut self.connection
            && !self.plain.is_empty()
        {
            // It goes to memory, without a limit.
            let _ = connection.writer().write_all(&self.plain);
        }
        self.plain.clear();
        self.flush(out);
    }

    fn flush(&mut self, out: &mut BytesMut) {
        let Some(connection) = &mut self.connection else { return };
        while connection.wants_write() {
            if connection.write_tls(&mut out.writer()).is_err() {
                return;
            }
        }
    }

    /// Makes the caller come again where all of `input` is taken and events are left.
    fn hold_byte_for_more<'a>(&mut self, input: &mut &'a [u8], all: &'a [u8]) {
        if self.has_more() {
            self.hold_byte(input, all);
        }
    }

    fn hold_byte<'a>(&mut self, input: &mut &'a [u8], all: &'a [u8]) {
        if let (true, Some(last)) = (input.is_empty(), all.len().checked_sub(1)) {
            *input = &all[last..];
            self.is_byte_held = true;
        }
    }

    /// Whether something that has come is still to be handed on.
    fn has_more(&mut self) -> bool {
        let has_plain = self.connection.as_mut().is_some_and(|connection| {
            connection.reader().fill_buf().is_ok_and(|chunk| !chunk.is_empty())
        });
        self.state == State::Secured && (has_plain || self.fault.is_some())
    }

    /// Takes note of an event of the protocol inside.
    fn settle(&mut self, progress: Progress) -> Progress {
        match progress {
            Progress::Ready => self.is_ready = true,
            Progress::Response(_) => {
                self.is_busy = false;
                self.is_failure_ours = false;
            }
            Progress::Refused(outcome) => return self.inner_refused(outcome),
            Progress::NeedMore | Progress::Write | Progress::Reconnect => {}
        }
        progress
    }

    fn fail(&mut self, code: Code, words: &str) {
        self.failure.set(code, words.as_bytes());
        self.is_failure_ours = true;
    }

    fn violation(&mut self, words: &str) -> Progress {
        self.fail(Code::None, words);
        self.refused(Class::Protocol)
    }

    /// TLS failed: the request in flight with it, if there is one.
    #[cold]
    fn broken(&mut self, fault: Fault, words: &str) -> Progress {
        let is_first_preferred =
            self.config.begin == Begin::Prefer && self.attempt == Attempt::First;
        let was_handshake = self.state == State::Handshake;
        self.fail(Code::Tls(fault), if words.is_empty() { fault.words() } else { words });
        if is_first_preferred && was_handshake {
            self.first = self.failure.clone();
            return self.try_again();
        }
        self.refused(Class::Tls)
    }

    fn refused(&mut self, class: Class) -> Progress {
        self.state = State::Closed;
        let outcome = Outcome::Failed(class);
        if std::mem::take(&mut self.is_busy) {
            return Progress::Response(outcome);
        }
        self.join_failures();
        Progress::Refused(outcome)
    }
}

/// What rustls has to say beyond the fault's own words.
fn details(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => String::new(),
        rustls::Error::InvalidCertificate(error) => error.to_string(),
        rustls::Error::AlertReceived(alert) => format!("the server says {alert:?}"),
        error => error.to_string(),
    }
}
