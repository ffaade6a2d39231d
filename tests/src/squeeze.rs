//! Taking CPU time from a process, to see it become the limit.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A control group whose processes share so much CPU time. Dropped, it lets them go.
pub struct CpuQuota {
    folder: PathBuf,
    /// The group around it.
    parent: PathBuf,
}

/// In us: short, so that a process is not kept waiting for longer than a look can tell.
const PERIOD_US: f64 = 20_000.0;

impl CpuQuota {
    /// One of so many cores; `None` where this machine lets us make none: that takes root and a
    /// writable /sys/fs/cgroup.
    pub fn new(cores: f64) -> Option<Self> {
        let quota_us = cores * PERIOD_US;
        let two = (
            PathBuf::from("/sys/fs/cgroup"),
            vec![("cpu.max", format!("{quota_us:.0} {PERIOD_US:.0}"))],
        );
        let one = (
            PathBuf::from("/sys/fs/cgroup/cpu"),
            vec![
                ("cpu.cfs_period_us", format!("{PERIOD_US:.0}")),
                ("cpu.cfs_quota_us", format!("{quota_us:.0}")),
            ],
        );
        [two, one].into_iter().find_map(|(parent, limits)| {
            // Version 2 gives a group the controllers that the group around it hands down.
            let handed_down = parent.join("cgroup.subtree_control");
            if handed_down.exists() {
                let _ = fs::write(handed_down, "+cpu");
            }
            let own = tempfile::Builder::new().prefix("poolbench-").tempdir_in(&parent).ok()?;
            let quota = Self { folder: own.keep(), parent };
            let set = |(file, text): &(&str, String)| {
                let path = quota.folder.join(file);
                path.exists() && fs::write(path, text).is_ok()
            };
            limits.iter().all(set).then_some(quota)
        })
    }

    /// Puts a process with its children into it; what they start later is in it too.
    pub fn hold(&self, pid: u64) {
        for pid in family(pid) {
            let held = fs::write(self.folder.join("cgroup.procs"), pid.to_string());
            held.unwrap_or_else(|error| panic!("{pid} into {}: {error}", self.folder.display()));
        }
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        let held = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in held.lines() {
            // It may have ended meanwhile.
            let _ = fs::write(self.parent.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

/// A process that never rests on one core, before all others there. Dropped, it ends.
pub struct Spinner(Child);

impl Spinner {
    /// On this core.
    pub fn on(core: usize) -> Self {
        let core = core.to_string();
        let words = ["-c", &core, "nice", "-n", "-20", "sh", "-c", "while :; do :; done"];
        let child = Command::new("taskset").args(words).stdin(Stdio::null()).spawn();
        Self(child.expect("util-linux is installed"))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has a process with its children run on one core only; what they start later too.
pub fn pin(pid: u64, core: usize) {
    for pid in family(pid) {
        let (core, pid) = (core.to_string(), pid.to_string());
        let status = Command::new("taskset")
            .args(["--all-tasks", "--cpu-list", "--pid", &core, &pid])
            .stdout(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{pid} onto core {core}");
    }
}

/// Lets a process with its children go before what else this machine does, but not before a
/// [`Spinner`]: a test of who has too little is not to be about them. Takes root.
pub fn prefer(pid: u64) {
    for pid in family(pid) {
        let (priority, pid) = (PREFERRED.to_string(), pid.to_string());
        let renice = Command::new("renice")
            .args(["--priority", &priority, "--pid", &pid])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        // Without root they take their chances.
        let _ = renice;
    }
}

/// The same command, preferred as [`prefer`] does it.
pub fn preferred(command: &Command) -> Command {
    let mut preferred = Command::new("nice");
    preferred.args(["-n", &PREFERRED.to_string()]).arg(command.get_program());
    preferred.args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        value.map(|value| preferred.env(name, value));
    }
    preferred
}

/// See nice(1).
const PREFERRED: i32 = -10;

pub(crate) fn family(pid: u64) -> Vec<u64> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    std::iter::once(pid).chain(children).collect()
}
