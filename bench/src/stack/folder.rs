//! The folder of one stack: everything a stack leaves on disk is in it.
//!
//! ```text
//! <base>/poolbench-<uid>/<8 hex digits>/
//!     run/         sockets, settings and password files of the servers; they are started here
//!     data/        Postgres' data
//!     *.log        what each server had to say
//!     pgpass       passwords, for libpq
//!     persistent   this stack is meant to outlive the command that starts it
//!     stack.json   it does: what a later command has to know
//! ```
//!
//! The command that owns the stack holds a lock on the folder itself for as long as it lives. A folder
//! that nobody locks and that has no `stack.json` is what a killed command left over.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::account::Account;
use super::error::StackError;
use super::secrets::random_hex;

const PERSISTENT: &str = "persistent";
const RECORD: &str = "stack.json";

/// A stack's folder, locked by this command.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Holds the lock; closed when a program is started, so servers do not inherit it.
    _lock: File,
}

impl Folder {
    /// Creates a new one in `home`, which the caller has locked.
    pub(crate) fn create(home: &Path, account: &Account) -> Result<Self, StackError> {
        let path = home.join(random_hex::<4>()?);
        create_dir(&path, account.passage_mode())?;
        let lock = File::open(&path).map_err(StackError::file("open", &path))?;
        lock.try_lock().map_err(|error| lock_error(error, &path))?;
        let folder = Self { path, _lock: lock };
        create_dir(&folder.run(), 0o700)?;
        account.give(&folder.run())?;
        create_dir(&folder.data(), 0o700)?;
        account.give(&folder.data())?;
        Ok(folder)
    }

    /// Locks one that is there already. None if another command holds it, or if it is not a stack's
    /// folder of this user.
    pub(crate) fn lock(path: &Path, account: &Account) -> Result<Option<Self>, StackError> {
        if !is_stack_name(path) || !is_own_folder(path, account.uid()) {
            return Ok(None);
        }
        let lock = File::open(path).map_err(StackError::file("open", path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_path_buf(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(error) => Err(lock_error(error, path)),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the servers are started.
    pub(crate) fn run(&self) -> PathBuf {
        run(&self.path)
    }

    /// Where Postgres keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        data(&self.path)
    }

    /// Writes a file that nobody but ourselves can read.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, StackError> {
        let path = self.path.join(name);
        write_private(&path, text)?;
        Ok(path)
    }

    /// Writes a file into `run` that nobody but the servers' user can read.
    pub(crate) fn write_for_servers(
        &self,
        name: &str,
        text: &str,
        account: &Account,
    ) -> Result<PathBuf, StackError> {
        let path = self.run().join(name);
        write_private(&path, text)?;
        account.give(&path)?;
        Ok(path)
    }

    /// Says that this stack is to outlive its command. The command is still at it until it has called
    /// [`record`](Self::record).
    pub(crate) fn mark_persistent(&self) -> Result<(), StackError> {
        self.write(PERSISTENT, "").map(drop)
    }

    /// Leaves the text for later commands; from now on nobody takes the folder for left over.
    pub(crate) fn record(&self, text: &str) -> Result<(), StackError> {
        let unfinished = self.write("stack.json.new", text)?;
        let path = self.path.join(RECORD);
        fs::rename(unfinished, &path).map_err(StackError::file("write", &path))
    }

    /// Removes everything, and the folder of the user's stacks if this was the last. The processes must
    /// have ended.
    pub(crate) fn remove(self) -> Result<(), StackError> {
        fs::remove_dir_all(&self.path).map_err(StackError::file("remove", &self.path))?;
        if let Some(home) = self.path.parent()
            && let Ok(lock) = File::open(home)
            && lock.try_lock().is_ok()
        {
            // Fails if there are others, as it should.
            let _ = fs::remove_dir(home);
        }
        Ok(())
    }
}

/// Where the servers of the stack in `folder` are started.
pub(crate) fn run(folder: &Path) -> PathBuf {
    folder.join("run")
}

/// Where the Postgres of the stack in `folder` keeps its data.
pub(crate) fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// True if the command at work on `folder` means to leave its stack running.
pub(crate) fn is_persistent(folder: &Path) -> bool {
    folder.join(PERSISTENT).exists()
}

/// What [`Folder::record`] left in `folder`.
pub(crate) fn recorded(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(RECORD)).ok()
}

/// True for names as [`Folder::create`] makes them.
pub(crate) fn is_stack_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 8 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// True for a folder, not a link to one, that belongs to us and that nobody else can write to.
pub(crate) fn is_own_folder(path: &Path, uid: u32) -> bool {
    path.symlink_metadata()
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == uid && meta.mode() & 0o022 == 0)
}

/// Creates a folder with exactly this mode, whatever the umask.
pub(crate) fn create_dir(path: &Path, mode: u32) -> Result<(), StackError> {
    DirBuilder::new().mode(mode).create(path).map_err(StackError::file("create", path))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(StackError::file("create", path))
}

/// Creates a log or other file that only we can read.
pub(crate) fn create_private(path: &Path) -> Result<File, StackError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(StackError::file("create", path))
}

fn write_private(path: &Path, text: &str) -> Result<(), StackError> {
    create_private(path)?.write_all(text.as_bytes()).map_err(StackError::file("write", path))
}

fn lock_error(error: TryLockError, path: &Path) -> StackError {
    StackError::File { action: "lock", path: path.to_path_buf(), source: error.into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_own_names_count() {
        for (name, expected) in [
            ("/tmp/poolbench-0/0123abcd", true),
            ("/tmp/poolbench-0/0123abc", false),
            ("/tmp/poolbench-0/0123abcde", false),
            ("/tmp/poolbench-0/0123ABCD", false),
            ("/tmp/poolbench-0/..", false),
        ] {
            assert_eq!(is_stack_name(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn only_own_folders_count() {
        let temporary = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let folder = temporary.path().join("0123abcd");
        create_dir(&folder, 0o711).unwrap();
        assert!(is_own_folder(&folder, uid));
        assert!(!is_own_folder(&folder, uid + 1));
        let link = temporary.path().join("0123abce");
        symlink(&folder, &link).unwrap();
        assert!(!is_own_folder(&link, uid));
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        assert!(!is_own_folder(&folder, uid));
    }

    #[test]
    fn a_locked_folder_is_another_commands() {
        let temporary = tempfile::tempdir().unwrap();
        let account = Account::current().unwrap();
        let folder = Folder::create(temporary.path(), &account).unwrap();
        let path = folder.path().to_path_buf();
        assert!(Folder::lock(&path, &account).unwrap().is_none());
        drop(folder);
        let folder = Folder::lock(&path, &account).unwrap().unwrap();
        let secret = folder.write("pgpass", "x").unwrap();
        assert_eq!(secret.metadata().unwrap().mode() & 0o777, 0o600);
        folder.remove().unwrap();
        assert!(!path.exists());
    }
}
