//! The servers of a stack that is this command's, from the first to the last.

use std::io::{self, Write};
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::account::Account;
use super::conninfo::Conninfo;
use super::error::StackError;
use super::folder::Folder;
use super::info::{ServerInfo, StackInfo};
use super::options::Options;
use super::ports::on_free_port;
use super::postgres::Seeding;
use super::programs::Programs;
use super::secrets::Secrets;
use super::server::Server;
use super::{certificate, gateway, pgbouncer, postgres, processes};

/// Whatever has been started so far. Dropped, it stops that and removes the folder.
#[derive(Debug)]
pub(crate) struct Running {
    /// None once it is stopped or left to itself.
    folder: Option<Folder>,
    servers: Vec<Server>,
}

impl Running {
    /// Takes over a folder, with the processes in it if there are any.
    pub(crate) fn new(folder: Folder) -> Self {
        Self { folder: Some(folder), servers: Vec::new() }
    }

    /// Starts everything.
    pub(crate) fn launch(
        &mut self,
        programs: &Programs,
        account: &Account,
        options: &Options,
        say: &mut dyn FnMut(&str),
    ) -> Result<StackInfo, StackError> {
        let Self { folder: Some(folder), servers } = self else {
            return Err(StackError::Interrupted);
        };
        raise_file_limit();
        let mut launch = Launch {
            folder,
            servers,
            programs,
            account,
            say,
            since: Instant::now(),
            info: StackInfo {
                folder: folder.path().to_path_buf(),
                options: options.clone(),
                secrets: Secrets::random()?,
                postgres: ServerInfo::default(),
                pgbouncer: ServerInfo::default(),
                more_poolers: Vec::new(),
                gateway_pooled: ServerInfo::default(),
                gateway_direct: ServerInfo::default(),
            },
        };
        let seeding = launch.postgres()?;
        launch.pgbouncer()?;
        launch.gateways()?;
        launch.seeded(seeding)?;
        folder.write("pgpass", &launch.info.pgpass())?;
        folder.write("jwt_secret", &launch.info.secrets.jwt)?;
        Ok(launch.info)
    }

    /// Stops everything and removes the folder.
    pub(crate) fn stop(&mut self) -> Result<(), StackError> {
        let Some(folder) = self.folder.take() else { return Ok(()) };
        let stopped = processes::stop(folder.path());
        self.servers.iter_mut().for_each(Server::reap);
        stopped?;
        folder.remove()
    }

    /// Leaves everything running for later commands to find.
    pub(crate) fn keep(mut self, info: &StackInfo) -> Result<(), StackError> {
        if let Some(folder) = &self.folder {
            let text = serde_json::to_string_pretty(info).map_err(io::Error::other);
            folder.record(&text.map_err(StackError::file("describe", folder.path()))?)?;
        }
        self.folder = None;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            // There is nobody left to hand it to.
            let _ = writeln!(io::stderr(), "poolbench: {error}");
        }
    }
}

/// One start, step by step.
struct Launch<'a> {
    folder: &'a Folder,
    servers: &'a mut Vec<Server>,
    programs: &'a Programs,
    account: &'a Account,
    say: &'a mut dyn FnMut(&str),
    since: Instant,
    info: StackInfo,
}

