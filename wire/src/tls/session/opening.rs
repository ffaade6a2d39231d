//! From the SSLRequest to the end of the handshake; libpq's second attempt.

use std::sync::Arc;

use bytes::BytesMut;
use rustls::ClientConnection;

use super::{
    super::{Begin, Fault, end_point_hash},
    Attempt, Session, State, UNENCRYPTED,
};
use crate::{Class, Code, Outcome, Progress, postgres::Channel};

impl Session {
    /// The answer to the SSLRequest.
    pub(super) fn answered(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Progress {
        let Some((answer, rest)) = input.split_first() else { return Progress::NeedMore };
        *input = rest;
        match answer {
            // Bytes behind the answer were not sent by whoever holds the key (CVE-2021-23222).
            b'S' if !rest.is_empty() => {
                *input = &[];
                self.violation(UNENCRYPTED)
            }
            b'S' => self.begin_handshake(out),
            b'N' if self.config.begin == Begin::Prefer => {
                let _ = self.open_plain(out);
                Progress::Write
            }
            b'N' => {
                *input = &[];
                self.broken(Fault::Refused, "")
            }
            // Its words are not shown: the server has not proved who it is (CVE-2024-10977).
            b'E' => {
                *input = &[];
                self.fail(Code::None, "the server answered the SSLRequest with an error");
                self.refused(Class::Unavailable)
            }
            _ => {
                *input = &[];
                self.violation("the answer to the SSLRequest is neither S nor N")
            }
        }
    }

    pub(super) fn open_plain(&mut self, out: &mut BytesMut) -> Progress {
        self.state = State::Plain;
        self.inner.secure(Channel::Plain);
        let progress = self.inner.open(out);
        self.settle(progress)
    }

    pub(super) fn begin_handshake(&mut self, out: &mut BytesMut) -> Progress {
        let config = Arc::clone(&self.config.client);
        match ClientConnection::new(config, self.config.name.clone()) {
            Ok(mut connection) => {
                // A request is sealed whole, however large.
                connection.set_buffer_limit(None);
                self.connection = Some(Box::new(connection));
                self.state = State::Handshake;
                self.flush(out);
                Progress::Write
            }
            Err(error) => self.broken(Fault::of(&error, false), &error.to_string()),
        }
    }

    /// The handshake is over: the protocol inside begins.
    pub(super) fn secured(&mut self, out: &mut BytesMut) -> Option<Progress> {
        let connection = self.connection.as_mut()?;
        // As libpq: whoever is not asked for Postgres might be made to speak something else.
        if self.config.begin == Begin::Direct && connection.alpn_protocol() != Some(b"postgresql") {
            return Some(self.broken(Fault::NothingInCommon, "it does not name postgresql (ALPN)"));
        }
        self.state = State::Secured;
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let end_point = certificate.and_then(|certificate| end_point_hash(certificate));
        self.inner.secure(Channel::Tls { end_point });
        let progress = self.inner.open(&mut self.plain);
        self.seal(out);
        Some(self.settle(progress)).filter(|progress| *progress != Progress::Write)
    }

    /// libpq tries the other way where the server refuses a login before it is proved.
    pub(super) fn inner_refused(&mut self, outcome: Outcome) -> Progress {
        let is_servers_word = matches!(self.inner.failure().code, Code::SqlState(_));
        let is_other_way = match (self.config.begin, self.state) {
            (Begin::Allow, State::Plain) | (Begin::Prefer, State::Secured) => {
                self.attempt == Attempt::First
            }
            _ => false,
        };
        if is_other_way && is_servers_word && !self.inner.is_authenticated() {
            self.first = self.inner.failure().clone();
            return self.try_again();
        }
        self.state = State::Closed;
        self.is_failure_ours = false;
        self.join_failures();
        Progress::Refused(outcome)
    }

    pub(super) fn try_again(&mut self) -> Progress {
        self.state = State::Closed;
        self.tries_again = true;
        Progress::Reconnect
    }

    /// Where both attempts failed, each has a reason of its own.
    pub(super) fn join_failures(&mut self) {
        if self.attempt == Attempt::First || self.is_ready {
            return;
        }
        let second = if self.is_failure_ours { &self.failure } else { self.inner.failure() };
        let second = second.clone();
        let (secured, plain) = match self.config.begin {
            Begin::Allow => (&second, &self.first),
            _ => (&self.first, &second),
        };
        let words = format!("with TLS: {}; without: {}", secured.message, plain.message);
        let code = secured.code;
        self.failure.set(code, words.as_bytes());
        self.is_failure_ours = true;
    }
}
