//! Every login on Postgres and on PgBouncer: in each pool mode, with TLS on neither leg, on either,
//! and on both.

use poolbench_tests::logins::{LEGS, LOGINS, Legs, Logins, POOL_MODES};
use serde_json::{Value, json};

const REQUESTS: u64 = 300;

/// A target called `postgres` is observed, by a query of its own.
fn file(logins: &Logins, target: &str, conninfo: &str) -> String {
    let text = format!(
        "name = \"matrix\"\n[targets.{target}]\nconninfo = \"{conninfo}\"\n[[operations]]\n\
         name = \"getUser\"\nsql = \"SELECT u.id FROM users u WHERE u.id = $1\"\n\
         params = [\"id:int8\"]\nvariables = {{ id = {{ uniform = [1, 100] }} }}\n\
         expect = {{ id = \"data.user.id\" }}\n"
    );
    logins.stack.home.write("scenario.toml", &text)
}

/// A few hundred requests, all of them answered. What was negotiated.
fn measure(logins: &Logins, cell: &str, target: &str, conninfo: &str) -> Value {
    let iterations = REQUESTS.to_string();
    let file = file(logins, target, conninfo);
    let arguments = ["run", &file, "--vus=4", "--iterations", &iterations, "--warm-up=0s"];
    let ended = logins.stack.home.run(&[&arguments[..], &["--json", "-"]].concat());
    assert_eq!(ended.code, 0, "{cell}: {ended:?}");
    let arm = ended.json()["arms"][0].clone();
    assert_eq!((&arm["errors"], &arm["requests"]), (&json!({}), &json!(REQUESTS)), "{cell}");
    arm
}

/// As the report prints it: how the login went, and the version, or null in the clear.
fn assert_negotiated(cell: &str, arm: &Value, login: &str, is_secured: bool, can_bind: bool) {
    let method = match login {
        "scram" => "scram-sha-256",
        "md5" => "md5",
        // The server knows the client without a question.
        _ => "none",
    };
    assert_eq!(arm["logins"], json!([method]), "{cell}");
    // Postgres' default, and PgBouncer's.
    let iterations = if login == "scram" { json!([4096]) } else { Value::Null };
    assert_eq!(arm["scram_iterations"], iterations, "{cell}");
    assert!(arm["parameters"]["server_version"].is_string(), "{cell}: {arm}");
    let tls = arm["tls"].as_array().expect("a list");
    assert_eq!(tls.len(), 1, "all connections alike: {cell}: {tls:?}");
    // As with libpq, a Unix socket is not secured.
    if login == "peer" || !is_secured {
        assert_eq!(tls[0], Value::Null, "{cell}");
        return;
    }
    assert_eq!(tls[0]["version"], "TLSv1.3", "{cell}: {tls:?}");
    assert_eq!(tls[0]["channel_binding"], login == "scram" && can_bind, "{cell}: {tls:?}");
}

/// What every login works with: a certificate is shown over TLS alone.
fn logins_over(is_secured: bool) -> impl Iterator<Item = &'static str> {
    LOGINS.into_iter().filter(move |login| is_secured || *login != "certified")
}

/// One stack for all of it: it takes long to start.
#[test]
fn every_login_works_in_each_pool_mode_with_tls_on_each_leg() {
    let mut logins = Logins::set_up();
    for is_secured in [true, false] {
        for login in logins_over(is_secured) {
            let cell = format!("{login} at Postgres, secured {is_secured}");
            let arm =
                measure(&logins, &cell, "postgres", &logins.conninfo(login, None, is_secured));
            assert_negotiated(&cell, &arm, login, is_secured, true);
        }
    }
    wrong_certificate(&logins);
    for (number, legs) in LEGS.into_iter().enumerate() {
        logins.secure(legs);
        let name = format!("legs-{number}");
        for mode in POOL_MODES {
            for login in logins_over(legs.client) {
                let cell = format!("{login}, {mode} pooling, {legs:?}");
                let conninfo = logins.conninfo(login, Some(mode), legs.client);
                let before = logins.queries(mode);
                let arm = measure(
                    &logins,
                    &cell,
                    "pooler",
                    &format!("{conninfo} application_name={name}"),
                );
                assert_eq!(logins.queries(mode) - before, REQUESTS, "the pooler's count: {cell}");
                // PgBouncer has no channel binding.
                assert_negotiated(&cell, &arm, login, legs.client, false);
            }
        }
        assert_server_leg(&logins, &name, legs);
    }
}

/// The pooler's connections to Postgres are still open: each login's, and all of them secured or
/// none. In session mode they have given up the name that they are known by.
fn assert_server_leg(logins: &Logins, name: &str, legs: Legs) {
    let Legs { client, server } = legs;
    let mut roles: Vec<_> =
        logins_over(client).map(|login| format!("'{}'", logins.role(login))).collect();
    roles.sort();
    let version = if server { "'TLSv1.3'" } else { "NULL" };
    let sql = format!(
        "DO $$ BEGIN ASSERT (SELECT (array_agg(DISTINCT usename::text ORDER BY usename::text), \
         array_agg(DISTINCT version)) = (ARRAY[{}]::text[], ARRAY[{version}]::text[]) \
         FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
         WHERE client_port > 0 AND application_name = '{name}'); END $$",
        roles.join(", ")
    );
    logins.stack.psql("superuser", "nova", &sql);
}

/// Who has no certificate, or one for another role, is told so in one line.
fn wrong_certificate(logins: &Logins) {
    let conninfo = logins.conninfo("certified", None, true);
    let (without, _) = conninfo.split_once(" sslcert=").expect("a certificate");
    let other = conninfo.replace("user=certified", "user=scram password='wrong'");
    for (conninfo, words) in [
        (without, "connection requires a valid client certificate"),
        (&other, "password authentication failed for user \"scram\""),
    ] {
        let file = file(logins, "postgres", conninfo);
        let ended = logins.stack.home.run(&["run", &file, "--vus", "1", "--iterations", "1"]);
        assert_ne!(ended.code, 0, "{ended:?}");
        let lines = ended.stderr.lines().filter(|line| line.contains("target postgres"));
        let lines: Vec<_> = lines.collect();
        assert!(lines.len() == 1 && lines[0].contains(words), "{ended:?}");
    }
}
