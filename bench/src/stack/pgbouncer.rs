//! The stack's own PgBouncer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::SimpleQueryMessage;

use super::account::Account;
use super::conninfo::Conninfo;
use super::error::StackError;
use super::folder::{self, Folder};
use super::login::Login;
use super::options::Options;
use super::programs::Programs;
use super::secrets::Secrets;
use super::server::Server;
use super::template;

const INI: &str = include_str!("../../../scenarios/nova/pgbouncer.ini");

const READY_PATIENCE: Duration = Duration::from_secs(20);

/// Its processes' names, in the order in which they are started.
pub(super) const NAMES: [&str; 8] = [
    "pgbouncer",
    "pgbouncer-2",
    "pgbouncer-3",
    "pgbouncer-4",
    "pgbouncer-5",
    "pgbouncer-6",
    "pgbouncer-7",
    "pgbouncer-8",
];

/// Starts process `number` of those on `port`, in front of the Postgres on `postgres_port`.
pub(crate) fn spawn(
    programs: &Programs,
    folder: &Folder,
    account: &Account,
    secrets: &Secrets,
    options: &Options,
    number: u32,
    (port, postgres_port): (u16, u16),
) -> Result<Server, StackError> {
    let name = NAMES[number as usize];
    let sockets = socket_folder(&folder.run(), number as usize);
    if number > 0 {
        folder::create_dir(&sockets, 0o700)?;
        account.give(&sockets)?;
    }
    let users = format!("\"nova\" \"{}\"\n\"admin\" \"{}\"\n", secrets.nova, secrets.admin);
    let users = folder.write_for_servers("userlist.txt", &users, account)?;
    let ini = ini(
        [&folder.run(), &sockets],
        &users.display().to_string(),
        options,
        name,
        (port, postgres_port),
    )?;
    let ini = folder.write_for_servers(&format!("{name}.ini"), &ini, account)?;
    Server::spawn(name, &programs.pgbouncer, folder, Some(account), |command| {
        command.arg(ini);
    })
}

/// Waits until its console answers.
pub(crate) fn wait_ready(server: &mut Server, console: &Conninfo) -> Result<(), StackError> {
    let mut login = Login::new(console);
    server.wait_ready(console.port, READY_PATIENCE, |_| {
        let Some(mut client) = login.poll()? else { return Ok(None) };
        let answer = client.simple_query("SHOW VERSION").map_err(|error| error.to_string())?;
        let has_row = answer.iter().any(|message| matches!(message, SimpleQueryMessage::Row(_)));
        Ok(has_row.then_some(()))
    })
}

/// The same for one of several processes: the console that answers on their port may be another's.
pub(crate) fn wait_up(server: &mut Server, port: u16) -> Result<(), StackError> {
    server.wait_ready(port, READY_PATIENCE, |server| {
        Ok(server.log().contains("process up").then_some(()))
    })
}

/// Where process `number` has its Unix socket: each its own, so that each console can be reached.
pub(super) fn socket_folder(run: &Path, number: usize) -> PathBuf {
    if number == 0 { run.to_path_buf() } else { run.join(NAMES[number]) }
}

fn ini(
    [folder, sockets]: [&Path; 2],
    users: &str,
    options: &Options,
    name: &str,
    (port, postgres_port): (u16, u16),
) -> Result<String, StackError> {
    let (folder, sockets) = (folder.display().to_string(), sockets.display().to_string());
    let tls_file =
        |name: &str| if options.tls { format!("{folder}/{name}") } else { String::new() };
    let values = [
        ("folder", folder.as_str()),
        ("name", name),
        ("so_reuseport", if options.poolers > 1 { "1" } else { "0" }),
        ("socket_folder", &sockets),
        ("user_file", users),
        ("port", &port.to_string()),
        ("postgres_port", &postgres_port.to_string()),
        ("pool_size", &options.pool_size.to_string()),
        ("pool_mode", options.pool_mode.name()),
        ("sslmode", if options.tls { "require" } else { "disable" }),
        ("tls_key", &tls_file("server.key")),
        ("tls_certificate", &tls_file("server.crt")),
    ];
    template::fill("pgbouncer.ini", INI, &values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenarios_template_gets_all_it_asks_for() {
        let ini = |sockets: &str, options: &Options, name: &str| {
            let folders = ["/f", sockets].map(Path::new);
            super::ini(folders, "/f/u", options, name, (7, 8)).unwrap()
        };
        let secured = Options { tls: true, ..Options::default() };
        let secured = ini("/f", &secured, "pgbouncer");
        for expected in [
            "client_tls_sslmode = require",
            "client_tls_key_file = /f/server.key",
            "client_tls_cert_file = /f/server.crt",
            "server_tls_sslmode = require",
        ] {
            assert!(secured.lines().any(|line| line == expected), "{expected} in {secured}");
        }
        let single = ini("/f", &Options::default(), "pgbouncer");
        let settings: Vec<&str> = single.lines().filter(|line| !line.starts_with(';')).collect();
        assert!(!settings.concat().contains(['{', '}']));
        for expected in [
            "nova = host=127.0.0.1 port=8 dbname=nova",
            "listen_port = 7",
            "unix_socket_dir = /f",
            "so_reuseport = 0",
            "pool_mode = transaction",
            "default_pool_size = 25",
            "auth_file = /f/u",
            "client_tls_sslmode = disable",
        ] {
            assert!(settings.contains(&expected), "{expected} in {single}");
        }
        let several = Options { poolers: 2, ..Options::default() };
        let second = ini("/f/pgbouncer-2", &several, "pgbouncer-2");
        for expected in
            ["so_reuseport = 1", "unix_socket_dir = /f/pgbouncer-2", "pidfile = /f/pgbouncer-2.pid"]
        {
            assert!(second.lines().any(|line| line == expected), "{expected} in {second}");
        }
    }
}
