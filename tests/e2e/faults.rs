//! A target that does not do its part costs one clear line, the right exit code and no hang.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use poolbench_tests::relay::Relay;
use poolbench_tests::{Ended, Home, Stack};
use postgres::SimpleQueryMessage;

/// One line to stderr that holds all of `words`, exit code 104, and nothing on stdout.
fn assert_one_line(ended: &Ended, words: &[&str]) {
    let lines: Vec<_> =
        ended.stderr.lines().filter(|line| line.starts_with("poolbench: ")).collect();
    assert_eq!(lines.len(), 1, "{ended:?}");
    for word in words {
        assert!(lines[0].contains(word), "{word} is missing in: {}", lines[0]);
    }
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert_eq!((ended.code, ended.stdout.as_str()), (104, ""), "{ended:?}");
}

const OPERATION: &str = r#"
[[operations]]
name = "getUser"
graphql = "query GetUser($id: ID!) { user(id: $id) { id } }"
variables = { id = 1 }
sql = "SELECT id FROM users WHERE id = $1"
params = ["id:int8"]
"#;

fn run(home: &Home, targets: &str) -> Ended {
    let file = home.write("scenario.toml", &format!("name = \"faults\"\n{targets}\n{OPERATION}"));
    home.run(&["run", &file, "--vus", "2", "--duration", "200ms", "--warm-up", "200ms"])
}

/// Answers every connection with `reply`, then closes it.
fn serve(reply: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    port
}

#[test]
fn a_refused_port_is_named() {
    let home = Home::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{closed}/graphql");
    let ended = run(&home, &format!("[targets.gateway]\nurl = \"{url}\""));
    assert_one_line(&ended, &["target gateway", &url, "refused", "is it running"]);
    let conninfo = format!("host=127.0.0.1 port={closed} user=nova dbname=nova");
    let ended = run(&home, &format!("[targets.pooler]\nconninfo = \"{conninfo}\""));
    assert_one_line(&ended, &["target pooler", "refused", "is it running"]);
}

#[test]
fn a_gateway_that_answers_html_or_401_or_502_is_named() {
    let home = Home::new();
    for (reply, words) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 19\r\n\r\n<html>hello</html>\n",
            ["not_graphql", "the GraphQL endpoint"],
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 41\r\n\r\n{\"errors\":[{\"message\":\"token expired\"}]} \n",
            ["token expired", "check [auth]"],
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 11\r\n\r\n<h1>502</h1>",
            ["HTTP 502", "is the server behind it up?"],
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", ["protocol", "speak this protocol"]),
    ] {
        let url = format!("http://127.0.0.1:{}/graphql", serve(reply));
        let ended = run(&home, &format!("[targets.gateway]\nurl = \"{url}\""));
        assert_one_line(&ended, &["target gateway", &url, words[0], words[1]]);
    }
}

