//! Which process of this machine listens on a port.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use procfs::net::{TcpState, tcp, tcp6};
use procfs::process::{self, FDTarget};

use super::super::facts::Process;
use crate::address::is_here;

/// The process that listens at `address`, where that is this machine's own and its process may be
/// looked at (one's own, or root looks).
pub(super) fn listener(address: SocketAddr) -> Option<Process> {
    let entries = [tcp(), tcp6()].into_iter().flatten().flatten();
    let sockets: BTreeSet<u64> = entries
        .filter(|entry| entry.state == TcpState::Listen && takes(entry.local_address, address))
        .map(|entry| entry.inode)
        .collect();
    if sockets.is_empty() || !is_here(address.ip()) {
        return None;
    }
    let holds = |process: &process::Process| {
        let files = process.fd().into_iter().flatten().flatten();
        let mut sockets_of = files.filter_map(|file| match file.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        });
        sockets_of.any(|inode| sockets.contains(&inode))
    };
    // The one that made the socket has the lowest pid; its children inherit it.
    process::all_processes()
        .ok()?
        .flatten()
        .filter(holds)
        .min_by_key(|process| process.pid)
        .map(describe)
}

/// The process with this pid.
pub(super) fn by_pid(pid: u32) -> Option<Process> {
    process::Process::new(pid.try_into().ok()?).ok().map(describe)
}

/// Whether a socket that listens at `local` gets what is sent to `address`.
fn takes(local: SocketAddr, address: SocketAddr) -> bool {
    let canonical = |ip: IpAddr| ip.to_canonical();
    let (ip, other) = (canonical(local.ip()), canonical(address.ip()));
    local.port() == address.port() && (ip.is_unspecified() || ip == other)
}

fn describe(process: process::Process) -> Process {
    let mut words = process.cmdline().unwrap_or_default().into_iter();
    let path = words.next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let program = match name.is_empty() || name.contains(' ') {
        // Another user's process shows no arguments, and some show a title of their own instead.
        true => process.stat().map(|stat| stat.comm).unwrap_or_default(),
        false => name,
    };
    let ranges = process.status().ok().and_then(|status| status.cpus_allowed_list);
    let cores =
        ranges.map(|ranges| ranges.into_iter().flat_map(|(low, high)| low..=high).collect());
    Process { pid: process.pid, program, arguments: words.collect(), cores }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn our_own_listener_is_found_by_its_port_and_a_closed_port_has_none() {
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listening.local_addr().unwrap();
        let found = listener(address).unwrap();
        assert_eq!(found.pid, std::process::id() as i32);
        assert!(found.program.starts_with("poolbench"), "{found:?}");
        assert!(!found.cores.clone().unwrap().is_empty());
        assert_eq!(by_pid(std::process::id()), Some(found));
        drop(listening);
        assert_eq!(listener(address), None);
    }

    #[test]
    fn a_socket_takes_what_is_sent_to_its_own_address_or_to_any() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(takes(at("0.0.0.0:80"), at("127.0.0.1:80")));
        assert!(takes(at("[::]:80"), at("127.0.0.1:80")));
        assert!(takes(at("[::ffff:127.0.0.1]:80"), at("127.0.0.1:80")));
        assert!(!takes(at("127.0.0.2:80"), at("127.0.0.1:80")));
        assert!(!takes(at("0.0.0.0:81"), at("127.0.0.1:80")));
    }
}
