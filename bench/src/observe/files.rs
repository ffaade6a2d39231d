//! What the kernel says of processes, from files that stay open.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use engine::Nanos;

/// The files of a family's processes, from one look to the next: to open one of /proc takes several
/// times as long as to read it, and a look at Postgres reads two for each backend.
/// What has taken no CPU time since is not read again: who did not run did not wait for a core either, as
/// the scheduler counts it, and what it holds in memory is the same.
#[derive(Default)]
pub(super) struct OpenFiles(BTreeMap<u32, Seen>);

struct Seen {
    files: Files,
    /// CPU time at the last look.
    cpu_ns: Nanos,
    figures: ProcessFigures,
}

/// Those of one process. Once it has ended they can't be read, whoever has its pid then.
struct Files {
    /// The folder of its threads.
    task: File,
    statm: File,
    /// Of each thread; `None` where the kernel keeps no such statistics.
    schedstats: BTreeMap<u32, Option<File>>,
}

/// One process at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessFigures {
    pub(super) memory: Memory,
    /// Its threads, by their numbers; `None` where the kernel keeps no such statistics.
    pub(super) threads: Vec<(u32, Option<Scheduled>)>,
}

/// In pages (proc_pid_statm(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) resident: u64,
    /// Of these.
    pub(super) shared: u64,
}

/// A thread's time with the scheduler (Linux, Documentation/scheduler/sched-stats.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scheduled {
    pub(super) run_ns: Nanos,
    /// Ready to run, and waiting for a core.
    pub(super) wait_ns: Nanos,
    /// How often it was given a core.
    pub(super) turns: u64,
}

impl OpenFiles {
    /// The figures of those of these processes that are there, by their CPU time so far; files of all
    /// others are closed.
    pub(super) fn read(
        &mut self,
        processes: impl Iterator<Item = (u32, Nanos)>,
    ) -> BTreeMap<u32, ProcessFigures> {
        let mut earlier = std::mem::take(&mut self.0);
        for (pid, cpu_ns) in processes {
            let read = |mut files: Files| Some(Seen { figures: files.read(pid)?, files, cpu_ns });
            let kept = earlier.remove(&pid).and_then(|seen| match seen.cpu_ns == cpu_ns {
                true => Some(seen),
                false => read(seen.files),
            });
            if let Some(seen) = kept.or_else(|| Files::open(pid).and_then(read)) {
                self.0.insert(pid, seen);
            }
        }
        self.0.iter().map(|(pid, seen)| (*pid, seen.figures.clone())).collect()
    }
}

impl Files {
    fn open(pid: u32) -> Option<Self> {
        let open = |name| File::open(format!("/proc/{pid}/{name}")).ok();
        let (task, statm) = (open("task")?, open("statm")?);
        Some(Self { task, statm, schedstats: BTreeMap::new() })
    }

    fn read(&mut self, pid: u32) -> Option<ProcessFigures> {
        let memory = Memory::of(&text(&self.statm)?)?;
        // It has a subfolder for each thread, and two links of its own (proc(5)).
        let is_threaded = self.task.metadata().is_ok_and(|task| task.nlink() > 3);
        let threads = if is_threaded { threads(pid) } else { vec![pid] };
        let mut earlier = std::mem::take(&mut self.schedstats);
        let scheduled = |tid: u32| {
            let open = || File::open(format!("/proc/{pid}/task/{tid}/schedstat")).ok();
            let read = |file: &File| Scheduled::of(&text(file)?);
            // A thread that was given the number of one that has ended has another file.
            let kept = earlier.remove(&tid).flatten();
            let kept = kept.and_then(|file| Some((Some(read(&file)?), Some(file))));
            let (scheduled, file) = kept.unwrap_or_else(|| {
                let file = open();
                (file.as_ref().and_then(read), file)
            });
            self.schedstats.insert(tid, file);
            (tid, scheduled)
        };
        Some(ProcessFigures { memory, threads: threads.into_iter().map(scheduled).collect() })
    }
}