#[test]
fn a_wrong_password_and_a_closed_console_are_named() {
    let stack = Stack::small(&[]);
    let wrong = |target: &str| {
        let conninfo = stack.target(target).split(" passfile=").next().unwrap();
        format!("{conninfo} password=wrong")
    };
    for target in ["postgres", "pooler"] {
        let ended =
            run(&stack.home, &format!("[targets.{target}]\nconninfo = \"{}\"", wrong(target)));
        let words = ["authentication failed", "check user and password"];
        assert_one_line(&ended, &[&format!("target {target}"), words[0], words[1]]);
    }
    let targets = |console: &str| {
        format!(
            "[targets.pooler]\nconninfo = \"{}\"\nconsole = \"{console}\"\n\
             [targets.postgres]\nconninfo = \"{}\"",
            stack.target("pooler"),
            stack.target("postgres")
        )
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (console, words) in [
        (wrong("console"), ["failed", "check `console`"]),
        (
            format!("host=127.0.0.1 port={closed} user=admin dbname=pgbouncer"),
            ["refused", "check `console`"],
        ),
    ] {
        let text = format!("name = \"faults\"\n{}\n{OPERATION}", targets(&console));
        let file = stack.home.write("console.toml", &text);
        let ended = stack.home.run(&["layers", &file, "--duration", "1s"]);
        assert_one_line(&ended, &["the pooler's console", words[0], words[1]]);
    }
}

#[test]
fn a_console_that_stands_still_is_a_gap_and_holds_no_load_up() {
    let stack = Stack::small(&["--pool-size", "2"]);
    let relay = Relay::start(stack.place("console").port);
    let text = format!(
        "name = \"still\"\n[targets.pooler]\nconninfo = \"{}\"\nconsole = \"{}\"\n\
         [[operations]]\nname = \"sleep\"\nsql = \"SELECT pg_sleep(0.01)\"\n",
        stack.target("pooler"),
        stack.relayed("console", &relay)
    );
    let file = stack.home.write("still.toml", &text);
    let step = ["--step=20:300", "--step-duration=1s", "--connections=400", "--json=-"];
    let mut command = stack.home.command(&[&["limit", &file][..], &step].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let looks = || {
        let asked = relay.recordings().into_iter().flat_map(|recorded| recorded.client);
        String::from_utf8_lossy(&asked.collect::<Vec<_>>()).matches("SHOW POOLS").count()
    };
    let mut console = stack.connect("console");
    let mut is_queueing = || {
        let rows = console.simple_query("SHOW POOLS").unwrap();
        rows.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => {
                row.get("cl_waiting").is_some_and(|count| count.parse::<u64>().unwrap() > 20)
            }
            _ => false,
        })
    };
    let mut wait_until = |holds: &mut dyn FnMut() -> bool| {
        while !holds() {
            assert!(child.try_wait().unwrap().is_none(), "the load goes on meanwhile");
            std::thread::yield_now();
        }
    };
    wait_until(&mut || looks() >= 2);
    relay.stand_still();
    wait_until(&mut is_queueing);
    let before = looks();
    relay.go_on();
    wait_until(&mut || looks() >= before + 3);
    relay.stand_still();
    let ended = Ended::from(child.wait_with_output().unwrap());
    // Beside other tests it may have had too little of the machine.
    assert!([0, 111].contains(&ended.code), "{ended:?}");
    let summary = ended.json();
    let gaps = "the pooler's console did not answer for 2s: ";
    let reasons = summary["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason.as_str().unwrap().starts_with(gaps)), "{reasons:?}");
    let step = &summary["steps"][0];
    assert_eq!((&step["unsent"], &step["errors"]), (&0.into(), &serde_json::json!({})), "{step}");
    let moments = step["moments"].as_array().unwrap();
    let waiting: Vec<_> = moments.iter().map(|moment| moment["cl_waiting"].as_u64()).collect();
    let seen: Vec<_> = waiting.chunk_by(|one, other| one.is_some() == other.is_some()).collect();
    // Before the step, and in it; between them, and at the end, nothing.
    let longest_gap = seen[..seen.len() - 1].iter().filter(|chunk| chunk[0].is_none());
    assert!(longest_gap.map(|chunk| chunk.len()).max() > Some(3), "{waiting:?}");
    assert!(waiting.iter().flatten().any(|count| *count > 20), "{waiting:?}");
    let first = waiting.iter().flatten().next();
    assert!(first < Some(&20) && waiting.last() == Some(&None), "{waiting:?}");
}

#[test]
fn an_expired_token_is_named_by_the_real_gateway() {
    let stack = Stack::small(&[]);
    let url = stack.target("gateway_pooled");
    let targets = format!("[targets.gateway]\nurl = \"{url}\"\n[auth]\njwt = \"not.a.token\"");
    let ended = run(&stack.home, &targets);
    assert_one_line(&ended, &["target gateway", "HTTP 401", "token invalid", "check [auth]"]);
    let ended = run(&stack.home, &format!("[targets.gateway]\nurl = \"{url}\""));
    assert_one_line(&ended, &["HTTP 401", "token missing"]);
}

#[test]
fn without_a_scenario_and_without_a_stack_the_next_step_is_named() {
    let ended = Home::new().run(&["layers"]);
    assert_one_line(&ended, &["no stack is up", "poolbench stack up", "poolbench demo"]);
}
