//! The stack's own PgBouncer.

use std::time::Duration;

use postgres::SimpleQueryMessage;

use super::account::Account;
use super::conninfo::Conninfo;
use super::error::StackError;
use super::folder::Folder;
use super::login::Login;
use super::options::Options;
use super::programs::Programs;
use super::secrets::Secrets;
use super::server::Server;
use super::template;

const INI: &str = include_str!("../../../scenarios/nova/pgbouncer.ini");

const READY_PATIENCE: Duration = Duration::from_secs(20);

/// Starts it on `port` in front of the Postgres on `postgres_port`.
pub(crate) fn spawn(
    programs: &Programs,
    folder: &Folder,
    account: &Account,
    secrets: &Secrets,
    options: &Options,
    (port, postgres_port): (u16, u16),
) -> Result<Server, StackError> {
    let users = format!("\"nova\" \"{}\"\n\"admin\" \"{}\"\n", secrets.nova, secrets.admin);
    let users = folder.write_for_servers("userlist.txt", &users, account)?;
    let ini = ini(
        &folder.run().display().to_string(),
        &users.display().to_string(),
        options,
        (port, postgres_port),
    )?;
    let ini = folder.write_for_servers("pgbouncer.ini", &ini, account)?;
    Server::spawn("pgbouncer", &programs.pgbouncer, folder, Some(account), |command| {
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

fn ini(
    folder: &str,
    users: &str,
    options: &Options,
    (port, postgres_port): (u16, u16),
) -> Result<String, StackError> {
    let tls_file =
        |name: &str| if options.tls { format!("{folder}/{name}") } else { String::new() };
    let values = [
        ("folder", folder),
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
        let secured = Options { tls: true, ..Options::default() };
        let secured = ini("/f", "/f/u", &secured, (7, 8)).unwrap();
        for expected in [
            "client_tls_sslmode = require",
            "client_tls_key_file = /f/server.key",
            "client_tls_cert_file = /f/server.crt",
            "server_tls_sslmode = require",
        ] {
            assert!(secured.lines().any(|line| line == expected), "{expected} in {secured}");
        }
        let ini = ini("/f", "/f/u", &Options::default(), (7, 8)).unwrap();
        let settings: Vec<&str> = ini.lines().filter(|line| !line.starts_with(';')).collect();
        assert!(!settings.concat().contains(['{', '}']));
        for expected in [
            "nova = host=127.0.0.1 port=8 dbname=nova",
            "listen_port = 7",
            "unix_socket_dir = /f",
            "pool_mode = transaction",
            "default_pool_size = 25",
            "auth_file = /f/u",
            "client_tls_sslmode = disable",
        ] {
            assert!(settings.contains(&expected), "{expected} in {ini}");
        }
    }
}
