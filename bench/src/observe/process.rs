//! What a process takes of this machine.

use std::collections::BTreeMap;
use std::fs;

use engine::Nanos;
use rustix::thread::CpuSet;
use serde::Serialize;

use super::ObserveError;
use super::cgroup::{Cgroup, Quota, Usage};
use super::cpu::CpuSample;
use super::family::{Family, Found, Members};
use super::files::{OpenFiles, Scheduled};

/// The processes of a family at one instant.
#[derive(Debug, Clone)]
pub(crate) struct ProcessSample {
    /// Those that stand for all.
    leaders: Vec<u32>,
    cpu: CpuSample,
    /// By thread.
    threads: BTreeMap<u32, Option<Scheduled>>,
    has_children: bool,
    /// Cores that it may run on, by their numbers.
    cores: Vec<usize>,
    quota: Option<Quota>,
    /// Of the control groups, if such are named.
    group: Option<Usage>,
    resident_bytes: Option<u64>,
    open_files: Option<u64>,
    open_files_max: Option<u64>,
}

/// What a family's processes took between two instants. Where the kernel keeps no statistics of its
/// scheduler, what only they tell is null: unknown, and no zero.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ProcessUse {
    /// CPU time in cores.
    pub(crate) cpu_cores: f64,
    /// Time in which a thread was ready and waited for a core, over all threads, in cores.
    pub(crate) wait_cores: Option<f64>,
    /// The share of time in which its busiest thread ran or waited for a core, 0 to 1.
    pub(crate) busiest_thread: Option<f64>,
    /// As much of that it waited.
    pub(crate) busiest_thread_wait: Option<f64>,
    /// How many cores it could use: not more than its threads, than those it may run on, and than
    /// its control group allows.
    pub(crate) usable_cores: f64,
    /// The cores that it may run on, by their numbers.
    #[serde(skip)]
    pub(crate) cores: Vec<usize>,
    /// Whether it is the control group that allows no more.
    pub(crate) is_under_quota: bool,
    /// In cores: how long threads were kept from running by the control group's quota.
    pub(crate) throttled_cores: Option<f64>,
    /// Whether children of it share its work among them.
    pub(crate) has_children: bool,
    /// How often a thread was given a core, by the second.
    pub(crate) context_switches: Option<f64>,
    /// What the control groups say, where such are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Usage>,
    /// What is shared with its children counts once.
    pub(crate) resident_bytes: Option<u64>,
    /// Of the process that has most of them; before Linux 6.2 of those that stand for all.
    pub(crate) open_files: Option<u64>,
    /// That process's limit.
    pub(crate) open_files_max: Option<u64>,
}

/// Where a family's processes are looked for.
pub(crate) struct ProcessSource {
    name: String,
    /// See [`Family::find`].
    places: Vec<String>,
    family: Option<Family>,
    found: Option<Found>,
    files: OpenFiles,
    limits: Limits,
}

/// What limits a family; found anew when others lead it.
#[derive(Default)]
struct Limits {
    leaders: Vec<u32>,
    /// The control groups that limit the leaders, where each has one.
    groups: Option<Vec<Cgroup>>,
    /// How many files each of these may open.
    open_files: BTreeMap<u32, Option<u64>>,
}

impl ProcessSource {
    pub(crate) fn new(name: &str, places: &[String]) -> Self {
        let (name, places) = (name.to_owned(), places.to_owned());
        let (files, limits) = (OpenFiles::default(), Limits::default());
        Self { name, places, family: None, found: None, files, limits }
    }

    /// This process.
    pub(crate) fn ourselves(name: &str) -> Self {
        Self { family: Some(Family::ourselves()), ..Self::new(name, &[]) }
    }

    /// Looks once.
    pub(crate) fn look(&mut self) -> Result<ProcessSample, ObserveError> {
        let missing = |place: &str| ObserveError::NoProcess {
            name: self.name.clone(),
            place: place.to_owned(),
        };
        let family = match self.family.take() {
            Some(family) => family,
            None => Family::find(&self.places).map_err(missing)?,
        };
        self.found = family.members_again(self.found.take());
        let members = self.found.as_ref().map(|found| &found.members);
        let sample =
            members.and_then(|members| read(&family, members, &mut self.files, &mut self.limits));
        self.family = Some(family);
        sample.ok_or_else(|| missing(&self.places.join(", ")))
    }
}

