//! Where the programs of the stack are. Nothing is installed here: an error says how to.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::StackError;

/// The programs that a stack is made of.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) initdb: PathBuf,
    pub(crate) postgres: PathBuf,
    /// As in `15.18`.
    pub(crate) postgres_version: String,
    pub(crate) pgbouncer: PathBuf,
    pub(crate) pgbouncer_version: String,
    pub(crate) gateway: PathBuf,
    pub(crate) gateway_version: String,
}

impl Programs {
    /// Finds all of them, or names the first that is missing.
    pub(crate) fn find() -> Result<Self, StackError> {
        let exe = env::current_exe().ok();
        Self::find_beside(exe.as_deref().and_then(Path::parent))
    }

    /// The same with the gateway looked for in `beside` first.
    pub(super) fn find_beside(beside: Option<&Path>) -> Result<Self, StackError> {
        let path: Vec<PathBuf> =
            env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        let beside = beside.map(Path::to_path_buf);
        let (folder, postgres_version) = newest_postgres(&path)?;
        let system = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
        let pgbouncer =
            first(path.iter().chain(&system), "pgbouncer").ok_or_else(|| StackError::Missing {
                program: "pgbouncer",
                places: "on PATH, in /usr/sbin and /usr/bin".into(),
                remedy: "apt-get install pgbouncer",
            })?;
        let gateway = first(beside.iter().chain(&path), "nova-gateway").ok_or_else(|| {
            let beside = beside.iter().map(|folder| format!("in {} and ", folder.display()));
            StackError::Missing {
                program: "nova-gateway",
                places: beside.chain(["on PATH".into()]).collect(),
                remedy: "cargo build -p nova-gateway",
            }
        })?;
        let version =
            |program: &Path| version(program).unwrap_or_else(|| "of unknown version".into());
        Ok(Self {
            initdb: folder.join("initdb"),
            postgres: folder.join("postgres"),
            postgres_version,
            pgbouncer_version: version(&pgbouncer),
            pgbouncer,
            gateway_version: version(&gateway),
            gateway,
        })
    }
}

/// The folder and version of the newest Postgres whose two programs lie together.
fn newest_postgres(path: &[PathBuf]) -> Result<(PathBuf, String), StackError> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|entry| entry.path().join("bin"));
    let mut folders: Vec<PathBuf> = debian
        .chain(path.iter().cloned())
        // What is on PATH may be a link to the real program, and initdb wants postgres beside it.
        .filter_map(|folder| folder.join("initdb").canonicalize().ok())
        .filter_map(|initdb| initdb.parent().map(Path::to_path_buf))
        .filter(|folder| is_program(&folder.join("initdb")) && is_program(&folder.join("postgres")))
        .collect();
    folders.sort();
    folders.dedup();
    folders
        .into_iter()
        .filter_map(|folder| Some((version(&folder.join("postgres"))?, folder)))
        .max_by_key(|(version, _)| version_key(version))
        .map(|(version, folder)| (folder, version))
        .ok_or_else(|| StackError::Missing {
            program: "Postgres (initdb and postgres)",
            places: "on PATH and in /usr/lib/postgresql/*/bin".into(),
            remedy: "apt-get install postgresql",
        })
}

/// The first word of `--version` that begins with a digit: `postgres (PostgreSQL) 15.18 (Debian ..)`.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.split_whitespace();
    words.find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

/// Orders 9.6 before 15.2 before 15.18.
fn version_key(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        })
        .collect()
}

fn first<'a>(folders: impl Iterator<Item = &'a PathBuf>, name: &str) -> Option<PathBuf> {
    // An absolute path, because the servers are started in another folder.
    folders.map(|folder| folder.join(name)).find(|file| is_program(file))?.canonicalize().ok()
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_numbers() {
        let mut versions = ["15.18", "9.6.24", "15.2", "18beta1"];
        versions.sort_by_key(|version| version_key(version));
        assert_eq!(versions, ["9.6.24", "15.2", "15.18", "18beta1"]);
    }
}
