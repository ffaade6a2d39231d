//! What connections ask for at their start: the same for all of them, unless it is asked for
//! otherwise.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use poolbench_tests::session::{Client, Place};
use poolbench_tests::{Ended, Stack};
use postgres::SimpleQueryMessage;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Runs `sql` on a target that is called so and lies there.
fn run(stack: &Stack, target: &str, conninfo: &str, sql: &str) -> Ended {
    let text = format!(
        "name = \"parameters\"\n[targets.{target}]\nconninfo = \"{conninfo}\"\n\
         [[operations]]\nname = \"one\"\nsql = \"{sql}\"\n"
    );
    let file = stack.home.write("scenario.toml", &text);
    let arguments = ["run", &file, "--vus=8", "--iterations=300", "--warm-up=0s", "--json=-"];
    stack.home.run(&arguments)
}

fn assert_all_well(ended: &Ended) {
    assert_eq!(ended.code, 0, "{ended:?}");
    let arm = &ended.json()["arms"][0];
    assert_eq!((&arm["errors"], &arm["requests"]), (&json!({}), &json!(300)), "{arm}");
}

/// Queries that the pooler has counted.
fn queries(stack: &Stack) -> u64 {
    let rows = stack.connect("console").simple_query("SHOW STATS_TOTALS").expect("it answers");
    let count = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) if row.get("database") == Some("nova") => {
            row.get("query_count")?.parse().ok()
        }
        _ => None,
    });
    count.expect("a row for the database")
}

/// SETs that have come to Postgres, by its log.
fn sets(stack: &Stack) -> usize {
    let log = stack.home.stacks()[0].join("postgres.log");
    let text = std::fs::read_to_string(log).expect("a log");
    text.matches("statement: SET ").count()
}

#[test]
fn a_set_comes_where_clients_differ_and_not_where_they_are_alike() {
    let stack = Stack::small(&["--pool-size", "1"]);
    stack.psql("superuser", "nova", "ALTER SYSTEM SET log_statement = 'all'");
    stack.psql("superuser", "nova", "SELECT pg_reload_conf()");
    // The first one makes the server connection the clients' own.
    assert_all_well(&run(&stack, "pooler", stack.target("pooler"), "SELECT 1"));
    let (queries_before, sets_before) = (queries(&stack), sets(&stack));
    assert_all_well(&run(&stack, "pooler", stack.target("pooler"), "SELECT 1"));
    assert_eq!(queries(&stack) - queries_before, 300, "ours, and no others");
    assert_eq!(sets(&stack), sets_before);

    // One is called poolbench.
    let place: &Place = &stack.place("pooler");
    let mut one = Client::open(place).unwrap_or_else(|failed| panic!("{failed:?}"));
    let mut other = postgres::Config::new();
    other.host("127.0.0.1").port(place.port).user(&place.user).dbname(&place.database);
    other.password(&place.password).application_name("other");
    let mut other = other.connect(postgres::NoTls).expect("the stack is up");
    let (queries_before, sets_before) = (queries(&stack), sets(&stack));
    for _ in 0..10 {
        one.sql("SELECT 1").expect("it works");
        other.simple_query("SELECT 1").expect("it works");
    }
    assert!(sets(&stack) - sets_before >= 19, "one at each hand-over");
    assert_eq!(queries(&stack) - queries_before, 20, "and none of them is counted");
}

#[test]
fn options_are_sent_as_asked_for_and_named_where_the_pooler_refuses_them() {
    let stack = Stack::small(&[]);
    let tokyo = |conninfo: &str| format!("{conninfo} options='-c TimeZone=Asia/Tokyo'");
    let sql = "SELECT 1 / (current_setting('TimeZone') = 'Asia/Tokyo')::int";
    let ended = run(&stack, "postgres", &tokyo(stack.target("postgres")), sql);
    assert_all_well(&ended);
    assert!(ended.stderr.contains("options=-c TimeZone=Asia/Tokyo: sent"), "{ended:?}");
    let ended = run(&stack, "pooler", &tokyo(stack.target("pooler")), sql);
    assert_eq!(ended.code, 104, "{ended:?}");
    assert!(ended.stderr.contains("unsupported startup parameter: options"), "{ended:?}");
}

