//! What there is to know about a running stack.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::certificate;
use super::conninfo::{Conninfo, quoted};
use super::options::Options;
use super::pgbouncer;
use super::processes;
use super::secrets::Secrets;

/// Where the servers of a stack are and how to log in to them.
///
/// The stack's owner has it from [`Stack::info`](super::Stack::info); every other command gets the same
/// from [`attach`](super::attach).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StackInfo {
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    pub(crate) secrets: Secrets,
    pub(crate) postgres: ServerInfo,
    pub(crate) pgbouncer: ServerInfo,
    /// PgBouncer's other processes behind the same port.
    #[serde(default)]
    pub(crate) more_poolers: Vec<ServerInfo>,
    pub(crate) gateway_pooled: ServerInfo,
    pub(crate) gateway_direct: ServerInfo,
}

/// One server of a stack.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ServerInfo {
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    pub(crate) port: u16,
    pub(crate) pid: u32,
    /// Seconds since 1970.
    pub(crate) started: u64,
}

impl ServerInfo {
    /// Describes a server that has just been started.
    pub(crate) fn new(program: &Path, version: &str, port: u16, pid: u32) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { program: program.into(), version: version.into(), port, pid, started: now.as_secs() }
    }

    /// How long ago it was started.
    pub(crate) fn uptime(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_secs(self.started))
    }

    /// As in `127.0.0.1:4000`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl StackInfo {
    /// The servers by name, outermost last.
    pub(crate) fn servers(&self) -> Vec<(&'static str, &ServerInfo)> {
        let poolers = std::iter::once(&self.pgbouncer).chain(&self.more_poolers);
        let mut servers = vec![("postgres", &self.postgres)];
        servers.extend(pgbouncer::NAMES.into_iter().zip(poolers));
        servers.push(("gateway-pooled", &self.gateway_pooled));
        servers.push(("gateway-direct", &self.gateway_direct));
        servers
    }

    /// The folder with everything of the stack in it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The servers that have ended though nobody stopped them.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let alive = processes::pids(&self.folder);
        let is_alive = |pid: u32| i32::try_from(pid).is_ok_and(|pid| alive.contains(&pid));
        self.servers()
            .into_iter()
            .filter(|(_, server)| !is_alive(server.pid))
            .map(|(name, _)| name)
            .collect()
    }

    /// GraphQL by way of PgBouncer.
    pub(crate) fn gateway_pooled_url(&self) -> String {
        format!("http://{}/graphql", self.gateway_pooled.address())
    }

    /// What the gateway before PgBouncer counts, as Prometheus text.
    pub(crate) fn gateway_pooled_metrics(&self) -> String {
        format!("http://{}/metrics", self.gateway_pooled.address())
    }

    /// GraphQL straight on Postgres.
    pub(crate) fn gateway_direct_url(&self) -> String {
        format!("http://{}/graphql", self.gateway_direct.address())
    }

    /// What the gateways check tokens with (HS256).
    #[allow(dead_code, reason = "demo will sign its tokens with it")]
    pub(crate) fn jwt_secret(&self) -> &str {
        &self.secrets.jwt
    }

    /// The load's way to Postgres.
    pub(crate) fn postgres_conninfo(&self, application_name: &str) -> Conninfo {
        let password = &self.secrets.nova;
        self.conninfo(self.postgres.port, "nova", ("nova", password), Some(application_name))
    }

    /// The load's way to PgBouncer.
    pub(crate) fn pooler_conninfo(&self, application_name: &str) -> Conninfo {
        let password = &self.secrets.nova;
        self.conninfo(self.pgbouncer.port, "nova", ("nova", password), Some(application_name))
    }

    /// PgBouncer's console.
    pub(crate) fn console_conninfo(&self) -> Conninfo {
        self.conninfo(self.pgbouncer.port, "pgbouncer", ("admin", &self.secrets.admin), None)
    }

    /// The settings of PgBouncer's first process.
    pub(crate) fn pooler_ini(&self) -> PathBuf {
        super::folder::run(&self.folder).join(format!("{}.ini", pgbouncer::NAMES[0]))
    }

    /// The consoles of all of PgBouncer's processes, each by its own socket, with the password: never
    /// for an output.
    pub(crate) fn consoles(&self) -> Vec<String> {
        let run = super::folder::run(&self.folder);
        let console = |number: usize| {
            let sockets = pgbouncer::socket_folder(&run, number).display().to_string();
            format!(
                "host={} port={} dbname=pgbouncer user=admin password={}",
                quoted(&sockets),
                self.pgbouncer.port,
                self.secrets.admin
            )
        };
        (0..=self.more_poolers.len()).map(console).collect()
    }

    /// For reading pg_stat_activity and the like: a role with pg_monitor.
    pub(crate) fn observer_conninfo(&self) -> Conninfo {
        let name = Some("poolbench-observer");
        self.conninfo(self.postgres.port, "nova", ("observer", &self.secrets.observer), name)
    }

    /// Postgres' superuser.
    pub(crate) fn superuser_conninfo(&self) -> Conninfo {
        self.conninfo(self.postgres.port, "postgres", ("postgres", &self.secrets.postgres), None)
    }

    /// The password file that the connection strings name.
    pub(crate) fn passfile(&self) -> PathBuf {
        self.folder.join("pgpass")
    }

    /// What belongs into the password file, in libpq's form: by loopback and by socket.
    pub(crate) fn pgpass(&self) -> String {
        let socket = super::folder::run(&self.folder).display().to_string();
        let Secrets { postgres, nova, observer, admin, .. } = &self.secrets;
        let logins = [
            (self.postgres.port, "nova", nova),
            (self.postgres.port, "observer", observer),
            (self.postgres.port, "postgres", postgres),
            (self.pgbouncer.port, "nova", nova),
            (self.pgbouncer.port, "admin", admin),
        ];
        let mut lines = String::new();
        for host in ["127.0.0.1", &socket] {
            for (port, user, password) in logins {
                lines.push_str(&format!("{host}:{port}:*:{user}:{password}\n"));
            }
        }
        lines
    }

    /// Reads what [`Stack::keep`](super::Stack::keep) left in the stack's folder.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn conninfo(
        &self,
        port: u16,
        dbname: &'static str,
        (user, password): (&'static str, &str),
        application_name: Option<&str>,
    ) -> Conninfo {
        Conninfo {
            port,
            dbname,
            user,
            application_name: application_name.map(str::to_owned),
            passfile: self.passfile(),
            password: password.to_owned(),
            root: self.options.tls.then(|| self.folder.join(certificate::ROOT)),
        }
    }
}
