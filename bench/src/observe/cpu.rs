//! CPU time of processes, from their CPU-time clocks: exact to the nanosecond, where /proc/PID/stat
//! counts in ticks of 10 ms.

use std::collections::BTreeMap;

use engine::Nanos;
use nix::time::ClockId;

use super::family::{Members, short_text};

/// The CPU time of a family's processes at one instant.
#[derive(Debug, Clone, Default)]
pub(crate) struct CpuSample {
    /// Those that stand for all.
    leaders: Vec<u32>,
    /// By pid.
    processes: BTreeMap<u32, Taken>,
    /// What the kernel has counted for each of the control groups that they are all of, in ns.
    groups_ns: Option<Vec<Nanos>>,
}

/// CPU time of one process, in ns.
#[derive(Debug, Clone, Copy)]
struct Taken {
    own_ns: u64,
    /// Of children that have ended and were waited for, over all of them, in ticks of 10 ms; read
    /// of leaders and of those that have children.
    reaped_ns: Option<u64>,
}

impl CpuSample {
    /// Reads the clocks of all (Postgres' backends are the postmaster's children). `None` where one
    /// of the leaders has gone.
    pub(super) fn of(members: &Members) -> Option<Self> {
        Self::taken(members, |pid| Taken::read(pid, members))
    }

    /// Reads the clocks of all but those of a crowd, who are as they were.
    pub(super) fn again(members: &Members, earlier: &Self) -> Option<Self> {
        Self::taken(members, |pid| match members.crowd.contains(&pid) {
            true => earlier.processes.get(&pid).copied(),
            false => Taken::read(pid, members),
        })
    }

    fn taken(members: &Members, taken: impl Fn(u32) -> Option<Taken>) -> Option<Self> {
        let taken = |pid| Some((pid, taken(pid)?));
        let processes: BTreeMap<_, _> = members.all().filter_map(taken).collect();
        let are_there = members.leaders.iter().all(|leader| processes.contains_key(leader));
        let leaders = members.leaders.clone();
        are_there.then_some(Self { leaders, processes, groups_ns: None })
    }

    /// Each process with its own CPU time so far, in ns.
    pub(super) fn processes(&self) -> impl Iterator<Item = (u32, Nanos)> {
        self.processes.iter().map(|(pid, taken)| (*pid, taken.own_ns))
    }

    /// The same where they are all processes of control groups that have taken so much each, those
    /// that have ended included.
    pub(super) fn within(self, groups_ns: Option<Vec<Nanos>>) -> Self {
        Self { groups_ns, ..self }
    }

    /// CPU time since an earlier sample, in ns; `None` where other leaders stand for the family: what
    /// those before took up to their end nobody knows. A process that began in between counts in
    /// full; one that ended counts with what its parent was told of it, to 10 ms.
    pub(crate) fn since(&self, earlier: &Self) -> Option<u64> {
        if let (Some(now), Some(then)) = (&self.groups_ns, &earlier.groups_ns) {
            // One that was made anew is not covered by what the others took.
            let each = now.iter().zip(then).map(|(now, then)| now.checked_sub(*then));
            return each.sum();
        }
        if self.leaders != earlier.leaders {
            return None;
        }
        let (mut running, mut reaped) = (0, 0);
        for (pid, now) in &self.processes {
            let then = earlier.processes.get(pid);
            running += now.own_ns.saturating_sub(then.map_or(0, |then| then.own_ns));
            // One that had no children before was not asked.
            let reaped_then = then.map_or(Some(0), |then| then.reaped_ns);
            let both = now.reaped_ns.zip(reaped_then);
            reaped += both.map_or(0, |(now, then)| now.saturating_sub(then));
        }
        let gone = earlier.processes.iter().filter(|(pid, _)| !self.processes.contains_key(pid));
        let known: u64 =
            gone.map(|(_, then)| then.own_ns + then.reaped_ns.unwrap_or_default()).sum();
        Some(running + reaped.saturating_sub(known))
    }
}

impl Taken {
    fn read(pid: u32, members: &Members) -> Option<Self> {
        let reaps = members.parents.contains(&pid) || members.leaders.contains(&pid);
        let reaped_ns = reaps.then(|| reaped_ns(pid)).flatten();
        Some(Self { own_ns: cpu_ns(pid)?, reaped_ns })
    }
}

/// A tick of /proc/PID/stat: USER_HZ is 100 (time(7)).
const TICK_NS: u64 = 10 * engine::MILLISECOND;

/// `cutime` and `cstime` of proc_pid_stat(5), behind the program's name, which may hold anything but
/// ends at the last parenthesis.
fn reaped_ns(pid: u32) -> Option<u64> {
    let stat = short_text(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: Option<u64> = ticks.map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks? * TICK_NS)
}

