//! What this machine's TCP counts of connections that come and go.

use std::fs;

use serde::Serialize;

/// Counters of this network namespace, as they stand. What can't be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NetworkSample {
    /// Connections whose port waits for late packets after we, or a server here, closed first.
    time_wait: Option<u64>,
    listen_overflows: Option<u64>,
    listen_drops: Option<u64>,
}

/// What was counted between two samples.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Network {
    /// How many more connections are in TIME_WAIT at the end than at the beginning.
    pub(crate) time_wait: Option<i64>,
    /// Connections that came when a server's queue on this machine was full (TcpExt
    /// ListenOverflows).
    pub(crate) listen_overflows: Option<u64>,
    /// Those that a server's queue on this machine did not take, for whatever reason (TcpExt
    /// ListenDrops).
    pub(crate) listen_drops: Option<u64>,
}

impl NetworkSample {
    /// As of now.
    pub(crate) fn read() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&text("/proc/net/sockstat"), &text("/proc/net/netstat"))
    }

    /// See proc_net_sockstat and proc_net_netstat in proc(5): lines of names and numbers in turn,
    /// and pairs of a line of names and a line of numbers.
    fn parse(sockstat: &str, netstat: &str) -> Self {
        let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP: "));
        let mut words = tcp.unwrap_or_default().split(' ');
        let time_wait = words.find(|word| *word == "tw").and(words.next());
        let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
        let names = lines.next().unwrap_or_default().split(' ');
        let numbers: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
        let counter = |name| {
            let place = names.clone().position(|other| other == name)?;
            numbers.get(place)?.parse().ok()
        };
        Self {
            time_wait: time_wait.and_then(|number| number.parse().ok()),
            listen_overflows: counter("ListenOverflows"),
            listen_drops: counter("ListenDrops"),
        }
    }

    /// What was counted since `before`.
    pub(crate) fn since(self, before: Self) -> Network {
        let counted = |after: Option<u64>, before: Option<u64>| after?.checked_sub(before?);
        let difference = |after: u64, before: u64| after as i64 - before as i64;
        Network {
            time_wait: self
                .time_wait
                .zip(before.time_wait)
                .map(|(now, then)| difference(now, then)),
            listen_overflows: counted(self.listen_overflows, before.listen_overflows),
            listen_drops: counted(self.listen_drops, before.listen_drops),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKSTAT: &str = "sockets: used 103\nTCP: inuse 9 orphan 0 tw 41 alloc 12 mem 1\n\
                            UDP: inuse 1 mem 0\n";
    const NETSTAT: &str = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 5 7\n\
                           IpExt: InNoRoutes\nIpExt: 0\n";

    #[test]
    fn counters_are_found_by_their_names() {
        let sample = NetworkSample::parse(SOCKSTAT, NETSTAT);
        assert_eq!(sample.time_wait, Some(41));
        assert_eq!((sample.listen_overflows, sample.listen_drops), (Some(5), Some(7)));
    }

    #[test]
    fn what_is_counted_is_the_difference_and_time_wait_may_fall() {
        let before = NetworkSample::parse(SOCKSTAT, NETSTAT);
        let (sockstat, netstat) = (SOCKSTAT.replace("41", "30"), NETSTAT.replace("1 5", "1 6"));
        let network = NetworkSample::parse(&sockstat, &netstat).since(before);
        assert_eq!(network.time_wait, Some(-11));
        assert_eq!((network.listen_overflows, network.listen_drops), (Some(1), Some(0)));
    }

    #[test]
    fn what_cannot_be_read_is_absent_and_no_zero() {
        let sample = NetworkSample::parse("", "TcpExt: ListenOverflows\nTcpExt: many\n");
        assert_eq!(sample.since(sample), Network::default());
        assert_eq!(Network::default().listen_drops, None);
    }
}
