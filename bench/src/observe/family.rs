//! Which processes an entry of `[processes]` means.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use engine::Nanos;

use super::cgroup::Cgroup;
use super::cpu::CpuSample;

/// Processes that are looked at as one: those of a pooler that share its port, say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Family(Vec<Place>);

/// Where to find some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A process without its descendants.
    Alone(u32),
    /// A process and its descendants.
    Pid(u32),
    /// The same, by the file whose first line is the pid: it is read at each look, since what is
    /// started anew writes another one.
    File(PathBuf),
    /// All of a control group and of the groups below it: a container.
    Group(Cgroup),
}

/// The processes of a family at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Members {
    /// Those that stand for all: of each place the parent, or the oldest of a group.
    pub(super) leaders: Vec<u32>,
    /// All others.
    pub(super) others: Vec<u32>,
    /// Those of all that have children now.
    pub(super) parents: BTreeSet<u32>,
    /// Those of others that are one of many (see [`CROWD_MIN`]).
    pub(super) crowd: BTreeSet<u32>,
}

/// Members, with the process that was the newest of all when they were found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) members: Members,
    newest: Option<u32>,
}

/// Of so many children, as Postgres has them, no more is asked than what they take of the CPU and of
/// memory: they are workers, with no children and no limit of open files that is worth a look, and
/// all of the looks together shall be cheap.
const CROWD_MIN: usize = 32;

impl Family {
    /// What is meant by each of `places`: a pid, the path of a file whose first line it is, or the
    /// folder of a control group. An error is the first that is none of these; so is an empty group.
    pub(crate) fn find(places: &[String]) -> Result<Self, &str> {
        let find = |place: &'_ String| {
            let found = Place::find(place);
            found.filter(|found| found.leader().is_some())
        };
        let found = places.iter().map(|place| find(place).ok_or(place.as_str()));
        found.collect::<Result<_, _>>().map(Self)
    }

    /// This process: servers that it has started are none of it.
    pub(super) fn ourselves() -> Self {
        Self(vec![Place::Alone(std::process::id())])
    }

    /// These processes and their descendants.
    pub(crate) fn of(pids: impl IntoIterator<Item = u32>) -> Self {
        Self(pids.into_iter().map(Place::Pid).collect())
    }

    /// The processes that stand for all; none where one place has no process.
    pub(crate) fn leaders(&self) -> Vec<u32> {
        let leaders: Option<_> = self.0.iter().map(Place::leader).collect();
        leaders.unwrap_or_default()
    }

    /// All that there are now; `None` where one place has no process.
    pub(super) fn members(&self) -> Option<Members> {
        let leaders: Vec<_> = self.0.iter().map(Place::leader).collect::<Option<_>>()?;
        let mut members = Members { leaders, ..Members::default() };
        for (place, leader) in self.0.iter().zip(members.leaders.clone()) {
            match place {
                Place::Alone(_) => {}
                Place::Pid(_) | Place::File(_) => members.add_descendants(leader),
                Place::Group(group) => {
                    let all = group.processes();
                    all.iter().for_each(|pid| drop(members.children(*pid)));
                    members.others.extend(all.into_iter().filter(|pid| *pid != leader));
                }
            }
        }
        Some(members)
    }

    /// The same, where some were found before. As long as no process begins, none joins them but in a
    /// control group; those that end stay among them. To list hundreds of children takes longer than to
    /// read their clocks.
    pub(super) fn members_again(&self, earlier: Option<Found>) -> Option<Found> {
        let newest = newest_process();
        let are_same = |found: &Found| {
            found.newest == newest
                && self.groups().next().is_none()
                && self.leaders() == found.members.leaders
        };
        match earlier.filter(|found| newest.is_some() && are_same(found)) {
            Some(found) => Some(found),
            None => Some(Found { members: self.members()?, newest }),
        }
    }

    /// Their CPU time up to now; `None` where one of the leaders is not there.
    pub(crate) fn cpu(&self) -> Option<CpuSample> {
        self.cpu_of(&self.members()?)
    }

    /// The same of these.
    pub(super) fn cpu_of(&self, members: &Members) -> Option<CpuSample> {
        Some(CpuSample::of(members)?.within(self.groups_ns()))
    }

    /// The same, where those of a crowd have taken nothing since an earlier sample of all of them.
    pub(super) fn cpu_again(&self, members: &Members, earlier: &CpuSample) -> Option<CpuSample> {
        Some(CpuSample::again(members, earlier)?.within(self.groups_ns()))
    }

    /// What each control group has taken, in ns; `None` where one place is none, or does not say.
    fn groups_ns(&self) -> Option<Vec<Nanos>> {
        self.0.iter().map(|place| place.group()?.usage().cpu_ns).collect()
    }

    /// The control groups that are named.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Cgroup> {
        self.0.iter().filter_map(Place::group)
    }
}