#[test]
fn arms_whose_sessions_begin_with_other_settings_are_suspect_and_equal_ones_are_not() {
    let stack = Stack::small(&[]);
    // The stack that is up fills in what -e does not.
    let text = "name = \"parameters\"\n[targets.pooler]\nconninfo = \"${NOVA_POOLER}\"\n\
                [targets.postgres]\nconninfo = \"${NOVA_POSTGRES} ${OPTIONS}\"\n\
                [[operations]]\nname = \"one\"\nsql = \"SELECT 1\"\n";
    let file = stack.home.write("layers.toml", text);
    let reasons = |options: &str| {
        let options = format!("OPTIONS={options}");
        let arguments =
            ["layers", &file, "--duration=2s", "--rate=100", "--json=-", "-e", &options];
        let ended = stack.home.run(&arguments);
        assert_eq!(ended.code, 0, "{ended:?}");
        let summary = ended.json();
        let reasons = summary["reasons"].as_array().expect("reasons");
        let reasons = reasons.iter().map(|reason| reason.as_str().expect("a sentence").to_owned());
        reasons.filter(|reason| reason.contains("settings")).collect::<Vec<_>>()
    };
    assert_eq!(reasons(""), [] as [&str; 0]);
    let told = reasons("options='-c TimeZone=Asia/Tokyo'");
    let words = "sessions of pooler and direct begin with other settings (TimeZone ";
    assert!(told.len() == 1 && told[0].starts_with(words), "{told:?}");
    assert!(told[0].contains(" and Asia/Tokyo)"), "both values: {told:?}");
}

/// What Postgres keeps of a password (RFC 5802, section 3; RFC 5803 for SCRAM-SHA-256's form).
fn verifier(password: &str, iterations: u32) -> String {
    let salt = b"salt of a test";
    let mac = |key: &[u8], text: &[&[u8]]| -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
        text.iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().into()
    };
    let mut round = mac(password.as_bytes(), &[salt, &1u32.to_be_bytes()]);
    let mut salted = round;
    for _ in 1..iterations {
        round = mac(password.as_bytes(), &[&round]);
        salted.iter_mut().zip(round).for_each(|(byte, other)| *byte ^= other);
    }
    let stored_key = Sha256::digest(mac(&salted, &[b"Client Key"]));
    let server_key = mac(&salted, &[b"Server Key"]);
    let [salt, stored_key, server_key] =
        [&salt[..], &stored_key, &server_key].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${iterations}:{salt}${stored_key}:{server_key}")
}

#[test]
fn arms_whose_logins_hash_more_often_are_told() {
    let stack = Stack::small(&[]);
    let kept = verifier("secret", 10_000);
    stack.psql("superuser", "nova", &format!("CREATE ROLE often LOGIN PASSWORD '{kept}'"));
    let port = stack.place("postgres").port;
    let text = format!(
        "name = \"logins\"\n[targets.pooler]\nconninfo = \"{}\"\n\
         [targets.postgres]\nconninfo = \"host=127.0.0.1 port={port} dbname=nova user=often \
         password=secret sslmode=disable\"\n\
         [[operations]]\nname = \"one\"\nsql = \"SELECT 1\"\n",
        stack.target("pooler"),
    );
    let file = stack.home.write("logins.toml", &text);
    let ended = stack.home.run(&["layers", &file, "--duration=2s", "--rate=100", "--json=-"]);
    let summary = ended.json();
    let arms = summary["arms"].as_array().expect("arms").iter();
    let iterations: Vec<_> = arms.map(|arm| &arm["scram_iterations"]).collect();
    assert_eq!(iterations, [&json!([4096]), &json!([10_000])], "{summary}");
    let words = "they log in differently (pooler scram-sha-256 with 4096 iterations, \
                 direct scram-sha-256 with 10000 iterations)";
    let reasons = summary["reasons"].as_array().expect("reasons");
    let reasons: Vec<_> = reasons.iter().filter_map(serde_json::Value::as_str).collect();
    assert!(reasons.iter().any(|reason| reason.starts_with(words)), "{reasons:?}");
}
