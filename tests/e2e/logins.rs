//! Every login on Postgres and on PgBouncer in each pool mode, secured on both legs.

use std::path::{Path, PathBuf};
use std::process::Command;

use poolbench_tests::{Ended, Stack};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

/// Who logs in: how the servers ask, and the roles' names.
const LOGINS: [&str; 4] = ["scram", "md5", "certified", "peer"];
const POOL_MODES: [&str; 3] = ["session", "transaction", "statement"];

/// Who runs this test: peer logins are for the role of the same name.
fn account() -> String {
    let ended: Ended = Command::new("id").arg("-un").output().expect("id").into();
    ended.stdout.trim().to_owned()
}

/// The stack's servers with logins of every kind.
struct Logins {
    stack: Stack,
    run: PathBuf,
    account: String,
    ports: [String; 2],
    /// The client's certificate and key, as keywords.
    identity: String,
}

impl Logins {
    fn set_up() -> Self {
        let stack = Stack::up(&["--tls"]);
        let run = stack.home.stacks()[0].join("run");
        let port = |target| {
            let rest = stack.target(target).split_once(" port=").expect("a port").1;
            rest.split(' ').next().unwrap_or_default().to_owned()
        };
        let ports = [port("postgres"), port("pooler")];
        let (ca, certificate, key) = certificates();
        let home = &stack.home;
        let [ca, certificate, key] =
            [("ca.crt", ca), ("client.crt", certificate), ("client.key", key)]
                .map(|(name, text)| (home.write(name, &text), text));
        let private = home.write_private("private.key", &key.1);
        let identity = format!("sslcert={} sslkey={private}", certificate.0);
        let logins = Self { run, account: account(), ports, identity, stack };
        logins.set_up_postgres(&ca.0);
        logins.set_up_pooler(&ca.0, &certificate.0, &key.0);
        logins
    }

    fn role<'a>(&'a self, login: &'a str) -> &'a str {
        if login == "peer" { &self.account } else { login }
    }

    fn set_up_postgres(&self, ca: &str) {
        let sql = |sql: &str| self.stack.psql("superuser", "nova", sql);
        sql(&format!("ALTER SYSTEM SET ssl_ca_file = '{ca}'"));
        let mut hba = String::new();
        for login in LOGINS {
            let role = self.role(login);
            let stored = if login == "md5" { "md5" } else { "scram-sha-256" };
            sql(&format!(
                "SET password_encryption = '{stored}'; \
                 CREATE ROLE \"{role}\" LOGIN PASSWORD 'secret of {login}'"
            ));
            sql(&format!("GRANT SELECT ON users TO \"{role}\""));
            let method = match login {
                "certified" => "cert",
                // The pooler is not the role's account.
                "peer" => "scram-sha-256",
                login => stored_method(login),
            };
            hba += &format!("hostssl all \"{role}\" 127.0.0.1/32 {method}\n");
        }
        hba += &format!("local all \"{}\" peer\n", self.account);
        self.put_first("pg_hba.conf", &hba);
        sql("SELECT pg_reload_conf()");
    }

    fn set_up_pooler(&self, ca: &str, certificate: &str, key: &str) {
        let postgres = &self.ports[0];
        let databases: String = POOL_MODES
            .iter()
            .map(|mode| {
                format!(
                    "nova_{mode} = host=127.0.0.1 port={postgres} dbname=nova pool_mode={mode}\n"
                )
            })
            .collect();
        let folder = self.run.display();
        let ini = self.run.join("pgbouncer.ini");
        let text = std::fs::read_to_string(&ini).expect("the pooler's configuration");
        let text = text.replacen("[databases]\n", &format!("[databases]\n{databases}"), 1);
        let text = text.replace("auth_type = scram-sha-256", "auth_type = hba");
        let text = text.replace("client_tls_sslmode = require", "client_tls_sslmode = verify-full");
        let more = format!(
            "auth_hba_file = {folder}/pooler_hba.conf\nclient_tls_ca_file = {ca}\n\
             server_tls_cert_file = {certificate}\nserver_tls_key_file = {key}\n"
        );
        std::fs::write(&ini, text + &more).expect("the pooler's configuration");
        let mut users = String::new();
        let mut hba = format!("local all \"{}\" peer\n", self.account);
        for login in LOGINS {
            let role = self.role(login);
            users += &format!("\"{role}\" \"secret of {login}\"\n");
            let method = if login == "certified" { "cert" } else { stored_method(login) };
            hba += &format!("hostssl all \"{role}\" 127.0.0.1/32 {method}\n");
        }
        self.put_first("userlist.txt", &users);
        std::fs::write(self.run.join("pooler_hba.conf"), hba).expect("the pooler's folder");
        self.stack.psql("console", "pgbouncer", "RELOAD");
    }

