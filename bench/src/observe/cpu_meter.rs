//! CPU time of all targets' processes, from one instant to another.

use std::collections::BTreeMap;

use engine::Nanos;

use super::family::Members;
use super::{CpuSample, Family};

/// Reads it at the beginning and at the end of a time, again and again.
pub(crate) struct CpuMeter(Vec<Metered>);

struct Metered {
    target: String,
    family: Family,
    /// At the end of the last time, if that was for this target. Who belongs to a family takes as long
    /// to find out as what they used: those who have come since then are found at the next end, and
    /// count in full.
    ended: Option<(Members, CpuSample)>,
    /// At the beginning; `None` where one of the processes was not there, or was not wanted.
    before: Option<CpuSample>,
}

impl CpuMeter {
    pub(crate) fn new(processes: &BTreeMap<String, Family>) -> Self {
        let metered = |(target, family): (&String, &Family)| Metered {
            target: target.clone(),
            family: family.clone(),
            ended: None,
            before: None,
        };
        Self(processes.iter().map(metered).collect())
    }

    /// From now on, for these targets. Where one time follows another, what many children of one
    /// process did in between (nothing, where nobody asks them for anything) is taken for a part of the
    /// second: hundreds of clocks are not read twice for that.
    pub(crate) fn begin(&mut self, is_wanted: impl Fn(&str) -> bool) {
        for Metered { target, family, ended, before } in &mut self.0 {
            let ended = ended.take();
            let again = || ended.and_then(|(members, sample)| family.cpu_again(&members, &sample));
            let read = || again().or_else(|| family.cpu());
            *before = is_wanted(target).then(read).flatten();
        }
    }

    /// CPU time that was used since, by target, in ns. A target whose process has gone, or is another
    /// one now, is left out: nobody knows what it used.
    pub(crate) fn used(&mut self) -> Vec<(String, Nanos)> {
        let used = |Metered { target, family, ended, before }: &mut Metered| {
            let before = before.take()?;
            let members = family.members()?;
            let now = family.cpu_of(&members)?;
            let used = now.since(&before);
            *ended = Some((members, now));
            Some((target.clone(), used?))
        };
        self.0.iter_mut().filter_map(used).collect()
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
        let mut meter = CpuMeter::new(&processes);
        let seen = |meter: &mut CpuMeter| {
            let used = meter.used();
            used.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            meter.begin(|_| true);
            assert_eq!(seen(&mut meter), ["pooler", "us"]);
        }
        meter.begin(|_| true);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen(&mut meter), ["us"]);
        meter.begin(|_| true);
        child = start();
        std::fs::write(&file, child.id().to_string()).unwrap();
        assert_eq!(seen(&mut meter), ["us"], "it was not there at the beginning");
        meter.begin(|_| true);
        assert_eq!(seen(&mut meter), ["pooler", "us"]);
        meter.begin(|name| name == "us");
        assert_eq!(seen(&mut meter), ["us"], "nobody asked for the other");
        // Started anew between two times.
        child.kill().unwrap();
        child.wait().unwrap();
        child = start();
        std::fs::write(&file, child.id().to_string()).unwrap();
        meter.begin(|_| true);
        assert_eq!(seen(&mut meter), ["pooler", "us"]);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
