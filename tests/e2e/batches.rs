//! Requests of several statements, COPY, notices and LISTEN, through Postgres and the pooler.

use poolbench_tests::{Ended, Stack};
use serde_json::{Value, json};

/// A scenario with these operations; `protocol` goes for both targets.
fn scenario(stack: &Stack, protocol: &str, operations: &str) -> String {
    format!(
        "name = \"batches\"\n\
         [targets.postgres]\nconninfo = \"{}\"\nprotocol = \"{protocol}\"\n\
         [targets.pooler]\nconninfo = \"{}\"\nconsole = \"{}\"\nprotocol = \"{protocol}\"\n\
         {operations}",
        stack.target("postgres"),
        stack.target("pooler"),
        stack.target("console"),
    )
}

/// Runs 100 iterations of it on a target, without a warm-up; `None` where nothing was measured.
fn run(stack: &Stack, target: &str, scenario: &str) -> (Ended, Option<Value>) {
    let load = "[load]\nexecutor = \"shared-iterations\"\nvus = 3\niterations = 100\n";
    let file = stack.home.write("batches.toml", &format!("{scenario}{load}"));
    let json = stack.home.path().join("summary.json").display().to_string();
    let _ = std::fs::remove_file(&json);
    let ended =
        stack.home.run(&["run", &file, "--target", target, "--warm-up", "0s", "--json", &json]);
    let summary = std::fs::read(json).ok();
    (ended, summary.map(|summary| serde_json::from_slice(&summary).expect("JSON")))
}

/// The only arm of a run that ended with `code`.
fn arm((ended, summary): &(Ended, Option<Value>), code: i32) -> Value {
    assert_eq!(ended.code, code, "{ended:?}");
    summary.as_ref().expect("a summary")["arms"][0].clone()
}

fn requests(arm: &Value, operation: &str) -> u64 {
    arm["operations"][operation]["requests"].as_u64().expect("a number")
}

/// Three transactions in ten have one statement, the others five; each brings its number back.
const SHARES: &str = r#"
[[operations]]
name = "one"
weight = 30
variables = { id = { uniform = [1, 100] } }
sql = "SELECT id FROM users WHERE id = $1"
params = ["id:int8"]
expect = { id = "data.user.id" }
transaction = true
pipeline = "PIPELINE"
[[operations]]
name = "five"
weight = 70
variables = { id = { uniform = [1, 100] } }
sql = "SELECT id FROM users WHERE id = $1"
params = ["id:int8"]
expect = { id = "data.user.id" }
transaction = true
repeat = 5
pipeline = "PIPELINE"
"#;

#[test]
fn transactions_have_the_statements_that_the_scenario_gives_them() {
    let stack = Stack::small(&[]);
    for protocol in ["simple", "extended", "prepared"] {
        for pipeline in ["off", "sync-each", "sync-once"] {
            let text = scenario(&stack, protocol, &SHARES.replace("PIPELINE", pipeline));
            // PgBouncer 1.18 loses prepared names in transaction mode.
            let targets =
                if protocol == "prepared" { &["postgres"][..] } else { &["postgres", "pooler"] };
            for target in targets {
                let arm = arm(&run(&stack, target, &text), 0);
                let what = format!("{protocol} {pipeline} {target}: {arm}");
                assert_eq!((&arm["errors"], &arm["reopened"]), (&json!({}), &json!(0)), "{what}");
                let (one, five) = (requests(&arm, "one"), requests(&arm, "five"));
                assert_eq!(one + five, 100, "{what}");
                assert!(one > 10 && five > 40, "{what}");
                let queries = &arm["queries"];
                assert_eq!(queries["sent"], one * 3 + five * 7, "{what}");
                assert_eq!(queries["transactions"], 100, "{what}");
            }
        }
    }
}

/// A statement in the middle fails; the other operation must find a clean connection.
const FAILING: &str = r#"
[[operations]]
name = "failing"
variables = { id = { uniform = [1, 100] } }
sql = ["SELECT id FROM users WHERE id = $1", "SELECT 1 / (id - $1) FROM users WHERE id = $1", "SELECT 1"]
params = ["id:int8"]
transaction = true
pipeline = "PIPELINE"
[[operations]]
name = "good"
variables = { id = { uniform = [1, 100] } }
sql = "SELECT id FROM users WHERE id = $1"
params = ["id:int8"]
expect = { id = "data.user.id" }
"#;

#[test]
fn a_failed_transaction_is_rolled_back_and_leaves_nothing_to_the_next_request() {
    let stack = Stack::small(&[]);
    for protocol in ["simple", "extended"] {
        for pipeline in ["off", "sync-each", "sync-once"] {
            let text = scenario(&stack, protocol, &FAILING.replace("PIPELINE", pipeline));
            for target in ["postgres", "pooler"] {
                let arm = arm(&run(&stack, target, &text), 0);
                let what = format!("{protocol} {pipeline} {target}: {arm}");
                let (failing, good) = (requests(&arm, "failing"), requests(&arm, "good"));
                let operations = &arm["operations"];
                assert_eq!(operations["failing"]["errors"], json!({ "sql": failing }), "{what}");
                assert_eq!(operations["good"]["errors"], json!({}), "{what}");
                let first = arm["first_errors"]["sql"].as_str().expect("its words");
                assert_eq!(first, "SQLSTATE 22012 division by zero", "{what}");
                assert_eq!(arm["reopened"], 0, "{what}");
                let queries = &arm["queries"];
                // With a Sync each, what follows in the failed transaction fails too, and COMMIT
                // ends it; else ROLLBACK does.
                let (sent, failed, skipped) = match pipeline {
                    "off" => (4, 1, 0),
                    "sync-each" => (5, 2, 0),
                    _ => (6, 1, 2),
                };
                assert_eq!(queries["sent"], good + failing * sent, "{what}");
                assert_eq!(queries["failed"], failing * failed, "{what}");
                assert_eq!(queries["skipped"], failing * skipped, "{what}");
                assert_eq!(queries["transactions"], 100, "{what}");
            }
        }
    }
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    let left: i64 = stack.connect("superuser").query_one(idle, &[]).unwrap().get(0);
    assert_eq!(left, 0);
}

