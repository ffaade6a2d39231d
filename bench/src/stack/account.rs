//! Who runs the servers: ourselves, or the user `postgres` where we are root.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::error::StackError;

/// The user that Debian's package creates for this.
const SERVER_USER: &str = "postgres";

/// Whom the stack's folders belong to and whom its servers run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    /// Our own user id.
    uid: u32,
    /// The other user's and group's ids, where the servers must not run as ourselves.
    server: Option<(u32, u32)>,
}

impl Account {
    /// The account of this process.
    pub(crate) fn current() -> Result<Self, StackError> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self { uid, server: None });
        }
        let path = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(path).map_err(StackError::file("read", path))?;
        let server = ids(&passwd, SERVER_USER).ok_or(StackError::NoAccount)?;
        Ok(Self { uid, server: Some(server) })
    }

    /// Our own user id.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// The mode of folders that a server has to pass through.
    pub(crate) fn passage_mode(&self) -> u32 {
        if self.server.is_some() { 0o711 } else { 0o700 }
    }

    /// True where the servers run as another user than ourselves.
    pub(crate) fn is_split(&self) -> bool {
        self.server.is_some()
    }

    /// Makes `command` run as the servers' user, in no other groups than that user's own: the
    /// standard library drops root's supplementary groups when it changes the user.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.server {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives `path` to the servers' user.
    pub(crate) fn give(&self, path: &Path) -> Result<(), StackError> {
        match self.server {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).map_err(StackError::file("give away", path))
            }
            None => Ok(()),
        }
    }
}

/// The user and group id of `user` in the text of a passwd file. Root under another name is no use.
fn ids(passwd: &str, user: &str) -> Option<(u32, u32)> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = fields.into_iter().find(|fields| fields.first() == Some(&user))?;
    let uid = entry.get(2)?.parse().ok().filter(|&uid| uid != 0)?;
    Some((uid, entry.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_user_by_its_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:P,,,:/:/bin/bash\n";
        assert_eq!(ids(passwd, "postgres"), Some((101, 104)));
        assert_eq!(ids(passwd, "nobody"), None);
        assert_eq!(ids(passwd, "root"), None);
        assert_eq!(ids("postgres:x", "postgres"), None);
    }
}
