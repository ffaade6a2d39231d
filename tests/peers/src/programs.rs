//! Where programs are, and which version.

use std::collections::BTreeMap;
use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `make bench` compares with or runs on, and the argument that makes each tell its version.
const PROGRAMS: [(&str, &str); 8] = [
    ("wrk", "-v"),
    ("h2load", "--version"),
    ("ab", "-V"),
    ("oha", "--version"),
    ("pgbench", "--version"),
    ("nginx", "-v"),
    ("postgres", "--version"),
    ("pgbouncer", "--version"),
];

/// The path of `name`; otherwise a sentence that says it is missing.
///
/// Postgres' own folders go first: what Debian has on PATH is a Perl script before the program,
/// whose start would count as the client's CPU.
pub(crate) fn find(name: &str) -> Result<PathBuf, String> {
    let beside = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
    let folders = beside.into_iter().chain(postgres_folders());
    let folders = folders.chain(env::split_paths(&path)).chain(system);
    let mut files = folders.map(|folder| folder.join(name));
    files.find(|file| is_program(file)).ok_or_else(|| format!("{name} is not installed"))
}

/// The version that each program tells, as its first line, or that it is not installed.
pub(crate) fn versions() -> BTreeMap<&'static str, String> {
    PROGRAMS
        .into_iter()
        .map(|(name, argument)| {
            let version = find(name).and_then(|program| version(&program, argument));
            (name, version.unwrap_or_else(|error| error))
        })
        .collect()
}

fn version(program: &Path, argument: &str) -> Result<String, String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    let both = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&both);
    let line = text.lines().next().unwrap_or("of unknown version");
    Ok(line.split(" Copyright").next().unwrap_or(line).trim().to_owned())
}

/// Debian's, the newest first.
fn postgres_folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    let major = |folder: &PathBuf| -> u32 {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).unwrap_or_default()
    };
    folders.sort_by_key(|folder| std::cmp::Reverse(major(folder)));
    folders.into_iter().map(|folder| folder.join("bin")).collect()
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