#[test]
fn a_reply_to_another_request_makes_the_run_invalid_and_shows_both_numbers() {
    let stack = Stack::small(&[]);
    // Of the five one or more bring another number: clients share the counter.
    let operations = r#"
[[operations]]
name = "mixed"
variables = { id = { uniform = [5, 5] } }
sql = "SELECT $1::int8 + nextval('counter') % 2"
params = ["id:int8"]
expect = { id = "data.user.id" }
repeat = 5
pipeline = "sync-each"
"#;
    stack.psql(
        "superuser",
        "nova",
        "CREATE SEQUENCE counter; GRANT ALL ON SEQUENCE counter TO nova",
    );
    let ended = run(&stack, "postgres", &scenario(&stack, "extended", operations));
    let arm = arm(&ended, 111);
    let wrong = arm["wrong_replies"].as_u64();
    assert!((1..=100).contains(&wrong.expect("a number")), "{arm}");
    assert!(arm["first_errors"]["wrong_reply"].as_str().unwrap().contains("asked for 5, got 6"));
    let reasons = ended.1.unwrap()["reasons"].to_string();
    assert!(reasons.contains("asked for 5, got 6"), "{reasons}");
}

#[test]
fn what_is_copied_out_is_counted_and_copying_in_is_refused() {
    let stack = Stack::small(&[]);
    let operations = r#"
[[operations]]
name = "export"
sql = "COPY (SELECT g, repeat('x', 20000) FROM generate_series(1, 50) g) TO STDOUT"
"#;
    for protocol in ["simple", "extended"] {
        let text = scenario(&stack, protocol, operations);
        for target in ["postgres", "pooler"] {
            let arm = arm(&run(&stack, target, &text), 0);
            assert_eq!(arm["errors"], json!({}), "{protocol} {target}: {arm}");
            // Numbers of one and two digits, a tab, the text, and the end of the line.
            let bytes = 9 + 41 * 2 + 50 * (1 + 20_000 + 1);
            let expected = json!({ "rows": 50 * 100, "bytes": bytes * 100 });
            assert_eq!(arm["copied"], expected, "{protocol} {target}: {arm}");
        }
    }
    let copying_in = "[[operations]]\nname = \"import\"\nsql = \"COPY users FROM STDIN\"\n";
    let (ended, _) = run(&stack, "postgres", &scenario(&stack, "simple", copying_in));
    assert_eq!(ended.code, 104, "{ended:?}");
    assert!(ended.stderr.contains("COPY FROM STDIN waits for data"), "{ended:?}");
}

#[test]
fn listen_is_refused_where_the_pool_mode_loses_it() {
    let stack = Stack::small(&[]);
    let text =
        scenario(&stack, "simple", "[[operations]]\nname = \"hear\"\nsql = \"LISTEN news\"\n");
    let arm = arm(&run(&stack, "postgres", &text), 0);
    assert_eq!(arm["errors"], json!({}), "{arm}");
    let words = "operation hear: LISTEN is lost on target pooler, since in pool_mode = transaction";
    let (ended, _) = run(&stack, "pooler", &text);
    assert_eq!(ended.code, 104, "{ended:?}");
    assert!(ended.stderr.contains(words) && ended.stderr.contains("batches.toml:"), "{ended:?}");
    let file = stack.home.write("listen.toml", &text);
    let ended = stack.home.run(&["check", &file]);
    assert_eq!(ended.code, 104, "{ended:?}");
    assert!(ended.stderr.contains(words), "{ended:?}");
    let console = &mut stack.connect("console");
    console.simple_query("SET pool_mode = session").expect("the console takes it");
    let ended = stack.home.run(&["check", &file]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_megabyte_of_notices_each_way_while_pipelining_blocks_nobody() {
    let stack = Stack::small(&[]);
    let operations = r#"
[[operations]]
name = "noisy"
variables = { text = "TEXT" }
sql = [
  "SELECT length($1)",
  "DO $$ BEGIN FOR i IN 1..350 LOOP RAISE NOTICE '%', repeat('x', 1000); END LOOP; END $$",
  "SELECT length($1)",
]
params = ["text:text"]
repeat = 3
pipeline = "sync-each"
"#;
    let text = scenario(&stack, "extended", &operations.replace("TEXT", &"y".repeat(200_000)));
    // PgBouncer 1.18 now and then closes a server connection over so much with a Sync behind each.
    for (target, pipeline) in [("postgres", "sync-each"), ("pooler", "sync-once")] {
        let text = text.replace("sync-each", pipeline);
        let ended = run(&stack, target, &text);
        let arm = arm(&ended, 0);
        assert_eq!(arm["errors"], json!({}), "{target}: {arm}");
        assert_eq!(arm["notices"], 3 * 350 * 100, "{target}: {arm}");
        assert!(ended.0.stdout.contains("notices: 105000"), "{target}: {ended:?}");
    }
}
