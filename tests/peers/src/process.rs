//! A client run to its end, with the CPU time that it took.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// What a program printed, how it ended and what it cost.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// User and system time from its first instruction to its last.
    pub(crate) cpu: Duration,
}

impl Ended {
    /// The last line that says something, for an error.
    pub(crate) fn last_words(&self) -> String {
        let lines = self.stderr.lines().chain(self.stdout.lines());
        lines.map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("").to_owned()
    }
}

/// Runs `command` to its end. One that takes longer than `patience` is killed: an error.
///
/// This thread sleeps meanwhile, so that it takes nothing from the client on the same core. No
/// other child may end while it does: the CPU time is that of all children waited for.
pub(crate) fn run(command: &mut Command, patience: Duration) -> io::Result<Ended> {
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let before = children_cpu()?;
    let mut child = command.spawn()?;
    let in_time = wait(&child, patience);
    if !matches!(in_time, Ok(true)) {
        child.kill()?;
    }
    let status = child.wait()?;
    let cpu = children_cpu()?.saturating_sub(before);
    if !in_time? {
        let after = format!("it had not ended after {} s", patience.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, after));
    }
    Ok(Ended { status, stdout: text(&mut stdout)?, stderr: text(&mut stderr)?, cpu })
}

/// Whether the child ended in time.
fn wait(child: &Child, patience: Duration) -> io::Result<bool> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    Ok(poll(&mut ended, Some(&timeout))? > 0)
}

fn children_cpu() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    /// Both in one test: the CPU time is that of all children of this process.
    #[test]
    fn a_program_is_run_with_its_words_and_its_cpu_time_and_not_for_ever() {
        let script =
            "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo a; echo b >&2; exit 3";
        let ended = run(&mut shell(script), Duration::from_secs(60)).unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("a\n", "b\n"));
        assert!(ended.cpu > Duration::from_millis(1), "{:?}", ended.cpu);
        assert_eq!(ended.last_words(), "a");

        let late = run(&mut shell("exec sleep 60"), Duration::from_millis(20)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
