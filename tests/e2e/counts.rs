//! What we count is what the servers counted.

use std::time::{Duration, Instant};

use poolbench_tests::Stack;
use serde_json::Value;

/// A backend that stays connected reports its transactions up to 10 s late.
const STATISTICS_DELAY: Duration = Duration::from_secs(20);

fn transactions(stack: &Stack) -> i64 {
    let query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'nova'";
    // The superuser's connection is to another database, and so not counted.
    stack.connect("superuser").query_one(query, &[]).expect("statistics").get(0)
}

/// Transactions of the database once they are those expected, or after the longest delay.
fn settled_transactions(stack: &Stack, expected: i64) -> i64 {
    let deadline = Instant::now() + STATISTICS_DELAY;
    loop {
        let seen = transactions(stack);
        if seen >= expected || Instant::now() > deadline {
            return seen;
        }
        std::thread::yield_now();
    }
}

fn arm<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let arms = summary["arms"].as_array().expect("arms");
    arms.iter().find(|arm| arm["name"] == name).expect("the arm")
}

fn completed(summary: &Value, name: &str) -> u64 {
    arm(summary, name)["completed"].as_u64().expect("a number")
}

/// Runs `layers` with a scenario and compares every count.
fn assert_counts_agree(stack: &Stack, scenario: &str) -> Value {
    let requests = |target| stack.gateway_counter(target, "nova_graphql_requests_total");
    // What the stack's own set-up did must have been reported before.
    let mut before = transactions(stack);
    loop {
        let deadline = Instant::now() + Duration::from_secs(3);
        let again = settled_transactions(stack, before + 1);
        if again == before && Instant::now() >= deadline {
            break;
        }
        before = again;
    }
    let (pooled_before, direct_before) = (requests("gateway_pooled"), requests("gateway_direct"));

    let file = stack.home.write("scenario.toml", scenario);
    let arguments = ["layers", &file, "--duration", "3s", "--rate", "400", "--json", "-"];
    let ended = stack.home.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.json();

    let arms = ["gateway+pooler", "gateway+direct", "pooler", "direct"];
    let [pooled, gateway_direct, pooler, direct] = arms.map(|name| completed(&summary, name));
    for name in arms {
        assert!(completed(&summary, name) > 400, "{name} had its load");
        assert_eq!(arm(&summary, name)["wrong_replies"], 0);
        assert_eq!(arm(&summary, name)["unserved"], 0, "{name}");
    }
    // The first gateway was asked for a token, which is one statement more.
    let login = 1;
    assert_eq!(requests("gateway_pooled") - pooled_before, pooled + login);
    assert_eq!(requests("gateway_direct") - direct_before, gateway_direct);
    assert_eq!(summary["counts"]["completed_through_pooler"], pooled + pooler);
    assert_eq!(summary["counts"]["pooler_queries"], pooled + pooler);
    // The observer looks once after each block.
    let blocks: u64 = arms.iter().map(|name| arm(&summary, name)["blocks"].as_u64().unwrap()).sum();
    let versions = 1;
    let all = pooled + gateway_direct + pooler + direct + login + blocks + versions;
    let expected = before + i64::try_from(all).unwrap();
    assert_eq!(settled_transactions(stack, expected), expected);
    summary
}

fn scenario(stack: &Stack, operations: &str) -> String {
    let target = |name| stack.target(name);
    format!(
        r#"
name = "counts"
[targets.gateway]
url = "{}"
[targets.gateway-direct]
url = "{}"
[targets.pooler]
conninfo = "{}"
console = "{}"
[targets.postgres]
conninfo = "{}"
observer = "{}"
[auth.login]
query = "mutation Login($username: String!, $password: String!) {{ login(username: $username, password: $password) {{ token }} }}"
variables = {{ username = "user1", password = "nova" }}
token = "data.login.token"
{operations}
"#,
        target("gateway_pooled"),
        target("gateway_direct"),
        target("pooler"),
        target("console"),
        target("postgres"),
        target("observer"),
    )
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
    let stack = Stack::up(&[]);
    let summary = assert_counts_agree(&stack, &scenario(&stack, &user("1", "1", "10000")));
    for arm in summary["arms"].as_array().unwrap() {
        assert_eq!(arm["errors"], serde_json::json!({}), "{arm}");
    }
}

#[test]
fn counts_agree_with_users_that_do_not_exist_and_with_sql_errors() {
    let stack = Stack::up(&[]);
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
        user("80", "1", "10000"),
        user("10", "99000000", "99999999").replace("getUser", "getNobody"),
        create.to_owned(),
    ];
    let summary = assert_counts_agree(&stack, &scenario(&stack, &operations.concat()));
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
