//! What `doctor` sees of a real stack, and of servers that say nothing.

use std::net::TcpListener;

use poolbench_tests::{Ended, Home, Stack};
use serde_json::Value;

/// The levels of the findings called `name`.
fn levels(ended: &Ended, name: &str) -> Vec<String> {
    let report = ended.json();
    let findings = report["findings"].as_array().expect("findings").clone();
    let named = findings.iter().filter(|finding| finding["name"] == name);
    named.map(|finding| finding["level"].as_str().expect("a level").to_owned()).collect()
}

#[test]
fn every_layer_of_a_stack_is_looked_at() {
    let stack = Stack::up(&[]);
    let ended = stack.home.run(&["doctor", "--json", "-"]);
    let report = ended.json();
    for part in [
        "this machine",
        "gateway",
        "gateway-direct",
        "pooler and its console",
        "postgres and its settings",
    ] {
        let looked_at = report["looked_at"].as_array().expect("a list");
        assert!(looked_at.iter().any(|seen| seen == part), "{part}: {ended:?}");
    }
    // What may be found about the machine that the tests run on is its own business.
    for name in [
        "unreachable",
        "not-asked",
        "pool-over-max-connections",
        "tls-differs",
        "auth-differs",
        "offered-load",
        "port-forward",
        "tunnel",
    ] {
        assert_eq!(levels(&ended, name), [""; 0], "{ended:?}");
    }
    let has_problem = report["findings"]
        .as_array()
        .is_some_and(|findings| findings.iter().any(|finding| finding["level"] == "problem"));
    assert_eq!(ended.code, i32::from(has_problem), "{ended:?}");
}

