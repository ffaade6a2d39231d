//! The hops of a request on its way through an arm, and how long the network takes on each.

use std::io;
use std::net::SocketAddr;

use engine::Nanos;
use serde::Serialize;
use socket2::SockAddr;

use crate::address::is_here;
use crate::arm::ArmKind;
use crate::observe::{Caller, RoundTrip, Sockets};
use crate::scenario::{Processes, Scenario};

/// From one that asks to one that is asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Hop {
    /// `generator`, or the target that asks the next one.
    pub(super) from: String,
    pub(super) to: String,
    /// Whose way it is on.
    pub(super) arms: Vec<String>,
    #[serde(flatten)]
    pub(super) over: Over,
}

/// What a hop goes over.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "over", rename_all = "lowercase")]
pub(super) enum Over {
    Tcp {
        /// The shortest that the kernel has seen of late.
        round_trip_ns: Nanos,
    },
    /// A Unix socket: no network, no round trip.
    Unix,
    Unknown {
        problem: String,
    },
}

/// All that is known of who asks whom.
pub(super) struct Places<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) processes: &'a Processes,
}

/// The hops of all arms, each once; `own` are the round trips from here to each arm's target, in ns.
/// `read` asks for everybody's connections, where others' hops are to be told.
pub(super) fn hops(
    kinds: &[ArmKind],
    own: &[Option<Nanos>],
    places: &Places<'_>,
    read: impl Fn() -> io::Result<Sockets>,
) -> Vec<Hop> {
    let mut hops: Vec<Hop> = Vec::new();
    let mut sockets = None;
    for (kind, own) in kinds.iter().zip(own) {
        let arm = kind.name.to_string();
        for (from, to) in steps(kind) {
            if let Some(known) = hops.iter_mut().find(|hop| hop.from == from && hop.to == to) {
                known.arms.push(arm.clone());
                continue;
            }
            let over = match from {
                GENERATOR => places.first(to, *own),
                _ => {
                    let found = places.between(from, to, sockets.get_or_insert_with(&read));
                    found.unwrap_or_else(|problem| Over::Unknown { problem })
                }
            };
            hops.push(Hop { from: from.into(), to: to.into(), arms: vec![arm.clone()], over });
        }
    }
    hops
}

pub(super) const GENERATOR: &str = "generator";

/// Who asks whom on the way through an arm.
fn steps(kind: &ArmKind) -> impl Iterator<Item = (&str, &str)> {
    let target = |layer: &'static str| if layer == "gateway" { &*kind.target } else { layer };
    let asked = kind.layers.iter().map(move |layer| target(layer));
    std::iter::once(GENERATOR).chain(asked.clone()).zip(asked)
}

impl Places<'_> {
    fn first(&self, to: &str, round_trip_ns: Option<Nanos>) -> Over {
        match (round_trip_ns, self.scenario.address(to)) {
            (Some(round_trip_ns), _) => Over::Tcp { round_trip_ns },
            (None, Some(address)) if address.is_unix() => Over::Unix,
            (None, _) => Over::Unknown { problem: "TCP has seen none".into() },
        }
    }

    fn between(&self, from: &str, to: &str, sockets: &io::Result<Sockets>) -> Result<Over, String> {
        let asked = self.scenario.address(to);
        let port = asked.as_ref().and_then(port);
        let port = port.ok_or_else(|| format!("[targets] does not say where {to} listens"))?;
        let caller = self.caller(from)?;
        let is_elsewhere = |address: SocketAddr| !is_here(address.ip());
        if matches!(caller, Caller::Host(_))
            && asked.and_then(|address| address.as_socket()).is_some_and(is_elsewhere)
        {
            return Err("both are on other machines".into());
        }
        let sockets = sockets.as_ref().map_err(|error| {
            format!("the kernel tells nothing of other processes' sockets (sock_diag: {error})")
        })?;
        match sockets.round_trip(&caller, port) {
            RoundTrip::Tcp(round_trip_ns) => Ok(Over::Tcp { round_trip_ns }),
            RoundTrip::Unix => Ok(Over::Unix),
            RoundTrip::None => {
                Err(format!("{from} has no connection to port {port} in this network namespace"))
            }
        }
    }

    fn caller(&self, from: &str) -> Result<Caller, String> {
        if let Some(family) = self.processes.get(from) {
            return Ok(Caller::of(family));
        }
        let address = self.scenario.address(from);
        match address.and_then(|address| address.as_socket()) {
            Some(address) if !is_here(address.ip()) => {
                Ok(Caller::Host(address.ip().to_canonical()))
            }
            _ => Err(format!("[processes] does not name {from}")),
        }
    }
}

