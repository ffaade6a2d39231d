//! Where a host name leads.

use std::io;
use std::net::ToSocketAddrs as _;

use socket2::SockAddr;

/// The first address of a host; IPv6 in brackets or not.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<SockAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = (host, port).to_socket_addrs()?.next();
    address.map(SockAddr::from).ok_or_else(|| io::Error::other("it has no address"))
}