impl Memory {
    fn of(statm: &str) -> Option<Self> {
        let mut numbers = statm.split(' ').skip(1).map_while(|number| number.parse().ok());
        Some(Self { resident: numbers.next()?, shared: numbers.next()? })
    }
}

impl Scheduled {
    /// What came between two instants.
    pub(super) fn since(self, then: Self) -> Self {
        Self {
            run_ns: self.run_ns.saturating_sub(then.run_ns),
            wait_ns: self.wait_ns.saturating_sub(then.wait_ns),
            turns: self.turns.saturating_sub(then.turns),
        }
    }

    fn of(schedstat: &str) -> Option<Self> {
        let mut numbers = schedstat.split_whitespace().map_while(|number| number.parse().ok());
        let [run_ns, wait_ns, turns] = [numbers.next()?, numbers.next()?, numbers.next()?];
        // A kernel whose scheduler counts nothing shows zeros (fs/proc/base.c, proc_pid_schedstat).
        Some(Self { run_ns, wait_ns, turns }).filter(|_| turns > 0)
    }
}

fn threads(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

/// All of a file that is one short line.
fn text(file: &File) -> Option<String> {
    let mut buffer = [0; 256];
    let count = file.read_at(&mut buffer, 0).ok()?;
    Some(str::from_utf8(&buffer[..count]).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::process::{Child, Command};

    use super::*;

    fn start() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn files_are_opened_once_and_closed_when_their_process_has_ended() {
        let mut children = [start(), start()];
        let pids = children.each_ref().map(Child::id);
        let at = |cpu_ns| pids.into_iter().map(move |pid| (pid, cpu_ns));
        let mut files = OpenFiles::default();
        let descriptors = |files: &OpenFiles| {
            let of = |seen: &Seen| [seen.files.task.as_raw_fd(), seen.files.statm.as_raw_fd()];
            files.0.iter().map(|(pid, seen)| (*pid, of(seen))).collect::<Vec<_>>()
        };
        let first = files.read(at(1));
        let opened = descriptors(&files);
        assert_eq!((first.len(), opened.len()), (2, 2));
        let second = files.read(at(2));
        assert_eq!(descriptors(&files), opened);
        assert_eq!(second[&pids[0]].threads[0].0, pids[0]);
        assert!(second[&pids[0]].memory.resident > 0);
        children[0].kill().unwrap();
        children[0].wait().unwrap();
        let third = files.read(at(3));
        assert_eq!(third.keys().collect::<Vec<_>>(), [&pids[1]]);
        assert_eq!(descriptors(&files).len(), 1);
        assert!(files.read(std::iter::empty()).is_empty() && files.0.is_empty());
        children[1].kill().unwrap();
        children[1].wait().unwrap();
    }

    #[test]
    fn who_has_taken_no_cpu_time_is_not_read_again() {
        let (own, invented) = (std::process::id(), Memory { resident: 1, shared: 1 });
        let mut files = OpenFiles::default();
        files.read([(own, 7)].into_iter());
        files.0.get_mut(&own).unwrap().figures.memory = invented;
        assert_eq!(files.read([(own, 7)].into_iter())[&own].memory, invented);
        assert_ne!(files.read([(own, 8)].into_iter())[&own].memory, invented);
    }

    #[test]
    fn of_several_threads_each_has_its_time() {
        let own = std::process::id();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || ended.recv().is_ok());
        let figures = OpenFiles::default().read([(own, 1)].into_iter());
        assert!(figures[&own].threads.len() >= 2, "{figures:?}");
        drop(end);
        other.join().unwrap();
    }

    #[test]
    fn figures_that_this_kernel_does_not_show_are_none() {
        assert_eq!(Memory::of("100 20 5 1 0 30 0\n"), Some(Memory { resident: 20, shared: 5 }));
        assert_eq!(Memory::of("100 20"), None);
        let (run_ns, wait_ns, turns) = (7, 8, 9);
        assert_eq!(Scheduled::of("7 8 9\n"), Some(Scheduled { run_ns, wait_ns, turns }));
        assert_eq!(Scheduled::of("7 8"), None);
        assert_eq!(Scheduled::of("0 0 0\n"), None, "a scheduler that counts nothing");
    }
}
