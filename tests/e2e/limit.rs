//! Limits that are known beforehand: a pool of two, each of whose connections sleeps 10 ms a query.

use poolbench_tests::{Ended, Stack};
use serde_json::Value;

fn pool_of_two() -> (Stack, String) {
    let stack = Stack::small(&["--pool-size", "2"]);
    let scenario = stack.home.write(
        "scenario.toml",
        "name = \"pool of two\"\n\
         [targets.pooler]\nconninfo = \"${NOVA_POOLER}\"\nconsole = \"${NOVA_CONSOLE}\"\n\
         [[operations]]\nname = \"sleep\"\nsql = \"SELECT pg_sleep(0.01)\"\n",
    );
    (stack, scenario)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number: {value}"))
}

/// What 20 users that never pause get, in requests a second.
fn closed_loop(stack: &Stack, scenario: &str) -> f64 {
    let arguments = ["run", scenario, "--vus=20", "--duration=3s", "--quiet", "--json=-"];
    let ended = stack.home.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    number(&ended.json()["arms"][0]["rate"])
}

#[test]
fn the_limit_of_a_pool_is_what_a_closed_loop_reaches() {
    let (stack, scenario) = pool_of_two();
    let before = closed_loop(&stack, &scenario);
    let ended = stack.home.run(&[
        "limit",
        &scenario,
        // In 4 s a queue reaches this with 4 % more than the pool serves: a larger one hides more.
        "--goal=p(95)<150",
        "--start=120",
        "--trial=2s",
        "--hold=4s",
        "--width=5%",
        "--json=-",
    ]);
    let after = closed_loop(&stack, &scenario);
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.json();
    let limit = &summary["limits"][0];
    let (low, high) = (before.min(after), before.max(after));
    assert!(high < 200.0, "two that take more than 10 ms each: {high}");
    let interval = [&limit["interval"][0], &limit["interval"][1]].map(number);
    // The machine's speed drifts between the runs: the closed loops on both sides say how much.
    assert!(interval[0] <= high * 1.05 && interval[1] >= low * 0.95, "{low} {high}: {limit}");
    let value = number(&limit["value"]);
    assert!(value <= high * 1.05, "{low} {high}: {limit}");
    // It comes back; whether it does as much beyond the limit is for the machine to say.
    assert_ne!(limit["beyond"]["behaviour"], "metastable", "{limit}");
    assert!(number(&limit["beyond"]["throughput_max"]) < 200.0, "{limit}");
    assert_eq!(limit["goals"][0]["is_held"], true, "{limit}");
    let limiter = limit["limiter"]["name"].as_str().unwrap_or_default();
    assert!(limiter.contains("pool"), "{limit}");
    // Every trial but those that met nothing was waited for until the pool was empty.
    let trials = limit["trials"].as_array().expect("trials");
    assert!(trials.iter().all(|trial| trial["recovery_ns"].is_u64()), "{limit}");
}

#[test]
fn users_and_connections_have_limits_too() {
    let (stack, scenario) = pool_of_two();
    let [json, page] =
        ["users.json", "users.html"].map(|name| stack.home.path().join(name).display().to_string());
    let arguments = ["limit", &scenario, "--hold=0s", "--json"];
    // Of n users two are served at a time: the goal lets each wait for three others.
    let users =
        ["--variable=vus", "--goal=p(95)<47", "--trial=500ms", "--width=20%", "--html", &page];
    let ended = stack.home.run(&[&arguments[..], &[&json], &users].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("Universal Scalability Law: lambda "), "{ended:?}");
    let summary = std::fs::read_to_string(&json).expect("the summary");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    let limit = &summary["limits"][0];
    assert!((4.0..=9.0).contains(&number(&limit["value"])), "{limit}");
    let usl = &limit["usl"];
    // One user that waits 10 ms and more for each reply; the fit is of a handful of short trials.
    assert!((40.0..160.0).contains(&number(&usl["lambda"])), "{usl}");
    for name in ["lambda", "sigma", "kappa"] {
        let interval = usl[format!("{name}_ci")].as_array().expect("an interval");
        assert!(number(&interval[0]) <= number(&usl[name]), "{name}: {usl}");
        assert!(number(&usl[name]) <= number(&interval[1]), "{name}: {usl}");
    }
    // Its latencies, and its throughput with the law.
    let page = std::fs::read_to_string(&page).expect("the page");
    assert_eq!(page.matches("<svg").count(), 2);

    let mut console = stack.connect("console");
    let rows = console.simple_query("SHOW LISTS").expect("it answers");
    let used: u32 = rows
        .iter()
        .find_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some("used_clients") => {
                row.get(1)?.parse().ok()
            }
            _ => None,
        })
        .expect("how many clients there are");
    // The gateway has its own already.
    let set = format!("SET max_client_conn = '{}'", used + 30);
    console.batch_execute(&set).expect("it takes it");
    drop(console);
    let connections =
        ["--variable=connections", "--rate=50", "--goal=p(95)<200", "--trial=300ms", "--start=8"];
    let ended = stack.home.run(&[&arguments[..], &["-"], &connections].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.json();
    let limit = &summary["limits"][0];
    // Some of them are those that look at the pool.
    assert!((20.0..=31.0).contains(&number(&limit["value"])), "{limit}");
    assert!(number(&limit["interval"][1]) <= 36.0, "{limit}");
}

