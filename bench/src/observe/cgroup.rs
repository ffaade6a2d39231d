//! How much CPU a process's control group lets it have.

use std::fs;
use std::path::{Path, PathBuf};

use engine::Nanos;

/// The folder of a control group that limits CPU time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup {
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

impl Cgroup {
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
