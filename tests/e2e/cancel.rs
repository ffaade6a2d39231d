//! Cancel requests on real servers: who is hit, and who is not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use poolbench_tests::session::{Client, Failed, Place, statement};
use poolbench_tests::{Ended, Stack};
use serde_json::Value;
use wire::Class;
use wire::postgres::Protocol;

fn arm<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let arms = summary["arms"].as_array().expect("arms");
    arms.iter().find(|arm| arm["name"] == name).expect("the arm")
}

fn number(arm: &Value, key: &str) -> u64 {
    arm[key].as_u64().unwrap_or_else(|| panic!("{key} is a number: {arm}"))
}

fn storm(stack: &Stack, options: &[&str]) -> Value {
    let arguments = [&["cancel", "--duration=2s", "--json=-"], options].concat();
    let ended = stack.home.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

/// Each cancel that was sent has one outcome, and each time one of them.
fn assert_adds_up(arm: &Value) {
    let outcomes = ["hit", "lost", "queued", "failed"].map(|key| number(arm, key));
    assert_eq!(outcomes.iter().sum::<u64>(), number(arm, "cancels"), "{arm}");
    for (key, times) in [("hit", "effect_ns"), ("lost", "lost_ns"), ("queued", "queued_ns")] {
        assert_eq!(number(&arm[times], "count"), number(arm, key), "{arm}");
    }
}

/// Statements that Postgres has ended since a CancelRequest told it so, by its log.
fn cancelled_by_postgres(stack: &Stack) -> u64 {
    let log = stack.home.stacks()[0].join("postgres.log");
    let text = std::fs::read_to_string(log).expect("a log");
    text.matches("canceling statement due to user request").count() as u64
}

#[test]
fn cancels_hit_what_runs_and_postgres_counts_as_many() {
    // A cancel goes in the clear, as libpq's does.
    let stack = Stack::small(&["--tls", "--pool-size", "8"]);
    let summary = storm(&stack, &["--vus=4", "--bystanders=2", "--length=300ms", "--after=40ms"]);
    let mut hit = 0;
    for name in ["pooler", "direct"] {
        let arm = arm(&summary, name);
        assert_adds_up(arm);
        // A pool opens its connections one after the other, and who comes first waits for one.
        assert!(number(arm, "hit") * 10 > number(arm, "cancels") * 8, "{arm}");
        assert_eq!(number(arm, "wrong_client"), 0, "{arm}");
        assert_eq!(arm["errors"], serde_json::json!({ "cancelled": arm["hit"] }), "{arm}");
        let clients = number(arm, "cancels") + number(arm, "unsent");
        assert!(number(arm, "requests") > clients, "bystanders ran on: {arm}");
        hit += number(arm, "hit");
    }
    assert_eq!(cancelled_by_postgres(&stack), hit);
}

#[test]
fn a_cancel_of_a_statement_that_waits_for_the_pool_is_told_and_the_run_ends_on_time() {
    let stack = Stack::small(&["--pool-size", "2"]);
    let options =
        ["--target=pooler", "--vus=12", "--bystanders=0", "--length=200ms", "--after=20ms"];
    let summary = storm(&stack, &options);
    let arm = arm(&summary, "pooler");
    assert_adds_up(arm);
    assert!(number(arm, "queued") > 0, "{arm}");
    // PgBouncer does not look into its queue: what was cancelled there runs all the same.
    let queued = &arm["queued_ns"];
    assert!(number(queued, "p50") >= number(&summary, "length_ns"), "{arm}");
    assert_eq!(number(arm, "wrong_client"), 0, "{arm}");
    // No statement was broken off at the end: each has its outcome.
    assert_eq!(number(arm, "requests"), number(arm, "cancels") + number(arm, "unsent"), "{arm}");
    let most = Duration::from_secs(30).as_nanos() as u64;
    assert!(number(&summary, "duration_ns") < most, "before requests are broken off: {summary}");
}

#[test]
fn cancels_are_lost_where_processes_share_a_port() {
    let stack = Stack::small(&["--poolers", "2", "--pool-size", "8"]);
    let load = ["--rate=60", "--connections=12", "--bystanders=2", "--target=pooler"];
    let summary = storm(&stack, &[&load[..], &["--length=150ms", "--after=30ms"]].concat());
    assert_eq!(summary["rate"], 60.0, "{summary}");
    let arm = arm(&summary, "pooler");
    assert_adds_up(arm);
    // The kernel deals connections out by their ports: of some hundred, to either.
    let [hit, lost] = ["hit", "lost"].map(|key| number(arm, key));
    assert!(hit > 0 && lost > 0, "{arm}");
    assert_eq!(number(arm, "wrong_client"), 0, "{arm}");
    assert_eq!(cancelled_by_postgres(&stack), hit);
    let refused = stack.home.run(&["cancel", "--target=gateway"]);
    assert_eq!(refused.code, 104, "{refused:?}");
    assert!(refused.stderr.contains("no cancel requests in GraphQL"), "{refused:?}");
    let status = stack.home.run(&["stack", "status"]);
    assert!(status.stdout.contains("pgbouncer-2"), "{status:?}");
}

/// The key by which a client's statements are cancelled: BackendKeyData, in what the server sent
/// at login (Postgres manual, 55.7 "Message Formats").
fn key(client: &Client) -> [u8; 8] {
    let mut rest = &client.greeting[..];
    loop {
        let (kind, body) = rest.split_first().expect("a key");
        let (length, body) = body.split_first_chunk().expect("a length");
        if *kind == b'K' {
            return body[..8].try_into().expect("eight bytes");
        }
        rest = &body[u32::from_be_bytes(*length) as usize - 4..];
    }
}

/// Sends a CancelRequest and waits until the server closes its connection.
fn cancel(place: &Place, key: [u8; 8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", place.port)).expect("a server");
    let request = [&[0, 0, 0, 16, 4, 210, 22, 46], &key[..]].concat();
    stream.write_all(&request).expect("a server");
    let mut rest = Vec::new();
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "nothing is said to a cancel: {rest:?}");
}

fn open(place: &Place) -> Client {
    Client::open(place).unwrap_or_else(|failed| panic!("{failed:?}"))
}

/// Waits until a statement with this in it runs.
fn wait_until_it_runs(stack: &Stack, part: &str) {
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%{part}%' AND state = 'active' \
         AND pid <> pg_backend_pid()"
    );
    let mut superuser = stack.connect("superuser");
    while superuser.query_one(&query, &[]).expect("activity").get::<_, i64>(0) == 0 {}
}

