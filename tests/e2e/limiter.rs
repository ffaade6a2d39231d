//! Each resource of a stack in turn is made the limit, and must be the one that is named.

use std::ops::RangeInclusive;

use poolbench_tests::squeeze::{CpuQuota, Spinner, pin, prefer, preferred};
use poolbench_tests::{Ended, Stack};
use serde_json::Value;

/// Whether the generator goes before what else the machine does.
#[derive(PartialEq)]
enum Preferred {
    Yes,
    No,
}

/// A stack that goes before what else the machine does.
fn stack(options: &[&str]) -> Stack {
    let stack = Stack::small(options);
    SERVERS.iter().for_each(|server| prefer(stack.pid(server)));
    stack
}

const SERVERS: [&str; 3] = ["postgres", "pgbouncer", "gateway-pooled"];

/// Runs `load` with one operation on one target of the stack, everything observed.
fn run(stack: &Stack, target: &str, operation: &str, load: &[&str]) -> Value {
    run_as(&Preferred::Yes, stack, target, operation, load)
}

fn run_as(
    is_preferred: &Preferred,
    stack: &Stack,
    target: &str,
    operation: &str,
    load: &[&str],
) -> Value {
    let file = scenario(stack, operation);
    let mut of_all = vec!["run", &file, "--quiet", "--target", target, "--json", "-"];
    if !load.contains(&"--stage") {
        of_all.extend(["--duration", "6s"]);
    }
    measure(is_preferred, stack, &[&of_all, load].concat())
}

/// The stack with one operation, everything observed.
fn scenario(stack: &Stack, operation: &str) -> String {
    let text = format!(
        "name = \"limit\"\n\
         [targets.gateway]\nurl = \"{}\"\n\
         [targets.pooler]\nconninfo = \"{}\"\nconsole = \"{}\"\n\
         [targets.postgres]\nconninfo = \"{}\"\nobserver = \"{}\"\n\
         [processes]\ngateway = {}\npooler = {}\npostgres = {}\n\
         [auth.login]\n\
         query = 'mutation {{ login(username: \"user1\", password: \"nova\") {{ token }} }}'\n\
         token = \"data.login.token\"\n\
         [[operations]]\nname = \"it\"\n{operation}\n",
        stack.target("gateway_pooled"),
        stack.target("pooler"),
        stack.target("console"),
        stack.target("postgres"),
        stack.target("observer"),
        stack.pid("gateway-pooled"),
        stack.pid("pgbouncer"),
        stack.pid("postgres"),
    );
    stack.home.write("limit.toml", &text)
}

