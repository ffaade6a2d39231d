//! Connections that are opened for one query each: what we count is what the servers counted.

use std::time::{Duration, Instant};

use poolbench_tests::{Ended, Stack};
use serde_json::Value;

fn arm<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let arms = summary["arms"].as_array().expect("arms");
    arms.iter().find(|arm| arm["name"] == name).expect("the arm")
}

fn number(arm: &Value, key: &str) -> u64 {
    arm[key].as_u64().unwrap_or_else(|| panic!("{key} is a number: {arm}"))
}

fn summary(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

/// Sessions that Postgres has seen the end of, once they are those expected or a long time is over:
/// a backend reports when it ends.
fn sessions(stack: &Stack, expected: i64) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(12);
    let query = "SELECT sessions FROM pg_stat_database WHERE datname = 'nova'";
    // The superuser's connection is to another database, and so not counted.
    let mut client = stack.connect("superuser");
    loop {
        let seen = client.query_one(query, &[]).expect("statistics").get(0);
        if seen >= expected || Instant::now() > deadline {
            return seen;
        }
        std::thread::yield_now();
    }
}

/// One worker opens one connection before the start.
const BEFOREHAND: u64 = 1;

#[test]
fn every_connection_is_one_session_and_one_query_of_each_layer() {
    let stack = Stack::up(&[]);
    let requests = |target| stack.gateway_counter(target, "nova_graphql_requests_total");
    let requests_before = [requests("gateway_pooled"), requests("gateway_direct")];
    let sessions_before = sessions(&stack, i64::MAX);
    let ended = stack.home.run(&[
        "churn",
        "--rate=100",
        "--duration=1s",
        "--workers=1",
        "--operation=getUser",
        "--json=-",
    ]);
    let summary = summary(&ended);
    let names: Vec<_> =
        summary["arms"].as_array().unwrap().iter().map(|arm| &arm["name"]).collect();
    assert_eq!(names, ["gateway+pooler", "gateway+direct", "pooler", "direct"]);
    for arm in summary["arms"].as_array().unwrap() {
        assert_eq!(arm["errors"], serde_json::json!({}), "{arm}");
        assert_eq!((number(arm, "requests"), number(arm, "refused")), (100, 0), "{arm}");
        let is_http = arm["name"].as_str().unwrap().starts_with("gateway");
        for (key, count) in [
            ("connect_ns", 100),
            ("login_ns", if is_http { 0 } else { 100 }),
            ("open_ns", 100),
            ("first_query_ns", 100),
            ("response_ns", 100),
        ] {
            assert_eq!(number(&arm[key], "count"), count, "{key}: {arm}");
        }
        // The parts are no longer than the whole.
        let longest = |key: &str| number(&arm[key], "max");
        for part in ["connect_ns", "open_ns", "first_query_ns"] {
            assert!(longest(part) <= longest("service_ns"), "{part}: {arm}");
        }
    }
    let gateways = ["gateway+pooler", "gateway+direct"].map(|name| arm(&summary, name));
    let [pooled, direct] = gateways.map(|arm| number(arm, "completed"));
    // The gateway is asked for a token, which is one request more.
    let counted = [requests("gateway_pooled"), requests("gateway_direct")];
    assert_eq!(counted[0] - requests_before[0], pooled + 1);
    assert_eq!(counted[1] - requests_before[1], direct);

    let direct = number(arm(&summary, "direct"), "completed") + BEFOREHAND;
    let least = sessions_before + direct as i64;
    let seen = sessions(&stack, least);
    // What PgBouncer opened for its pool in the meantime are sessions too, and an observer for each arm.
    let servers = stack.connect("console").simple_query("SHOW SERVERS").expect("it answers").len();
    let most = least + (servers + names.len()) as i64;
    assert!((least..=most).contains(&seen), "{least} <= {seen} <= {most}");
    // One second is one row of the series, with the servers beside it.
    for arm in summary["arms"].as_array().unwrap() {
        let series = arm["series"].as_array().expect("a series");
        let requests = series.iter().map(|second| number(second, "requests")).sum::<u64>();
        assert_eq!(requests, 100, "{arm}");
        assert!(series[0]["servers"].get("postgres").is_some(), "{arm}");
        // On a busy machine there is one.
        assert!(arm.get("limiter").is_some(), "{arm}");
    }
}

#[test]
fn a_server_without_room_refuses_connections_and_the_load_goes_on() {
    let stack = Stack::small(&[]);
    let scenario = stack.home.write(
        "scenario.toml",
        &format!(
            "name = \"full\"\n[targets.postgres]\nconninfo = \"{}\"\n\
             [[operations]]\nname = \"sleep\"\nsql = \"SELECT pg_sleep(0.5)\"\n",
            stack.target("postgres")
        ),
    );
    let limit: i64 = {
        let mut client = stack.connect("superuser");
        let row = client.query_one("SHOW max_connections", &[]).expect("a setting");
        row.get::<_, String>(0).parse().expect("a number")
    };
    let clients = limit as u64 + 50;
    let ended = stack.home.run(&[
        "churn",
        &scenario,
        &format!("--vus={clients}"),
        "--duration=2s",
        "--warm-up=0s",
        "--json=-",
    ]);
    let summary = ended.json();
    let arm = arm(&summary, "direct");
    let capacity = number(&arm["errors"], "capacity");
    assert!(capacity > 0, "{arm}");
    let words = arm["first_errors"]["capacity"].as_str().expect("the server's words");
    assert!(words.contains("53300"), "{words}");
    let good = number(&arm["first_query_ns"], "count");
    assert!(good >= limit as u64 / 2, "those that had room went on: {arm}");
    assert_eq!(number(arm, "requests"), good + capacity, "each has one outcome: {arm}");
    assert_eq!(number(&arm["connect_ns"], "count"), number(arm, "requests"), "{arm}");
    assert_eq!(number(&arm["open_ns"], "count"), good, "{arm}");
}

#[test]
fn what_cannot_be_churned_is_refused_with_the_contracts_exit_codes() {
    let stack = Stack::small(&[]);
    let ended = stack.home.run(&["churn", "--target", "nowhere"]);
    assert_eq!(ended.code, 104, "{ended:?}");
    assert!(ended.stderr.contains("there is no target nowhere"), "{ended:?}");
    let ended = stack.home.run(&["churn", "--rate=0"]);
    assert_eq!(ended.code, 104, "{ended:?}");
    let scenario = stack.home.write(
        "closed.toml",
        "name = \"closed\"\n[targets.postgres]\n\
         conninfo = \"host=127.0.0.1 port=1 dbname=nova user=nova\"\n\
         [[operations]]\nname = \"one\"\nsql = \"SELECT 1\"\n",
    );
    let ended = stack.home.run(&["churn", &scenario]);
    assert_eq!(ended.code, 104, "{ended:?}");
    assert!(ended.stderr.contains("target postgres (127.0.0.1:1)"), "{ended:?}");
}
