//! Which cores the workers run on.

use std::str::FromStr;

use core_affinity::CoreId;
use engine::Nanos;

/// A core of a list that this process may not use.
#[derive(Debug, thiserror::Error)]
#[error("--cores: this process may not use core {core}; it may use {usable}")]
pub(crate) struct CoresError {
    core: usize,
    usable: String,
}

/// A list of cores as `taskset -c` takes it: `2,3` or `0,4-7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores(Vec<usize>);

/// More cores than any machine has: a range in a list must end before it.
const CORES_MAX: usize = 4096;

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not a list of cores: write it as in 2,3 or 4-7");
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= CORES_MAX {
                return Err(wrong());
            }
            cores.extend(first..=last);
        }
        let is_twice = |(index, core): (usize, &usize)| cores[..index].contains(core);
        if cores.iter().enumerate().any(is_twice) {
            return Err(format!("{text} names a core twice: each has one worker"));
        }
        Ok(Self(cores))
    }
}

impl Cores {
    /// The same cores, if this process may use them.
    pub(crate) fn pick(&self) -> Result<Vec<CoreId>, CoresError> {
        let usable = core_affinity::get_core_ids().unwrap_or_default();
        let pick = |core: &usize| {
            let picked = usable.iter().find(|usable| usable.id == *core).copied();
            picked.ok_or_else(|| {
                let usable: Vec<_> = usable.iter().map(|core| core.id.to_string()).collect();
                CoresError { core: *core, usable: usable.join(",") }
            })
        };
        self.0.iter().map(pick).collect()
    }
}

/// Cores for `workers` workers, or for as many as leave one core to the servers of this machine.
/// The last ones are taken: interrupts and the servers' main threads tend to be on the first.
pub(crate) fn choose(workers: Option<usize>) -> Vec<CoreId> {
    let mut cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.is_empty() {
        cores.push(CoreId { id: 0 });
    }
    let wanted = workers.unwrap_or(cores.len().saturating_sub(1)).clamp(1, cores.len());
    cores.split_off(cores.len() - wanted)
}

/// How long before each arrival to spin, in ns: timers fire tens of microseconds late, a spin does
/// not. Only where two cores are left to others: on a smaller machine the spin takes from the
/// servers what they need.
pub(crate) fn spin_ns(workers: &[CoreId]) -> Nanos {
    let cores = core_affinity::get_core_ids().map_or(1, |cores| cores.len());
    if cores >= workers.len() + 2 { 50_000 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_read_and_nothing_else() {
        let read = |text: &str| text.parse::<Cores>().map(|cores| cores.0);
        assert_eq!(read("2,3").unwrap(), [2, 3]);
        assert_eq!(read("0,4-7").unwrap(), [0, 4, 5, 6, 7]);
        assert_eq!(read("5-5").unwrap(), [5]);
        for wrong in ["", "2,", "a", "-1", "7-4", "1--2", "0-99999999999", "5000"] {
            assert!(read(wrong).unwrap_err().contains("is not a list of cores"), "{wrong}");
        }
        assert!(read("1,0-2").unwrap_err().contains("twice"));
    }

    #[test]
    fn a_core_that_is_not_there_is_named_with_those_that_are() {
        let error = Cores(vec![CORES_MAX]).pick().unwrap_err().to_string();
        assert!(error.contains("core 4096; it may use"), "{error}");
    }
}
