//! Control groups: how much CPU time they let processes have, and what they say was taken.

use std::fs;
use std::path::{Path, PathBuf};

use engine::Nanos;
use serde::Serialize;

/// The folder of a control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroup {
    folder: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Linux, Documentation/scheduler/sched-bwc.rst.
    One,
    /// Linux, Documentation/admin-guide/cgroup-v2.rst.
    Two,
}

/// A limit of CPU time at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quota {
    /// So many cores may be used.
    pub(crate) cores: f64,
    /// How long its threads could not run for having used that up, since the group was made, in ns.
    pub(crate) throttled_ns: Nanos,
}

/// What all processes of a group have taken (cgroup-v2.rst). Version 1 spreads this over several
/// folders, and says nothing here; so does version 2 of what no controller is switched on for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    /// CPU time since the group was made, of processes that have ended too, in ns.
    #[serde(skip)]
    pub(super) cpu_ns: Option<Nanos>,
    /// With its files in the page cache.
    pub(crate) memory_bytes: Option<u64>,
    /// Processes and threads.
    pub(crate) tasks: Option<u64>,
}

impl Usage {
    /// Both together; what one of them does not say is unknown.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.zip(other.cpu_ns).map(|(one, two)| one + two),
            memory_bytes: self.memory_bytes.zip(other.memory_bytes).map(|(one, two)| one + two),
            tasks: self.tasks.zip(other.tasks).map(|(one, two)| one + two),
        }
    }
}

impl Quota {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        let throttled_ns = self.throttled_ns + other.throttled_ns;
        Self { cores: self.cores + other.cores, throttled_ns }
    }
}

impl Cgroup {
    /// The group with this folder, if it is one.
    pub(super) fn at(folder: &Path) -> Option<Self> {
        let has = |name: &str| folder.join(name).exists();
        let version = if has("cgroup.controllers") { Version::Two } else { Version::One };
        has("cgroup.procs").then(|| Self { folder: folder.to_owned(), version })
    }

    /// The processes in it and in the groups below it.
    pub(super) fn processes(&self) -> Vec<u32> {
        let list = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        // One of another PID namespace shows as 0.
        let own = list.lines().filter_map(|pid| pid.trim().parse().ok()).filter(|pid| *pid > 0);
        let mut all: Vec<_> = own.collect();
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        all.extend(below.flat_map(|entry| Self { folder: entry.path(), ..*self }.processes()));
        all
    }

    /// What its processes have taken.
    pub(super) fn usage(&self) -> Usage {
        if self.version == Version::One {
            return Usage::default();
        }
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse().ok();
        let cpu_us = read("cpu.stat").and_then(|stat| field(&stat, "usage_usec"));
        Usage {
            cpu_ns: cpu_us.map(|us| us * 1000),
            memory_bytes: number("memory.current"),
            tasks: number("pids.current"),
        }
    }

    /// The tightest of the groups that a process is in and that limit it now. A group whose limit is
    /// set later is not found.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let all = chain(&groups, &mounts);
        let limited = all.into_iter().filter_map(|group| Some((group.quota()?.cores, group)));
        limited.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, group)| group)
    }

    /// What it allows; `None` where it has no limit.
    pub(super) fn quota(&self) -> Option<Quota> {
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).ok();
        let stat = read("cpu.stat")?;
        let (cores, throttled_ns) = match self.version {
            Version::Two => {
                let max = read("cpu.max")?;
                let (quota, period) = max.trim().split_once(' ')?;
                let throttled_us = field(&stat, "throttled_usec")?;
                (quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?, throttled_us * 1000)
            }
            Version::One => {
                let number = |name: &str| read(name)?.trim().parse::<f64>().ok();
                let quota = number("cpu.cfs_quota_us").filter(|quota| *quota > 0.0)?;
                (quota / number("cpu.cfs_period_us")?, field(&stat, "throttled_time")?)
            }
        };
        Some(Quota { cores, throttled_ns })
    }
}

