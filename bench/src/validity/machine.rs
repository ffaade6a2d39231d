//! What this machine did while an experiment ran, as far as it bears on the figures.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use engine::Nanos;
use nix::time::ClockId;
use serde::Serialize;

use crate::observe::{GENERATOR, MachineSample, ProcessSample, ProcessSource};

/// A share of CPU time that other guests took, above which latencies are theirs too.
const STEAL_SHARE_MAX: f64 = 0.02;
/// Cores that run so much faster or slower at the end are other cores.
const FREQUENCY_DRIFT_MAX: f64 = 0.1;
/// Both clocks are slewed alike (clock_gettime(2), CLOCK_MONOTONIC): what one moves against the other
/// is a step, however long it took.
const CLOCK_STEP_MAX_NS: f64 = 1e6;
/// Time that the machine slept, which its monotonic clock does not count.
const SUSPENDED_MAX_NS: f64 = 1e6;

/// A generator whose thread waits for its core so much of the time is too late with all that it does.
const WAIT_SHARE_MAX: f64 = 0.1;

/// What happened between two instants. What can't be read is null.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Machine {
    /// What other guests of its host took of all cores' time, 0 to 1.
    steal_share: Option<f64>,
    /// How much faster the cores were in the last quarter of the time than in the first, as a share.
    frequency_drift: Option<f64>,
    /// How far the wall clock moved against the monotonic one, in ns.
    clock_step_ns: f64,
    /// How long it slept, in ns.
    suspended_ns: f64,
    /// The share of time in which the generator's busiest thread was ready to run and had no core.
    generator_wait_share: Option<f64>,
}

/// Looks at the machine from its making on.
pub(crate) struct MachineWatch {
    before: Instants,
    /// Mean of all cores, in any unit.
    frequencies: Vec<f64>,
    looked: Instant,
}

/// What is read at the beginning and at the end.
struct Instants {
    machine: Option<MachineSample>,
    generator: Option<ProcessSample>,
    clocks: Clocks,
    at: Instant,
}

impl Instants {
    fn read() -> Self {
        Self {
            machine: MachineSample::read().ok(),
            generator: ProcessSource::ourselves(GENERATOR).look().ok(),
            clocks: Clocks::read(),
            at: Instant::now(),
        }
    }
}

/// Offsets against the monotonic clock, in ns.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    realtime: f64,
    boottime: f64,
}

impl Clocks {
    fn read() -> Self {
        Self {
            realtime: offset(ClockId::CLOCK_REALTIME),
            boottime: offset(ClockId::CLOCK_BOOTTIME),
        }
    }
}

/// How often an offset is read: we may lose the core between the readings of two clocks.
const READINGS: usize = 5;

