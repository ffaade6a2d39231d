//! CPU time of all targets' processes, from one instant to another.

use std::collections::BTreeMap;

use engine::Nanos;

use super::{CpuSample, Family};

/// What each target's processes had used at an instant.
pub(crate) struct CpuMeter(Vec<(String, Family, CpuSample)>);

impl CpuMeter {
    /// From now on.
    pub(crate) fn begin(processes: &BTreeMap<String, Family>) -> Self {
        let read =
            |(target, family): (&String, &Family)| (target.clone(), family.clone(), family.cpu());
        Self(processes.iter().map(read).collect())
    }

    /// CPU time that was used since, by target, in ns.
    pub(crate) fn used(self) -> Vec<(String, Nanos)> {
        let used = |(target, family, before): (String, Family, CpuSample)| {
            (target, family.cpu().since(&before))
        };
        self.0.into_iter().map(used).collect()
    }
}
