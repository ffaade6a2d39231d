//! CPU time of all targets' processes, from one instant to another.

use std::collections::BTreeMap;

use engine::Nanos;

use super::{CpuSample, Family};

/// What each target's processes had used at an instant; `None` where one of them was not there.
pub(crate) struct CpuMeter(Vec<(String, Family, Option<CpuSample>)>);

impl CpuMeter {
    /// From now on.
    pub(crate) fn begin(processes: &BTreeMap<String, Family>) -> Self {
        let read =
            |(target, family): (&String, &Family)| (target.clone(), family.clone(), family.cpu());
        Self(processes.iter().map(read).collect())
    }

    /// CPU time that was used since, by target, in ns. A target whose process has gone, or is another
    /// one now, is left out: nobody knows what it used.
    pub(crate) fn used(self) -> Vec<(String, Nanos)> {
        let used = |(target, family, before): (String, Family, Option<CpuSample>)| {
            Some((target, family.cpu()?.since(&before?)?))
        };
        self.0.into_iter().filter_map(used).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_ends_or_is_started_anew_has_no_figure_and_then_one_again() {
        let start = || Command::new("sleep").arg("60").spawn().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let names = [file.display().to_string()];
        let mut child = start();
        std::fs::write(&file, child.id().to_string()).unwrap();
        let family = Family::find(&names).unwrap();
        let processes = BTreeMap::from([
            ("pooler".to_owned(), family),
            ("us".to_owned(), Family::of([std::process::id()])),
        ]);
        let seen = |meter: CpuMeter| {
            let used = meter.used();
            used.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(seen(CpuMeter::begin(&processes)), ["pooler", "us"]);
        let meter = CpuMeter::begin(&processes);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen(meter), ["us"]);
        let meter = CpuMeter::begin(&processes);
        child = start();
        std::fs::write(&file, child.id().to_string()).unwrap();
        assert_eq!(seen(meter), ["us"], "it was not there at the beginning");
        assert_eq!(seen(CpuMeter::begin(&processes)), ["pooler", "us"]);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
