//! What is told of servers that can't be seen, or not in whole.

use std::process::Stdio;
use std::thread;

use poolbench_tests::{Ended, Stack};
use postgres::SimpleQueryMessage;
use serde_json::Value;

/// An operation that both ways have, looked at by a role without any privileges.
fn scenario(stack: &Stack) -> String {
    let observer = stack.place("postgres");
    let text = format!(
        "name = \"observers\"\n\
         [targets.pooler]\nconninfo = \"${{NOVA_POOLER}}\"\nconsole = \"{}\"\nbackends = \"nova\"\n\
         [targets.postgres]\nconninfo = \"${{NOVA_POSTGRES}}\"\nbackends = \"nova-direct\"\n\
         observer = \"host=127.0.0.1 port={} dbname=nova user=plain password=plain sslmode=disable\"\n\
         [[operations]]\nname = \"one\"\nsql = \"SELECT 1\"\n",
        stack.target("console"),
        observer.port,
    );
    stack.home.write("observers.toml", &text)
}

fn reasons(summary: &Value) -> Vec<&str> {
    let reasons = summary["reasons"].as_array().expect("reasons");
    reasons.iter().filter_map(Value::as_str).collect()
}

/// Queries that the pooler has counted.
fn queries(console: &mut postgres::Client) -> u64 {
    let rows = console.simple_query("SHOW STATS").expect("the console answers");
    let count = |message| match message {
        SimpleQueryMessage::Row(row) if row.get("database") == Some("nova") => {
            row.get("total_query_count")?.parse::<u64>().ok()
        }
        _ => None,
    };
    rows.into_iter().find_map(count).unwrap_or_default()
}

#[test]
fn what_goes_away_or_is_hidden_or_shows_one_process_of_several_is_unknown_and_told() {
    let stack = Stack::small(&[]);
    let mut superuser = stack.connect("superuser");
    superuser.batch_execute("CREATE ROLE plain LOGIN PASSWORD 'plain'").expect("it may");
    let file = scenario(&stack);
    let mut pooler = run_without_pooler(&stack, &file);
    // The remedy that the run has told.
    superuser.batch_execute("GRANT pg_read_all_stats TO plain").expect("it may");
    let ini = stack.home.stacks()[0].join("run/pgbouncer.ini");
    let text = std::fs::read_to_string(&ini).expect("the pooler's configuration");
    let several = text.replace("so_reuseport = 0", "so_reuseport = 1");
    assert_ne!(several, text);
    std::fs::write(&ini, several).expect("the pooler's configuration");
    let port = stack.place("pooler").port;
    let ended = thread::spawn(move || pooler.status());
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(!ended.is_finished(), "it starts again");
        thread::yield_now();
    }
    compare_one_of_several(&stack, &file);
}

/// The pooler is stopped on the way. What it takes to start it again.
fn run_without_pooler(stack: &Stack, file: &str) -> std::process::Command {
    let mut console = stack.connect("console");
    let before = queries(&mut console);
    let load = ["run", file, "--target=pooler", "--rate=200", "--connections=4", "--warm-up=0s"];
    let mut run = stack.home.command(&[&load[..], &["--duration=4s", "--json=-"]].concat());
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // As many are due after a second and a half: after the first look, and well before the end.
    while queries(&mut console) < before + 300 {
        thread::yield_now();
    }
    let pooler = stack.stop("pgbouncer", "KILL");
    let ended = Ended::from(run.wait_with_output().expect("it ends"));
    let summary = ended.json();
    let series = summary["series"].as_array().expect("seconds");
    assert!(series.len() >= 4, "it went on: {ended:?}");
    let seen: Vec<_> = series.iter().map(|second| &second["poolers"]["pooler"]).collect();
    let gap = seen.iter().position(|pooler| pooler.is_null()).expect("it is not seen any more");
    assert!(gap > 0 && seen[gap..].iter().all(|pooler| pooler.is_null()), "{seen:?}");
    assert!(seen[0]["clients"].as_u64() > Some(0), "{seen:?}");
    assert!(series[gap..].iter().any(|second| !second["machine"].is_null()), "others go on");
    let reasons = reasons(&summary);
    assert!(reasons.iter().any(|reason| reason.contains("looks at it are missing")), "{reasons:?}");
    // The observer's role sees neither the pool's backends nor what they do.
    let servers = series.iter().map(|second| &second["servers"]["postgres"]);
    for server in servers.filter(|server| !server.is_null()) {
        let hidden = ["connections", "states", "waits"].map(|figure| server[figure].is_null());
        assert_eq!((hidden, &server["connections_max"]), ([true; 3], &200.into()), "{server}");
    }
    assert!(summary["arms"][0]["backend_connections"].is_null(), "{}", summary["arms"]);
    let told = reasons.iter().filter(|reason| reason.contains("GRANT pg_read_all_stats TO plain"));
    assert_eq!(told.count(), 1, "{reasons:?}");
    pooler
}

/// Its port is one that several processes may share, and one console is listed.
fn compare_one_of_several(stack: &Stack, file: &str) {
    let load =
        ["layers", file, "--rate=200", "--connections=4", "--block=300ms", "--duration=1300ms"];
    let ended = stack.home.run(&[&load[..], &["--json=-"]].concat());
    assert!(ended.stderr.contains("nothing is counted there"), "{ended:?}");
    let summary = ended.json();
    for nothing in ["pool", "accounting", "amplification"] {
        assert_eq!(summary[nothing], Value::Array(Vec::new()), "{nothing}");
    }
    assert_eq!((&summary["counts"], &summary["assignments"]), (&Value::Null, &"unknown".into()));
    for arm in summary["arms"].as_array().expect("arms") {
        assert!(arm["backend_connections"]["mean"].as_f64() > Some(0.0), "{arm}");
    }
    let reasons = reasons(&summary);
    assert!(!reasons.iter().any(|reason| reason.contains("hidden")), "{reasons:?}");
}