#[test]
fn a_search_goes_on_from_its_log_after_a_kill() {
    let (stack, scenario) = pool_of_two();
    let log = stack.home.path().join("trials").display().to_string();
    let arguments = |more: &[&'static str]| -> Vec<String> {
        let fixed = ["limit", &scenario, "--trial=500ms", "--hold=0s", "--log", &log, "--json=-"];
        fixed.iter().chain(more).map(|text| (*text).to_owned()).collect()
    };
    let run = |more: &[&'static str]| -> Ended {
        let arguments = arguments(more);
        stack.home.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let first = arguments(&[]);
    let first: Vec<_> = first.iter().map(String::as_str).collect();
    let mut child = stack.home.command(&first).stdout(std::process::Stdio::null()).spawn().unwrap();
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    // The header and two trials.
    while lines() < 3 {
        assert!(child.try_wait().expect("our child").is_none(), "it searches for longer");
        std::thread::yield_now();
    }
    child.kill().expect("our child");
    child.wait().expect("our child");
    let kept = std::fs::read_to_string(&log).unwrap();
    let ended = run(&["--resume"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let now = std::fs::read_to_string(&log).unwrap();
    let whole = kept.rfind('\n').map_or(0, |end| end + 1);
    assert!(now.starts_with(&kept[..whole]) && now.len() > whole, "it was gone on with");
    let summary = ended.json();
    let trials = summary["limits"][0]["trials"].as_array().expect("trials");
    assert_eq!(trials.len(), now.lines().count() - 1);

    let again = run(&[]);
    assert_eq!(again.code, 104, "{again:?}");
    assert!(again.stderr.contains("--resume"), "{again:?}");
    let other = run(&["--resume", "--width=10%"]);
    assert_eq!(other.code, 104, "{other:?}");
    assert!(other.stderr.contains("another plan"), "{other:?}");
}

#[test]
fn too_few_connections_are_the_generators_limit() {
    let (stack, scenario) = pool_of_two();
    // One request at a time takes 10 ms: what was sent is never slow.
    let ended = stack.home.run(&[
        "limit",
        &scenario,
        "--goal=p(95)<500",
        "--connections=1",
        "--max-connections=1",
        "--trial=1s",
        "--hold=0s",
        "--json=-",
    ]);
    assert_eq!(ended.code, 111, "{ended:?}");
    let summary = ended.json();
    let limit = &summary["limits"][0];
    assert_eq!((&limit["interval"][1], &limit["goal"]), (&Value::Null, &Value::Null), "{limit}");
    let reason = summary["reasons"][0].as_str().expect("a reason");
    assert!(reason.contains("at least"), "{reason}");
}

#[test]
fn a_step_fills_the_pool_and_drains() {
    let (stack, scenario) = pool_of_two();
    let ended = stack.home.run(&[
        "limit",
        &scenario,
        "--step=40:400",
        "--step-duration=2s",
        "--connections=600",
        "--json=-",
    ]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.json();
    let step = &summary["steps"][0];
    // 400 come and fewer than 200 go, for two seconds; then 40 come.
    assert!(number(&step["growth"]) > 150.0, "{step}");
    let queue = number(&step["in_system_max"]);
    assert!((300.0..=800.0).contains(&queue), "{step}");
    assert!(number(&step["cl_waiting_max"]) > 200.0, "the pool saw it: {step}");
    assert!(number(&step["maxwait_max_ns"]) > 0.0, "{step}");
    assert!(number(&step["drain_ns"]) > 0.0 && number(&step["p99_back_ns"]) > 0.0, "{step}");
}

#[test]
fn what_cannot_be_searched_is_refused_with_the_contracts_exit_codes() {
    let (stack, scenario) = pool_of_two();
    let refused = |arguments: &[&str], words: &str| {
        let ended = stack.home.run(&[&["limit", &scenario], arguments].concat());
        assert_eq!(ended.code, 104, "{ended:?}");
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    };
    refused(&["--goal=p95<100"], "p(95)");
    refused(&["--goal=http_req_duration: p(95)<100"], "no goal is about the pooler");
    refused(&["--target=nowhere"], "there is no target nowhere");
    refused(&["--step=500:50"], "a step goes up");
    refused(&["--width=0"], "a width is");
}
