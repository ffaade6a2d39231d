//! CPU time of all targets' processes, from one instant to another.

use std::collections::BTreeMap;

use engine::Nanos;

use super::family::Found;
use super::{CpuSample, Family};

/// Reads it at the beginning and at the end of a time, again and again.
pub(crate) struct CpuMeter(Vec<Metered>);

struct Metered {
    target: String,
    family: Family,
    /// Who belongs to it. Those who have come since they were found are found at the next end, and count
    /// in full.
    found: Option<Found>,
    /// At the end of the last time, if that was for this target.
    ended: Option<CpuSample>,
    /// At the beginning; `None` where one of the processes was not there, or was not wanted.
    before: Option<CpuSample>,
}

impl CpuMeter {
    pub(crate) fn new(processes: &BTreeMap<String, Family>) -> Self {
        let metered = |(target, family): (&String, &Family)| Metered {
            target: target.clone(),
            family: family.clone(),
            found: None,
            ended: None,
            before: None,
        };
        Self(processes.iter().map(metered).collect())
    }

    /// From now on, for these targets. Where one time follows another, what many children of one
    /// process did in between (nothing, where nobody asks them for anything) is taken for a part of the
    /// second: hundreds of clocks are not read twice for that.
    pub(crate) fn begin(&mut self, is_wanted: impl Fn(&str) -> bool) {
        for metered in &mut self.0 {
            let ended = metered.ended.take();
            metered.before = None;
            if is_wanted(&metered.target) {
                let again = ended.and_then(|ended| metered.again(&ended));
                metered.before = again.or_else(|| metered.now());
            }
        }
    }

    /// CPU time that was used since, by target, in ns. A target whose process has gone, or is another
    /// one now, is left out: nobody knows what it used.
    pub(crate) fn used(&mut self) -> Vec<(String, Nanos)> {
        let used = |metered: &mut Metered| {
            let before = metered.before.take()?;
            let now = metered.now()?;
            let used = now.since(&before);
            metered.ended = Some(now);
            Some((metered.target.clone(), used?))
        };
        self.0.iter_mut().filter_map(used).collect()
    }
}

impl Metered {
    fn now(&mut self) -> Option<CpuSample> {
        self.found = self.family.members_again(self.found.take());
        self.family.cpu_of(&self.found.as_ref()?.members)
    }

    /// The same, where those of a crowd have taken nothing since the last time ended.
    fn again(&self, ended: &CpuSample) -> Option<CpuSample> {
        self.family.cpu_again(&self.found.as_ref()?.members, ended)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_child_that_has_come_counts_though_nothing_else_has_changed() {
        let mut shell = Command::new("sh")
            .args([
                "-c",
                "read x; (i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done) & read x; wait",
            ])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let family = Family::of([shell.id()]);
        let mut meter = CpuMeter::new(&BTreeMap::from([("shell".to_owned(), family)]));
        let mut used = || {
            meter.begin(|_| true);
            meter.used()[0].1
        };
        used();
        std::io::Write::write_all(shell.stdin.as_mut().unwrap(), b"go\n").unwrap();
        // The shell itself waits; its child counts to more than that takes.
        let (mut all, since) = (0, Instant::now());
        while all < 20 * engine::MILLISECOND {
            assert!(since.elapsed() < PATIENCE, "{all} ns");
            all += used();
        }
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }

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
