//! From the first byte to the first request: who we are, and the statements that have names.

use bytes::BytesMut;

use super::{
    super::{
        Fallback,
        login::{Channel, Refusal, Step},
        method::Method,
        parameters::Parameters,
    },
    Session, State,
};
use crate::{Class, Code, Progress, tls::Fault};

impl Session {
    /// What the next connection goes over.
    pub(crate) fn secure(&mut self, channel: Channel) {
        self.channel = channel;
    }

    /// See [`crate::Session::login_method`].
    pub fn login_method(&self) -> Method {
        self.method
    }

    /// See [`crate::Session::keep_parameters`].
    pub(crate) fn keep_parameters(&mut self) {
        self.parameters = Some(Box::default());
    }

    /// See [`crate::Session::take_parameters`].
    pub(crate) fn take_parameters(&mut self) -> Option<Parameters> {
        self.parameters.take().map(|parameters| *parameters)
    }

    /// Whether the login was bound to the TLS connection.
    pub(crate) fn is_bound(&self) -> bool {
        self.is_bound
    }

    /// Whether the server has accepted who we are.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.is_authenticated
    }

    pub(super) fn authenticate(&mut self, body: &[u8], out: &mut BytesMut) -> Option<Progress> {
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

    pub(super) fn started(&mut self, out: &mut BytesMut) -> Progress {
        let is_fallen_back = self.fallback.as_ref().is_some_and(Fallback::has_happened);
        if self.prepare.is_empty() || is_fallen_back {
            self.state = State::Idle;
            return Progress::Ready;
        }
        self.state = State::Preparing;
        out.extend_from_slice(&self.prepare);
        Progress::Write
    }

    pub(super) fn prepared(&mut self) -> Progress {
        // Without its statements the connection is of no use.
        if let Some(class) = self.reply.error {
            return self.refused(class);
        }
        self.state = State::Idle;
        Progress::Ready
    }
}
