//! What load goes to.

use std::sync::Arc;

use socket2::SockAddr;
use wire::{Operation, Request, Session, http, postgres, tls};

use crate::Nanos;

/// How connections to a target begin.
#[derive(Clone, Debug)]
pub enum Opening {
    /// HTTP/1.1: requests may be sent at once.
    Http,
    /// The Postgres protocol, with a login.
    Postgres(Arc<postgres::Login>),
    /// Either of them, secured by TLS.
    Secured(Arc<tls::Config>, Box<Opening>),
}

impl Opening {
    /// Whether requests can be cancelled there.
    pub(crate) fn has_cancel(&self) -> bool {
        match self {
            Self::Http => false,
            Self::Postgres(_) => true,
            Self::Secured(_, inner) => inner.has_cancel(),
        }
    }
}

/// One server that load goes to, with the operations encoded for it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in reports.
    pub name: String,
    /// Where it listens: TCP or a Unix socket.
    pub address: SockAddr,
    /// How connections begin.
    pub opening: Opening,
    /// The operations, in the order of the mix.
    pub operations: Arc<[Operation]>,
    /// Connections to open before the first phase, over all workers; at least one a worker is
    /// opened.
    pub connections: u32,
    /// As many may be open at most, over all workers: those past `connections` are opened when a
    /// request finds none free. Not below `connections`.
    pub connections_max: u32,
    /// How many connections a worker opens at the same time. With one, the time a connection
    /// takes is the server's; with more, the generator's own work for the others is in it.
    pub opening_at_once: u32,
    /// A request without a reply for so long has failed, and its connection is dropped; so has a
    /// connection that takes so long to open. In ns.
    pub timeout_ns: Nanos,
}

impl Target {
    /// A new session for one connection.
    pub(crate) fn session(&self) -> Session {
        self.session_of(&self.opening)
    }

    fn session_of(&self, opening: &Opening) -> Session {
        match opening {
            Opening::Secured(config, inner) => {
                let inner = self.session_of(inner);
                Session::Tls(Box::new(tls::Session::new(Arc::clone(config), inner)))
            }
            Opening::Http => Session::Http(http::Session::new()),
            Opening::Postgres(login) => {
                let requests = self.operations.iter().map(|operation| &operation.request);
                let statements = requests.flat_map(Request::statements);
                Session::Postgres(postgres::Session::new(Arc::clone(login), statements))
            }
        }
    }
}
