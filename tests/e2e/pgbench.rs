//! What pgbench does not do: go on, and say who waits; and what it does for built-in scripts.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use poolbench_tests::pgbench::{Tables, number};
use poolbench_tests::{Ended, Stack};

#[test]
fn built_in_scripts_keep_the_balances_in_every_protocol_on_every_way() {
    let mut tables = Tables::up(&[]);
    for target in ["postgres", "pooler"] {
        for protocol in ["simple", "extended", "prepared"] {
            // In transaction pooling PgBouncer 1.18 has no named statements, for pgbench neither.
            if (target, protocol) == ("pooler", "prepared") {
                continue;
            }
            let options = ["-c", "8", "-t", "20", "-M", protocol];
            tables.reset_balances();
            let summary = tables.json(&options, target);
            let done = (number(&summary, "transactions"), number(&summary, "failed"));
            assert_eq!(done, (160, 0), "{target} {protocol} {summary}");
            assert_eq!(tables.history(), 160, "{target} {protocol}");
            tables.assert_balanced();
            let summary = tables.json(&[&options[..], &["-S"]].concat(), target);
            assert_eq!(number(&summary, "transactions"), 160, "{target} {protocol} {summary}");
        }
    }
    let summary = tables.json(&["-N", "-c", "2", "-t", "5"], "postgres");
    assert_eq!(number(&summary, "transactions"), 10, "{summary}");
    assert_eq!(tables.history(), 10);
}

#[test]
fn eight_clients_on_one_thread_and_a_session_pool_of_two_go_on_by_two() {
    let tables = Tables::up(&["--pool-mode=session", "--pool-size=2"]);
    let options =
        ["-S", "-n", "-M", "prepared", "-c", "8", "-j", "1", "-T", "2", "--graceful-stop=500ms"];
    let summary = tables.json(&options, "pooler");
    assert!(number(&summary, "transactions") > 2, "{summary}");
    assert_eq!(number(&summary, "interrupted"), 6, "{summary}");
    assert_eq!(number(&summary, "failed"), 0, "{summary}");
    let common = ["pgbench", "--json=/dev/null", tables.stack.target("pooler")];
    let ended = tables.stack.home.run(&[&common[..], &options].concat());
    assert!(ended.stdout.contains("clients that still waited at the end: 6 of 8"), "{ended:?}");
}

#[test]
fn a_rate_is_kept_and_latencies_run_from_the_instant_that_was_due() {
    let tables = Tables::up(&[]);
    let script = tables.stack.home.write("sleep.sql", "SELECT pg_sleep(0.02);\n");
    // One client can do at most 50 a second of the 100.
    let options = ["-n", "-f", &script, "-R", "100", "-T", "1", "-L", "30", "--json=-"];
    let ended = tables.ours(&options, "postgres");
    // What was never sent says nothing of the server.
    assert_eq!(ended.code, 111, "{ended:?}");
    let summary = ended.json()["arms"][0].take();
    let (done, late) = (number(&summary, "transactions"), number(&summary, "above_latency_limit"));
    assert!((20..=60).contains(&done), "{summary}");
    assert!(late > done / 2, "{summary}");
    assert!(number(&summary, "unserved") > 0, "{summary}");
    assert!(
        number(&summary["response_ns"], "max") > 3 * number(&summary["service_ns"], "p50"),
        "{summary}"
    );
}

#[test]
fn serialization_failures_are_tried_again() {
    let mut tables = Tables::up(&[]);
    let script = tables.stack.home.write(
        "conflict.sql",
        "\\set delta random(1, 100)\n\
         BEGIN ISOLATION LEVEL REPEATABLE READ;\n\
         UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = 1;\n\
         UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = 1;\n\
         INSERT INTO pgbench_history (tid, bid, aid, delta) VALUES (1, 1, 1, :delta);\n\
         UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = 1;\n\
         END;\n",
    );
    let options = ["-f", &script, "-c", "8", "-t", "25"];
    tables.reset_balances();
    let failing = tables.json(&options, "postgres");
    let retryable = failing["errors"]["retryable"].as_u64().unwrap_or_default();
    assert!(retryable > 0, "{failing}");
    assert_eq!(number(&failing, "transactions") + retryable, 200, "{failing}");
    let told = ["serialization_failures", "deadlock_failures"].map(|key| number(&failing, key));
    assert_eq!(told.iter().sum::<u64>(), retryable, "{failing}");
    assert_eq!(tables.history(), number(&failing, "transactions"));
    tables.assert_balanced();
    tables.reset_balances();
    let summary = tables.json(&[&options[..], &["--max-tries=1000"]].concat(), "postgres");
    assert_eq!(number(&summary, "transactions"), 200, "{summary}");
    assert!(number(&summary, "retries") >= number(&summary, "retried"), "{summary}");
    assert!(number(&summary, "retried") > 0, "{summary}");
    assert_eq!(tables.history(), 200);
    tables.assert_balanced();
}

