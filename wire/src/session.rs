//! One connection's protocol state, whatever the protocol.

use bytes::BytesMut;

use crate::postgres::Channel;
use crate::tls::Security;
use crate::{Counts, Failure, Operation, Outcome, Reply, Request, Values, http, postgres, tls};

/// What [`Session::receive`] made of the bytes it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything was taken; nothing is complete yet.
    NeedMore,
    /// `out` holds bytes to send: the handshake goes on, or the request in flight.
    Write,
    /// The handshake is over: requests may be sent. Comes once in a connection's life.
    Ready,
    /// The request in flight has its outcome. Look at [`Session::is_reusable`] before the next one.
    Response(Outcome),
    /// The handshake failed: close the connection. [`Session::failure`] has the peer's words.
    Refused(Outcome),
    /// The handshake goes on over a new connection, secured where this one is not or the other way
    /// (sslmode=allow and prefer): close this one, connect again, and call [`Session::open`].
    Reconnect,
}

/// One connection's protocol state.
///
/// In this order: `open` when the transport is up; if that is not [`Progress::Ready`] already,
/// `receive` until it is; then `request`, and `receive` until [`Progress::Response`], over and
/// over. One request is in flight at a time. `receive` stops at each event and leaves the rest of
/// `input` in place: call it until `input` is empty. `end_of_stream` when the peer closed.
#[derive(Debug)]
pub enum Session {
    /// GraphQL over HTTP/1.1.
    Http(http::Session),
    /// The Postgres protocol, version 3.
    Postgres(postgres::Session),
    /// Either of them secured by TLS.
    Tls(Box<tls::Session>),
}

impl Session {
    /// Begins a connection: appends what the client says first to `out`. [`Progress::Ready`] where
    /// the protocol has no handshake, else [`Progress::Write`]. Forgets any connection before.
    pub fn open(&mut self, out: &mut BytesMut) -> Progress {
        match self {
            Session::Http(session) => session.open(),
            Session::Postgres(session) => session.open(out),
            Session::Tls(session) => session.open(out),
        }
    }

    /// Appends one request to `out`. The session must be ready, with nothing in flight.
    pub fn request(&mut self, operation: &Operation, values: &Values, out: &mut BytesMut) {
        match (&mut *self, &operation.request) {
            (Session::Http(session), Request::Http(request)) => session.begin(request, values),
            (Session::Postgres(session), Request::Postgres(statement)) => {
                session.begin(statement, values, out);
            }
            (Session::Postgres(session), Request::PostgresBatch(batch)) => {
                session.begin_batch(batch, values);
            }
            (Session::Tls(session), _) => return session.request(operation, values, out),
            _ => unreachable!("operations are encoded for their target's protocol"),
        }
        operation.encode(values, out);
    }

    /// Sets a statement of the Postgres protocol, not [`postgres::Protocol::Simple`], aside for
    /// [`Session::sync`]. The session must be ready, with nothing in flight. What the first of them
    /// keeps or expects goes for all.
    pub fn queue(&mut self, operation: &Operation, values: &Values) {
        match (self, &operation.request) {
            (Session::Postgres(session), Request::Postgres(statement)) => {
                session.queue(statement, values);
            }
            (Session::Tls(session), _) => session.inner_mut().queue(operation, values),
            _ => unreachable!("only statements are queued"),
        }
    }

    /// Sets a Sync behind what was queued: where a statement before it fails, those behind it are done
    /// all the same. Something must be queued.
    pub fn queue_sync(&mut self) {
        match self {
            Session::Http(_) => unreachable!("only statements are queued"),
            Session::Postgres(session) => session.queue_sync(),
            Session::Tls(session) => session.inner_mut().queue_sync(),
        }
    }

    /// Appends what was queued to `out`, with a Sync behind it (Postgres manual, 55.2.4
    /// "Pipelining"): one request, with one outcome.
    pub fn sync(&mut self, out: &mut BytesMut) {
        match self {
            Session::Http(_) => unreachable!("only statements are queued"),
            Session::Postgres(session) => session.sync(out),
            Session::Tls(session) => session.sync(out),
        }
    }

    /// What the last request kept of its reply, if one ever did
    /// ([`postgres::Statement::keeping_rows`]).
    pub fn rows(&self) -> Option<&postgres::Rows> {
        match self {
            Session::Http(_) => None,
            Session::Postgres(session) => session.rows(),
            Session::Tls(session) => session.inner().rows(),
        }
    }

    /// Whether the last request left a transaction open.
    pub fn is_in_transaction(&self) -> bool {
        match self {
            Session::Http(_) => false,
            Session::Postgres(session) => session.is_in_transaction(),
            Session::Tls(session) => session.inner().is_in_transaction(),
        }
    }

