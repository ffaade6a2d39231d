//! What we count is what the servers counted.

use poolbench_tests::Stack;
use postgres::SimpleQueryMessage;
use serde_json::Value;

/// Transactions of the database, without the one in which each session begins. A backend that stays
/// connected reports its last ones up to 10 s late (PGSTAT_IDLE_INTERVAL), and one that ends at once:
/// all are ended. The gateways and the pooler open others when they need them.
fn transactions(stack: &Stack) -> i64 {
    // The superuser's connection is to another database, and so not counted.
    let mut superuser = stack.connect("superuser");
    let backends = "FROM pg_stat_activity \
                    WHERE datname = 'nova' AND backend_type = 'client backend'";
    let pids = superuser.query_one(&format!("SELECT array_agg(pid) {backends}"), &[]);
    let pids: Option<Vec<i32>> = pids.expect("a superuser may").get(0);
    let pids = pids.unwrap_or_default();
    // One that has gone by itself meanwhile can't be ended: what counts is that none is left.
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM unnest($1::int4[]) AS pid";
    superuser.query(end, &[&pids]).expect("a superuser may");
    let left =
        superuser.query_one(&format!("SELECT count(*) {backends} AND pid = ANY($1)"), &[&pids]);
    assert_eq!(
        left.expect("a superuser may").get::<_, i64>(0),
        0,
        "backends did not end within 10 s"
    );
    let query = "SELECT xact_commit + xact_rollback - sessions FROM pg_stat_database \
                 WHERE datname = 'nova'";
    superuser.query_one(query, &[]).expect("statistics").get(0)
}

/// Server connections that PgBouncer holds.
fn servers(stack: &Stack) -> i64 {
    let rows = stack.connect("console").simple_query("SHOW SERVERS").expect("the console answers");
    let is_row = |message: &&SimpleQueryMessage| matches!(message, SimpleQueryMessage::Row(_));
    rows.iter().filter(is_row).count() as i64
}

fn arm<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let arms = summary["arms"].as_array().expect("arms");
    arms.iter().find(|arm| arm["name"] == name).expect("the arm")
}

fn completed(summary: &Value, name: &str) -> u64 {
    arm(summary, name)["completed"].as_u64().expect("a number")
}

fn layers(stack: &Stack, scenario: &str) -> Value {
    let file = stack.home.write("scenario.toml", scenario);
    let arguments = ["layers", &file, "--duration", "3s", "--rate", "400", "--json", "-"];
    let ended = stack.home.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.json();
    for arm in summary["arms"].as_array().expect("arms") {
        assert!(arm["completed"].as_u64() > Some(400), "it had its load: {arm}");
        assert_eq!(arm["wrong_replies"], 0, "{arm}");
        assert_eq!(arm["unserved"], 0, "{arm}");
    }
    summary
}

/// Before its first look an observer asks for each of five views, and for the version.
const LEARNING: u64 = 6;

/// What was looked at in some of the blocks.
fn observer_queries(summary: &Value) -> u64 {
    let sources = summary["observers"]["sources"].as_array().expect("sources");
    let server = sources.iter().find(|source| source["name"] == "postgres").expect("the server");
    LEARNING + server["looks"].as_u64().expect("a number")
}

/// The first gateway is asked for a token, which is one request and one statement more.
const LOGIN: u64 = 1;

/// A session without the pool, and one with it, is asked for its settings and its TLS.
const SESSION: u64 = 2;

/// And one for the TLS of the gateway that asks Postgres itself.
const GATEWAYS: u64 = 1;

/// Runs `layers` with these operations and compares every count.
fn assert_counts_agree(stack: &Stack, operations: &str) -> Value {
    let before = transactions(stack);
    let direct = layers(stack, &scenario(&direct_targets(stack), operations));
    let sent = completed(&direct, "gateway+direct") + completed(&direct, "direct");
    let expected = before + (sent + LOGIN + SESSION + GATEWAYS + observer_queries(&direct)) as i64;
    let before = transactions(stack);
    assert_eq!(before, expected, "pg_stat_database");

    let requests = |target| stack.gateway_counter(target, "nova_graphql_requests_total");
    let (pooled_before, direct_before) = (requests("gateway_pooled"), requests("gateway_direct"));
    let targets = pooled_targets(stack) + &direct_targets(stack);
    let all = layers(stack, &scenario(&targets, operations));
    let arms = ["gateway+pooler", "gateway+direct", "pooler", "direct"];
    let [pooled, gateway_direct, pooler, direct] = arms.map(|name| completed(&all, name));
    assert_eq!(requests("gateway_pooled") - pooled_before, pooled + LOGIN);
    assert_eq!(requests("gateway_direct") - direct_before, gateway_direct);
    assert_eq!(all["counts"]["completed_through_pooler"], pooled + pooler);
    assert_eq!(all["counts"]["pooler_queries"], pooled + pooler);
    // Two things PgBouncer does by itself and does not count among its queries: it sets the clients'
    // application_name on each server connection that it uses for the first time, and asks one that
    // was idle for 30 s whether it still lives (server_check_delay).
    let sent = pooled
        + gateway_direct
        + pooler
        + direct
        + LOGIN
        + 2 * SESSION
        + GATEWAYS
        + observer_queries(&all);
    let least = before + sent as i64;
    let most = least + servers(stack);
    let seen = transactions(stack);
    assert!((least..=most).contains(&seen), "pg_stat_database: {least} <= {seen} <= {most}");
    all
}

