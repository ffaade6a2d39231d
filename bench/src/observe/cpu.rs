//! CPU time of processes, from their CPU-time clocks: exact to the nanosecond, where /proc/PID/stat
//! counts in ticks of 10 ms.

use std::collections::BTreeMap;
use std::fs;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// The CPU time of a process and of its children at one instant.
#[derive(Debug, Clone, Default)]
pub(crate) struct CpuSample {
    /// By pid, in ns.
    clocks: BTreeMap<u32, u64>,
    /// Of children that have ended and were waited for, over all of them, in ns; in ticks of 10 ms.
    reaped_ns: u64,
    /// What the kernel has counted for the control group that they are all of, in ns.
    group_ns: Option<u64>,
}

impl CpuSample {
    /// Reads the clocks of `pid` and of these others (Postgres' backends are the postmaster's
    /// children).
    pub(super) fn of(pid: u32, children: &[u32]) -> Self {
        let pids = std::iter::once(pid).chain(children.iter().copied());
        let clocks = pids.filter_map(|pid| Some((pid, cpu_ns(pid)?))).collect();
        Self { clocks, reaped_ns: reaped_ns(pid).unwrap_or_default(), group_ns: None }
    }

    /// The same where they are all processes of a control group that has taken so much, those that
    /// have ended included.
    pub(super) fn within(self, group_ns: Option<u64>) -> Self {
        Self { group_ns, ..self }
    }

    /// Whether there is no such process.
    pub(crate) fn is_empty(&self) -> bool {
        self.clocks.is_empty()
    }

    /// CPU time since an earlier sample, in ns. A process that began in between counts in full; one
    /// that ended counts with what its parent was told of it, to 10 ms.
    pub(crate) fn since(&self, earlier: &Self) -> u64 {
        if let Some((now, then)) = self.group_ns.zip(earlier.group_ns) {
            return now.saturating_sub(then);
        }
        let used = |(pid, ns): (&u32, &u64)| {
            ns.saturating_sub(earlier.clocks.get(pid).copied().unwrap_or_default())
        };
        let running: u64 = self.clocks.iter().map(used).sum();
        let is_gone = |(pid, _): &(&u32, &u64)| !self.clocks.contains_key(pid);
        let known: u64 = earlier.clocks.iter().filter(is_gone).map(|(_, ns)| ns).sum();
        running + self.reaped_ns.saturating_sub(earlier.reaped_ns).saturating_sub(known)
    }
}

/// A tick of /proc/PID/stat: USER_HZ is 100 (time(7)).
const TICK_NS: u64 = 10 * engine::MILLISECOND;

/// `cutime` and `cstime` of proc_pid_stat(5), behind the program's name, which may hold anything but
/// ends at the last parenthesis.
fn reaped_ns(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: Option<u64> = ticks.map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks? * TICK_NS)
}

/// The process-wide clock: it holds the time of threads that have ended too.
fn cpu_ns(pid: u32) -> Option<u64> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let time = clock.now().ok()?;
    Some(time.tv_sec() as u64 * engine::SECOND + time.tv_nsec() as u64)
}

/// The processes that `pid` has started and that still run.
pub(super) fn children(pid: u32) -> Vec<u32> {
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

    fn read(pid: u32) -> CpuSample {
        CpuSample::of(pid, &children(pid))
    }

    #[test]
    fn work_of_a_child_is_seen_and_a_process_that_is_not_there_is_empty() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; read x"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let own = read(std::process::id());
        assert!(own.clocks.contains_key(&child.id()), "children are counted");
        let before = read(child.id());
        while read(child.id()).since(&before) == 0 {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(read(child.id()).is_empty());
    }

    #[test]
    fn a_child_that_has_ended_still_counts() {
        let spend = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let mut parent = std::process::Command::new("sh")
            .args(["-c", &format!("read go; sh -c '{spend}'; echo done; read end")])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let before = read(parent.id());
        let mut to = parent.stdin.take().unwrap();
        std::io::Write::write_all(&mut to, b"go\n").unwrap();
        let mut line = String::new();
        let out = std::io::BufReader::new(parent.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut { out }, &mut line).unwrap();
        let after = read(parent.id());
        assert_eq!(after.clocks.len(), 1, "the child has ended");
        assert!(after.since(&before) > TICK_NS, "{after:?}");
        drop(to);
        parent.wait().unwrap();
    }
}