    /// Puts lines before those of a file that a server reads.
    fn put_first(&self, name: &str, lines: &str) {
        let path = self.run.join(name);
        let text = std::fs::read_to_string(&path).expect("a file of the stack");
        std::fs::write(&path, format!("{lines}{text}")).expect("a file of the stack");
    }

    /// How to log in so at Postgres or, in a pool mode, at the pooler.
    fn conninfo(&self, login: &str, mode: Option<&str>) -> String {
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
        let root = root_certificate(&self.run);
        format!(
            "host=127.0.0.1 port={port} user={role} dbname={database}{password} \
             sslmode=verify-full sslrootcert={root} {}",
            self.identity
        )
    }

    fn measure(&self, conninfo: &str) -> Value {
        let text = format!(
            "name = \"logins\"\n[targets.postgres]\nconninfo = \"{conninfo}\"\n[[operations]]\n\
             name = \"getUser\"\nsql = \"SELECT u.id FROM users u WHERE u.id = $1\"\n\
             params = [\"id:int8\"]\nvariables = {{ id = {{ uniform = [1, 10000] }} }}\n"
        );
        let file = self.stack.home.write("scenario.toml", &text);
        let arguments = ["run", &file, "--vus", "2", "--iterations", "20", "--warm-up", "50ms"];
        let ended = self.stack.home.run(&[&arguments[..], &["--json", "-"]].concat());
        assert_eq!(ended.code, 0, "{conninfo}: {ended:?}");
        let arm = ended.json()["arms"][0].clone();
        assert_eq!((&arm["errors"], &arm["requests"]), (&json!({}), &json!(20)), "{conninfo}");
        arm["tls"].clone()
    }
}

/// The name of the method in either server's pg_hba.conf.
fn stored_method(login: &str) -> &'static str {
    if login == "md5" { "md5" } else { "scram-sha-256" }
}

fn root_certificate(run: &Path) -> String {
    run.with_file_name("root.crt").display().to_string()
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

/// One stack for all of it: it takes long to start.
#[test]
fn every_login_works_at_postgres_and_at_the_pooler_in_each_pool_mode() {
    let logins = Logins::set_up();
    for mode in [None, Some("session"), Some("transaction"), Some("statement")] {
        for login in LOGINS {
            let tls = logins.measure(&logins.conninfo(login, mode));
            // As with libpq, a Unix socket is not secured.
            if login == "peer" {
                assert_eq!(tls, json!([null]), "{mode:?}");
                continue;
            }
            assert_eq!(tls[0]["version"], "TLSv1.3", "{login} {mode:?}: {tls}");
            // PgBouncer has no channel binding.
            let is_bound = login == "scram" && mode.is_none();
            assert_eq!(tls[0]["channel_binding"], is_bound, "{login} {mode:?}: {tls}");
        }
    }
    // The pooler's connections to Postgres are still open: secured every one, for every login.
    let secured = "DO $$ BEGIN ASSERT (SELECT array_agg(DISTINCT usename::text ORDER BY usename::text) \
                   FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
                   WHERE client_port > 0 AND ssl AND usename = ANY ({})) = {}; \
                   ASSERT NOT EXISTS (SELECT FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
                   WHERE client_port > 0 AND NOT ssl); END $$";
    let mut roles = LOGINS.map(|login| format!("'{}'", logins.role(login)));
    roles.sort();
    let list = format!("ARRAY[{}]", roles.join(", "));
    logins.stack.psql("superuser", "nova", &secured.replace("{}", &list));
    wrong_certificate(&logins);
}

/// Who has no certificate, or one for another role, is told so in one line.
fn wrong_certificate(logins: &Logins) {
    let conninfo = logins.conninfo("certified", None);
    let (without, _) = conninfo.split_once(" sslcert=").expect("a certificate");
    let other = conninfo.replace("user=certified", "user=scram password='wrong'");
    for (conninfo, words) in [
        (without, "connection requires a valid client certificate"),
        (&other, "password authentication failed for user \"scram\""),
    ] {
        let text = format!(
            "name = \"refused\"\n[targets.postgres]\nconninfo = \"{conninfo}\"\n[[operations]]\n\
             name = \"one\"\nsql = \"SELECT 1\"\n"
        );
        let file = logins.stack.home.write("refused.toml", &text);
        let ended = logins.stack.home.run(&["run", &file, "--vus", "1", "--iterations", "1"]);
        assert_ne!(ended.code, 0, "{ended:?}");
        let lines = ended.stderr.lines().filter(|line| line.contains("target postgres"));
        let lines: Vec<_> = lines.collect();
        assert!(lines.len() == 1 && lines[0].contains(words), "{ended:?}");
    }
}
