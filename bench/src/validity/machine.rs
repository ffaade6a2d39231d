//! What this machine did while a comparison ran, as far as it bears on the figures.

use std::fs;

use nix::time::ClockId;

use crate::observe::MachineSample;

/// A share of CPU time that other guests took, above which latencies are theirs too.
const STEAL_SHARE_MAX: f64 = 0.02;
/// Cores that run so much faster or slower at the end are other cores.
const FREQUENCY_DRIFT_MAX: f64 = 0.1;
/// NTP slews a clock by 0.5 ms a second at most: half a minute is 15 ms.
const CLOCK_STEP_MAX_NS: f64 = 100e6;
/// Time that the machine slept, which its monotonic clock does not count.
const SUSPENDED_MAX_NS: f64 = 1e6;

/// What happened between two instants. What can't be read is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    /// Of all cores' time, 0 to 1.
    steal_share: Option<f64>,
    /// Mean of all cores in each round, in any unit.
    frequencies: Vec<f64>,
    /// How far the wall clock moved against the monotonic one, in ns.
    clock_step_ns: f64,
    suspended_ns: f64,
}

/// Looks at the machine from its making on.
pub(crate) struct MachineWatch {
    before: (Option<MachineSample>, Clocks),
    frequencies: Vec<f64>,
}

/// Offsets against the monotonic clock, in ns.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    realtime: f64,
    boottime: f64,
}

impl Clocks {
    fn read() -> Self {
        let now = |clock: ClockId| {
            let time = clock.now().map(std::time::Duration::from).unwrap_or_default();
            time.as_nanos() as f64
        };
        let monotonic = now(ClockId::CLOCK_MONOTONIC);
        Self {
            realtime: now(ClockId::CLOCK_REALTIME) - monotonic,
            boottime: now(ClockId::CLOCK_BOOTTIME) - monotonic,
        }
    }
}

/// Mean frequency of all cores, where the machine tells it: guests mostly don't.
fn frequency() -> Option<f64> {
    let cores = fs::read_dir("/sys/devices/system/cpu").ok()?.flatten();
    let all = cores.filter_map(|core| {
        let text = fs::read_to_string(core.path().join("cpufreq/scaling_cur_freq")).ok()?;
        text.trim().parse::<f64>().ok()
    });
    let all: Vec<_> = all.collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

impl MachineWatch {
    pub(crate) fn begin() -> Self {
        Self { before: (MachineSample::read().ok(), Clocks::read()), frequencies: Vec::new() }
    }

    /// Takes note of what changes from round to round.
    pub(crate) fn look(&mut self) {
        self.frequencies.extend(frequency());
    }

    pub(crate) fn end(self) -> Machine {
        let (before, clocks_before) = self.before;
        let (after, clocks) = (MachineSample::read().ok(), Clocks::read());
        let used = after.zip(before).and_then(|(after, before)| after.since(&before));
        Machine {
            steal_share: used.map(|used| used.steal),
            frequencies: self.frequencies,
            clock_step_ns: clocks.realtime - clocks_before.realtime,
            suspended_ns: clocks.boottime - clocks_before.boottime,
        }
    }
}

impl Machine {
    /// What makes the figures suspect.
    pub(super) fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(share) = self.steal_share.filter(|share| *share > STEAL_SHARE_MAX) {
            reasons.push(format!(
                "other guests of this machine's host took {:.1} % of its CPU time (steal): measure \
                 where nobody else does",
                share * 100.0
            ));
        }
        if let Some(drift) =
            self.frequency_drift().filter(|drift| drift.abs() > FREQUENCY_DRIFT_MAX)
        {
            reasons.push(format!(
                "the cores ran {:.0} % {} at the end than at the beginning: fix their frequency \
                 (cpupower frequency-set -g performance), or let them cool",
                drift.abs() * 100.0,
                if drift > 0.0 { "faster" } else { "slower" }
            ));
        }
        if self.clock_step_ns.abs() > CLOCK_STEP_MAX_NS {
            reasons.push(format!(
                "the wall clock was set {} meanwhile: the kernel's stamps of that time are wrong",
                crate::duration::show(self.clock_step_ns)
            ));
        }
        reasons
    }

    /// How long the machine slept, if it did, in ns.
    pub(super) fn suspended_ns(&self) -> Option<f64> {
        Some(self.suspended_ns).filter(|ns| *ns > SUSPENDED_MAX_NS)
    }

    /// How much faster the cores are in the last quarter of the rounds than in the first.
    fn frequency_drift(&self) -> Option<f64> {
        let quarter = self.frequencies.len() / 4;
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let first = mean(self.frequencies.get(..quarter).filter(|part| !part.is_empty())?);
        let last = mean(&self.frequencies[self.frequencies.len() - quarter..]);
        Some(last / first - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_machine_gives_no_reason() {
        let quiet = Machine {
            steal_share: Some(0.001),
            frequencies: (0..20).map(|round| 3e6 + f64::from(round % 3) * 5e4).collect(),
            clock_step_ns: -2e6,
            suspended_ns: 0.0,
        };
        assert_eq!(quiet.reasons(), [] as [&str; 0]);
        assert_eq!(quiet.suspended_ns(), None);
        assert_eq!(Machine::default().reasons(), [] as [&str; 0]);
        assert_eq!(MachineWatch::begin().end().suspended_ns(), None);
    }

    #[test]
    fn steal_drift_and_a_clock_that_jumps_are_told() {
        let loud = Machine {
            steal_share: Some(0.08),
            frequencies: (0..20).map(|round| 4e6 - f64::from(round) * 6e4).collect(),
            clock_step_ns: -3e9,
            suspended_ns: 2e9,
        };
        let reasons = loud.reasons();
        assert_eq!(reasons.len(), 3);
        assert!(reasons[0].contains("8.0 % of its CPU time"), "{reasons:?}");
        assert!(reasons[1].contains("23 % slower"), "{reasons:?}");
        assert!(reasons[2].contains("set -3.00 s"), "{reasons:?}");
        assert_eq!(loud.suspended_ns(), Some(2e9));
    }
}