fn read(
    family: &Family,
    members: &Members,
    files: &mut OpenFiles,
    limits: &mut Limits,
) -> Option<ProcessSample> {
    let cpu = family.cpu_of(members)?;
    let figures = files.read(cpu.processes());
    if limits.leaders != members.leaders {
        *limits = Limits::of(&members.leaders);
    }
    let quotas = limits.groups.iter().flatten().map(Cgroup::quota);
    let quota = quotas.reduce(|sum, one| Some(sum?.and(one?))).flatten();
    let usages = family.groups().map(Cgroup::usage);
    let memory = |pid: &u32| Some(figures.get(pid)?.memory);
    let own_pages = members.leaders.iter().map(|pid| Some(memory(pid)?.resident));
    let theirs = members.others.iter().filter_map(memory);
    let their_pages: u64 = theirs.map(|memory| memory.resident.saturating_sub(memory.shared)).sum();
    let pages = own_pages.sum::<Option<u64>>().map(|own| own + their_pages);
    let leaders = members.leaders.iter().filter_map(|pid| Some((open_files(*pid)?, *pid)));
    let others = members.others.iter().filter(|pid| !members.crowd.contains(pid));
    let others = others.filter_map(|pid| Some((open_files_told(*pid)?, *pid)));
    let most_open = leaders.chain(others).max();
    let mut all_cores: Vec<_> = members.leaders.iter().flat_map(|pid| cores(*pid)).collect();
    all_cores.sort_unstable();
    all_cores.dedup();
    Some(ProcessSample {
        cpu,
        threads: figures.into_values().flat_map(|process| process.threads).collect(),
        has_children: members.share_work(),
        cores: all_cores,
        quota,
        group: usages.reduce(Usage::and),
        resident_bytes: pages.map(|pages| pages * procfs::page_size()),
        open_files: most_open.map(|(count, _)| count),
        open_files_max: most_open.and_then(|(_, pid)| limits.open_files_max(pid)),
        leaders: members.leaders.clone(),
    })
}

impl Limits {
    fn of(leaders: &[u32]) -> Self {
        let groups = groups_of(leaders);
        Self { leaders: leaders.to_vec(), groups, open_files: BTreeMap::new() }
    }

    fn open_files_max(&mut self, pid: u32) -> Option<u64> {
        *self.open_files.entry(pid).or_insert_with(|| open_files_max(pid))
    }
}

/// The control groups that limit these processes, each once; `None` where one has no limit.
fn groups_of(pids: &[u32]) -> Option<Vec<Cgroup>> {
    let mut groups = Vec::new();
    for pid in pids {
        let group = Cgroup::of(*pid)?;
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Some(groups)
}

impl ProcessSample {
    /// Whether other processes stand for the family than did `earlier`: one was started anew.
    pub(crate) fn has_begun_anew(&self, earlier: &Self) -> bool {
        self.leaders != earlier.leaders
    }

    /// What was taken in the `elapsed_ns` since `earlier`; `None` where there are other processes. Of
    /// threads in `worked` another account says how much of their time they worked, 0 to 1.
    pub(crate) fn since(
        &self,
        earlier: &Self,
        elapsed_ns: Nanos,
        worked: &BTreeMap<u32, f64>,
    ) -> Option<ProcessUse> {
        if self.has_begun_anew(earlier) || elapsed_ns == 0 {
            return None;
        }
        let in_cores = |ns: Nanos| ns as f64 / elapsed_ns as f64;
        let is_counted = self.threads.values().any(Option::is_some);
        let (mut wait_ns, mut turns) = (0, 0);
        let mut busiest: Option<(f64, f64)> = None;
        for (tid, now) in &self.threads {
            let then = earlier.threads.get(tid).copied().flatten().unwrap_or_default();
            let Scheduled { run_ns, wait_ns: waited_ns, turns: had } =
                now.map_or_else(Scheduled::default, |now| now.since(then));
            wait_ns += waited_ns;
            turns += had;
            let worked = worked.get(tid).copied();
            if is_counted || worked.is_some() {
                let waited = in_cores(waited_ns);
                let ready = worked.unwrap_or_else(|| in_cores(run_ns)) + waited;
                busiest = busiest.filter(|(most, _)| *most >= ready).or(Some((ready, waited)));
            }
        }
        let counted = |figure: f64| is_counted.then_some(figure);
        let unlimited = self.cores.len().min(self.threads.len()) as f64;
        let quota = self.quota.map(|quota| quota.cores).filter(|cores| *cores < unlimited);
        let throttled_ns = self.quota.zip(earlier.quota);
        let throttled_ns =
            throttled_ns.map(|(now, then)| now.throttled_ns.saturating_sub(then.throttled_ns));
        Some(ProcessUse {
            cpu_cores: in_cores(self.cpu.since(&earlier.cpu)?),
            wait_cores: counted(in_cores(wait_ns)),
            busiest_thread: busiest.map(|(ready, _)| ready.min(1.0)),
            busiest_thread_wait: busiest.and_then(|(_, waited)| counted(waited.min(1.0))),
            usable_cores: quota.unwrap_or(unlimited),
            cores: self.cores.clone(),
            is_under_quota: quota.is_some(),
            throttled_cores: throttled_ns.map(in_cores),
            has_children: self.has_children,
            context_switches: counted(turns as f64 * engine::SECOND as f64 / elapsed_ns as f64),
            group: self.group,
            resident_bytes: self.resident_bytes,
            open_files: self.open_files,
            open_files_max: self.open_files_max,
        })
    }
}

fn cores(pid: u32) -> Vec<usize> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let Ok(cores) = rustix::thread::sched_getaffinity(pid) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect()
}

