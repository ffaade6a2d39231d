//! Which cores the workers run on.

use core_affinity::CoreId;
use engine::Nanos;

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
