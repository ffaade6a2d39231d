//! A stack whose servers take logins of every kind, with TLS on either leg or not.

use std::path::{Path, PathBuf};
use std::process::Command;

use postgres::SimpleQueryMessage;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::{Ended, Stack};

/// Who logs in: how the servers ask, and the roles' names.
pub const LOGINS: [&str; 4] = ["scram", "md5", "certified", "peer"];
/// PgBouncer's.
pub const POOL_MODES: [&str; 3] = ["session", "transaction", "statement"];

/// Whether the client's leg is secured, and the pooler's to Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legs {
    /// Before the pooler.
    pub client: bool,
    /// Behind it.
    pub server: bool,
}

/// Nothing, either of them, both.
pub const LEGS: [Legs; 4] = [
    Legs { client: false, server: false },
    Legs { client: true, server: false },
    Legs { client: false, server: true },
    Legs { client: true, server: true },
];

/// The stack's servers with logins of every kind.
pub struct Logins {
    /// Them.
    pub stack: Stack,
    run: PathBuf,
    account: String,
    ports: [String; 2],
    /// The client's certificate and key, as keywords.
    identity: String,
    /// The pooler's configuration with both legs secured.
    ini: String,
    console: postgres::Client,
}

/// Who runs this test: peer logins are for the role of the same name.
fn account() -> String {
    let ended: Ended = Command::new("id").arg("-un").output().expect("id").into();
    ended.stdout.trim().to_owned()
}

/// The name of the method in either server's pg_hba.conf.
fn stored_method(login: &str) -> &'static str {
    if login == "md5" { "md5" } else { "scram-sha-256" }
}

impl Logins {
    /// Starts them, with both legs secured.
    pub fn set_up() -> Self {
        let stack = Stack::small(&["--tls"]);
        let run = stack.home.stacks()[0].join("run");
        let ports = ["postgres", "pooler"].map(|target| stack.place(target).port.to_string());
        let (ca, certificate, key) = certificates();
        let home = &stack.home;
        let [ca, certificate, key] =
            [("ca.crt", ca), ("client.crt", certificate), ("client.key", key)]
                .map(|(name, text)| (home.write(name, &text), text));
        let private = home.write_private("private.key", &key.1);
        let identity = format!("sslcert={} sslkey={private}", certificate.0);
        let account = account();
        set_up_postgres(&stack, &run, &account, &ca.0);
        let files = [ca.0, certificate.0, key.0];
        let ini = set_up_pooler(&stack, &run, &account, &ports[0], &files);
        let place = stack.place("console");
        let mut config = postgres::Config::new();
        config.host_path(&run).port(place.port).dbname(&place.database);
        config.user(&place.user).password(&place.password);
        let console = config.connect(postgres::NoTls).expect("its console answers on the socket");
        Self { stack, run, account, ports, identity, ini, console }
    }

    /// The role that logs in so.
    pub fn role<'a>(&'a self, login: &'a str) -> &'a str {
        if login == "peer" { &self.account } else { login }
    }

    /// From now on new connections are secured so.
    pub fn secure(&mut self, legs: Legs) {
        let ini = [("client", legs.client, "verify-full"), ("server", legs.server, "require")]
            .into_iter()
            .filter(|(_, is_secured, _)| !is_secured)
            .fold(self.ini.clone(), |ini, (leg, _, mode)| {
                let line = format!("{leg}_tls_sslmode = ");
                assert!(ini.contains(&format!("{line}{mode}\n")), "{ini}");
                ini.replace(&format!("{line}{mode}\n"), &format!("{line}disable\n"))
            });
        std::fs::write(self.run.join("pgbouncer.ini"), ini).expect("the pooler's configuration");
        for command in ["RELOAD", "RECONNECT"] {
            self.console.simple_query(command).expect("the console obeys");
        }
    }

    /// Queries that the pooler has counted in a pool mode.
    pub fn queries(&mut self, mode: &str) -> u64 {
        let rows = self.console.simple_query("SHOW STATS_TOTALS").expect("the console answers");
        let count = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let is_its = row.get("database") == Some(&format!("nova_{mode}"));
                is_its.then(|| row.get("query_count")?.parse().ok())?
            }
            _ => None,
        });
        // A database that nobody has asked for yet has no row.
        count.unwrap_or_default()
    }

    /// How to log in so at Postgres or, in a pool mode, at the pooler.
    pub fn conninfo(&self, login: &str, mode: Option<&str>, is_secured: bool) -> String {
        let role = self.role(login);
        let (port, database) = match mode {
            Some(mode) => (&self.ports[1], format!("nova_{mode}")),
            None => (&self.ports[0], "nova".to_owned()),
        };
        if login == "peer" {
            let folder = self.run.display();
            return format!("host={folder} port={port} user={role} dbname={database}");
        }
        let password = match login {
            "certified" => String::new(),
            login => format!(" password='secret of {login}'"),
        };
        let root = self.run.with_file_name("root.crt");
        let tls = match is_secured {
            true => format!("verify-full sslrootcert={} {}", root.display(), self.identity),
            false => "disable".into(),
        };
        format!("host=127.0.0.1 port={port} user={role} dbname={database}{password} sslmode={tls}")
    }
}

