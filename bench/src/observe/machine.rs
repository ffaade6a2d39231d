//! What this machine's cores do, all processes together.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use super::{Network, NetworkSample, ObserveError};

/// What its cores have done since the start of the machine, and what its TCP has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineSample {
    /// All cores together.
    all: Ticks,
    cores: BTreeMap<usize, Ticks>,
    network: NetworkSample,
}

/// Time in ticks (proc_stat(5), the lines `cpu`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    total: u64,
    idle: u64,
    softirq: u64,
    steal: u64,
}

/// What happened between two instants; shares are of the time of all cores, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct MachineUse {
    pub(crate) idle: f64,
    /// In interrupts of the network and the like.
    pub(crate) softirq: f64,
    /// Taken by other guests of the same host.
    pub(crate) steal: f64,
    /// By core, the share of its time that it was idle.
    pub(crate) idle_by_core: BTreeMap<usize, f64>,
    #[serde(flatten)]
    pub(crate) network: Network,
}

impl MachineSample {
    /// As of now.
    pub(crate) fn read() -> Result<Self, ObserveError> {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self::parse(&stat, NetworkSample::read()).ok_or(ObserveError::NoMachine)
    }

    fn parse(stat: &str, network: NetworkSample) -> Option<Self> {
        let line = |line: &str| {
            let (core, fields) = line.strip_prefix("cpu")?.split_once(' ')?;
            Some((core.to_owned(), Ticks::parse(fields)?))
        };
        let (mut all, mut cores) = (None, BTreeMap::new());
        for (core, ticks) in stat.lines().map_while(line) {
            match core.parse() {
                Ok(core) => drop(cores.insert(core, ticks)),
                Err(_) => all = Some(ticks),
            }
        }
        Some(Self { all: all?, cores, network })
    }

    /// What happened since `earlier`; `None` where no time went by.
    pub(crate) fn since(&self, earlier: &Self) -> Option<MachineUse> {
        let shares = self.all.since(earlier.all)?;
        let cores = self.cores.iter();
        let idle = |(core, now): (&usize, &Ticks)| {
            Some((*core, now.since(*earlier.cores.get(core)?)?.idle))
        };
        Some(MachineUse {
            idle: shares.idle,
            softirq: shares.softirq,
            steal: shares.steal,
            idle_by_core: cores.filter_map(idle).collect(),
            network: self.network.since(earlier.network),
        })
    }
}

/// Shares of the time that went by, 0 to 1.
struct Shares {
    idle: f64,
    softirq: f64,
    steal: f64,
}

impl Ticks {
    fn parse(fields: &str) -> Option<Self> {
        let ticks = fields.split_whitespace().map(|field| field.parse().ok());
        let ticks: Vec<u64> = ticks.collect::<Option<_>>()?;
        // user, nice, system, idle, iowait, irq, softirq, steal; guests' time is in user's.
        let [_, _, _, idle, iowait, _, softirq, steal, ..] = ticks[..] else { return None };
        Some(Self { total: ticks[..8].iter().sum(), idle: idle + iowait, softirq, steal })
    }

    fn since(self, earlier: Self) -> Option<Shares> {
        let total = self.total.checked_sub(earlier.total).filter(|ticks| *ticks > 0)?;
        // Idle time is known to run back a little.
        let share = |now: u64, then: u64| now.saturating_sub(then) as f64 / total as f64;
        Some(Shares {
            idle: share(self.idle, earlier.idle),
            softirq: share(self.softirq, earlier.softirq),
            steal: share(self.steal, earlier.steal),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_went_by() {
        let at = |stat: &str| MachineSample::parse(stat, NetworkSample::read());
        let before = "cpu  10 0 10 50 10 0 5 5 0 0\ncpu0 5 0 5 20 5 0 5 5 0 0\nintr 7\n";
        let after = "cpu  40 0 40 80 10 0 5 15 7 0\ncpu0 5 0 5 70 5 0 5 5 0 0\nintr 9\n";
        let (before, after) = (at(before).unwrap(), at(after).unwrap());
        let used = after.since(&before).unwrap();
        assert_eq!((used.idle, used.softirq, used.steal), (0.3, 0.0, 0.1));
        assert_eq!(used.idle_by_core, BTreeMap::from([(0, 1.0)]));
        assert_eq!(before.since(&before), None);
        assert_eq!(at("cpu  1 2 3\n"), None);
        assert_eq!(at(""), None);
    }

    #[test]
    fn this_machine_is_seen() {
        let first = MachineSample::read().unwrap();
        let used = std::iter::repeat_with(|| MachineSample::read().unwrap().since(&first));
        let used = used.flatten().next().unwrap();
        assert!((0.0..=1.0).contains(&used.idle), "{used:?}");
    }
}