fn field(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// The groups of /proc/PID/cgroup that can limit CPU time, each with those around it, by where
/// /proc/self/mounts has them (cgroups(7)).
fn chain(groups: &str, mounts: &str) -> Vec<Cgroup> {
    let mounted = |kind: &str, option: &str| {
        mounts.lines().find_map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let [_, place, its_kind, options, ..] = fields[..] else { return None };
            let is_it = its_kind == kind
                && (option.is_empty() || options.split(',').any(|other| other == option));
            is_it.then(|| PathBuf::from(place))
        })
    };
    let mut all = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mount, version) = match controllers {
            "" => (mounted("cgroup2", ""), Version::Two),
            list if list.split(',').any(|one| one == "cpu") => {
                (mounted("cgroup", "cpu"), Version::One)
            }
            _ => continue,
        };
        let Some(mount) = mount else { continue };
        let path = Path::new(path.trim_start_matches('/'));
        let folders = path.ancestors().map(|part| mount.join(part));
        all.extend(folders.map(|folder| Cgroup { folder, version }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_with_those_around_it() {
        let mounts = "proc /proc proc rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let folders = |groups| -> Vec<_> {
            let all = chain(groups, mounts).into_iter();
            all.map(|group| group.folder.display().to_string()).collect()
        };
        assert_eq!(
            folders("3:cpuset:/x\n1:cpu,cpuacct:/a/b\n"),
            ["/sys/fs/cgroup/cpu/a/b", "/sys/fs/cgroup/cpu/a", "/sys/fs/cgroup/cpu/"]
        );
        let two = chain("0::/box\n", mounts);
        assert_eq!(two.len(), 2);
        assert_eq!(two[0].folder, Path::new("/sys/fs/cgroup/unified/box"));
        assert!(chain("0::/box\n", "").is_empty());
    }

    #[test]
    fn a_groups_processes_are_those_below_it_too_and_what_it_does_not_count_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(Cgroup::at(folder.path()), None);
        write("cgroup.procs", "12\n0\n");
        assert_eq!(Cgroup::at(folder.path()).unwrap().usage(), Usage::default());
        fs::create_dir_all(folder.path().join("init/deep")).unwrap();
        write("init/cgroup.procs", "");
        write("init/deep/cgroup.procs", "7\n9\n");
        write("cgroup.controllers", "\n");
        write("cpu.stat", "usage_usec 9\nuser_usec 7\n");
        let group = Cgroup::at(folder.path()).unwrap();
        assert_eq!(group.processes(), [12, 7, 9]);
        let counted = Usage { cpu_ns: Some(9000), ..Usage::default() };
        assert_eq!(group.usage(), counted);
        write("memory.current", "8192\n");
        write("pids.current", "3\n");
        let all = Usage { memory_bytes: Some(8192), tasks: Some(3), ..counted };
        assert_eq!(group.usage(), all);
    }

    #[test]
    fn limits_of_both_versions_are_read_and_no_limit_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let quota = |version| Cgroup { folder: folder.path().into(), version }.quota();
        assert_eq!(quota(Version::Two), None);
        write("cpu.stat", "usage_usec 9\nnr_throttled 4\nthrottled_usec 1500\n");
        write("cpu.max", "20000 100000\n");
        assert_eq!(quota(Version::Two), Some(Quota { cores: 0.2, throttled_ns: 1_500_000 }));
        write("cpu.max", "max 100000\n");
        assert_eq!(quota(Version::Two), None);
        write("cpu.stat", "nr_periods 1\nthrottled_time 77\n");
        write("cpu.cfs_quota_us", "150000\n");
        write("cpu.cfs_period_us", "100000\n");
        assert_eq!(quota(Version::One), Some(Quota { cores: 1.5, throttled_ns: 77 }));
        write("cpu.cfs_quota_us", "-1\n");
        assert_eq!(quota(Version::One), None);
    }
}
