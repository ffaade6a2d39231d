//! Thresholds, checks and bands of a scenario, from its text to the exit code.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use poolbench_tests::{Ended, Home};
use serde_json::Value;

/// Answers every request with user 1; gives the port.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = |mut stream: TcpStream| {
        let body = "{\"data\":{\"user\":{\"id\":\"1\",\"name\":\"Ada\"}}}";
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut request = [0; 4096];
        while stream.read(&mut request).is_ok_and(|length| length > 0) {
            if stream.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

/// Runs a scenario with these rules against `port`.
fn run(home: &Home, port: u16, rules: &str, options: &[&str]) -> Ended {
    let file = home.write(
        "scenario.toml",
        &format!(
            "name = \"rules\"\n[targets.gateway]\nurl = \"http://127.0.0.1:{port}/graphql\"\n\
             [[operations]]\nname = \"getUser\"\ngraphql = \"{{ user {{ id name }} }}\"\n\
             [load]\nexecutor = \"constant-arrival-rate\"\nrate = 100\nduration = \"1s\"\n{rules}"
        ),
    );
    let mut arguments = vec!["run", &file, "--warm-up", "100ms", "--connections", "2"];
    arguments.extend(options);
    home.run(&arguments)
}

#[test]
fn a_threshold_that_fails_is_shown_and_ends_in_99() {
    let home = Home::new();
    let export = home.path().join("export.json").display().to_string();
    let rules = r#"
        [thresholds]
        errors = ["rate<0.01"]
        "http_reqs{operation:getUser}" = ["count<50"]
        [[checks]]
        status = 200
        [[checks]]
        path = "data.user.name"
        equals = "Ada"
        [[checks]]
        path = "data.user.id"
        equals = 2
    "#;
    let ended = run(&home, serve(), rules, &["--quiet", "--summary-export", &export]);
    assert_eq!(ended.code, 99, "{ended:?}");
    assert_eq!(ended.stderr, "", "quiet is quiet");
    for line in [
        "✓ 'rate<0.01' rate=0.00%",
        "✗ 'count<50' count=100",
        "✓ status is 200",
        "✓ data.user.name is Ada",
        "✗ data.user.id is 2",
        "↳ 0.00% — ✓ 0 / ✗ 100",
        "http_reqs{operation:getUser}",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains('\u{1b}'), "no colours in a pipe");
    let export: Value = serde_json::from_slice(&std::fs::read(export).unwrap()).unwrap();
    let requests = &export["metrics"]["http_reqs{operation:getUser}"];
    assert_eq!(requests["thresholds"]["count<50"], true, "true is crossed, as in k6");
    assert_eq!(export["root_group"]["checks"]["status is 200"]["passes"], 100);
}

#[test]
fn the_summary_has_thresholds_checks_and_bands() {
    let home = Home::new();
    let rules = "[thresholds]\nerrors = [\"rate<0.01\"]\n[[checks]]\nno_errors = true\n";
    let ended = run(&home, serve(), rules, &["--json", "-"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.json();
    assert_eq!(
        summary["thresholds"],
        serde_json::json!([
            { "metric": "errors", "expression": "rate<0.01", "ok": true, "value": 0.0 }
        ])
    );
    assert_eq!(
        summary["checks"],
        serde_json::json!([{ "name": "no errors", "passes": 100, "fails": 0 }])
    );
    let bands = summary["bands"].as_array().unwrap();
    let level =
        |metric| bands.iter().find(|band| band["metric"] == metric).unwrap()["level"].clone();
    assert_eq!((level("errors"), level("cl_waiting")), ("success".into(), "unknown".into()));
}

#[test]
fn a_threshold_that_ends_the_run_ends_in_108() {
    let home = Home::new();
    let rules = "[thresholds]\nhttp_reqs = { threshold = \"count<1\", abortOnFail = true }\n";
    let ended = run(&home, serve(), rules, &[]);
    assert_eq!(ended.code, 108, "{ended:?}");
    assert!(ended.stdout.contains("aborted: threshold 'count<1' of http_reqs"), "{ended:?}");
}

#[test]
fn rules_that_cannot_be_used_are_all_named_before_anything_is_sent() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let rules = r#"
        [thresholds]
        errors = ["avg=123", "avg<1"]
        "errors{operation:nobody}" = ["rate<1"]
        nonsense = ["rate<1"]
        [[checks]]
        name = "nothing"
        [[bands]]
        metric = "cl_waiting"
        statistic = "p(95)"
        success = "<1"
    "#;
    let ended = run(&home, port, rules, &[]);
    assert_eq!(ended.code, 104, "{ended:?}");
    for words in [
        "errors = [\"avg=123\", \"avg<1\"]",
        "errors is a rate and has no avg; it has: rate",
        "there is no operation `nobody`; known: getUser",
        "there is no metric `nonsense`; known: iterations",
        "a check has exactly one of",
        "cl_waiting is a gauge and has no p(95)",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert!(listener.accept().is_err(), "nobody has connected");
}
