//! A control group of version 2, as each container has one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::squeeze::family;

/// A group with another one below it, in which the processes are: as systemd and Docker make them.
/// Dropped, it lets them go.
pub struct Container {
    folder: PathBuf,
    /// The group around it.
    parent: PathBuf,
}

impl Container {
    /// An empty one. The error says why this machine lets us make none: that takes root and a
    /// cgroup2 file system that can be written to.
    pub fn new() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let of_kind = |line: &str| {
            let mut fields = line.split(' ').skip(1);
            let place = fields.next()?.to_owned();
            (fields.next()? == "cgroup2").then(|| PathBuf::from(place))
        };
        let parent = mounts.lines().find_map(of_kind).ok_or("there is no cgroup2 file system")?;
        let name = tempfile::Builder::new().prefix("poolbench-").tempdir_in(&parent);
        let name = name.map_err(|error| format!("{}: {error}", parent.display()))?;
        let container = Self { folder: name.keep(), parent };
        let inner = fs::create_dir(container.inner());
        inner.map_err(|error| format!("{}: {error}", container.folder.display()))?;
        Ok(container)
    }

    /// The outer group's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn inner(&self) -> PathBuf {
        self.folder.join("init")
    }

    /// Puts a process with its children into it; what they start later is in it too.
    pub fn hold(&self, pid: u64) {
        for pid in family(pid) {
            let held = fs::write(self.inner().join("cgroup.procs"), pid.to_string());
            held.unwrap_or_else(|error| panic!("{pid} into {}: {error}", self.folder.display()));
        }
    }

    /// The number in one of its files, which may have a name there; `None` where the kernel keeps
    /// no such figure.
    pub fn figure(&self, file: &str, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let held = fs::read_to_string(self.inner().join("cgroup.procs")).unwrap_or_default();
        for pid in held.lines() {
            // It may have ended meanwhile.
            let _ = fs::write(self.parent.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(self.inner());
        let _ = fs::remove_dir(&self.folder);
    }
}