fn set_up_postgres(stack: &Stack, run: &Path, account: &str, ca: &str) {
    let sql = |sql: &str| stack.psql("superuser", "nova", sql);
    sql(&format!("ALTER SYSTEM SET ssl_ca_file = '{ca}'"));
    let mut hba = format!("local all \"{account}\" peer\n");
    for login in LOGINS {
        let role = if login == "peer" { account } else { login };
        let stored = stored_method(login);
        sql(&format!(
            "SET password_encryption = '{stored}'; \
             CREATE ROLE \"{role}\" LOGIN PASSWORD 'secret of {login}'"
        ));
        sql(&format!("GRANT SELECT ON users TO \"{role}\""));
        // The pooler is not the account of the role, and has its certificate over TLS alone.
        let over_tls = if login == "certified" { "cert" } else { stored };
        hba += &format!("hostssl all \"{role}\" 127.0.0.1/32 {over_tls}\n");
        hba += &format!("hostnossl all \"{role}\" 127.0.0.1/32 {stored}\n");
    }
    put_first(run, "pg_hba.conf", &hba);
    sql("SELECT pg_reload_conf()");
}

/// The pooler's configuration then.
fn set_up_pooler(
    stack: &Stack,
    run: &Path,
    account: &str,
    postgres: &str,
    [ca, certificate, key]: &[String; 3],
) -> String {
    let databases: String = POOL_MODES
        .iter()
        .map(|mode| {
            format!("nova_{mode} = host=127.0.0.1 port={postgres} dbname=nova pool_mode={mode}\n")
        })
        .collect();
    let ini = run.join("pgbouncer.ini");
    let text = std::fs::read_to_string(&ini).expect("the pooler's configuration");
    let text = text.replacen("[databases]\n", &format!("[databases]\n{databases}"), 1);
    let text = text.replace("auth_type = scram-sha-256", "auth_type = hba");
    let text = text.replace("client_tls_sslmode = require", "client_tls_sslmode = verify-full");
    let text = text
        + &format!(
            "auth_hba_file = {}/pooler_hba.conf\nclient_tls_ca_file = {ca}\n\
             server_tls_cert_file = {certificate}\nserver_tls_key_file = {key}\n",
            run.display()
        );
    std::fs::write(&ini, &text).expect("the pooler's configuration");
    let mut users = String::new();
    let mut hba = format!("local all \"{account}\" peer\nlocal all admin scram-sha-256\n");
    for login in LOGINS {
        let role = if login == "peer" { account } else { login };
        users += &format!("\"{role}\" \"secret of {login}\"\n");
        hba += &match login {
            "certified" => format!("hostssl all \"{role}\" 127.0.0.1/32 cert\n"),
            login => format!("host all \"{role}\" 127.0.0.1/32 {}\n", stored_method(login)),
        };
    }
    put_first(run, "userlist.txt", &users);
    std::fs::write(run.join("pooler_hba.conf"), hba).expect("the pooler's folder");
    stack.psql("console", "pgbouncer", "RELOAD");
    text
}

/// Puts lines before those of a file that a server reads.
fn put_first(run: &Path, name: &str, lines: &str) {
    let path = run.join(name);
    let text = std::fs::read_to_string(&path).expect("a file of the stack");
    std::fs::write(&path, format!("{lines}{text}")).expect("a file of the stack");
}

/// An authority's certificate, and one that it has signed for the role `certified`, with its key.
fn certificates() -> (String, String, String) {
    let key = KeyPair::generate().expect("entropy");
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "the authority of a test");
    let ca = authority.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().expect("entropy");
    let mut client = CertificateParams::default();
    client.distinguished_name.push(DnType::CommonName, "certified");
    let certificate = client.signed_by(&key, &issuer).expect("a certificate");
    (ca, certificate.pem(), key.serialize_pem())
}
