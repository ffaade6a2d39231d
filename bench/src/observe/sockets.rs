//! Connections of every process in this network namespace, as the kernel tells them (sock_diag(7)).
//! It takes no privileges.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use engine::Nanos;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::unix::nlas::UnixDiagName;
use netlink_packet_sock_diag::unix::{
    ShowFlags, StateFlags as UnixStateFlags, UnixRequest, UnixResponse,
};
use netlink_packet_sock_diag::{SockDiagMessage, inet};
use procfs::process::{FDTarget, Process};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink};

use super::Family;
use super::family::Members;

/// All that are established.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    tcp: Vec<Tcp>,
    /// Unix sockets: by inode, the peer's inode.
    peers: BTreeMap<u32, u32>,
    /// Those of them that are bound, or were accepted by one that is: by inode, the file's name.
    names: BTreeMap<u32, String>,
}

/// One end of a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tcp {
    local: SocketAddr,
    remote: SocketAddr,
    /// By which /proc/PID/fd names it.
    inode: u32,
    /// The user whose process made it.
    uid: u32,
    /// The shortest round trip of late (net.ipv4.tcp_min_rtt_wlen), in ns.
    min_rtt_ns: Option<Nanos>,
}

/// Who calls on a hop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A process of this machine by its sockets' inodes.
    Sockets(BTreeSet<u32>),
    /// A process whose descriptors we may not see, by its user.
    User(u32),
    /// A process of another machine with this address.
    Host(IpAddr),
}

/// What is known of a hop's round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoundTrip {
    /// The shortest of late on TCP, in ns.
    Tcp(Nanos),
    /// It has none: both ends are one kernel's.
    Unix,
    /// There is no such connection in this network namespace.
    None,
}

impl Caller {
    /// The processes of a family; one that has gone has no sockets.
    pub(crate) fn of(family: &Family) -> Self {
        let members = family.members();
        let processes = members.iter().flat_map(Members::all);
        let mut inodes = BTreeSet::new();
        for process in processes.filter_map(|pid| Process::new(pid.try_into().ok()?).ok()) {
            match (process.fd(), process.status()) {
                (Ok(files), _) => {
                    inodes.extend(files.flatten().filter_map(|file| match file.target {
                        FDTarget::Socket(inode) => u32::try_from(inode).ok(),
                        _ => None,
                    }));
                }
                (Err(_), Ok(status)) => return Self::User(status.fuid),
                (Err(_), Err(_)) => {}
            }
        }
        Self::Sockets(inodes)
    }
}

impl Sockets {
    /// Asks the kernel. An error is its refusal.
    pub(crate) fn read() -> io::Result<Self> {
        let kind = SocketType::RAW;
        let kernel = rustix::net::socket(AddressFamily::NETLINK, kind, Some(netlink::SOCK_DIAG))?;
        let mut all = Self::default();
        for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let request = InetRequest {
                family,
                protocol: IPPROTO_TCP,
                extensions: ExtensionFlags::INFO,
                states: StateFlags::ESTABLISHED,
                socket_id,
            };
            dump(&kernel, SockDiagMessage::InetRequest(request), |message| {
                if let SockDiagMessage::InetResponse(response) = message {
                    all.tcp.push(Tcp::new(&response));
                }
            })?;
        }
        let request = UnixRequest {
            state_flags: UnixStateFlags::ESTABLISHED,
            inode: 0,
            show_flags: ShowFlags::NAME | ShowFlags::PEER,
            cookie: [0; 8],
        };
        dump(&kernel, SockDiagMessage::UnixRequest(request), |message| {
            if let SockDiagMessage::UnixResponse(response) = message {
                all.add(&response);
            }
        })?;
        Ok(all)
    }

    fn add(&mut self, socket: &UnixResponse) {
        let inode = socket.header.inode;
        self.peers.extend(socket.peer().map(|peer| (inode, peer)));
        if let Some(UnixDiagName::Pathname(path)) = socket.name() {
            let name = path.to_string_lossy();
            let name = name.trim_end_matches('\0').rsplit('/').next().unwrap_or_default();
            self.names.insert(inode, name.to_owned());
        }
    }

    /// The round trip from a caller to what listens on a port, be that TCP or Postgres' Unix socket
    /// of that number. A host's is seen at the end of the one that is called, where that is here.
    pub(crate) fn round_trip(&self, caller: &Caller, port: u16) -> RoundTrip {
        let is_meant = |socket: &&Tcp| match caller {
            Caller::Sockets(inodes) => {
                socket.remote.port() == port && inodes.contains(&socket.inode)
            }
            Caller::User(uid) => socket.remote.port() == port && socket.uid == *uid,
            Caller::Host(ip) => socket.local.port() == port && socket.remote.ip() == *ip,
        };
        let tcp = self.tcp.iter().filter(is_meant);
        if let Some(shortest) = tcp.filter_map(|socket| socket.min_rtt_ns).min() {
            return RoundTrip::Tcp(shortest);
        }
        let file = format!(".s.PGSQL.{port}");
        let leads_there = |inode| {
            let peer = self.peers.get(inode);
            peer.and_then(|peer| self.names.get(peer)) == Some(&file)
        };
        match caller {
            Caller::Sockets(inodes) if inodes.iter().any(leads_there) => RoundTrip::Unix,
            _ => RoundTrip::None,
        }
    }
}

