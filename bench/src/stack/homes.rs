//! The folders that hold a user's stacks: where they may be, and what is found in them.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::account::Account;
use super::error::StackError;
use super::folder::{self, Folder};
use super::processes;
use crate::interrupt;

/// The longest path of a unix socket, less its closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// How long another command may hold the lock: it stops a left-over stack at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user's folders of stacks, each locked, so that no other command looks, sweeps or creates meanwhile.
#[derive(Debug)]
pub(crate) struct Homes {
    homes: Vec<Home>,
    account: Account,
}

/// What became of the one stack that outlives its command.
#[derive(Debug)]
pub(crate) enum Persistent {
    /// There is none.
    None,
    /// Another command starts or stops it.
    Busy(PathBuf),
    /// It has been started; we hold it. With it what was recorded.
    Recorded(Folder, String),
}

impl Homes {
    /// Locks them all, and creates one to make stacks in, which is the first.
    pub(crate) fn create(account: Account) -> Result<Self, StackError> {
        let mut tried = Vec::new();
        let mut homes = Vec::new();
        for base in bases() {
            if !homes.is_empty() {
                homes.extend(Home::existing(&base, &account)?);
            } else if let Some(why) = unusable(&base, &account) {
                tried.push(why);
            } else {
                match Home::create(&base, &account) {
                    Ok(home) => homes.push(home),
                    Err(error @ (StackError::NotOurs { .. } | StackError::File { .. })) => {
                        tried.push(error.to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if homes.is_empty() {
            return Err(StackError::NoPlace { tried });
        }
        Ok(Self { homes, account })
    }

    /// Locks those that there are.
    pub(crate) fn existing(account: Account) -> Result<Self, StackError> {
        let mut homes = Vec::new();
        for base in bases() {
            homes.extend(Home::existing(&base, &account)?);
        }
        Ok(Self { homes, account })
    }

    /// Stops and removes what killed commands left over, and says so.
    pub(crate) fn sweep(&self, say: &mut dyn FnMut(&str)) -> Result<(), StackError> {
        for path in self.folders() {
            let Some(folder) = Folder::lock(&path, &self.account)? else { continue };
            let is_alive = || !processes::pids(&path).is_empty();
            if folder::recorded(&path).is_some() && is_alive() {
                continue;
            }
            say(&format!("removing {}, left over by a command that is gone", path.display()));
            processes::stop(&path)?;
            folder.remove()?;
        }
        Ok(())
    }

    /// The stack that outlives its command.
    pub(crate) fn persistent(&self) -> Result<Persistent, StackError> {
        for path in self.folders().filter(|path| folder::is_persistent(path)) {
            match Folder::lock(&path, &self.account)? {
                None => return Ok(Persistent::Busy(path)),
                Some(folder) => {
                    if let Some(text) = folder::recorded(&path) {
                        return Ok(Persistent::Recorded(folder, text));
                    }
                }
            }
        }
        Ok(Persistent::None)
    }

    /// Creates the folder of a new stack.
    pub(crate) fn new_folder(&self) -> Result<Folder, StackError> {
        let home = self.homes.first().ok_or(StackError::NoPlace { tried: Vec::new() })?;
        Folder::create(&home.path, &self.account)
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let entries =
            self.homes.iter().flat_map(|home| fs::read_dir(&home.path)).flatten().flatten();
        let uid = self.account.uid();
        entries
            .map(|entry| entry.path())
            .filter(move |path| folder::is_stack_name(path) && folder::is_own_folder(path, uid))
    }
}

/// `<base>/poolbench-<uid>`, locked; removed when the lock is given up and it is empty.
#[derive(Debug)]
struct Home {
    path: PathBuf,
    _lock: File,
}

impl Home {
    fn create(base: &Path, account: &Account) -> Result<Self, StackError> {
        let path = home_path(base, account);
        loop {
            if path.symlink_metadata().is_err() {
                match folder::create_dir(&path, account.passage_mode()) {
                    Ok(()) => {}
                    // Another command was quicker.
                    Err(_) if path.symlink_metadata().is_ok() => {}
                    Err(error) => return Err(error),
                }
            }
            if !folder::is_own_folder(&path, account.uid()) && path.symlink_metadata().is_ok() {
                return Err(StackError::NotOurs {
                    path,
                    why: "is there but is not a folder that only you can write to",
                });
            }
            if let Some(home) = Self::existing(base, account)? {
                return Ok(home);
            }
        }
    }

    /// None if there is none.
    fn existing(base: &Path, account: &Account) -> Result<Option<Self>, StackError> {
        let path = home_path(base, account);
        let started = Instant::now();
        while folder::is_own_folder(&path, account.uid()) {
            let lock = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result.map_err(StackError::file("open", &path))?,
            };
            match lock.try_lock() {
                // The command that held the lock may have removed the folder.
                Ok(()) if is_at(&lock, &path) => return Ok(Some(Self { path, _lock: lock })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => interrupt::sleep(Duration::from_millis(20))?,
                Err(TryLockError::Error(source)) => {
                    return Err(StackError::File { action: "lock", path, source });
                }
            }
            if started.elapsed() > PATIENCE {
                return Err(StackError::Busy { path, waited: PATIENCE });
            }
        }
        Ok(None)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Fails if there is a stack in it, as it should.
        let _ = fs::remove_dir(&self.path);
    }
}

fn home_path(base: &Path, account: &Account) -> PathBuf {
    base.join(format!("poolbench-{}", account.uid()))
}

/// True if the open file is still what is found at the path.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(found)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (open.dev(), open.ino()) == (found.dev(), found.ino())
}

/// The folders for temporary files, resolved, as processes' current folders are.
fn bases() -> Vec<PathBuf> {
    let own = env::var_os("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let mut bases: Vec<PathBuf> = own
        .into_iter()
        .chain([PathBuf::from("/tmp")])
        .filter_map(|base| base.canonicalize().ok())
        .collect();
    bases.dedup();
    bases
}

/// Why no stack can be made below `base`.
fn unusable(base: &Path, account: &Account) -> Option<String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"/._-+".contains(&c);
    let socket = folder::run(&home_path(base, account).join("01234567")).join(".s.PGSQL.65535");
    let closed = || base.ancestors().find(|path| is_closed(path));
    let closed = account.is_split().then(closed).flatten();
    let base = base.display();
    if socket.as_os_str().len() > SOCKET_PATH_MAX {
        return Some(format!("{base} is too long for the path of a unix socket"));
    }
    // The path gets into the settings of servers that disagree on how to quote.
    if !socket.as_os_str().as_encoded_bytes().iter().copied().all(plain) {
        return Some(format!("{base} has other characters than letters, digits and ._-+ in it"));
    }
    let closed = closed?.display();
    Some(format!("{closed} is closed to the user that has to run the servers"))
}

fn is_closed(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_odd_places_are_refused() {
        let account = Account::current().unwrap();
        assert_eq!(unusable(Path::new("/tmp"), &account), None);
        let long = PathBuf::from(format!("/{}", "x".repeat(90)));
        assert!(unusable(&long, &account).unwrap().contains("too long"));
        assert!(unusable(Path::new("/tmp/a b"), &account).unwrap().contains("characters"));
    }

    #[test]
    fn an_empty_home_goes_away_and_a_waiting_command_notices() {
        let temporary = tempfile::tempdir().unwrap();
        let base = temporary.path().canonicalize().unwrap();
        let account = Account::current().unwrap();
        assert!(Home::existing(&base, &account).unwrap().is_none());
        let first = Home::create(&base, &account).unwrap();
        let path = first.path.clone();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Home::create(&base, &account).unwrap());
            std::thread::sleep(Duration::from_millis(50));
            drop(first);
            assert!(is_at(&second.join().unwrap()._lock, &path) || !path.exists());
        });
        assert!(!path.exists());
    }

    #[test]
    fn sweeping_takes_what_is_left_over_only() {
        let temporary = tempfile::tempdir().unwrap();
        let base = temporary.path().canonicalize().unwrap();
        let account = Account::current().unwrap();
        let homes = Homes { homes: vec![Home::create(&base, &account).unwrap()], account };
        let folder = |record: bool| {
            let folder = homes.new_folder().unwrap();
            if record {
                folder.mark_persistent().unwrap();
                folder.record("{}").unwrap();
            }
            folder
        };
        let owned = folder(false);
        let [left, dead, alive] =
            [false, true, true].map(|record| folder(record).path().to_path_buf());
        let foreign = homes.homes[0].path.join("notes");
        fs::create_dir(&foreign).unwrap();
        let sleep = |path: &Path| {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").current_dir(folder::run(path)).spawn().unwrap()
        };
        let (mut doomed, mut spared) = (sleep(&left), sleep(&alive));

        let mut said = Vec::new();
        homes.sweep(&mut |line| said.push(line.to_owned())).unwrap();

        assert_eq!(said.len(), 2);
        assert!(!left.exists() && !dead.exists());
        assert!(owned.path().exists() && alive.exists() && foreign.exists());
        assert!(doomed.try_wait().unwrap().is_some());
        assert!(spared.try_wait().unwrap().is_none());
        assert!(
            matches!(homes.persistent().unwrap(), Persistent::Recorded(found, _) if found.path() == alive)
        );
        spared.kill().unwrap();
        spared.wait().unwrap();
    }
}