fn pooled_targets(stack: &Stack) -> String {
    format!(
        "[targets.gateway]\nurl = \"{}\"\n\
         [targets.pooler]\nconninfo = \"{}\"\nconsole = \"{}\"\n",
        stack.target("gateway_pooled"),
        stack.target("pooler"),
        stack.target("console"),
    )
}

fn direct_targets(stack: &Stack) -> String {
    format!(
        "[targets.gateway-direct]\nurl = \"{}\"\n\
         [targets.postgres]\nconninfo = \"{}\"\nobserver = \"{}\"\n",
        stack.target("gateway_direct"),
        stack.target("postgres"),
        stack.target("observer"),
    )
}

fn scenario(targets: &str, operations: &str) -> String {
    let login = r#"
[auth.login]
query = "mutation Login($username: String!, $password: String!) { login(username: $username, password: $password) { token } }"
variables = { username = "user1", password = "nova" }
token = "data.login.token"
"#;
    format!("name = \"counts\"\n{targets}{login}{operations}")
}

const USER: &str = r#"
[[operations]]
name = "getUser"
weight = WEIGHT
graphql = "query GetUser($id: ID!) { user(id: $id) { id username } }"
variables = { id = { uniform = [FIRST, LAST] } }
sql = "SELECT u.id, u.username FROM users u WHERE u.id = $1"
params = ["id:int8"]
expect = { id = "data.user.id" }
"#;

fn user(weight: &str, first: &str, last: &str) -> String {
    USER.replace("WEIGHT", weight).replace("FIRST", first).replace("LAST", last)
}

#[test]
fn counts_agree_without_errors() {
    let stack = Stack::small(&[]);
    let summary = assert_counts_agree(&stack, &user("1", "1", "100"));
    for arm in summary["arms"].as_array().unwrap() {
        assert_eq!(arm["errors"], serde_json::json!({}), "{arm}");
    }
}

#[test]
fn counts_agree_with_users_that_do_not_exist_and_with_sql_errors() {
    let stack = Stack::small(&[]);
    // A zero byte is valid in JSON and in the protocol, and an error in Postgres.
    let create = r#"
[[operations]]
name = "createContent"
weight = 10
graphql = "mutation CreateContent($input: CreateContentInput!) { createContent(input: $input) { id } }"
variables = { input = { title = "zero \u0000 byte", body = "text" } }
sql_variables = { author = 1 }
sql = "INSERT INTO contents (author_id, title, body) VALUES ($1, $2, $3) RETURNING id"
params = ["author:int8", "input.title:text", "input.body:text"]
"#;
    let operations = [
        user("80", "1", "100"),
        user("10", "99000000", "99999999").replace("getUser", "getNobody"),
        create.to_owned(),
    ];
    let summary = assert_counts_agree(&stack, &operations.concat());
    for (name, nobody, sql) in [
        ("gateway+pooler", "graphql_error", "graphql_error"),
        ("gateway+direct", "graphql_error", "graphql_error"),
        ("pooler", "empty_reply", "sql"),
        ("direct", "empty_reply", "sql"),
    ] {
        let operations = &arm(&summary, name)["operations"];
        let all = |operation: &str, class: &str| {
            let operation = &operations[operation];
            assert!(operation["requests"].as_u64().unwrap() > 0, "{name}");
            assert_eq!(operation["errors"][class], operation["requests"], "{name} {operation}");
        };
        all("getNobody", nobody);
        all("createContent", sql);
        assert_eq!(operations["getUser"]["errors"], serde_json::json!({}));
    }
}

/// Each process counts what came to it.
#[test]
fn counts_agree_over_several_processes_behind_one_port() {
    let stack = Stack::up(&["--poolers", "2"]);
    let arguments = ["layers", "--duration=3s", "--rate=200", "--json=-"];
    let ended = stack.home.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.json();
    let through = completed(&summary, "gateway+pooler") + completed(&summary, "pooler");
    assert!(through > 100, "{summary}");
    assert_eq!(summary["counts"]["completed_through_pooler"], through, "{summary}");
    assert_eq!(summary["counts"]["pooler_queries"], through, "{summary}");
    // Their CPU is counted together too.
    assert!(arm(&summary, "pooler")["cpu_ns_per_request"]["pooler"].as_f64() > Some(0.0));
}
