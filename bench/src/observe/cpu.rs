//! CPU time of processes, from their CPU-time clocks: exact to the nanosecond, where /proc/PID/stat
//! counts in ticks of 10 ms.

use std::collections::BTreeMap;
use std::fs;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// The CPU time of a process and of its children at one instant, by pid.
#[derive(Debug, Clone, Default)]
pub(crate) struct CpuSample(BTreeMap<u32, u64>);

impl CpuSample {
    /// Reads the clocks of `pid` and its children (Postgres' backends are the postmaster's).
    pub(crate) fn read(pid: u32) -> Self {
        let mut sample = BTreeMap::new();
        for pid in std::iter::once(pid).chain(children(pid)) {
            if let Some(ns) = cpu_ns(pid) {
                sample.insert(pid, ns);
            }
        }
        Self(sample)
    }

    /// Whether there is no such process.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// CPU time since an earlier sample, in ns. A process that began in between counts in full, one
    /// that ended not at all.
    pub(crate) fn since(&self, earlier: &Self) -> u64 {
        let used = |(pid, ns): (&u32, &u64)| {
            ns.saturating_sub(earlier.0.get(pid).copied().unwrap_or_default())
        };
        self.0.iter().map(used).sum()
    }
}

/// The process-wide clock: it holds the time of threads that have ended too.
fn cpu_ns(pid: u32) -> Option<u64> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let time = clock.now().ok()?;
    Some(time.tv_sec() as u64 * engine::SECOND + time.tv_nsec() as u64)
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_a_child_is_seen_and_a_process_that_is_not_there_is_empty() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; read x"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let own = CpuSample::read(std::process::id());
        assert!(own.0.contains_key(&child.id()), "children are counted");
        let before = CpuSample::read(child.id());
        while CpuSample::read(child.id()).since(&before) == 0 {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(CpuSample::read(child.id()).is_empty());
    }
}
