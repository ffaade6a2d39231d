//! The stack's two gateways: one behind PgBouncer, one straight on Postgres.

use std::time::Duration;

use super::conninfo::Conninfo;
use super::error::StackError;
use super::folder::Folder;
use super::options::Options;
use super::programs::Programs;
use super::secrets::Secrets;
use super::server::Server;

/// It opens all its connections before it listens.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Starts the gateway called `name` on `port` before `database`.
pub(crate) fn spawn(
    name: &'static str,
    programs: &Programs,
    folder: &Folder,
    secrets: &Secrets,
    options: &Options,
    (port, database): (u16, &Conninfo),
) -> Result<Server, StackError> {
    // The environment, not the command line, which everyone can read. And as ourselves: the program may
    // lie where nobody else can go.
    Server::spawn(name, &programs.gateway, folder, None, |command| {
        if let Some(root) = &database.root {
            command.env("NOVA_DATABASE_ROOT_CERT", root);
        }
        command
            .env("NOVA_DATABASE", database.for_gateway())
            .env("NOVA_JWT_SECRET", &secrets.jwt)
            .env("NOVA_LISTEN", format!("127.0.0.1:{port}"))
            .env("NOVA_POOL_SIZE", options.gateway_pool_size.to_string())
            .env("NOVA_THREADS", options.gateway_threads.to_string());
    })
}

/// Waits until it says that it listens. Asking on the port could be answered by another program.
pub(crate) fn wait_ready(server: &mut Server, port: u16) -> Result<(), StackError> {
    let line = format!("listening on http://127.0.0.1:{port}");
    server.wait_ready(port, READY_PATIENCE, |server| {
        Ok(server.log().lines().any(|said| said == line).then_some(()))
    })
}
