//! TLS on both legs of the real stack, and HTTPS.

use std::net::TcpListener;
use std::sync::Arc;

use poolbench_tests::{Ended, Home, Stack};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// A scenario with the stack's pooler and Postgres; `place` is put into both connection strings.
fn scenario(stack: &Stack, change: impl Fn(&str) -> String) -> String {
    let (pooler, postgres) = (change(stack.target("pooler")), change(stack.target("postgres")));
    let (console, observer) = (stack.target("console"), stack.target("observer"));
    let text = format!(
        "name = \"tls\"\n\
         [targets.gateway]\nurl = \"{}\"\nbackends = \"nova\"\n[targets.gateway-direct]\nurl = \"{}\"\n\
         backends = \"nova-direct\"\n[targets.pooler]\nconninfo = \"{pooler}\"\nconsole = \"{console}\"\n\
         [targets.postgres]\nconninfo = \"{postgres}\"\nobserver = \"{observer}\"\n\
         {OPERATION}",
        stack.target("gateway_pooled"),
        stack.target("gateway_direct"),
    );
    stack.home.write("scenario.toml", &text)
}

const OPERATION: &str = r#"
[auth.login]
query = "mutation Login($username: String!, $password: String!) { login(username: $username, password: $password) { token } }"
variables = { username = "user1", password = "nova" }
token = "data.login.token"
[[operations]]
name = "getUser"
graphql = "query GetUser($id: ID!) { user(id: $id) { id username } }"
variables = { id = { uniform = [1, 100] } }
sql = "SELECT u.id, u.username FROM users u WHERE u.id = $1"
params = ["id:int8"]
expect = { id = "data.user.id" }
"#;

fn run(stack: &Stack, target: &str, change: impl Fn(&str) -> String) -> Ended {
    let file = scenario(stack, change);
    let arguments = ["run", &file, "--target", target, "--vus", "4", "--duration", "1s"];
    stack.home.run(&[&arguments[..], &["--warm-up", "200ms", "--json", "-"]].concat())
}

fn arm(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended:?}");
    let arm = ended.json()["arms"][0].clone();
    assert_eq!(arm["errors"], serde_json::json!({}), "{arm}");
    assert!(arm["requests"].as_u64() > Some(50), "{arm}");
    arm
}