fn measure(is_preferred: &Preferred, stack: &Stack, arguments: &[&str]) -> Value {
    let mut command = stack.home.command(arguments);
    if *is_preferred == Preferred::Yes {
        command = preferred(&command);
    }
    let ended = Ended::from(command.output().expect("the command starts"));
    assert!([0, 111].contains(&ended.code), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    let summary = ended.json();
    let sources = summary["observers"]["sources"].as_array().expect("sources");
    for source in sources {
        assert_eq!(source["failures"], 0, "{source}");
    }
    summary
}

/// That `name` is the limiter, since the beginning: a server that others disturb may take a second or
/// two to get there.
fn assert_limiter(summary: &Value, name: Option<&str>) {
    assert_limiter_from(summary, name, 0..=2);
}

/// That `name` is the limiter, since a second of the load that is among these.
fn assert_limiter_from(summary: &Value, name: Option<&str>, within: RangeInclusive<u64>) {
    let limiter = &summary["limiter"];
    let seen = serde_json::to_string(&summary["series"]).expect("a series");
    assert_eq!(limiter["name"].as_str(), name, "{limiter} in {seen}");
    if name.is_some() {
        assert!(!limiter["evidence"].as_array().expect("evidence").is_empty(), "{limiter}");
        let since = limiter["since_ns"].as_u64().expect("an instant");
        let since = (since as f64 / 1e9).round() as u64;
        assert!(within.contains(&since), "{limiter} in {seen}");
    }
}

const SLEEP: &str = "sql = \"SELECT pg_sleep(0.02)\"";
const GRAPHQL: &str = "graphql = \"{ user(id: 5) { id username } }\"";
const CHEAP: &str = "sql = \"SELECT 1\"";
const DEAR: &str = "sql = \"SELECT count(*) FROM generate_series(1, 20000)\"";

/// On the core that the workers do not have.
const SERVERS_CORE: usize = 0;

/// The core of the generator's only worker: the last one.
fn workers_core() -> usize {
    std::thread::available_parallelism().expect("cores").get() - 1
}

#[test]
fn a_pool_of_two_is_named_and_a_large_one_is_not() {
    let small = stack(&["--pool-size", "2"]);
    // A view that refuses, as its library is not loaded, is no reason to miss the others.
    small.psql("superuser", "nova", "CREATE EXTENSION pg_stat_statements");
    // In the first half there is a server connection for each client.
    let grows = ["--stage", "3s:2,1ms:12,3s:12"];
    let limited = run(&small, "pooler", SLEEP, &grows);
    assert_limiter_from(&limited, Some("pool of pooler"), 2..=4);
    let evidence = limited["limiter"]["evidence"].to_string();
    assert!(evidence.contains("all 2 server connections for nova were in use"), "{evidence}");
    assert!(evidence.contains("Timeout:PgSleep"), "{evidence}");
    let postgres = |view: &str| {
        let seconds = limited["series"].as_array().expect("a series").iter();
        let counts = seconds.map(|second| &second["servers"]["postgres"]["counted_per_second"]);
        counts.filter_map(|counts| counts[view].as_f64()).fold(0.0, f64::max)
    };
    // Twelve clients on two connections of 20 ms.
    assert!((20.0..=200.0).contains(&postgres("database.xact_commit")), "{limited}");
    drop(small);
    let load = ["--vus", "12"];
    // The same load sleeps as long as before, and nothing runs out.
    let large = stack(&["--pool-size", "25"]);
    assert_limiter(&run(&large, "pooler", SLEEP, &load), None);
    // One row is a resource too.
    let lock =
        "sql = \"UPDATE users SET username = username WHERE id = 7 RETURNING pg_sleep(0.01)\"";
    assert_limiter(&run(&large, "pooler", lock, &load), Some("locks in postgres"));
}

#[test]
fn each_server_that_has_too_little_cpu_is_named() {
    let stack = stack(&["--pool-size", "25"]);
    for (server, target, operation, cores, name) in [
        ("pgbouncer", "pooler", CHEAP, 0.06, "pooler CPU"),
        ("postgres", "pooler", DEAR, 0.2, "postgres CPU"),
        ("gateway-pooled", "gateway", GRAPHQL, 0.08, "gateway CPU"),
    ] {
        // Where no quota can be given, another process takes the core.
        let quota = CpuQuota::new(cores);
        let spinner = quota.is_none().then(|| {
            pin(stack.pid(server), SERVERS_CORE);
            Spinner::on(SERVERS_CORE)
        });
        quota.iter().for_each(|quota| quota.hold(stack.pid(server)));
        let summary = run(&stack, target, operation, &["--vus", "12"]);
        drop((quota, spinner));
        assert_limiter(&summary, Some(name));
        // The gateway says how long it took, in the header Server-Timing.
        let told = &summary["arms"][0]["server_timing_ns"]["total"]["p50"];
        assert_eq!(told.is_u64(), target == "gateway", "{}", summary["arms"]);
        let series = summary["series"].as_array().expect("a series").iter();
        let mut medians = series.map(|second| &second["server_total_ns"]["p50"]);
        assert_eq!(medians.any(Value::is_u64), target == "gateway", "{summary}");
    }
}

#[test]
fn a_server_whose_core_others_take_is_named() {
    let stack = Stack::small(&["--pool-size", "25"]);
    // Nobody else is to have too little.
    prefer(stack.pid("postgres"));
    pin(stack.pid("postgres"), workers_core());
    pin(stack.pid("pgbouncer"), SERVERS_CORE);
    let _spinner = Spinner::on(SERVERS_CORE);
    let summary = run(&stack, "pooler", CHEAP, &["--vus", "12"]);
    assert_limiter(&summary, Some("pooler CPU"));
}

#[test]
fn a_generator_that_has_too_little_cpu_is_named() {
    let stack = stack(&["--pool-size", "25"]);
    // The servers keep what they need.
    SERVERS.iter().for_each(|server| pin(stack.pid(server), SERVERS_CORE));
    let core = workers_core();
    let _spinner = Spinner::on(core);
    let cores = core.to_string();
    let load = ["--cores", &cores, "--rate", "3000", "--connections", "20"];
    let summary = run_as(&Preferred::No, &stack, "pooler", CHEAP, &load);
    assert_limiter(&summary, Some("generator"));
}

#[test]
fn a_comparison_names_the_limiter_of_each_arm_with_what_was_seen_beside_it() {
    let stack = stack(&["--pool-size", "2"]);
    let file = scenario(&stack, SLEEP);
    let load = ["--rate=200", "--connections=50", "--duration=8s", "--json=-"];
    let arguments = [&["layers", &file, "--arms=pooler,direct"][..], &load].concat();
    let summary = measure(&Preferred::Yes, &stack, &arguments);
    let [pooler, direct] = &summary["arms"].as_array().expect("arms")[..] else {
        panic!("two arms: {summary}")
    };
    assert_eq!(pooler["limiter"]["name"], "pool of pooler", "{pooler}");
    let evidence = pooler["limiter"]["evidence"].to_string();
    assert!(evidence.contains("all 2 server connections for nova were in use"), "{evidence}");
    assert!(direct["limiter"].is_null(), "{direct}");
    for arm in [pooler, direct] {
        let series = arm["series"].as_array().expect("a series");
        assert!(series.len() >= 2, "{arm}");
        for block in series {
            let cores = &block["processes"]["postgres"]["cpu_cores"];
            assert!(cores.is_number() && block["poolers"]["pooler"].is_object(), "{block}");
        }
    }
    assert_queue_is_counted_once(&summary);
    let waiting = |arm: &Value| arm["series"][0]["poolers"]["pooler"]["cl_waiting"].clone();
    assert!(waiting(pooler).as_u64() > Some(0), "{pooler}");
    assert_eq!(waiting(direct), 0, "{direct}");
}

/// PgBouncer's time of a query holds the wait for a server connection, which is most of it here.
fn assert_queue_is_counted_once(summary: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value}: {summary}"));
    let [pool] = &summary["pool"].as_array().expect("pools")[..] else { panic!("{summary}") };
    let of_pool = |name: &str| number(&pool[name]);
    let (wait_ns, server_ns) = (of_pool("wait_ns_per_request"), of_pool("server_ns_per_request"));
    assert!(server_ns >= 20e6 && wait_ns > 2.0 * server_ns, "{pool}");
    let (sent, counted, seen) =
        (of_pool("in_flight"), of_pool("in_pool_counted"), of_pool("in_pool_seen"));
    assert!((seen / counted - 1.0).abs() < 0.15, "Little's law: {pool}");
    assert!((sent / counted - 1.0).abs() < 0.15, "nothing is long anywhere else: {pool}");
    let [part] = &summary["accounting"].as_array().expect("pairs")[..] else { panic!("{summary}") };
    let added = number(&part["added"]["value"]);
    assert!((number(&part["wait_ns"]) / added - 1.0).abs() < 0.1, "{part}");
    assert!((number(&part["residual_ns"]) / added).abs() < 0.1, "{part}");
}