#[test]
fn the_limits_of_a_stack_are_compared_with_the_load() {
    let stack = Stack::small(&["--pool-size", "40"]);
    let doctor = |options: &[&str]| {
        stack.home.run(&[&["doctor", "--duration", "5s", "--json", "-"], options].concat())
    };
    // The gateway has 50 of the 1000 already.
    let ended = doctor(&["--target", "pooler", "--vus", "2000"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(levels(&ended, "max-client-conn"), ["problem"], "{ended:?}");
    assert_eq!(levels(&ended, "nothing-multiplexed"), [""; 0], "{ended:?}");
    let ended = doctor(&["--target", "postgres", "--vus", "300"]);
    assert_eq!(levels(&ended, "max-connections"), ["problem"], "{ended:?}");
    // A pool of 40 for 30 clients.
    for target in ["pooler", "gateway"] {
        let ended = doctor(&["--target", target, "--vus", "30"]);
        assert_eq!(levels(&ended, "nothing-multiplexed"), ["warning"], "{ended:?}");
        assert_eq!(levels(&ended, "max-client-conn"), [""; 0], "{ended:?}");
    }
    let ended = doctor(&["--target", "gateway", "--vus", "50", "--think-time", "500ms,3s"]);
    assert_eq!(levels(&ended, "offered-load"), ["note"], "{ended:?}");
}

#[test]
fn a_rate_that_users_who_think_never_reach_is_a_problem() {
    let home = Home::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "name = \"slow\"\n[targets.gateway]\nurl = \"http://127.0.0.1:{closed}/graphql\"\n\
         [[operations]]\nname = \"getUser\"\ngraphql = \"{{ user(id: 1) {{ id }} }}\"\n\
         [load]\nexecutor = \"constant-vus\"\nvus = 50\nduration = \"5m\"\n\
         think_time = [\"500ms\", \"3s\"]\nexpected_rate = 1000\n"
    );
    let ended = home.run(&["doctor", &home.write("slow.toml", &text)]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let words = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for seen in ["at most 28.6 iterations a second", "expected_rate is 1000", "1750 VUs"] {
        assert!(words.contains(seen), "{seen}: {words}");
    }
    assert!(words.contains("unreachable") && words.contains("refused"), "{words}");
}

#[test]
fn servers_that_accept_and_say_nothing_are_named_and_not_waited_for() {
    let home = Home::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let text = format!(
        "name = \"silent\"\n\
         [targets.pooler]\nconninfo = \"host=127.0.0.1 port={port} user=nova dbname=nova\"\n\
         console = \"host=127.0.0.1 port={port} user=admin dbname=pgbouncer\"\n\
         [targets.postgres]\nconninfo = \"host=127.0.0.1 port={port} user=nova dbname=nova\"\n\
         [[operations]]\nname = \"one\"\nsql = \"SELECT 1\"\n"
    );
    let ended = home.run(&["doctor", &home.write("silent.toml", &text), "--json", "-"]);
    assert_eq!(levels(&ended, "not-asked"), ["warning", "warning"], "{ended:?}");
    assert!(ended.stdout.contains("said nothing"), "{ended:?}");
    drop(silent);
}

#[test]
fn without_a_stack_the_machine_is_looked_at() {
    let ended = Home::new().run(&["doctor", "--json", "-"]);
    let report = ended.json();
    assert_eq!(report["scenario"], Value::Null);
    assert_eq!(report["looked_at"], serde_json::json!(["this machine"]));
    assert_eq!(ended.stderr, "", "{ended:?}");
}

/// The verdicts on a target, as in `SET kept`.
fn isolation(ended: &Ended, target: &str) -> Vec<String> {
    let report = ended.json();
    let targets = report["isolation"].as_array().expect("it was tried");
    let tried = targets.iter().find(|tried| tried["target"] == target).expect("the target");
    let states = tried["states"].as_array().expect("states").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    states.map(|one| format!("{} {}", text(&one["state"]), text(&one["isolation"]))).collect()
}

const STATES: [&str; 4] = ["SET", "temporary tables", "advisory locks", "prepared names"];

#[test]
fn sessions_leak_where_server_connections_pass_between_clients() {
    let stack = Stack::small(&["--pool-size", "2"]);
    let mut console = stack.connect("console");
    for (mode, verdict, level) in [
        ("transaction", "broken", Some("warning")),
        ("session", "kept", None),
        ("statement", "broken", Some("warning")),
    ] {
        console.simple_query(&format!("SET pool_mode = {mode}")).expect("the console obeys");
        let ended = stack.home.run(&["doctor", "--isolation", "--json", "-"]);
        let expected = |verdict: &str| STATES.map(|state| format!("{state} {verdict}"));
        assert_eq!(isolation(&ended, "pooler"), expected(verdict), "{mode}: {ended:?}");
        assert_eq!(isolation(&ended, "postgres"), expected("kept"), "{ended:?}");
        let report = ended.json();
        assert_eq!(report["isolation"][0]["pool_mode"], mode, "{ended:?}");
        for state in report["isolation"][0]["states"].as_array().expect("states") {
            assert_eq!(state["shared"], true, "what is kept was put to the test: {ended:?}");
        }
        let found = level.map(str::to_owned).into_iter().collect::<Vec<_>>();
        assert_eq!(levels(&ended, "isolation-broken"), found, "{mode}: {ended:?}");
        // What the probe left it took away, from the server connections that are open still.
        let left = "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') \
                    + (SELECT count(*) FROM pg_class WHERE relname = 'poolbench_isolation')";
        stack.psql("superuser", "nova", &format!("DO $$ BEGIN ASSERT ({left}) = 0; END $$"));
    }
    let ended = stack.home.run(&["doctor", "--json", "-"]);
    assert_eq!(ended.json()["isolation"], Value::Null, "only where it is asked for: {ended:?}");
}

#[test]
fn clients_that_call_themselves_differently_and_processes_that_share_a_port_are_warned_of() {
    let stack = Stack::small(&["--poolers", "2"]);
    let ended = stack.home.run(&["doctor", "--json", "-"]);
    assert_eq!(levels(&ended, "application-names-differ"), [""; 0], "{ended:?}");
    assert_eq!(levels(&ended, "several-processes"), ["warning"], "{ended:?}");
    let pooler = stack.target("pooler").replace("application_name=nova", "application_name=other");
    assert!(pooler.contains("application_name=other"));
    let text = format!(
        "name = \"names\"\n[targets.pooler]\nconninfo = \"{pooler}\"\nconsole = \"{}\"\n\
         [targets.gateway]\nurl = \"{}\"\n[[operations]]\nname = \"one\"\n\
         sql = \"SELECT 1\"\ngraphql = \"{{ user(id: 1) {{ id }} }}\"\n",
        stack.target("console"),
        stack.target("gateway_pooled"),
    );
    // The gateway's connections are dealt out among the processes: each has some.
    let ended = stack.home.run(&["doctor", &stack.home.write("names.toml", &text), "--json", "-"]);
    let found = levels(&ended, "application-names-differ");
    assert_eq!(found, ["warning"], "{ended:?}");
    assert!(ended.stdout.contains(r#"\"nova\", \"other\""#), "{ended:?}");
}