/// One stack for all of it: it takes long to start.
#[test]
fn both_legs_are_secured_and_told() {
    let stack = Stack::small(&["--tls"]);
    let same = |conninfo: &str| conninfo.to_owned();
    assert!(stack.target("pooler").contains("sslmode=verify-full sslrootcert="));

    // PgBouncer has no channel binding, Postgres has.
    for (target, is_bound) in [("pooler", false), ("postgres", true)] {
        let arm = arm(&run(&stack, target, same));
        let tls = arm["tls"].as_array().expect("a list");
        assert_eq!(tls.len(), 1, "{target}: {tls:?}");
        assert_eq!(tls[0]["version"], "TLSv1.3");
        assert!(tls[0]["cipher"].as_str().unwrap().starts_with("TLS_"), "{tls:?}");
        assert_eq!(tls[0]["channel_binding"], is_bound, "{target}");
    }
    for target in ["gateway", "gateway-direct"] {
        assert_eq!(arm(&run(&stack, target, same))["tls"], serde_json::json!([null]));
    }
    let old = |conninfo: &str| format!("{conninfo} ssl_max_protocol_version=TLSv1.2");
    let arm = arm(&run(&stack, "postgres", old));
    assert_eq!(arm["tls"][0]["version"], "TLSv1.2");

    let layers = |change: &dyn Fn(&str) -> String| {
        let file = scenario(&stack, change);
        let ended = stack.home.run(&["layers", &file, "--duration", "2s", "--rate", "200"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stdout
    };
    let table = layers(&same);
    let heading = table.lines().nth(1).unwrap();
    assert!(heading.starts_with("TLS: gateway+pooler, gateway+direct none; pooler TLSv1.3 "));
    assert!(heading.ends_with(" with channel binding"), "{heading}");
    assert!(!table.contains("differ in TLS"), "{table}");
    assert!(!table.contains("not compared"), "{table}");
    let is_postgres = |conninfo: &str| conninfo == stack.target("postgres");
    let table = layers(&|conninfo: &str| match is_postgres(conninfo) {
        true => old(conninfo),
        false => conninfo.to_owned(),
    });
    let told = table.lines().find(|line| line.contains("connections to Postgres differ in TLS"));
    let told = told.expect("all three ask Postgres");
    for leg in ["(direct TLSv1.2 ", ", pooler TLSv1.3 ", ", gateway-direct TLSv1.3 "] {
        assert!(told.contains(leg), "{told}");
    }
    let is_pooler = |conninfo: &str| conninfo == stack.target("pooler");
    let table = layers(&|conninfo: &str| match is_pooler(conninfo) {
        true => old(conninfo),
        false => conninfo.to_owned(),
    });
    assert!(table.contains("pooler and direct differ in TLS (TLSv1.2 "), "{table}");
    // The gateway's way to it has not changed.
    let told = table.lines().find(|line| line.contains("clients of the pooler differ in TLS"));
    let told = told.expect("the console shows both");
    assert!(told.contains("(nova TLSv1.2/") && told.contains(" and TLSv1.3/"), "{told}");

    refusals(&stack);
    passwords(&stack);
}

fn refusals(stack: &Stack) {
    let refused = |target: &str, change: &dyn Fn(&str) -> String, words: &[&str]| {
        let ended = run(stack, target, change);
        assert_ne!(ended.code, 0, "{ended:?}");
        let errors: Vec<_> = ended.stderr.lines().filter(|line| line.contains("target ")).collect();
        assert_eq!(errors.len(), 1, "one line: {ended:?}");
        for words in words {
            assert!(errors[0].contains(words), "{words} in {}", errors[0]);
        }
    };
    let named = |name: &str| {
        let to = format!("host={name} hostaddr=127.0.0.1");
        move |conninfo: &str| conninfo.replace("host=127.0.0.1", &to)
    };
    for target in ["pooler", "postgres"] {
        let place = format!("target {target} (127.0.0.1:");
        let expected =
            [place.as_str(), "not valid for name \"wrong.example\"", "sslmode=verify-ca"];
        refused(target, &named("wrong.example"), &expected);
        let system = |conninfo: &str| {
            let (before, _) = conninfo.split_once("sslrootcert=").unwrap();
            let passfile = conninfo.split_once("passfile=").unwrap().1;
            format!("{before} sslrootcert=system passfile={passfile}")
        };
        refused(target, &system, &["an unknown issuer; name", "sslrootcert in targets."]);
        let plain = |conninfo: &str| conninfo.replace("verify-full", "disable");
        let words = if target == "pooler" { "SSL required" } else { "no pg_hba.conf entry" };
        refused(target, &plain, &[words, "set sslmode=require"]);
    }
    let bound = |conninfo: &str| format!("{conninfo} channel_binding=require");
    refused("pooler", &bound, &["channel binding is required", "channel_binding=prefer"]);
    arm(&run(stack, "postgres", bound));
    let allowed = |conninfo: &str| conninfo.replace("verify-full", "allow");
    let secured = arm(&run(stack, "postgres", allowed));
    assert_eq!(secured["tls"][0]["version"], "TLSv1.3", "allow, where the server insists");
    let direct = |conninfo: &str| format!("{conninfo} sslnegotiation=direct");
    refused("postgres", &direct, &["sslnegotiation=direct", "Postgres 17"]);
}

/// Postgres prepares a password that it hashes, and the client one that it proves (SASLprep).
fn passwords(stack: &Stack) {
    let conninfo = stack.target("postgres");
    let port = conninfo.split("port=").nth(1).unwrap().split(' ').next().unwrap();
    for (number, (stored, given)) in [
        ("with space", "with space"),
        ("no\u{a0}break", "no break"),
        ("no break", "no\u{a0}break"),
        ("so\u{ad}ft", "soft"),
        ("soft", "so\u{ad}ft"),
        ("\u{ff21}\u{2168}", "AIX"),
        // Prohibited (RFC 4013, section 2.3), and so taken as it is.
        ("a\u{e000}\u{a0}", "a\u{e000}\u{a0}"),
        ("it's \\ : \" %", "it's \\ : \" %"),
    ]
    .into_iter()
    .enumerate()
    {
        let role = format!("role{number}");
        let sql = format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", stored.replace('\'', "''"));
        let grant = format!("GRANT SELECT ON users TO {role}");
        stack.psql("superuser", "nova", &format!("{sql}; {grant}"));
        let escaped = given.replace('\\', "\\\\").replace(':', "\\:");
        let line = format!("127.0.0.1:{port}:*:{role}:{escaped}\n");
        let passfile = stack.home.write_private(&format!("pgpass{number}"), &line);
        let (before, _) = conninfo.split_once(" passfile=").unwrap();
        let login =
            format!("{before} passfile={passfile}").replace("user=nova", &format!("user={role}"));
        arm(&run(stack, "postgres", |_| login.clone()));
    }
    let wrong = stack.home.write_private("wrong", "127.0.0.1:*:*:*:no\n");
    let (before, _) = conninfo.split_once(" passfile=").unwrap();
    let ended = run(stack, "postgres", |_| format!("{before} passfile={wrong}"));
    assert!(ended.stderr.contains("password authentication failed"), "{ended:?}");
}

/// Answers a login and any query over HTTPS, as `localhost`. The port, and the certificate.
fn serve() -> (u16, String) {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(pair.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            std::thread::spawn(move || answer(&mut StreamOwned::new(connection, stream)));
        }
    });
    (port, pair.cert.pem())
}

