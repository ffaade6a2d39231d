//! The folder that holds a user's stacks: where it is, and what is found in it.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};

use super::account::Account;
use super::error::StackError;
use super::folder::{self, Folder};
use super::processes;
use crate::interrupt;

/// The longest path of a unix socket, less its closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// How long another command may hold the lock: it stops a left-over stack at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// `<base>/poolbench-<uid>`, the user's folder of stacks, locked, so that no other command looks, sweeps or
/// creates meanwhile; removed when the lock is given up and it is empty.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    account: Account,
    _lock: File,
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

impl Home {
    /// Creates it if it is not there.
    pub(crate) fn create(account: Account) -> Result<Self, StackError> {
        Self::create_in(&base(&account)?, account)
    }

    /// None if it is not there.
    pub(crate) fn existing(account: Account) -> Result<Option<Self>, StackError> {
        Self::existing_in(&base(&account)?, account)
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
        Folder::create(&self.path, &self.account)
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let uid = self.account.uid();
        entries
            .map(|entry| entry.path())
            .filter(move |path| folder::is_stack_name(path) && folder::is_own_folder(path, uid))
    }

    fn create_in(base: &Path, account: Account) -> Result<Self, StackError> {
        let path = home_path(base, &account);
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
            if let Some(home) = Self::existing_in(base, account)? {
                return Ok(home);
            }
        }
    }

    fn existing_in(base: &Path, account: Account) -> Result<Option<Self>, StackError> {
        let path = home_path(base, &account);
        let started = Instant::now();
        while folder::is_own_folder(&path, account.uid()) {
            let lock = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result.map_err(StackError::file("open", &path))?,
            };
            match lock.try_lock() {
                // The command that held the lock may have removed the folder.
                Ok(()) if is_at(&lock, &path) => {
                    return Ok(Some(Self { path, account, _lock: lock }));
                }
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

/// The folder for temporary files, resolved, as processes' current folders are: `$TMPDIR`, or `/tmp` where
/// there can be no stack in that. One of them only: what is started with a TMPDIR of its own, as tests are,
/// neither uses nor stops the stack of others.
fn base(account: &Account) -> Result<PathBuf, StackError> {
    let own = env::var_os("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute());
    first_usable(own.into_iter().chain([PathBuf::from("/tmp")]), account)
}

fn first_usable(
    bases: impl Iterator<Item = PathBuf>,
    account: &Account,
) -> Result<PathBuf, StackError> {
    let mut tried = Vec::new();
    for base in bases.filter_map(|base| base.canonicalize().ok()) {
        match unusable(&base, account) {
            None => return Ok(base),
            Some(why) => tried.push(why),
        }
    }
    Err(StackError::NoPlace { tried })
}

/// Why no stack can be made below `base`.
fn unusable(base_path: &Path, account: &Account) -> Option<String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"/._-+".contains(&c);
    let home = home_path(base_path, account);
    let socket = folder::run(&home.join("01234567")).join(".s.PGSQL.65535");
    let closed = || base_path.ancestors().find(|path| is_closed(path));
    let closed = account.is_split().then(closed).flatten();
    let base = base_path.display();
    if socket.as_os_str().len() > SOCKET_PATH_MAX {
        return Some(format!("{base} is too long for the path of a unix socket"));
    }
    // The path gets into the settings of servers that disagree on how to quote.
    if !socket.as_os_str().as_encoded_bytes().iter().copied().all(plain) {
        return Some(format!("{base} has other characters than letters, digits and ._-+ in it"));
    }
    if access(base_path, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Some(format!("{base} is no folder that you can write to"));
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
    fn a_stack_is_looked_for_where_it_can_be_and_nowhere_else() {
        let account = Account::current().unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let own = temporary.path().canonicalize().unwrap();
        // Open to the user that has to run the servers, as /tmp is.
        fs::set_permissions(&own, fs::Permissions::from_mode(0o711)).unwrap();
        let usable =
            |bases: &[&Path]| first_usable(bases.iter().map(|base| base.to_path_buf()), &account);
        assert_eq!(usable(&[&own, Path::new("/tmp")]).unwrap(), own);
        let (odd, missing) = (own.join("a b"), own.join("missing"));
        fs::create_dir(&odd).unwrap();
        assert_eq!(usable(&[&missing, &odd, &own]).unwrap(), own);
        let error = usable(&[&missing, &odd]).unwrap_err().to_string();
        assert!(error.contains("characters") && error.contains("set TMPDIR"), "{error}");
        let file = own.join("file");
        fs::write(&file, "").unwrap();
        assert!(unusable(&file, &account).unwrap().contains("no folder that you can write to"));
    }

    #[test]
    fn an_empty_home_goes_away_and_a_waiting_command_notices() {
        let temporary = tempfile::tempdir().unwrap();
        let base = temporary.path().canonicalize().unwrap();
        let account = Account::current().unwrap();
        assert!(Home::existing_in(&base, account).unwrap().is_none());
        let first = Home::create_in(&base, account).unwrap();
        let path = first.path.clone();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Home::create_in(&base, account).unwrap());
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
        let home = Home::create_in(&base, account).unwrap();
        let folder = |record: bool| {
            let folder = home.new_folder().unwrap();
            if record {
                folder.mark_persistent().unwrap();
                folder.record("{}").unwrap();
            }
            folder
        };
        let owned = folder(false);
        let [left, dead, alive] =
            [false, true, true].map(|record| folder(record).path().to_path_buf());
        let foreign = home.path.join("notes");
        fs::create_dir(&foreign).unwrap();
        let sleep = |path: &Path| {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").current_dir(folder::run(path)).spawn().unwrap()
        };
        let (mut doomed, mut spared) = (sleep(&left), sleep(&alive));

        let mut said = Vec::new();
        home.sweep(&mut |line| said.push(line.to_owned())).unwrap();

        assert_eq!(said.len(), 2);
        assert!(!left.exists() && !dead.exists());
        assert!(owned.path().exists() && alive.exists() && foreign.exists());
        assert!(doomed.try_wait().unwrap().is_some());
        assert!(spared.try_wait().unwrap().is_none());
        assert!(
            matches!(home.persistent().unwrap(), Persistent::Recorded(found, _) if found.path() == alive)
        );
        spared.kill().unwrap();
        spared.wait().unwrap();
    }
}