impl Tcp {
    fn new(response: &inet::InetResponse) -> Self {
        let SocketId { source_port, destination_port, .. } = response.header.socket_id;
        let SocketId { source_address, destination_address, .. } = response.header.socket_id;
        // What came over IPv4 to a socket of IPv6 has the same address as at its other end.
        let end = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
        let info = response.nlas.iter().find_map(|attribute| match attribute {
            inet::nlas::Nla::TcpInfo(info) => Some(info),
            _ => None,
        });
        let min_rtt_us = info.map(|info| info.min_rtt);
        let min_rtt_us = min_rtt_us.filter(|us| *us > 0 && *us < u32::MAX);
        Self {
            local: end(source_address, source_port),
            remote: end(destination_address, destination_port),
            inode: response.header.inode,
            uid: response.header.uid,
            min_rtt_ns: min_rtt_us.map(|us| Nanos::from(us) * 1000),
        }
    }
}

/// Sends a request for a list; `take` gets what comes.
fn dump(
    kernel: &OwnedFd,
    request: SockDiagMessage,
    mut take: impl FnMut(SockDiagMessage),
) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, request.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    rustix::net::send(kernel, &bytes, SendFlags::empty())?;
    let mut buffer = vec![0; RECEIVE_BYTES];
    loop {
        let (length, _) = rustix::net::recv(kernel, &mut buffer, RecvFlags::empty())?;
        let mut left = &buffer[..length];
        while !left.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(left);
            let message = message.map_err(|error| io::Error::other(error.to_string()))?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => take(message),
                _ => {}
            }
            // Messages begin at multiples of four (netlink(7), NLMSG_ALIGN).
            let length = (message.header.length as usize).next_multiple_of(4);
            left = left.get(length.max(4)..).unwrap_or_default();
        }
    }
}

/// The kernel fills no more than this at once (netlink(7), the size of a dump's buffer).
const RECEIVE_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn end(local: &str, remote: &str, (inode, uid): (u32, u32), min_rtt_ns: Option<Nanos>) -> Tcp {
        let address = |text: &str| text.parse().unwrap();
        Tcp { local: address(local), remote: address(remote), inode, uid, min_rtt_ns }
    }

    #[test]
    fn a_hop_is_found_by_its_caller_and_the_shortest_round_trip_counts() {
        let sockets = Sockets {
            tcp: vec![
                end("10.0.0.5:6432", "10.0.0.9:40000", (1, 7), Some(90_000)),
                end("127.0.0.1:40001", "127.0.0.1:5432", (2, 7), Some(9000)),
                end("127.0.0.1:40002", "127.0.0.1:5432", (3, 8), Some(5000)),
                end("127.0.0.1:40003", "127.0.0.1:5432", (4, 7), Some(7000)),
                end("127.0.0.1:40004", "127.0.0.1:5433", (5, 9), None),
            ],
            peers: BTreeMap::from([(20, 21), (21, 20)]),
            names: BTreeMap::from([(21, ".s.PGSQL.5432".into())]),
        };
        let of = |inodes: &[u32]| Caller::Sockets(inodes.iter().copied().collect());
        let host = |ip: &str| Caller::Host(ip.parse().unwrap());
        for (caller, port, expected) in [
            (of(&[1, 2, 3]), 5432, RoundTrip::Tcp(5000)),
            (of(&[2]), 5432, RoundTrip::Tcp(9000)),
            (Caller::User(7), 5432, RoundTrip::Tcp(7000)),
            (host("10.0.0.9"), 6432, RoundTrip::Tcp(90_000)),
            (of(&[20]), 5432, RoundTrip::Unix),
            // The server's end, another port, another host, and TCP that has seen no round trip.
            (of(&[21]), 5432, RoundTrip::None),
            (of(&[20]), 5433, RoundTrip::None),
            (of(&[1]), 6432, RoundTrip::None),
            (host("10.0.0.8"), 6432, RoundTrip::None),
            (Caller::User(9), 5433, RoundTrip::None),
        ] {
            assert_eq!(sockets.round_trip(&caller, port), expected, "{caller:?} to {port}");
        }
    }

    #[test]
    fn more_sockets_than_one_answer_holds_are_all_seen() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Over IPv4 to a socket of both.
        let open =
            |_| (TcpStream::connect(("127.0.0.1", port)).unwrap(), listener.accept().unwrap());
        let pairs: Vec<_> = (0..200).map(open).collect();
        let sockets = Sockets::read().unwrap();
        let theirs = |socket: &&Tcp| socket.remote.port() == port;
        let ours = |socket: &&Tcp| socket.local.port() == port;
        assert_eq!(sockets.tcp.iter().filter(theirs).count(), pairs.len());
        let accepted: Vec<_> = sockets.tcp.iter().filter(ours).collect();
        assert_eq!(accepted.len(), pairs.len());
        assert!(
            accepted.iter().all(|socket| socket.local.is_ipv4() && socket.min_rtt_ns > Some(0))
        );
    }
}
