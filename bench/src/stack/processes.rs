//! Which processes belong to a stack, and how they are ended.
//!
//! A process belongs to a stack if its current folder lies in the stack's `run` or `data` folder. Every
//! server is started in `run`, Postgres moves to `data` by itself, and children inherit it. So none is
//! missed because a pid file was not yet written, and none is hit because a pid was used again. A shell
//! that somebody left in the stack's folder to read a log is not one of them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::StackError;

/// What is sent after how long. All servers obey SIGINT if their clients are gone, and Postgres at once;
/// PgBouncer waits for clients and obeys SIGTERM (before 1.23) or SIGQUIT (since) at once; what was
/// started by a shell in the background may have SIGINT and SIGQUIT ignored.
const STEPS: [(Duration, Signal); 4] = [
    (Duration::ZERO, Signal::INT),
    (Duration::from_millis(300), Signal::TERM),
    (Duration::from_secs(3), Signal::QUIT),
    (Duration::from_secs(6), Signal::KILL),
];

/// How long killed processes may take to vanish.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked.
const TURN: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy)]
struct Process {
    pid: i32,
    parent: i32,
}

/// The processes of the stack in `folder`, in no order. A zombie is not one any more.
pub(crate) fn pids(folder: &Path) -> Vec<i32> {
    inside(folder).into_iter().map(|process| process.pid).collect()
}

/// Ends all processes of the stack in `folder` and returns when they are gone.
///
/// Only the processes whose parent is not one of them are asked to end, as Postgres wants to stop its
/// children itself; at the last step all are killed.
pub(crate) fn stop(folder: &Path) -> Result<(), StackError> {
    let started = Instant::now();
    let mut steps = STEPS.into_iter().peekable();
    loop {
        let processes = inside(folder);
        if processes.is_empty() {
            return Ok(());
        }
        let waited = started.elapsed();
        if let Some((_, signal)) = steps.next_if(|&(after, _)| after <= waited) {
            let killing = signal == Signal::KILL;
            for process in &processes {
                let is_root = processes.iter().all(|other| other.pid != process.parent);
                if (killing || is_root)
                    && let Some(pid) = Pid::from_raw(process.pid)
                {
                    // It may have ended by itself meanwhile.
                    let _ = kill_process(pid, signal);
                }
            }
        } else if waited > PATIENCE {
            return Err(StackError::Unstoppable {
                pids: processes.iter().map(|process| process.pid).collect(),
                folder: folder.to_path_buf(),
            });
        }
        std::thread::sleep(TURN);
    }
}

fn inside(folder: &Path) -> Vec<Process> {
    let homes = [super::folder::run(folder), super::folder::data(folder)];
    let spared = ancestors();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| !spared.contains(pid))
        .filter(|pid| {
            let current = fs::read_link(format!("/proc/{pid}/cwd"));
            current.is_ok_and(|current| homes.iter().any(|home| current.starts_with(home)))
        })
        .filter_map(|pid| Some(Process { pid, parent: parent(pid)? }))
        .collect()
}

/// Ourselves, our parent and so on: never to be ended, wherever they are.
fn ancestors() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).ok();
    std::iter::successors(own, |&pid| parent(pid).filter(|&pid| pid > 0)).collect()
}

/// The fourth field of `/proc/PID/stat`; the second, the program's name, may hold anything but ends at the
/// last parenthesis.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper(folder: &Path) -> Child {
        Command::new("sleep").arg("60").current_dir(folder).spawn().unwrap()
    }

    fn ended(child: &mut Child) -> bool {
        child.try_wait().unwrap().is_some()
    }

    #[test]
    fn ends_what_is_inside_and_nothing_else() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().canonicalize().unwrap();
        for name in ["run", "data/base", "data2"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let mut inside = [sleeper(&folder.join("run")), sleeper(&folder.join("data/base"))];
        let mut outside = [sleeper(&folder), sleeper(&folder.join("data2"))];
        assert_eq!(pids(&folder).len(), 2);

        stop(&folder).unwrap();

        assert!(pids(&folder).is_empty());
        assert!(inside.iter_mut().all(ended));
        assert!(!outside.iter_mut().any(ended));
        for child in &mut outside {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn what_ignores_the_first_signal_gets_the_next() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().canonicalize().unwrap();
        fs::create_dir(folder.join("run")).unwrap();
        let script = "trap '' INT; echo > ready; while :; do sleep 0.01; done";
        let mut stubborn = Command::new("sh")
            .args(["-c", script])
            .current_dir(folder.join("run"))
            .spawn()
            .unwrap();
        while !folder.join("run/ready").exists() {
            std::thread::sleep(TURN);
        }
        stop(&folder).unwrap();
        assert!(ended(&mut stubborn));
    }

    #[test]
    fn we_are_our_own_ancestor() {
        let ancestors = ancestors();
        assert_eq!(ancestors[0], i32::try_from(std::process::id()).unwrap());
        assert!(ancestors.len() > 1);
    }
}
