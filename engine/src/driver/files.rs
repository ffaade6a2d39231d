//! How many sockets a process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard one: the soft one is 1024 for most users, and is
/// so low for the sake of select(2), which nothing here calls. Where that is refused it stays as it
/// is, and the connection that is one too many says so.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