fn open_files(pid: u32) -> Option<u64> {
    let counted = || Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64);
    open_files_told(pid).or_else(counted)
}

/// Since Linux 6.2 the folder's size says it.
fn open_files_told(pid: u32) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{pid}/fd")).ok()?.len()).filter(|count| *count > 0)
}

fn open_files_max(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
impl ProcessSample {
    /// Of these threads: how long each ran and waited so far, in ms.
    pub(crate) fn example(threads: &[(u32, u64, u64)]) -> Self {
        let scheduled = |(tid, run_ms, wait_ms): &(u32, u64, u64)| {
            let (run_ns, wait_ns) = (run_ms * engine::MILLISECOND, wait_ms * engine::MILLISECOND);
            (*tid, Some(Scheduled { run_ns, wait_ns, turns: *run_ms }))
        };
        Self {
            leaders: vec![1],
            cpu: CpuSample::default(),
            threads: threads.iter().map(scheduled).collect(),
            has_children: false,
            cores: (0..8).collect(),
            quota: None,
            group: None,
            resident_bytes: None,
            open_files: None,
            open_files_max: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::SECOND;

    use super::*;
    use crate::observe::Reading;

    fn since(now: &ProcessSample, then: &ProcessSample) -> Option<ProcessUse> {
        now.since(then, SECOND, &BTreeMap::new())
    }

    #[test]
    fn waiting_adds_up_and_the_busiest_thread_is_told_apart() {
        let before = ProcessSample::example(&[(1, 100, 0), (2, 0, 0)]);
        let after = ProcessSample::example(&[(1, 500, 500), (2, 100, 0), (3, 50, 150)]);
        let used = since(&after, &before).unwrap();
        assert_eq!((used.wait_cores, used.busiest_thread), (Some(0.65), Some(0.9)));
        assert_eq!(used.busiest_thread_wait, Some(0.5));
        assert_eq!((used.usable_cores, used.context_switches), (3.0, Some(550.0)));
        let other = ProcessSample { leaders: vec![2], ..before };
        assert_eq!(since(&after, &other), None, "another process");
        let [before, after] = [other, after].map(Reading::Process);
        assert!(after.has_begun_anew(&before) && !after.has_begun_anew(&after));
    }

    #[test]
    fn a_thread_that_spins_is_as_busy_as_it_says_itself() {
        let before = ProcessSample::example(&[(1, 0, 0), (2, 0, 0), (3, 0, 0)]);
        let after = ProcessSample::example(&[(1, 990, 0), (2, 960, 30), (3, 100, 0)]);
        let busiest = |worked: &[(u32, f64)]| {
            let used = after.since(&before, SECOND, &worked.iter().copied().collect()).unwrap();
            (used.busiest_thread.unwrap(), used.busiest_thread_wait.unwrap())
        };
        assert_eq!(busiest(&[]), (0.99, 0.0));
        // One spins for most of its time and the other hardly ever.
        assert_eq!(busiest(&[(1, 0.39), (2, 0.95)]), (0.98, 0.03));
        assert_eq!(busiest(&[(1, 0.01), (2, 0.01)]), (0.1, 0.0));
    }

    #[test]
    fn what_a_scheduler_without_statistics_does_not_tell_is_unknown() {
        let none = || {
            let mut sample = ProcessSample::example(&[(1, 0, 0), (2, 0, 0)]);
            sample.threads.values_mut().for_each(|thread| *thread = None);
            sample
        };
        let used = since(&none(), &none()).unwrap();
        assert_eq!((used.wait_cores, used.context_switches), (None, None));
        assert_eq!((used.busiest_thread, used.busiest_thread_wait), (None, None));
        let used = none().since(&none(), SECOND, &[(2, 0.95)].into()).unwrap();
        assert_eq!((used.busiest_thread, used.busiest_thread_wait), (Some(0.95), None));
        let json = serde_json::to_value(&used).unwrap();
        assert!(json["wait_cores"].is_null(), "{json}");
    }

    #[test]
    fn a_quota_below_its_cores_is_what_it_can_use() {
        let quota = |cores, throttled_ns| Some(Quota { cores, throttled_ns });
        let before = ProcessSample { quota: quota(0.2, 0), ..ProcessSample::example(&[(1, 0, 0)]) };
        let after =
            ProcessSample { quota: quota(0.2, SECOND / 2), ..ProcessSample::example(&[(1, 0, 0)]) };
        let used = since(&after, &before).unwrap();
        assert_eq!((used.usable_cores, used.throttled_cores), (0.2, Some(0.5)));
        assert!(used.is_under_quota);
        let roomy = ProcessSample { quota: quota(3.0, 0), ..ProcessSample::example(&[(1, 0, 0)]) };
        let used = since(&roomy, &before).unwrap();
        assert_eq!((used.usable_cores, used.is_under_quota), (1.0, false));
    }

    #[test]
    fn we_ourselves_are_seen_and_who_is_gone_is_an_error() {
        let own = std::process::id().to_string();
        let sample = ProcessSource::new("us", std::slice::from_ref(&own)).look().unwrap();
        assert!(sample.threads.len() >= 2, "tests run on threads of their own");
        assert!(!sample.cores.is_empty() && sample.resident_bytes.unwrap() > 0);
        assert!(sample.open_files.unwrap() < sample.open_files_max.unwrap());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        fs::write(&file, format!("{}\n", child.id())).unwrap();
        let mut source = ProcessSource::new("child", &[file.display().to_string()]);
        assert_eq!(source.look().unwrap().leaders, [child.id()]);
        // Several that share a port are one.
        let both = [own.clone(), child.id().to_string()];
        let both = ProcessSource::new("both", &both).look().unwrap();
        assert_eq!(both.leaders, [std::process::id(), child.id()]);
        assert!(both.threads.len() > 2 && both.threads.contains_key(&child.id()));
        // A stack that we have started is not ours to answer for.
        let with_children = ProcessSource::new("us", std::slice::from_ref(&own)).look().unwrap();
        assert!(with_children.threads.contains_key(&child.id()));
        let alone = ProcessSource::ourselves("us").look().unwrap();
        assert!(!alone.threads.contains_key(&child.id()) && alone.threads.len() >= 2);
        assert_eq!(alone.leaders, [std::process::id()]);
        child.kill().unwrap();
        child.wait().unwrap();
        let error = source.look().unwrap_err().to_string();
        assert!(error.contains("child") && error.contains("there is no process"), "{error}");
        // Started anew, it is found by its file.
        fs::write(&file, &own).unwrap();
        assert_eq!(source.look().unwrap().leaders, [std::process::id()]);
        // A control group's oldest process stands for it.
        fs::write(folder.path().join("cgroup.procs"), format!("4194304\n{own}\n")).unwrap();
        let mut group = ProcessSource::new("group", &[folder.path().display().to_string()]);
        assert_eq!(group.look().unwrap().leaders, [std::process::id()]);
    }
}
