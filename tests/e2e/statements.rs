//! What Postgres counts of statements, where its library for that is loaded.

use poolbench_tests::Stack;
use serde_json::Value;

#[test]
fn what_pg_stat_statements_counts_lies_beside_the_load() {
    let stack = Stack::small(&[]);
    // It is loaded at the server's start or not at all.
    let mut start = stack.stop("postgres", "INT");
    start.arg("--shared_preload_libraries=pg_stat_statements");
    let mut server = start.spawn().expect("it starts again");
    let superuser = stack.target("superuser");
    while !std::process::Command::new("pg_isready")
        .args(["--quiet", "--dbname", superuser])
        .status()
        .expect("pg_isready is installed")
        .success()
    {
        assert!(server.try_wait().expect("our child").is_none(), "it has ended");
    }
    stack.psql("superuser", "nova", "CREATE EXTENSION pg_stat_statements");
    let text = format!(
        "name = \"statements\"\n\
         [targets.postgres]\nconninfo = \"{}\"\nobserver = \"{}\"\n\
         [[operations]]\nname = \"users\"\nsql = \"SELECT id FROM users WHERE id <= 3\"\n",
        stack.target("postgres"),
        stack.target("observer"),
    );
    let file = stack.home.write("statements.toml", &text);
    let ended = stack.home.run(&["run", &file, "--rate=50", "--duration=4s", "--json=-"]);
    assert!([0, 111].contains(&ended.code), "{ended:?}");
    let summary = ended.json();
    let seconds = summary["series"].as_array().expect("a series").iter();
    let risen = |name: &str| -> f64 {
        let counted = |second: &Value| {
            let ns = |name: &str| second[name].as_f64().expect("an instant");
            let rate = second["servers"]["postgres"]["counted_per_second"][name].as_f64()?;
            Some(rate * (ns("end_ns") - ns("start_ns")) / 1e9)
        };
        seconds.clone().filter_map(counted).sum()
    };
    let requests = summary["arms"][0]["requests"].as_f64().expect("a number");
    let (calls, rows) = (risen("statements.calls"), risen("statements.rows"));
    // Looks begin and end within the load, and the observer's own statements count too.
    assert!(calls > 0.0 && calls < requests * 1.5, "{calls} calls, {requests} requests: {summary}");
    assert!(rows > calls, "{rows} rows of {calls} calls: {summary}");
    drop(stack);
    server.wait().expect("our child");
}