/// The port of a TCP address, or the one that the name of Postgres' Unix socket holds.
fn port(address: &SockAddr) -> Option<u16> {
    let of_file = || address.as_pathname()?.extension()?.to_str()?.parse().ok();
    address.as_socket().map(|address| address.port()).or_else(of_file)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;
    use crate::arm::ARMS;
    use crate::observe::Family;

    fn scenario(pooler: &str, postgres: &str) -> Scenario {
        let text = format!(
            "name = \"hops\"\n\
             [targets.gateway]\nurl = \"http://127.0.0.1:9/graphql\"\n\
             [targets.pooler]\nconninfo = \"{pooler} dbname=d user=u\"\n\
             [targets.postgres]\nconninfo = \"{postgres} dbname=d user=u\"\n\
             [[operations]]\nname = \"a\"\nsql = \"SELECT 1\"\n"
        );
        Scenario::parse("hops.toml", &text, &|_| None).unwrap()
    }

    /// The hops of the first arm, with this process in the part of gateway and pooler.
    fn of(scenario: &Scenario, named: &[&str]) -> Vec<(String, Over)> {
        of_with(scenario, named, Sockets::read)
    }

    fn of_with(
        scenario: &Scenario,
        named: &[&str],
        read: fn() -> io::Result<Sockets>,
    ) -> Vec<(String, Over)> {
        let us = |name: &&str| ((*name).to_owned(), Family::of([std::process::id()]));
        let processes: BTreeMap<_, _> = named.iter().map(us).collect();
        let places = Places { scenario, processes: &processes };
        let hops = hops(&ARMS[..1], &[Some(7000)], &places, read);
        hops.into_iter().map(|hop| (format!("{} to {}", hop.from, hop.to), hop.over)).collect()
    }

    #[test]
    fn each_step_of_each_arm_is_a_hop() {
        let arms = ARMS;
        let all: Vec<_> = arms.iter().flat_map(steps).collect();
        let expected = [
            ("generator", "gateway"),
            ("gateway", "pooler"),
            ("pooler", "postgres"),
            ("generator", "gateway-direct"),
            ("gateway-direct", "postgres"),
            ("generator", "pooler"),
            ("pooler", "postgres"),
            ("generator", "postgres"),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn tcp_has_a_round_trip_and_a_unix_socket_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let unix = UnixListener::bind(folder.path().join(".s.PGSQL.7432")).unwrap();
        let scenario = scenario(
            &format!("host=127.0.0.1 port={port}"),
            &format!("host={} port=7432", folder.path().display()),
        );
        let open = (
            TcpStream::connect(("127.0.0.1", port)).unwrap(),
            tcp.accept().unwrap(),
            UnixStream::connect(folder.path().join(".s.PGSQL.7432")).unwrap(),
            unix.accept().unwrap(),
        );
        let hops = of(&scenario, &["gateway", "pooler"]);
        drop(open);
        assert_eq!(hops[0], ("generator to gateway".into(), Over::Tcp { round_trip_ns: 7000 }));
        let Over::Tcp { round_trip_ns } = hops[1].1 else { panic!("{hops:?}") };
        // The kernel counts in microseconds.
        assert!(round_trip_ns >= 1000 && round_trip_ns % 1000 == 0, "{hops:?}");
        assert_eq!(hops[2], ("pooler to postgres".into(), Over::Unix));
    }

    #[test]
    fn what_is_not_known_is_said_and_is_no_zero() {
        let scenario = scenario("host=127.0.0.1 port=9", "host=127.0.0.1 port=9");
        let problems: Vec<_> = of(&scenario, &["gateway"]).into_iter().map(|hop| hop.1).collect();
        let unknown = |problem: &str| Over::Unknown { problem: problem.into() };
        assert_eq!(
            problems[1..],
            [
                unknown("gateway has no connection to port 9 in this network namespace"),
                unknown("[processes] does not name pooler"),
            ]
        );
    }
    #[test]
    fn what_is_between_other_machines_is_said_to_be_so() {
        // Addresses that are nobody's (RFC 5737).
        let text = "name = \"hops\"\n\
                    [targets.gateway]\nurl = \"http://203.0.113.1:9/graphql\"\n\
                    [targets.pooler]\nconninfo = \"host=203.0.113.2 dbname=d user=u\"\n\
                    [[operations]]\nname = \"a\"\nsql = \"SELECT 1\"\n";
        let scenario = Scenario::parse("hops.toml", text, &|_| None).unwrap();
        let overs: Vec<_> = of(&scenario, &[]).into_iter().map(|hop| hop.1).collect();
        let unknown = |problem: &str| Over::Unknown { problem: problem.into() };
        assert_eq!(overs[1], unknown("both are on other machines"));
        assert_eq!(overs[2], unknown("[targets] does not say where postgres listens"));
    }

    #[test]
    fn a_kernel_that_tells_nothing_leaves_gaps_with_its_reason() {
        let scenario = scenario("host=127.0.0.1 port=9", "host=127.0.0.1 port=9");
        let refused = || Err(io::ErrorKind::PermissionDenied.into());
        let problem = "the kernel tells nothing of other processes' sockets (sock_diag: permission \
                       denied)";
        let unknown = Over::Unknown { problem: problem.into() };
        let found = of_with(&scenario, &["gateway", "pooler"], refused);
        let overs: Vec<_> = found.into_iter().map(|hop| hop.1).collect();
        assert_eq!(overs, [Over::Tcp { round_trip_ns: 7000 }, unknown.clone(), unknown]);
    }
}