/// How far a clock is ahead of the monotonic one, in ns: of several readings the one that took the
/// least time.
fn offset(clock: ClockId) -> f64 {
    let now = |clock: ClockId| {
        let time = clock.now().map(Duration::from).unwrap_or_default();
        time.as_nanos() as i128
    };
    let reading = || {
        let before = now(ClockId::CLOCK_MONOTONIC);
        let read = now(clock);
        let after = now(ClockId::CLOCK_MONOTONIC);
        (after - before, (2 * read - before - after) as f64 / 2.0)
    };
    let readings = std::iter::repeat_with(reading).take(READINGS);
    readings.min_by_key(|(took, _)| *took).map_or(0.0, |(_, offset)| offset)
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

/// How often the frequencies are looked at: on some machines that interrupts each core.
const INTERVAL: Duration = Duration::from_secs(1);

impl MachineWatch {
    pub(crate) fn begin() -> Self {
        let frequencies = frequency().into_iter().collect();
        Self { before: Instants::read(), frequencies, looked: Instant::now() }
    }

    /// Takes note of what changes on the way, if it is time for that.
    pub(crate) fn look(&mut self) {
        if self.looked.elapsed() >= INTERVAL {
            self.looked = Instant::now();
            self.frequencies.extend(frequency());
        }
    }

    /// What happened up to now.
    pub(crate) fn machine(&self) -> Machine {
        let (before, now) = (&self.before, Instants::read());
        let used = now.machine.zip(before.machine.as_ref());
        let used = used.and_then(|(now, before)| now.since(before));
        let elapsed_ns = now.at.duration_since(before.at).as_nanos() as Nanos;
        let own = now.generator.zip(before.generator.as_ref());
        let own = own.and_then(|(now, before)| now.since(before, elapsed_ns, &BTreeMap::new()));
        Machine {
            steal_share: used.map(|used| used.steal),
            frequency_drift: drift(&self.frequencies),
            clock_step_ns: now.clocks.realtime - before.clocks.realtime,
            suspended_ns: now.clocks.boottime - before.clocks.boottime,
            generator_wait_share: own.and_then(|own| own.busiest_thread_wait),
        }
    }
}

/// How much faster the cores are in the last quarter of the looks than in the first.
fn drift(frequencies: &[f64]) -> Option<f64> {
    let quarter = frequencies.len() / 4;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let first = mean(frequencies.get(..quarter).filter(|part| !part.is_empty())?);
    Some(mean(&frequencies[frequencies.len() - quarter..]) / first - 1.0)
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
        if let Some(drift) = self.frequency_drift.filter(|drift| drift.abs() > FREQUENCY_DRIFT_MAX)
        {
            reasons.push(format!(
                "the cores ran {:.0} % {} at the end than at the beginning: fix their frequency \
                 (cpupower frequency-set -g performance), or let them cool",
                drift.abs() * 100.0,
                if drift > 0.0 { "faster" } else { "slower" }
            ));
        }
        if let Some(share) = self.generator_wait_share.filter(|share| *share > WAIT_SHARE_MAX) {
            reasons.push(format!(
                "a thread of the generator waited {:.0} % of the time for a core that others had: give \
                 it --cores of its own, or the servers another machine",
                share * 100.0
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

    /// Without what a load on this machine brings about by itself.
    pub(crate) fn apart_from_load(self) -> Self {
        Self { generator_wait_share: None, ..self }
    }

    /// How long the machine slept, if it did, in ns.
    pub(super) fn suspended_ns(&self) -> Option<f64> {
        Some(self.suspended_ns).filter(|ns| *ns > SUSPENDED_MAX_NS)
    }
}

#[cfg(test)]
impl Machine {
    /// One on which everything happened that must not.
    pub(crate) fn loud() -> Self {
        Self {
            steal_share: Some(0.08),
            frequency_drift: drift(&(0..20).map(|n| 4e6 - f64::from(n) * 6e4).collect::<Vec<_>>()),
            clock_step_ns: -3e9,
            suspended_ns: 2e9,
            generator_wait_share: Some(0.3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_machine_gives_no_reason() {
        let quiet = Machine {
            steal_share: Some(0.001),
            frequency_drift: drift(
                &(0..20).map(|n| 3e6 + f64::from(n % 3) * 5e4).collect::<Vec<_>>(),
            ),
            clock_step_ns: -2e5,
            suspended_ns: 0.0,
            generator_wait_share: Some(0.04),
        };
        assert_eq!(quiet.reasons(), [] as [&str; 0]);
        assert_eq!(quiet.suspended_ns(), None);
        assert_eq!(Machine::default().reasons(), [] as [&str; 0]);
        assert_eq!(MachineWatch::begin().machine().suspended_ns(), None);
        assert_eq!(drift(&[1.0, 2.0, 3.0]), None, "too few to tell");
    }

    #[test]
    fn steal_drift_want_of_a_core_and_a_clock_that_jumps_are_told() {
        let reasons = Machine::loud().reasons();
        assert_eq!(reasons.len(), 4);
        assert!(reasons[0].contains("8.0 % of its CPU time"), "{reasons:?}");
        assert!(reasons[1].contains("23 % slower"), "{reasons:?}");
        assert!(reasons[2].contains("waited 30 % of the time"), "{reasons:?}");
        assert!(reasons[3].contains("set -3.00 s"), "{reasons:?}");
        assert_eq!(Machine::loud().suspended_ns(), Some(2e9));
    }

    #[test]
    fn what_the_scheduler_says_of_us_is_read() {
        let watch = MachineWatch::begin();
        let machine = std::iter::repeat_with(|| watch.machine()).take(10_000);
        let share = machine.filter_map(|machine| machine.generator_wait_share).next().unwrap();
        assert!((0.0..=1.0).contains(&share), "{share}");
    }

    #[test]
    fn servers_that_we_have_started_are_no_threads_of_the_generator() {
        let start = |_| std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let servers = [0, 1].map(start);
        let generator = || Instants::read().generator.unwrap();
        let used = generator().since(&generator(), 1, &BTreeMap::new()).unwrap();
        assert!(!used.has_children);
        for mut server in servers {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }
}