impl Place {
    fn find(place: &str) -> Option<Self> {
        if let Ok(pid) = place.parse() {
            return Some(Self::Pid(pid));
        }
        let path = Path::new(place);
        match path.is_dir() {
            true => Cgroup::at(path).map(Self::Group),
            false => Some(Self::File(path.to_owned())),
        }
    }

    fn leader(&self) -> Option<u32> {
        match self {
            Self::Alone(pid) | Self::Pid(pid) => Some(*pid),
            Self::File(path) => {
                let text = fs::read_to_string(path).ok()?;
                text.lines().next()?.trim().parse().ok()
            }
            // A container's first: cgroup.procs is in no order.
            Self::Group(group) => group.processes().into_iter().min(),
        }
    }

    fn group(&self) -> Option<&Cgroup> {
        match self {
            Self::Group(group) => Some(group),
            Self::Alone(_) | Self::Pid(_) | Self::File(_) => None,
        }
    }
}

impl Members {
    /// Behind a wrapper shell the work is a grandchild's.
    fn add_descendants(&mut self, leader: u32) {
        let (mut seen, mut left) = (BTreeSet::from([leader]), vec![leader]);
        while let Some(pid) = left.pop() {
            // A pid that was given anew meanwhile makes no circle.
            let below = self.children(pid).into_iter().filter(|child| seen.insert(*child));
            let below: Vec<_> = below.collect();
            if below.len() >= CROWD_MIN {
                self.crowd.extend(&below);
                self.others.extend(below);
                continue;
            }
            self.others.extend(&below);
            left.extend(below);
        }
    }

    /// The processes that one has started and that still run; takes note of it where there are some.
    fn children(&mut self, pid: u32) -> Vec<u32> {
        let folder = format!("/proc/{pid}/task");
        let list = |path: &Path| {
            let text = short_text(path).unwrap_or_default();
            text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        };
        // It has a subfolder for each thread, and two links of its own (proc(5)).
        let task = fs::metadata(&folder);
        let all = if task.is_ok_and(|task| task.nlink() > 3) {
            let tasks = fs::read_dir(&folder).into_iter().flatten().flatten();
            tasks.flat_map(|task| list(&task.path().join("children"))).collect()
        } else {
            list(Path::new(&format!("{folder}/{pid}/children")))
        };
        if !all.is_empty() {
            self.parents.insert(pid);
        }
        all
    }

    /// The leaders first.
    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        self.leaders.iter().chain(&self.others).copied()
    }

    /// Whether several processes share a leader's work among them: a shell that waits for the one
    /// that it has started does none.
    pub(super) fn share_work(&self) -> bool {
        let count = self.leaders.len() + self.others.len();
        count - self.parents.len() > self.leaders.len()
    }
}

/// The process, or thread, that began last, of those that can be seen here (proc_loadavg(5)).
fn newest_process() -> Option<u32> {
    short_text("/proc/loadavg")?.split_whitespace().next_back()?.parse().ok()
}

/// What a file of /proc holds, mostly with one read: hundreds of these are read each second.
pub(super) fn short_text(path: impl AsRef<Path>) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut buffer = [0; 4096];
    let mut text = Vec::new();
    loop {
        let count = file.read(&mut buffer).ok()?;
        text.extend_from_slice(&buffer[..count]);
        // seq_file(9) fills a buffer as far as whole records fit: less than half of it is the end.
        if count < buffer.len() / 2 {
            return String::from_utf8(text).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell, and below it what it starts and waits for.
    fn shell(script: &str) -> Child {
        let (input, output) = (Stdio::piped(), Stdio::piped());
        Command::new("sh").args(["-c", script]).stdin(input).stdout(output).spawn().unwrap()
    }

    #[test]
    fn behind_wrapper_shells_the_worker_is_found_and_is_no_division_of_work() {
        let mut child = shell("sh -c 'sh -c \"echo; read end\"; true'; true");
        let mut line = String::new();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut { out }, &mut line).unwrap();
        let family = Family::of([child.id()]);
        let members = family.members().unwrap();
        assert_eq!((members.others.len(), members.parents.len()), (2, 2), "{members:?}");
        assert!(!members.share_work());
        let own = Family::of([std::process::id(), child.id()]).members().unwrap();
        assert_eq!(own.leaders.len(), 2);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(family.cpu().map(drop), None, "it has gone");
        let parents = BTreeSet::from([1]);
        let (leaders, others) = (vec![1], vec![2, 3]);
        let two = Members { leaders, others, parents, ..Members::default() };
        assert!(two.share_work());
    }

    #[test]
    fn a_pid_file_is_read_anew_and_what_names_no_process_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let places = ["1".to_owned(), file.display().to_string()];
        assert_eq!(Family::find(&places), Err(places[1].as_str()));
        fs::write(&file, "12\n").unwrap();
        let family = Family::find(&places).unwrap();
        assert_eq!(family.leaders(), [1, 12]);
        fs::write(&file, "13\n").unwrap();
        assert_eq!(family.leaders(), [1, 13]);
        fs::remove_file(&file).unwrap();
        assert_eq!(family.leaders(), [0; 0]);
    }
}