/// Sends a statement that sleeps, waits until it runs, and does something meanwhile.
fn sleeping(stack: &Stack, client: &mut Client, meanwhile: impl FnOnce()) -> Result<(), Failed> {
    client.send(&statement("SELECT pg_sleep(0.7)", Protocol::Simple));
    wait_until_it_runs(stack, "pg_sleep(0.7)");
    meanwhile();
    client.answer()
}

#[test]
fn a_late_cancel_hits_the_next_statement_or_nobody() {
    let stack = Stack::small(&["--pool-size", "1"]);
    for target in ["postgres", "pooler"] {
        let place = &stack.place(target);
        // The statement that it is meant for has ended, and the same client's next one runs.
        let mut client = open(place);
        let late = key(&client);
        client.sql("SELECT 1").expect("it works");
        let failed = sleeping(&stack, &mut client, || cancel(place, late)).expect_err("it is hit");
        assert_eq!((failed.class, failed.code.as_str()), (Class::WrongCancel, "57014"), "{target}");
        assert!(failed.is_reusable, "{failed:?}");
        client.sql("SELECT 1").expect("and goes on");

        // Another client's statement runs now, in a pool of one on the same server connection.
        let mut other = open(place);
        let result = sleeping(&stack, &mut other, || cancel(place, late));
        assert_eq!(result, Ok(()), "{target}");

        // The socket of the client that it is meant for is gone.
        drop(client);
        let result = sleeping(&stack, &mut other, || cancel(place, late));
        assert_eq!(result, Ok(()), "{target}");
        let gone = key(&other);
        drop(other);
        let result = sleeping(&stack, &mut open(place), || cancel(place, gone));
        assert_eq!(result, Ok(()), "{target}");
    }
}

#[test]
fn a_statement_that_is_cancelled_while_it_waits_for_the_pool_runs_once() {
    let stack = Stack::small(&["--pool-size", "1"]);
    let place = &stack.place("pooler");
    let (mut holder, mut waiting) = (open(place), open(place));
    holder.sql("BEGIN").expect("it works");
    waiting.send(&statement("SELECT pg_advisory_lock(7)", Protocol::Simple));
    cancel(place, key(&waiting));
    holder.sql("SELECT 1").expect("the holder is not hit");
    holder.sql("COMMIT").expect("it works");
    assert_eq!(waiting.answer(), Ok(()), "its time came, and nothing cancelled it");
    assert_eq!(waiting.sql("SELECT 1"), Ok(()), "one reply for each request");
}

/// In an ordinary run too.
#[test]
fn a_run_counts_what_others_cancel_as_such_and_not_as_its_own() {
    let stack = Stack::small(&[]);
    let scenario = stack.home.write(
        "scenario.toml",
        &format!(
            "name = \"victims\"\n[targets.postgres]\nconninfo = \"{}\"\n\
             [[operations]]\nname = \"sleep\"\nsql = \"SELECT pg_sleep(0.6)\"\n",
            stack.target("postgres")
        ),
    );
    let arguments = ["run", &scenario, "--vus=4", "--duration=3s", "--warm-up=0s", "--json=-"];
    let running = stack.home.command(&arguments).stdout(std::process::Stdio::piped()).spawn();
    let running = running.expect("the command starts");
    wait_until_it_runs(&stack, "pg_sleep(0.6)");
    let cancelled: i64 = {
        let mut superuser = stack.connect("superuser");
        let sql = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
                   WHERE query LIKE '%pg_sleep(0.6)%' AND state = 'active' \
                   AND pid <> pg_backend_pid()";
        superuser.query_one(sql, &[]).expect("it may").get(0)
    };
    let ended: Ended = running.wait_with_output().expect("it ends").into();
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.json();
    let arm = &summary["arms"][0];
    assert!((1..=4).contains(&cancelled));
    assert_eq!(arm["errors"], serde_json::json!({ "wrong_cancel": cancelled }), "{arm}");
    let words = arm["first_errors"]["wrong_cancel"].as_str().expect("words");
    assert!(words.contains("57014") && words.contains("user request"), "{words}");
}
