//! Secured connections in virtual time.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use engine::driver::sim::{Event, Peer, Sim};
use engine::null_server::tls;
use engine::{ConnectionId, MILLISECOND, Nanos, Opened, Opening, SECOND, Target, Worker};
use rustls::{ServerConfig, ServerConnection};
use wire::postgres::{Login, Method};
use wire::tls::Begin;

/// Every packet takes so long, either way.
const WAY: Nanos = MILLISECOND;

/// A Postgres server that takes TLS, and lets in who uses it as `takes_secured` says.
struct Postgres {
    config: Arc<ServerConfig>,
    connection: Option<ServerConnection>,
    takes_secured: bool,
    connects: u32,
}

impl Postgres {
    fn new(takes_secured: bool) -> Self {
        Self { config: tls::server().unwrap(), connection: None, takes_secured, connects: 0 }
    }

    /// What is said to a StartupMessage.
    fn reply(&self, is_secured: bool) -> Vec<u8> {
        if is_secured == self.takes_secured {
            b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I".to_vec()
        } else {
            b"E\0\0\0\x1bSFATAL\0C28000\0Mrefused\0\0".to_vec()
        }
    }

    fn answer(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
        if bytes == SSL_REQUEST {
            let config = Arc::clone(&self.config);
            self.connection = Some(ServerConnection::new(config).unwrap());
            return b"S".to_vec();
        }
        let Some(mut connection) = self.connection.take() else { return self.reply(false) };
        while !bytes.is_empty() {
            connection.read_tls(&mut bytes).unwrap();
            connection.process_new_packets().unwrap();
        }
        let mut plain = Vec::new();
        let _ = connection.reader().read_to_end(&mut plain);
        if !plain.is_empty() {
            connection.writer().write_all(&self.reply(true)).unwrap();
        }
        let mut out = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut out).unwrap();
        }
        self.connection = Some(connection);
        out
    }
}

impl Peer for Postgres {
    fn connect(&mut self, _: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        self.connects += 1;
        self.connection = None;
        vec![(now + 2 * WAY, Event::Connected)]
    }

    fn receive(&mut self, _: ConnectionId, now: Nanos, bytes: &[u8]) -> Vec<(Nanos, Event)> {
        let out = self.answer(bytes);
        if out.is_empty() { Vec::new() } else { vec![(now + 2 * WAY, Event::Bytes(out))] }
    }
}

/// Opens one connection; how often the transport connected, and what opening came to.
fn open(begin: Begin, takes_secured: bool) -> (u32, Opened) {
    let login = Login::new("nova", "nova", "poolbench", None).unwrap();
    let inner = Box::new(Opening::Postgres(Arc::new(login)));
    let target = Target {
        name: "postgres".into(),
        address: "127.0.0.1:5432".parse::<std::net::SocketAddr>().unwrap().into(),
        opening: Opening::Secured(tls::client(begin), inner),
        operations: Vec::new().into(),
        connections: 1,
        connections_max: 1,
        opening_at_once: 1,
        timeout_ns: SECOND,
    };
    let mut worker = Worker::new(0, 1, vec![target].into());
    assert_eq!(worker.connections(), 2, "one more, to cancel by: in the clear, as libpq does");
    let mut sim = Sim::new(&worker, Postgres::new(takes_secured));
    sim.open(&mut worker);
    assert!(worker.refusal().is_none(), "{:?}", worker.refusal());
    (sim.peer.connects, worker.opened().unwrap().remove(0))
}

/// Round trips from the first packet to the end of the login.
fn round_trips(opened: &Opened) -> u64 {
    opened.connect.max().div_ceil(2 * WAY) - 1
}

#[test]
fn a_secured_login_takes_its_round_trips_and_tells_what_was_negotiated() {
    let (connects, opened) = open(Begin::Require, true);
    assert_eq!(connects, 1);
    // TCP, SSLRequest, the handshake of TLS 1.3, the login.
    assert_eq!(round_trips(&opened), 4);
    let security = opened.security[0].as_ref().unwrap();
    assert_eq!(security.version, "TLSv1.3");
    assert_eq!(opened.logins, [Method::Unasked]);
}

#[test]
fn a_second_attempt_is_the_same_opening() {
    let (connects, opened) = open(Begin::Prefer, false);
    assert_eq!(connects, 2);
    // As above, then TCP and the login in the clear.
    assert_eq!(round_trips(&opened), 6);
    assert_eq!(opened.security, [None]);
    let (connects, opened) = open(Begin::Allow, true);
    assert_eq!(connects, 2);
    assert_eq!(round_trips(&opened), 6);
    assert!(opened.security[0].is_some());
}