/// The line of a result that begins so.
fn line<'a>(ended: &'a Ended, start: &str) -> Option<&'a str> {
    ended.stdout.lines().find(|line| line.starts_with(start))
}

/// The clients that have gone, as stderr names them.
fn aborted(ended: &Ended) -> BTreeSet<&str> {
    let is_of_end = |line: &&str| line.contains("aborted") || line.contains("expected one row");
    let lines = ended.stderr.lines().filter(is_of_end);
    lines.filter_map(|line| line.split_once("client ")?.1.split(' ').next()).collect()
}

#[test]
fn a_scripts_own_fault_costs_its_client_alone_as_with_pgbench() {
    let tables = Tables::up(&[]);
    // Client 0 and client 2 can't go on.
    for (text, place) in [
        ("SELECT 1;\n\\set a 1 / (:client_id % 2)\nSELECT 2;\n", "2:1: division by zero"),
        ("\\if 1 / (:client_id % 2) = 1\nSELECT 1;\n\\endif\n", "1:1: division by zero"),
        ("SELECT 1;\nSELECT 1 / (:client_id % 2);\n", "2:1: SQLSTATE 22012: division by zero"),
        (
            "SELECT n FROM generate_series(1, :client_id % 2) AS n \\gset\n",
            "1:1: \\gset needs one row",
        ),
        (
            "SELECT n FROM generate_series(:client_id % 2, 1) AS n \\gset\n",
            "1:1: \\gset needs one row, and the last statement gave 2",
        ),
        ("\\if :client_id % 2 = 0\nBEGIN;\n\\endif\nSELECT 1;\n", "4:1: the script ends with"),
    ] {
        let script = tables.stack.home.write("fault.sql", text);
        let options = ["-n", "-f", &script, "-c", "4", "-t", "5"];
        let (ours, theirs) =
            (tables.ours(&options, "postgres"), tables.theirs(&options, "postgres"));
        assert_eq!((ours.code, theirs.code), (2, 2), "{text} {ours:?} {theirs:?}");
        let processed = "number of transactions actually processed: ";
        assert_eq!(line(&ours, processed), line(&theirs, processed), "{text} {ours:?}");
        assert_eq!(aborted(&ours), BTreeSet::from(["0", "2"]), "{text} {ours:?}");
        assert_eq!(aborted(&theirs), aborted(&ours), "{text} {theirs:?}");
        assert!(ours.stderr.contains(&format!("{script}:{place}")), "{text} {ours:?}");
        let words = "Run was aborted; the above results are incomplete.";
        assert!(line(&ours, words).is_some() && theirs.stderr.contains(words), "{ours:?}");
    }
}

#[test]
fn a_failed_statement_is_named_by_its_line_and_layer_and_rolled_back() {
    let mut tables = Tables::up(&[]);
    tables.client.batch_execute("CREATE TABLE drawn (n serial, text text)").expect("a table");
    let script = tables.stack.home.write(
        "failing.sql",
        "BEGIN;\nINSERT INTO drawn (text) VALUES ('1');\nSELECT 1 / (:client_id % 2);\nEND;\n",
    );
    let options = ["-n", "-f", &script, "-c", "4", "-t", "10"];
    let ended = tables.ours(&[&options[..], &["--json=-"]].concat(), "postgres");
    let (summary, arm) = (ended.json(), ended.json()["arms"][0].take());
    assert_eq!((ended.code, &summary["aborted_clients"]), (2, &2.into()), "{summary}");
    assert_eq!((number(&arm, "transactions"), &arm["errors"]["sql"]), (20, &2.into()), "{arm}");
    let failure = &arm["failures"][0];
    let (line, layer, count) = (&failure["line"], &failure["layer"], &failure["count"]);
    assert_eq!((line, layer, count), (&3.into(), &"server".into(), &2.into()), "{arm}");
    let words = failure["first"].as_str().expect("words");
    assert!(words.contains("22012") && words.contains("division by zero"), "{words}");
    let kept: i64 = tables.client.query_one("SELECT count(*) FROM drawn", &[]).unwrap().get(0);
    assert_eq!(kept, 20, "what failed was rolled back");
    let text = tables.ours(&options, "postgres").stdout;
    assert!(
        text.contains(&format!("failed in {script}:3: 2 sql of the server (first: ")),
        "{text}"
    );
}

