//! Where a host name leads.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use socket2::{SockAddr, Socket, Type};

/// The addresses of a host, at least one; IPv6 in brackets or not.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<Vec<SockAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.map(SockAddr::from).collect();
    if addresses.is_empty() {
        return Err(io::Error::other("it has no address"));
    }
    Ok(addresses)
}

/// The first address of a host that takes connections; the only one untried.
pub(crate) fn reach(host: &str, port: u16, timeout: Duration) -> io::Result<SockAddr> {
    let addresses = resolve(host, port)?;
    let [only] = &addresses[..] else {
        let is_up = |address: &&SockAddr| connect(address, timeout).is_ok();
        // Where none is up, the engine says so, as of any server.
        return Ok(addresses.iter().find(is_up).unwrap_or(&addresses[0]).clone());
    };
    Ok(only.clone())
}

/// Whether an address is this machine's: only its own can be bound.
pub(crate) fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

/// Whether something takes connections there.
pub(crate) fn connect(address: &SockAddr, timeout: Duration) -> io::Result<()> {
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    match address.is_unix() {
        true => socket.connect(address),
        false => socket.connect_timeout(address, timeout),
    }
}
