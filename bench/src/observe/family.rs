//! Which processes an entry of `[processes]` means.

use std::fs;
use std::path::Path;

use super::cgroup::Cgroup;
use super::cpu::{CpuSample, children};

/// Processes that are looked at as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Family {
    /// A process and its children.
    Parent(u32),
    /// All of a control group and of the groups below it: a container.
    Group(Cgroup),
}

impl Family {
    /// What is meant by a pid, by the path of a file whose first line it is, or by the folder of a
    /// control group. `None` where it is none of these, and where a group is empty.
    pub(crate) fn find(place: &str) -> Option<Self> {
        if let Ok(pid) = place.parse() {
            return Some(Self::Parent(pid));
        }
        let path = Path::new(place);
        if path.is_dir() {
            let family = Self::Group(Cgroup::at(path)?);
            return family.leader().is_some().then_some(family);
        }
        let text = fs::read_to_string(path).ok()?;
        text.lines().next()?.trim().parse().ok().map(Self::Parent)
    }

    /// The process that stands for all: the parent, or the oldest of a group. `None` where a group
    /// is empty.
    pub(crate) fn leader(&self) -> Option<u32> {
        match self {
            Self::Parent(pid) => Some(*pid),
            // A container's first: cgroup.procs is in no order.
            Self::Group(group) => group.processes().into_iter().min(),
        }
    }

    /// All that there are now but `leader`.
    pub(super) fn others(&self, leader: u32) -> Vec<u32> {
        match self {
            Self::Parent(pid) => children(*pid),
            Self::Group(group) => {
                group.processes().into_iter().filter(|pid| *pid != leader).collect()
            }
        }
    }

    /// All that there are now.
    pub(super) fn all(&self) -> Vec<u32> {
        let leader = self.leader();
        let others = leader.map(|leader| self.others(leader)).unwrap_or_default();
        leader.into_iter().chain(others).collect()
    }

    /// Their CPU time up to now.
    pub(crate) fn cpu(&self) -> CpuSample {
        let Some(leader) = self.leader() else { return CpuSample::default() };
        self.cpu_of(leader, &self.others(leader))
    }

    pub(super) fn cpu_of(&self, leader: u32, others: &[u32]) -> CpuSample {
        let sample = CpuSample::of(leader, others);
        match self {
            Self::Parent(_) => sample,
            Self::Group(group) => sample.within(group.usage().cpu_ns),
        }
    }
}