/// Runs a tool, and has the pooler throw all clients out as soon as it shows progress.
fn thrown_out(stack: &Stack, mut command: Command) -> Ended {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("text").contains("progress:")), "it never began");
    let database = stack.place("pooler").database;
    let mut console = stack.connect("console");
    for order in ["KILL", "RESUME"] {
        console.simple_query(&format!("{order} {database}")).expect("the console obeys");
    }
    let stderr = lines.map(|line| line.expect("text") + "\n").collect();
    let mut ended: Ended = child.wait_with_output().expect("it ends").into();
    ended.stderr = stderr;
    ended
}

#[test]
fn a_load_goes_on_where_the_pooler_throws_clients_out_and_pgbenchs_does_not() {
    let tables = Tables::up(&[]);
    let target = tables.stack.target("pooler");
    let options = ["-S", "-n", "-c", "4", "-R", "200", "-t", "200", "-P", "1", target];
    let mut pgbench = Command::new("pgbench");
    pgbench.args(options);
    let theirs = thrown_out(&tables.stack, pgbench);
    assert_eq!((theirs.code, aborted(&theirs).len()), (2, 4), "{theirs:?}");
    let ours = [&["pgbench", "--json=-"], &options[..]].concat();
    let ours = thrown_out(&tables.stack, tables.stack.home.command(&ours));
    assert!(aborted(&ours).is_empty(), "{ours:?}");
    let (summary, arm) = (ours.json(), ours.json()["arms"][0].take());
    assert_eq!(summary["aborted_clients"], 0, "{summary}");
    let thrown = arm["errors"]["unavailable"].as_u64().unwrap_or_default();
    let stale = arm["errors"]["stale_connection"].as_u64().unwrap_or_default();
    assert!(thrown + stale + number(&arm, "reopened") >= 4, "{arm}");
    // Every transaction that was due has its outcome: the rate is what it was.
    let (done, failed) = (number(&arm, "transactions"), number(&arm, "failed"));
    let not_begun = number(&arm, "unserved") + number(&arm, "dropped");
    assert_eq!(done + failed + not_begun, 800, "{arm}");
    assert!(failed + not_begun <= 200, "{arm}");
}

#[test]
fn after_ctrl_c_no_server_connection_is_left() {
    let mut tables = Tables::up(&[]);
    let script = tables.stack.home.write("long.sql", "SELECT pg_sleep(60);\n\\sleep 60\n");
    let target = tables.stack.target("postgres");
    let mut child = tables
        .stack
        .home
        .command(&["pgbench", "-n", "-f", &script, "-c", "4", "-T", "60", "-P", "1", target])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("text").contains("progress:")), "it never began");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(105));
    let query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' \
                 AND pid <> pg_backend_pid()";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let left: i64 = tables.client.query_one(query, &[]).expect("a count").get(0);
        if left == 0 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{left} still run");
        std::thread::yield_now();
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    let home = poolbench_tests::Home::new();
    for (options, words) in [
        (&["-f", "/nowhere.sql"][..], "cannot read /nowhere.sql"),
        (&["-b", "s"], "ambiguous builtin name \"s\""),
        (&["-b", "x"], "no builtin script \"x\""),
        (&["-S", "-T", "1", "-t", "1"], "cannot be used with"),
        (&["--max-tries=0", "-t", "1"], "--max-tries=0 needs"),
        (&["-b", "select@0"], "weight must not be zero"),
        (&["-R", "0"], "a rate is a number above 0"),
        (&["--random-seed=x"], "a seed is"),
        (&["-S", "-n", "host=127.0.0.1 port=1"], "127.0.0.1:1"),
    ] {
        let ended = home.run(&[&["pgbench"], options].concat());
        assert_eq!(ended.code, 104, "{options:?} {ended:?}");
        assert!(ended.stderr.contains(words), "{options:?} {ended:?}");
    }
}
