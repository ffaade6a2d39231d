//! What is seen of a server in a container.

use std::io::Write as _;

use poolbench_tests::Stack;
use poolbench_tests::container::Container;
use serde_json::Value;

#[test]
fn a_container_is_seen_as_its_control_group_says() {
    let container = match Container::new() {
        Ok(container) => container,
        Err(problem) => {
            // Past the harness, which shows nothing of a test that passes.
            let _ = writeln!(std::io::stderr(), "skipped, no control group: {problem}");
            return;
        }
    };
    let stack = Stack::small(&["--pool-size", "3"]);
    container.hold(stack.pid("pgbouncer"));
    let text = format!(
        "name = \"container\"\n\
         [targets.pooler]\nconninfo = \"{}\"\n\
         [processes]\npooler = \"{}\"\n\
         [[operations]]\nname = \"one\"\nsql = \"SELECT 1\"\n",
        stack.target("pooler"),
        container.folder().display(),
    );
    let file = stack.home.write("container.toml", &text);
    let taken_us = || container.figure("cpu.stat", "usage_usec");
    let before = taken_us();
    let arguments = ["--vus", "4", "--duration", "3s", "--json", "-"];
    let ended = stack.home.run(&[&["run", &file, "--quiet"][..], &arguments].concat());
    assert!([0, 111].contains(&ended.code), "{ended:?}");
    let summary = ended.json();
    let seconds = summary["series"].as_array().expect("a series");
    let seen: Vec<(&Value, f64)> = seconds
        .iter()
        .filter(|second| second["processes"]["pooler"].is_object())
        .map(|second| {
            let ns = |name: &str| second[name].as_f64().expect("an instant");
            (&second["processes"]["pooler"], (ns("end_ns") - ns("start_ns")) / 1e9)
        })
        .collect();
    assert!(!seen.is_empty(), "{summary}");
    let seen_us: f64 = seen
        .iter()
        .map(|(process, seconds)| process["cpu_cores"].as_f64().expect("cores") * seconds * 1e6)
        .sum();
    let taken_us = taken_us().zip(before).expect("cpu.stat is in every group");
    let taken_us = (taken_us.0 - taken_us.1) as f64;
    // The first and the last look lie within the load.
    assert!(seen_us > 0.0 && seen_us <= 1.05 * taken_us, "{seen_us} of {taken_us}");
    // What its controllers count, where these are switched on.
    for (process, _) in seen {
        let is_there = |name: &str| process["group"][name].as_u64().is_some();
        let is_counted = |file: &str| container.figure(file, "").is_some();
        assert_eq!(is_there("memory_bytes"), is_counted("memory.current"), "{process}");
        assert_eq!(is_there("tasks"), is_counted("pids.current"), "{process}");
    }
}