impl Launch<'_> {
    fn postgres(&mut self) -> Result<Seeding, StackError> {
        let Self { folder, servers, programs, account, info, .. } = self;
        if info.options.tls {
            certificate::write(folder, account)?;
        }
        let initdb = postgres::initdb(programs, folder, account, &info.secrets)?;
        postgres::wait_initdb(add(servers, initdb), folder)?;
        let (mut client, log) = on_free_port(|port| {
            let server =
                add(servers, postgres::spawn(programs, folder, account, info.options.tls, port)?);
            info.postgres =
                ServerInfo::new(&programs.postgres, &programs.postgres_version, port, server.pid());
            let client = postgres::wait_ready(server, &info.superuser_conninfo())?;
            Ok((client, server.log_path().to_path_buf()))
        })?;
        postgres::create_database(&mut client, &info.secrets, &log)?;
        let seeding =
            Seeding::start(info.postgres_conninfo("poolbench-setup"), info.options.contents, &log);
        self.say_ready(&format!("Postgres {}", self.info.postgres.version));
        Ok(seeding)
    }

    fn pgbouncer(&mut self) -> Result<(), StackError> {
        let Self { folder, servers, programs, account, info, .. } = self;
        on_free_port(|port| {
            let ports = (port, info.postgres.port);
            let StackInfo { secrets, options, .. } = &*info;
            let spawned = pgbouncer::spawn(programs, folder, account, secrets, options, 0, ports)?;
            let server = add(servers, spawned);
            info.pgbouncer = ServerInfo::new(
                &programs.pgbouncer,
                &programs.pgbouncer_version,
                port,
                server.pid(),
            );
            pgbouncer::wait_ready(server, &info.console_conninfo())
        })?;
        let ports = (info.pgbouncer.port, info.postgres.port);
        for number in 1..info.options.poolers {
            let StackInfo { secrets, options, .. } = &*info;
            let spawned =
                pgbouncer::spawn(programs, folder, account, secrets, options, number, ports)?;
            let server = add(servers, spawned);
            pgbouncer::wait_up(server, ports.0)?;
            info.more_poolers.push(ServerInfo { pid: server.pid(), ..info.pgbouncer.clone() });
        }
        self.say_ready(&format!("PgBouncer {}", self.info.pgbouncer.version));
        Ok(())
    }

    /// The names differ where PgBouncer is not in between, so that Postgres' views can tell whose a
    /// connection is; behind PgBouncer one name serves all, as it sends a SET whenever a connection
    /// goes from a client of one name to a client of another.
    fn gateways(&mut self) -> Result<(), StackError> {
        let pooled = self.info.pooler_conninfo("nova");
        self.info.gateway_pooled = self.gateway("gateway-pooled", &pooled)?;
        let direct = self.info.postgres_conninfo("nova-direct");
        self.info.gateway_direct = self.gateway("gateway-direct", &direct)?;
        self.say_ready(&format!("gateways {}", self.info.gateway_direct.version));
        Ok(())
    }

    fn gateway(
        &mut self,
        name: &'static str,
        database: &Conninfo,
    ) -> Result<ServerInfo, StackError> {
        let Self { folder, servers, programs, info, .. } = self;
        on_free_port(|port| {
            let to = (port, database);
            let spawned = gateway::spawn(name, programs, folder, &info.secrets, &info.options, to)?;
            let server = add(servers, spawned);
            gateway::wait_ready(server, port)?;
            Ok(ServerInfo::new(&programs.gateway, &programs.gateway_version, port, server.pid()))
        })
    }

    fn seeded(&mut self, seeding: Seeding) -> Result<(), StackError> {
        let took = seeding.wait()?;
        self.say_ready(&format!("tables, filled beside in {:.1} s,", took.as_secs_f64()));
        Ok(())
    }

    fn say_ready(&mut self, what: &str) {
        (self.say)(&format!("{what} ready after {:.1} s", self.since.elapsed().as_secs_f64()));
    }
}

/// Kept before it is waited for, so that it is stopped whatever happens.
fn add(servers: &mut Vec<Server>, server: Server) -> &mut Server {
    servers.push(server);
    let last = servers.len() - 1;
    &mut servers[last]
}

/// PgBouncer's thousand clients need more open files than a shell usually allows; what we may, so may
/// the servers that we start.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// Each server, given a port that is taken, says so and is gone.
    #[test]
    fn a_taken_port_is_noticed() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let account = Account::current().unwrap();
        // The test lies in `deps`, below the gateway.
        let exe = std::env::current_exe().unwrap();
        let programs = Programs::find_beside(exe.ancestors().nth(2)).unwrap();
        let temporary = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o711))
            .tempdir()
            .unwrap();
        let folder = Folder::create(temporary.path(), &account).unwrap();
        let secrets = Secrets::random().unwrap();
        let mut servers = Vec::new();
        let initdb = postgres::initdb(&programs, &folder, &account, &secrets).unwrap();
        postgres::wait_initdb(add(&mut servers, initdb), &folder).unwrap();
        let login = |dbname, user| Conninfo {
            port,
            dbname,
            user,
            application_name: None,
            passfile: "/".into(),
            password: "wrong".into(),
            root: None,
        };

        let server =
            add(&mut servers, postgres::spawn(&programs, &folder, &account, false, port).unwrap());
        let clash = postgres::wait_ready(server, &login("postgres", "postgres"));
        assert!(matches!(clash, Err(StackError::PortTaken { .. })));

        let options = Options::default();
        let spawned =
            pgbouncer::spawn(&programs, &folder, &account, &secrets, &options, 0, (port, 1))
                .unwrap();
        let clash = pgbouncer::wait_ready(add(&mut servers, spawned), &login("pgbouncer", "admin"));
        assert!(matches!(clash, Err(StackError::PortTaken { .. })));
        assert!(processes::pids(folder.path()).is_empty());
    }
}
