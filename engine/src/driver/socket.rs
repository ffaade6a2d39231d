//! How sockets are made.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Setup;
use crate::ConnectionId;

/// Connections from one address to one server's port: as many as there are ports for them (the
/// default net.ipv4.ip_local_port_range holds 28,232).
const CONNECTIONS_PER_ADDRESS: u32 = 28_000;

/// Makes sockets, and spreads more of them than there are ports over the addresses of the
/// loopback interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sockets {
    /// One worker's share of an address' ports.
    per_address: u32,
}

impl Sockets {
    pub(super) fn new(setup: Setup) -> Self {
        let workers = setup.workers.clamp(1, CONNECTIONS_PER_ADDRESS as usize) as u32;
        Self { per_address: CONNECTIONS_PER_ADDRESS / workers }
    }

    /// A new socket in place `id`, to be connected to `address`.
    pub(super) fn open(self, id: ConnectionId, address: &SockAddr) -> io::Result<Socket> {
        let domain = address.domain();
        let is_unix = domain == Domain::UNIX;
        let socket = Socket::new(domain, Type::STREAM, (!is_unix).then_some(Protocol::TCP))?;
        if !is_unix {
            // A request leaves in one write: waiting for more to send can only delay it.
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(source) = self.source(id, address.as_socket()) {
            socket.bind(&source.into())?;
        }
        Ok(socket)
    }

    /// Where the connection in place `id` comes from, if the system's own choice may not do.
    fn source(self, id: ConnectionId, address: Option<SocketAddr>) -> Option<SocketAddr> {
        let address = address?;
        let number = id / self.per_address;
        if number == 0 || !address.is_ipv4() || !address.ip().is_loopback() {
            return None;
        }
        // All of 127.0.0.0/8 is this machine, without configuration.
        let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + number);
        Some(SocketAddr::new(IpAddr::V4(source), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(id: ConnectionId, workers: usize, address: &str) -> Option<String> {
        let sockets = Sockets::new(Setup { connections: 0, workers, spin_ns: 0 });
        sockets.source(id, address.parse().ok()).map(|source| source.to_string())
    }

    #[test]
    fn connections_past_the_ports_of_one_address_come_from_the_next() {
        assert_eq!(source(27_999, 1, "127.0.0.1:80"), None);
        assert_eq!(source(28_000, 1, "127.0.0.1:80").unwrap(), "127.0.0.2:0");
        assert_eq!(source(56_000, 1, "127.0.0.1:80").unwrap(), "127.0.0.3:0");
        // Two workers have half of the ports each.
        assert_eq!(source(13_999, 2, "127.0.0.1:80"), None);
        assert_eq!(source(14_000, 2, "127.0.0.1:80").unwrap(), "127.0.0.2:0");
    }

    #[test]
    fn other_servers_see_the_systems_own_choice() {
        assert_eq!(source(100_000, 1, "192.0.2.1:80"), None);
        assert_eq!(source(100_000, 1, "[::1]:80"), None);
        assert_eq!(source(100_000, 1, "a unix socket"), None);
    }
}