/// Of a process's clocks the one of all its threads, in the scheduler's time (Linux,
/// include/linux/posix-timers_types.h, CPUCLOCK_SCHED).
const CPUCLOCK_SCHED: i32 = 2;

/// The process-wide clock: it holds the time of threads that have ended too. Its number is made here, as
/// clock_getcpuclockid(3) does: that asks the kernel once more whether there is such a process, and
/// hundreds of clocks are read each second.
fn cpu_ns(pid: u32) -> Option<u64> {
    // The number of process 0 is the caller's own clock.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let time = ClockId::from_raw((!pid << 3) | CPUCLOCK_SCHED).now().ok()?;
    Some(time.tv_sec() as u64 * engine::SECOND + time.tv_nsec() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Family;

    fn read(pid: u32) -> Option<CpuSample> {
        Family::of([pid]).cpu()
    }

    #[test]
    fn work_of_a_child_is_seen_and_a_process_that_is_not_there_is_no_zero() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; read x"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let own = read(std::process::id()).unwrap();
        assert!(own.processes.contains_key(&child.id()), "children are counted");
        let before = read(child.id()).unwrap();
        while read(child.id()).unwrap().since(&before) == Some(0) {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(read(child.id()).is_none());
        assert_eq!(own.since(&before), None, "another process");
    }

    #[test]
    fn the_clock_is_the_one_that_the_library_names() {
        let own = std::process::id();
        let named_ns = || {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(own).unwrap());
            let time = nix::time::clock_getcpuclockid(pid).unwrap().now().unwrap();
            time.tv_sec() as u64 * engine::SECOND + time.tv_nsec() as u64
        };
        let before_ns = named_ns();
        let ns = cpu_ns(own).unwrap();
        assert!((before_ns..=named_ns()).contains(&ns));
        assert_eq!((cpu_ns(0), cpu_ns(u32::MAX), cpu_ns(4_194_305)), (None, None, None));
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
        let before = read(parent.id()).unwrap();
        let mut to = parent.stdin.take().unwrap();
        std::io::Write::write_all(&mut to, b"go\n").unwrap();
        let mut line = String::new();
        let out = std::io::BufReader::new(parent.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut { out }, &mut line).unwrap();
        let after = read(parent.id()).unwrap();
        assert_eq!(after.processes.len(), 1, "the child has ended");
        assert!(after.since(&before) > Some(TICK_NS), "{after:?}");
        drop(to);
        parent.wait().unwrap();
    }

    #[test]
    fn a_group_that_was_made_anew_makes_the_sum_unknown() {
        let sample = |groups_ns: [Nanos; 2]| CpuSample::default().within(Some(groups_ns.into()));
        let before = sample([100, 1000]);
        assert_eq!(sample([150, 1200]).since(&before), Some(250));
        assert_eq!(sample([150, 3]).since(&before), None);
        assert_eq!(sample([5000, 3]).since(&before), None);
    }

    #[test]
    fn of_a_crowd_nobody_is_read_again() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (own, crowd) = (std::process::id(), child.id());
        let members = |crowd: &[u32]| Members {
            leaders: vec![own],
            others: vec![child.id()],
            crowd: crowd.iter().copied().collect(),
            ..Members::default()
        };
        let mut earlier = CpuSample::of(&members(&[])).unwrap();
        let invented = Taken { own_ns: 7, reaped_ns: None };
        for taken in earlier.processes.values_mut() {
            *taken = invented;
        }
        let again = |crowd: &[u32]| {
            let sample = CpuSample::again(&members(crowd), &earlier).unwrap();
            [own, child.id()].map(|pid| sample.processes[&pid].own_ns == invented.own_ns)
        };
        assert_eq!((again(&[crowd]), again(&[])), ([false, true], [false, false]));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn what_a_parent_was_told_of_those_below_it_is_counted_once() {
        let sample = |processes: &[(u32, u64, Option<u64>)]| {
            let taken = |(pid, own_ns, reaped_ns): &(u32, u64, Option<u64>)| {
                (*pid, Taken { own_ns: *own_ns, reaped_ns: *reaped_ns })
            };
            let processes = processes.iter().map(taken).collect();
            CpuSample { leaders: vec![1], processes, groups_ns: None }
        };
        // A shell, what it has started, and what that has: the two below end.
        let before = sample(&[(1, 5, Some(0)), (2, 100, Some(30)), (3, 50, None)]);
        let after = sample(&[(1, 6, Some(220))]);
        assert_eq!(after.since(&before), Some(1 + 220 - 180));
        // One that has a child only now was not asked before what it had reaped.
        let parent =
            sample(&[(1, 5, Some(0)), (2, 100, Some(30)), (3, 50, Some(900)), (4, 7, None)]);
        assert_eq!(parent.since(&before), Some(7));
    }
}
