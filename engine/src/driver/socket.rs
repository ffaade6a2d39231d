//! How sockets are made.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr},
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Setup;
use crate::{ConnectionId, Nanos};

/// Connections from one address to one server's port: as many as there are ports for them (the
/// default net.ipv4.ip_local_port_range holds 28,232).
const CONNECTIONS_PER_ADDRESS: u32 = 28_000;

/// Makes sockets, and spreads more of them than there are ports over the addresses of the
/// loopback interface.
#[derive(Clone, Debug)]
pub(super) struct Sockets {
    /// One worker's share of an address' ports.
    per_address: u32,
    /// See [`super::Options::sources`].
    sources: Arc<[IpAddr]>,
    /// See [`super::Options::reset`].
    reset: bool,
}

impl Sockets {
    pub(super) fn new(setup: &Setup) -> Self {
        let workers = setup.workers.clamp(1, CONNECTIONS_PER_ADDRESS as usize) as u32;
        let sources = Arc::clone(&setup.options.sources);
        let reset = setup.options.reset;
        Self { per_address: CONNECTIONS_PER_ADDRESS / workers, sources, reset }
    }

    /// Ends a connection for the peer and for whatever the kernel still does on it; before that
    /// sends `last_words`, unless it would have to wait. What fails is over as well.
    pub(super) fn end(&self, socket: &Socket, last_words: &[u8]) {
        if !last_words.is_empty() {
            let _ = socket.send_with_flags(last_words, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        }
        // A TCP socket that is made to forget its peer sends a reset, and no port waits for late
        // packets. It is no way to end a Unix socket.
        if !self.reset || rustix::net::connect_unspec(socket).is_err() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// A new socket in place `id`, to be connected to `address`.
    pub(super) fn open(&self, id: ConnectionId, address: &SockAddr) -> io::Result<Socket> {
        let domain = address.domain();
        let is_unix = domain == Domain::UNIX;
        let socket = Socket::new(domain, Type::STREAM, (!is_unix).then_some(Protocol::TCP))?;
        if !is_unix {
            // A request leaves in one write: waiting for more to send can only delay it.
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(source) = self.source(id, address.as_socket()) {
            // The port is chosen with the connection: else one port serves one server only.
            set_option(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
            socket.bind(&source.into())?;
        }
        Ok(socket)
    }

    /// Where the connection in place `id` comes from, if the system's own choice may not do.
    fn source(&self, id: ConnectionId, address: Option<SocketAddr>) -> Option<SocketAddr> {
        let address = address?;
        let number = id / self.per_address;
        if !address.ip().is_loopback() {
            let mut usable = self.sources.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4());
            let source = usable.nth(number as usize).or_else(|| self.sources.last());
            return source.map(|source| SocketAddr::new(*source, 0));
        }
        if number == 0 || !address.is_ipv4() {
            return None;
        }
        // All of 127.0.0.0/8 is this machine, without configuration.
        let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + number);
        Some(SocketAddr::new(IpAddr::V4(source), 0))
    }
}

/// Sets an option that is a number (setsockopt(2)) and that socket2 does not know.
pub(super) fn set_option(
    socket: &Socket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the kernel reads no more than the number's size from
    // where it lies.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The shortest round trip that the kernel has seen on a TCP connection of late, in ns (TCP_INFO in
/// tcp(7)); `None` for other sockets, and where it has seen none.
pub(super) fn min_rtt_ns(fd: RawFd) -> Option<Nanos> {
    // SAFETY: it consists of integers, all of which may be 0.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes no more than `length` bytes to where `info` lies, and looks the
    // descriptor up itself: one that is closed is an error.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    // Older kernels know less, and say how much.
    let is_known = length as usize > std::mem::offset_of!(libc::tcp_info, tcpi_min_rtt);
    let is_seen = info.tcpi_min_rtt > 0 && info.tcpi_min_rtt < u32::MAX;
    (result == 0 && is_known && is_seen).then(|| Nanos::from(info.tcpi_min_rtt) * 1000)
}

#[cfg(test)]
mod tests {
    use super::super::{DriverKind, Options};
    use super::*;

    fn source(id: ConnectionId, workers: usize, address: &str) -> Option<String> {
        from(&[], id, workers, address)
    }

    fn from(sources: &[&str], id: ConnectionId, workers: usize, address: &str) -> Option<String> {
        let mut options = Options::new(DriverKind::Uring);
        options.sources = sources.iter().map(|source| source.parse().unwrap()).collect();
        let sockets = Sockets::new(&Setup { connections: 0, workers, options });
        sockets.source(id, address.parse().ok()).map(|source| source.to_string())
    }

    #[test]
    fn addresses_that_were_given_are_used_one_after_the_other_and_no_further() {
        let sources = ["192.0.2.7", "192.0.2.8"];
        let source = |id, address| from(&sources, id, 1, address);
        assert_eq!(source(0, "198.51.100.1:80").unwrap(), "192.0.2.7:0");
        assert_eq!(source(28_000, "198.51.100.1:80").unwrap(), "192.0.2.8:0");
        // The system says that this address has no ports left.
        assert_eq!(source(56_000, "198.51.100.1:80").unwrap(), "192.0.2.8:0");
        assert_eq!(source(0, "127.0.0.1:80"), None);
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