    /// Takes received bytes from the front of `input` up to the next event.
    pub fn receive(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Progress {
        match self {
            Session::Http(session) => session.receive(input),
            Session::Postgres(session) => session.receive(input, out),
            Session::Tls(session) => session.receive(input, out),
        }
    }

    /// The peer closed the connection. With a request in flight this is its response (a body that
    /// ends with the connection is complete now); in a handshake it is a refusal; on an idle
    /// connection it is [`Progress::NeedMore`].
    pub fn end_of_stream(&mut self) -> Progress {
        match self {
            Session::Http(session) => session.end_of_stream(),
            Session::Postgres(session) => session.end_of_stream(),
            Session::Tls(session) => session.end_of_stream(),
        }
    }

    /// Whether another request may be sent on this connection, now that the last has its response.
    pub fn is_reusable(&self) -> bool {
        match self {
            Session::Http(session) => session.is_reusable(),
            Session::Postgres(session) => session.is_reusable(),
            Session::Tls(session) => session.is_reusable(),
        }
    }

    /// Whether a request was answered on this connection since it was opened. One that ends
    /// before it was of any use is best opened again with a delay.
    pub fn has_served(&self) -> bool {
        match self {
            Session::Http(session) => session.has_served(),
            Session::Postgres(session) => session.has_served(),
            Session::Tls(session) => session.inner().has_served(),
        }
    }

    /// Appends what makes the peer end the request in flight when it is sent on a connection of
    /// its own, while this one is still there: CancelRequest (Postgres manual, 55.2.8 "Canceling
    /// Requests in Progress"), in the clear as libpq sends it. The peer answers by closing that
    /// connection, and not before. If the request ends by it, its outcome is
    /// [`crate::Class::Cancelled`]. `false`, and nothing is appended, where there is no such thing.
    pub fn cancel(&mut self, out: &mut BytesMut) -> bool {
        match self {
            Session::Http(_) => false,
            Session::Postgres(session) => session.cancel(out),
            Session::Tls(session) => session.inner_mut().cancel(out),
        }
    }

    /// The client closes the connection: appends what it says before to `out`, which is nothing
    /// with a request in flight, in a handshake, and where the protocol has no such word.
    pub fn finish(&mut self, out: &mut BytesMut) {
        match self {
            Session::Http(_) => {}
            Session::Postgres(session) => session.finish(out),
            Session::Tls(session) => session.finish(out),
        }
    }

    /// Whether TLS is up.
    pub fn is_secured(&self) -> bool {
        matches!(self, Session::Tls(session) if session.is_secured())
    }

    /// Whether a login comes before the first request.
    pub fn has_login(&self) -> bool {
        match self {
            Session::Http(_) => false,
            Session::Postgres(_) => true,
            Session::Tls(session) => session.inner().has_login(),
        }
    }

    /// How the server asked who logs in, once the session is ready; `None` where the protocol has no
    /// login.
    pub fn login_method(&self) -> Option<postgres::Method> {
        match self {
            Session::Http(_) => None,
            Session::Postgres(session) => Some(session.login_method()),
            Session::Tls(session) => session.inner().login_method(),
        }
    }

    /// Has the server's words on the session's settings kept from the next opening on, until
    /// [`Session::take_parameters`]. That costs memory: a few hundred bytes.
    pub fn keep_parameters(&mut self) {
        match self {
            Session::Http(_) => {}
            Session::Postgres(session) => session.keep_parameters(),
            Session::Tls(session) => session.inner_mut().keep_parameters(),
        }
    }

    /// What the server said of the session's settings, once the session is ready; no more is kept.
    /// `None` where nothing was to be kept, and where the protocol has no such settings.
    pub fn take_parameters(&mut self) -> Option<postgres::Parameters> {
        match self {
            Session::Http(_) => None,
            Session::Postgres(session) => session.take_parameters(),
            Session::Tls(session) => session.inner_mut().take_parameters(),
        }
    }

    /// The last failure in the peer's words.
    pub fn failure(&self) -> &Failure {
        match self {
            Session::Http(session) => session.failure(),
            Session::Postgres(session) => session.failure(),
            Session::Tls(session) => session.failure(),
        }
    }

    /// What was counted since this was last asked, if anything was.
    pub fn take_counts(&mut self) -> Option<Counts> {
        match self {
            Session::Http(_) => None,
            Session::Postgres(session) => session.take_counts(),
            Session::Tls(session) => session.inner_mut().take_counts(),
        }
    }

    /// What was negotiated, once the session is ready; `None` where the connection is not secured.
    pub fn security(&self) -> Option<Security> {
        match self {
            Session::Tls(session) => session.security(),
            Session::Http(_) | Session::Postgres(_) => None,
        }
    }

    /// Tells the protocol what the next connection goes over.
    pub(crate) fn secure(&mut self, channel: Channel) {
        if let Session::Postgres(session) = self {
            session.secure(channel);
        }
    }

    /// Whether the login was bound to the TLS connection.
    pub(crate) fn is_bound(&self) -> bool {
        matches!(self, Session::Postgres(session) if session.is_bound())
    }

    /// Whether the server has accepted who we are; nothing is asked over HTTP.
    pub(crate) fn is_authenticated(&self) -> bool {
        match self {
            Session::Postgres(session) => session.is_authenticated(),
            Session::Http(_) | Session::Tls(_) => true,
        }
    }

    /// What checks can be made on: the request that has just got this outcome, `service_ns` after
    /// it was sent.
    pub fn reply(&self, outcome: Outcome, service_ns: u64) -> Reply {
        let http = match self {
            Session::Http(session) => Some(session.reply()),
            Session::Postgres(_) => None,
            Session::Tls(session) => return session.inner().reply(outcome, service_ns),
        };
        Reply { outcome, service_ns, http }
    }

    /// What an HTTP server says of the time that the request which has just got its outcome took
    /// it; empty where it says nothing.
    pub fn server_timing(&self) -> http::ServerTiming {
        match self {
            Session::Http(session) => session.server_timing(),
            Session::Postgres(_) => http::ServerTiming::default(),
            Session::Tls(session) => session.inner().server_timing(),
        }
    }
}
