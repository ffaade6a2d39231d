//! What only real sockets show: delayed ACKs, and requests that leave in one write.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use poolbench_tests::Home;

const BODY: &str = "{\"data\":{\"user\":{\"id\":\"1\"}}}";

/// Serves each connection on a thread: reads one request a time, and answers with `answer`.
/// Returns the port, and tells how many reads each request took.
fn serve(answer: fn(&mut TcpStream) -> std::io::Result<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(length) = stream.read(&mut request) {
                    // One read must bring the request whole: it left in one write.
                    let is_whole = request[..length].ends_with(b"}");
                    if length == 0 || !is_whole || answer(&mut stream).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn run(port: u16) -> serde_json::Value {
    let home = Home::new();
    let file = home.write(
        "scenario.toml",
        &format!(
            "name = \"http\"\n[targets.gateway]\nurl = \"http://127.0.0.1:{port}/graphql\"\n\
             [[operations]]\nname = \"getUser\"\n\
             graphql = \"query GetUser($id: ID!) {{ user(id: $id) {{ id }} }}\"\n\
             variables = {{ id = 1 }}\nexpect = {{ id = \"data.user.id\" }}\n"
        ),
    );
    let arguments =
        ["run", &file, "--vus", "4", "--duration", "2s", "--warm-up", "1s", "--json", "-"];
    let ended = home.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

#[test]
fn a_reply_in_two_small_segments_with_nagle_on_is_measured_and_warned_of() {
    let summary = run(serve(|stream| {
        stream.set_nodelay(false)?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(BODY.as_bytes())
    }));
    assert_eq!(summary["arms"][0]["errors"], serde_json::json!({}));
    let median = summary["arms"][0]["service_ns"]["p50"].as_u64().unwrap();
    assert!(median > 30_000_000, "measured as it is: {median}");
    assert!(summary["reasons"].to_string().contains("delayed ACK"), "{summary}");
}

#[test]
fn a_reply_in_one_segment_is_not_warned_of() {
    let summary = run(serve(|stream| {
        let length = BODY.len();
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{BODY}");
        stream.write_all(reply.as_bytes())
    }));
    assert!(summary["arms"][0]["requests"].as_u64().unwrap() > 100);
    assert_eq!(summary["arms"][0]["errors"], serde_json::json!({}));
    assert!(!summary["reasons"].to_string().contains("delayed ACK"), "{}", summary["reasons"]);
}
