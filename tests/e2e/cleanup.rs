//! Whatever was started is stopped, and its folder removed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use poolbench_tests::{Home, Stack};

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
}

/// Starts `demo` and waits for a line of progress.
fn demo(home: &Home, until: &str) -> Child {
    let mut child = home
        .command(&["demo", "--duration", "60s"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut lines = lines.map(|line| line.expect("text"));
    assert!(lines.any(|line| line.contains(until)), "{until} never came");
    child
}

fn assert_clean(home: &Home) {
    assert_eq!(home.processes(), Vec::<u32>::new());
    assert_eq!(home.stacks(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn after_success_nothing_is_left() {
    let home = Home::new();
    let ended = home.run(&["demo", "--duration", "1s", "--rate", "200"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("gateway+pooler"), "{ended:?}");
    assert_clean(&home);
}

#[test]
fn after_ctrl_c_nothing_is_left() {
    let home = Home::new();
    for until in ["Postgres", "measuring"] {
        let mut child = demo(&home, until);
        signal(&child, "-INT");
        assert_eq!(child.wait().expect("it ends").code(), Some(105), "at {until}");
        assert_clean(&home);
    }
}

#[test]
fn after_kill_9_the_next_start_cleans_up() {
    let home = Home::new();
    let mut child = demo(&home, "measuring");
    signal(&child, "-KILL");
    child.wait().expect("it ends");
    assert!(!home.processes().is_empty(), "the servers are orphans now");
    let ended = home.run(&["demo", "--duration", "1s", "--rate", "200"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_clean(&home);
}

#[test]
fn a_stack_that_is_up_is_told_and_the_built_in_scenario_runs_on_it() {
    let stack = Stack::up(&[]);
    let again = stack.home.run(&["stack", "up"]);
    assert!(again.code == 0 && again.stderr.contains("up already"), "{again:?}");
    let arguments = ["run", "--target", "pooler", "--vus", "4", "--duration", "300ms"];
    let ended = stack.home.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("getFeed"), "{ended:?}");
    assert!(!ended.stdout.contains("password"), "{ended:?}");
}
