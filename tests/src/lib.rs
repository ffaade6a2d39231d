//! The command and a private stack, for end-to-end tests. Each test has a stack of its own.

pub mod container;
pub mod logins;
pub mod pgbench;
pub mod relay;
pub mod session;
pub mod squeeze;
pub mod stand_in;

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use relay::Relay;
use session::Place;

/// A program that was built beside the tests.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("tests lie in deps, below their programs");
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    path
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Standard output as JSON; fails the test where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A folder for stacks, apart from those of every other test and of the user.
pub struct Home(TempDir);

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// An empty one. Its path is short, since the path of a Unix socket can't be long.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("pbt").tempdir_in("/tmp").expect("a folder");
        // Servers that run as another user must be able to pass through.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("its own folder");
        Self(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The command, with its stacks in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("poolbench"));
        command.args(arguments).env("TMPDIR", self.path()).stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().expect("the command starts").into()
    }

    /// Writes a file and gives its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("its own folder");
        path.display().to_string()
    }

    /// Writes a file that only we can read, and gives its path.
    pub fn write_private(&self, name: &str, text: &str) -> String {
        let path = self.write(name, text);
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).expect("its own file");
        path
    }

    /// Processes whose current folder lies in this one.
    pub fn processes(&self) -> Vec<u32> {
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_inside = |pid: &u32| {
            let folder = std::fs::read_link(format!("/proc/{pid}/cwd"));
            folder.is_ok_and(|folder| folder.starts_with(self.path()))
        };
        pids.filter(is_inside).collect()
    }

    /// Folders of stacks.
    pub fn stacks(&self) -> Vec<PathBuf> {
        let below = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
        };
        below(self.path()).iter().flat_map(|user| below(user)).collect()
    }
}

/// A running stack. Dropping it stops it.
pub struct Stack {
    /// Where it is.
    pub home: Home,
    description: Value,
}

impl Stack {
    /// Starts one with a thousand contents and a hundred users, which takes three seconds less;
    /// `options` are those of `poolbench stack up`.
    pub fn small(options: &[&str]) -> Self {
        Self::up(&[&["--contents=1000"], options].concat())
    }

    /// Starts one; `options` are those of `poolbench stack up`.
    pub fn up(options: &[&str]) -> Self {
        let home = Home::new();
        let up = home.run(&[&["stack", "up", "--json", "-"], options].concat());
        assert_eq!(up.code, 0, "{up:?}");
        let description = up.json();
        Self { home, description }
    }

    /// How to reach a target, as `stack status` tells it: `gateway_pooled`, `pooler`, ….
    pub fn target(&self, name: &str) -> &str {
        self.description["targets"][name].as_str().expect("a target of the stack")
    }

    /// The same as [`Self::target`], through a relay in front of its server.
    pub fn relayed(&self, name: &str, relay: &Relay) -> String {
        let Place { port, .. } = self.place(name);
        let conninfo = self.target(name);
        let relayed = conninfo.replace(&format!("port={port}"), &format!("port={}", relay.port));
        let (conninfo, passfile) = relayed.split_once(" passfile=").expect("a password file");
        // The relay has no line of its own there.
        let lines = std::fs::read_to_string(passfile).expect("the stack's file");
        let lines = lines.replace(&format!(":{port}:"), &format!(":{}:", relay.port));
        let passfile = self.home.write_private(&format!("relayed.{}", relay.port), &lines);
        format!("{conninfo} passfile={passfile}")
    }

    /// A connection of the blocking client, with the password from the stack's file.
    pub fn connect(&self, target: &str) -> postgres::Client {
        let Place { port, user, password, database } = self.place(target);
        let mut config = postgres::Config::new();
        config.host("127.0.0.1").port(port).user(&user).password(password).dbname(&database);
        config.connect(postgres::NoTls).expect("the stack is up")
    }

    /// Who logs in at a target, and where.
    pub fn place(&self, target: &str) -> Place {
        let conninfo = self.target(target);
        let (conninfo, passfile) = conninfo.split_once(" passfile=").expect("a password file");
        // The blocking client knows fewer sslmodes.
        let (conninfo, _) = conninfo.split_once(" sslmode=").expect("how it is secured");
        let config: postgres::Config = conninfo.parse().expect("a connection string");
        let user = config.get_user().unwrap_or_default().to_owned();
        let port = config.get_ports()[0].to_string();
        let lines = std::fs::read_to_string(passfile).expect("a password file");
        let password = lines.lines().find_map(|line| {
            let fields: Vec<_> = line.splitn(5, ':').collect();
            (fields[1] == port && fields[3] == user).then(|| fields[4].to_owned())
        });
        Place {
            port: config.get_ports()[0],
            password: password.expect("a line for this user"),
            database: config.get_dbname().expect("a database").to_owned(),
            user,
        }
    }

    /// The process of one of the stack's servers: `postgres`, `pgbouncer`, `gateway-pooled`, ….
    pub fn pid(&self, server: &str) -> u64 {
        let servers = self.description["servers"].as_array().expect("servers");
        let described = servers.iter().find(|one| one["name"] == server).expect("the server");
        described["pid"].as_u64().expect("a pid")
    }

    /// Ends one of the stack's servers with a signal, and waits until it is gone. What it takes to
    /// start it again.
    pub fn stop(&self, server: &str, signal: &str) -> Command {
        let servers = self.description["servers"].as_array().expect("servers");
        let described = servers.iter().find(|one| one["name"] == server).expect("the server");
        let process = PathBuf::from(format!("/proc/{}", described["pid"]));
        let line = std::fs::read_to_string(process.join("cmdline")).expect("it runs");
        let words: Vec<_> = line.split_terminator('\0').collect();
        let owner = std::fs::metadata(&process).expect("it runs");
        let mut command = Command::new(described["program"].as_str().expect("a program"));
        command
            .args(&words[1..])
            .current_dir(std::fs::read_link(process.join("cwd")).expect("it runs"))
            .uid(owner.uid())
            .gid(owner.gid())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let pid = described["pid"].to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{server} gets its signal");
        // What ended and was not waited for has no command line.
        while std::fs::read(process.join("cmdline")).is_ok_and(|line| !line.is_empty()) {
            std::thread::yield_now();
        }
        command
    }

    /// Runs SQL in `database` with psql, by a target's connection string as it is printed.
    pub fn psql(&self, target: &str, database: &str, sql: &str) {
        let conninfo = format!("{} dbname={database}", self.target(target));
        let arguments = ["--no-psqlrc", "--no-password", "--command", sql, &conninfo];
        let ended: Ended =
            Command::new("psql").args(arguments).output().expect("psql is installed").into();
        assert_eq!(ended.code, 0, "{ended:?}");
    }

    /// One counter of a gateway's metrics.
    pub fn gateway_counter(&self, target: &str, name: &str) -> u64 {
        let url = self.target(target).replace("/graphql", "/metrics");
        let mut response = ureq::get(&url).call().expect("the gateway answers");
        let text = response.body_mut().read_to_string().expect("text");
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.split(' ').nth(1)).expect("a counter");
        value.parse().expect("a number")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let down = self.home.run(&["stack", "down"]);
        if !std::thread::panicking() {
            assert_eq!(down.code, 0, "{down:?}");
            assert_eq!(self.home.processes(), Vec::<u32>::new());
        }
    }
}