fn answer(stream: &mut (impl std::io::Read + std::io::Write)) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&request);
        if !text.ends_with('}') {
            continue;
        }
        let data = match text.contains("mutation") {
            true => "{\"login\":{\"token\":\"sesame\"}}",
            false if text.contains("Bearer sesame") => "{\"user\":{\"id\":\"1\"}}",
            false => "null",
        };
        let body = format!("{{\"data\":{data}}}");
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + &body).as_bytes())?;
        request.clear();
    }
}

#[test]
fn https_is_measured_where_the_certificate_is_trusted() {
    let (port, certificate) = serve();
    let home = Home::new();
    let trusted = home.write("root.crt", &certificate);
    let run = |host: &str, login: &str, variable: Option<(&str, &str)>| -> Ended {
        let text = format!(
            "name = \"https\"\n[targets.gateway]\nurl = \"https://{host}:{port}/graphql\"\n{login}\
             [[operations]]\nname = \"getUser\"\n\
             graphql = \"query GetUser($id: ID!) {{ user(id: $id) {{ id }} }}\"\n\
             variables = {{ id = 1 }}\nexpect = {{ id = \"data.user.id\" }}\n"
        );
        let file = home.write("scenario.toml", &text);
        let arguments = ["run", &file, "--vus", "4", "--duration", "1s", "--json", "-"];
        home.command(&arguments).envs(variable).output().expect("the command starts").into()
    };
    let login = "[auth.login]\nquery = \"mutation { login { token } }\"\n\
                 token = \"data.login.token\"\n";
    let known = Some(("SSL_CERT_FILE", trusted.as_str()));
    let measured = arm(&run("localhost", login, known));
    assert_eq!(measured["tls"][0]["version"], "TLSv1.3");
    let jwt = "[auth]\njwt = \"sesame\"\n";
    for (host, variable, words) in [
        ("127.0.0.1", known, "use a name of the certificate in targets.gateway.url"),
        ("localhost", None, "SSL_CERT_FILE"),
    ] {
        let ended = run(host, jwt, variable);
        assert_ne!(ended.code, 0, "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
    }
}
