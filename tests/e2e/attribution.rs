//! What `layers` says of costs that are known.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::null_server::{NullServer, Speaks};
use poolbench_tests::stand_in::{Delay, gateway, observed, pooler};
use poolbench_tests::{Home, Stack};
use serde_json::Value;

// So long that what a busy machine adds to a hop is small beside how they vary.
const GATEWAY: Delay = Delay { least: Duration::from_millis(6), more: Duration::from_millis(18) };
const POOLER: Delay = Delay { least: Duration::from_millis(3), more: Duration::from_millis(12) };

/// Each of these tests measures: they don't run side by side.
static MEASURING: Mutex<()> = Mutex::new(());

/// The cost of a layer at the median, with its interval.
fn cost(summary: &Value, layer: &str) -> (f64, f64, f64) {
    let costs = summary["costs"].as_array().expect("costs");
    let is_meant = |cost: &&Value| cost["layer"] == layer && cost["quantile"] == 0.5;
    let cost = costs.iter().find(is_meant).expect("the layer's cost");
    let number = |value: &Value| value.as_f64().expect("a number");
    (number(&cost["ns"]), number(&cost["ci_ns"][0]), number(&cost["ci_ns"][1]))
}

#[test]
fn stand_ins_that_add_a_known_time_are_recovered_in_nine_of_ten_runs() {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Home::new();
    let recovered: Vec<_> = (0..10).map(|run| recover(&home, run)).collect();
    for layer in 0..2 {
        let within = recovered.iter().filter(|layers| layers[layer].0).count();
        assert!(within >= 9, "layer {layer}: {within} of 10: {recovered:#?}");
    }
}

/// Whether the gateway's and the pooler's cost are what they were, and in which words.
fn recover(home: &Home, run: u64) -> [(bool, String); 2] {
    let server = NullServer::start(Speaks::Postgres, None).expect("a free port");
    let postgres = server.address().as_socket().expect("TCP");
    let (behind, _) = pooler(postgres, POOLER, 3 * run);
    let (in_front, gateway_times) = gateway(behind, GATEWAY, 3 * run + 1);
    let (alone, pooler_times) = pooler(postgres, POOLER, 3 * run + 2);
    let summary = layers(home, in_front, alone, postgres, run);
    // The gateway's time holds the pooler's that it asks.
    let truths = [gateway_times.median() - pooler_times.median(), pooler_times.median()];
    let check = |(layer, truth): (&str, f64)| {
        let (value, low, high) = cost(&summary, layer);
        let words = format!("{layer}: {value:.0} [{low:.0}, {high:.0}], in truth {truth:.0} ns");
        // An interval that holds everything recovers nothing.
        ((low..=high).contains(&truth) && low > 0.0, words)
    };
    let [gateway, pooler] = truths;
    [check(("gateway", gateway)), check(("pooler", pooler))]
}

fn layers(
    home: &Home,
    gateway: SocketAddr,
    pooler: SocketAddr,
    postgres: SocketAddr,
    seed: u64,
) -> Value {
    let conninfo = |address: SocketAddr| {
        format!("host=127.0.0.1 port={} user=u password=p dbname=d sslmode=disable", address.port())
    };
    let scenario = format!(
        r#"
name = "stand-ins"
[targets.gateway]
url = "http://{gateway}/graphql"
[targets.pooler]
conninfo = "{}"
[targets.postgres]
conninfo = "{}"
observer = "{}"
[[operations]]
name = "getUser"
graphql = "query GetUser($id: ID!) {{ user(id: $id) {{ id }} }}"
variables = {{ id = {{ uniform = [1, 1000] }} }}
sql = "SELECT id FROM users WHERE id = $1"
params = ["id:int8"]
"#,
        conninfo(pooler),
        conninfo(postgres),
        conninfo(observed()),
    );
    let file = home.write("stand-ins.toml", &scenario);
    let seed = seed.to_string();
    let arguments = [
        "layers",
        &file,
        "--rate",
        "400",
        "--block",
        "60ms",
        "--duration",
        "2250ms",
        "--connections",
        "60",
        "--seed",
        &seed,
        "--json",
        "-",
    ];
    let ended = home.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

#[test]
fn every_hop_has_its_round_trip_and_transactions_stand_for_assignments() {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = Stack::up(&[]);
    let ended = stack.home.run(&["layers", "--rate=200", "--duration=2s", "--json=-"]);
    assert!([0, 111].contains(&ended.code), "{ended:?}");
    let summary = ended.json();
    let hops = summary["hops"].as_array().expect("hops");
    let told: Vec<_> = hops
        .iter()
        .map(|hop| {
            // All of the stack is on the loopback interface.
            assert_eq!(hop["over"], "tcp", "{hop}");
            let ns = hop["round_trip_ns"].as_u64();
            assert!(ns > Some(0) && ns < Some(1_000_000_000), "{hop}");
            format!("{} {}", hop["from"].as_str().unwrap(), hop["to"].as_str().unwrap())
        })
        .collect();
    let expected = [
        "generator gateway",
        "gateway pooler",
        "pooler postgres",
        "generator gateway-direct",
        "gateway-direct postgres",
        "generator pooler",
        "generator postgres",
    ];
    assert_eq!(told, expected);
    // PgBouncer counts them from 1.23 on.
    let from = summary["assignments"].as_str();
    assert!(matches!(from, Some("transactions" | "counted")), "{from:?}");
    let pool = summary["pool"].as_array().expect("pools");
    for arm in pool.iter().chain(summary["amplification"].as_array().expect("operations")) {
        let assignments = arm["server_assignments_per_request"].as_f64().expect("a number");
        let transactions = arm["transactions_per_request"].as_f64().expect("a number");
        assert!((assignments - transactions).abs() < 0.05, "{arm}");
    }
}

#[test]
fn a_pooler_does_not_differ_from_itself_in_nearly_all_of_twenty_runs() {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = Stack::up(&[]);
    let runs: Vec<_> = (0..20)
        .map(|seed: u64| {
            let seed = seed.to_string();
            let arguments = [
                "layers",
                "--arms",
                "pooler,pooler",
                "--rate",
                "500",
                "--connections",
                "10",
                "--block",
                "50ms",
                "--duration",
                "1500ms",
                "--seed",
                &seed,
                "--json",
                "-",
            ];
            let ended = stack.home.run(&arguments);
            assert_eq!(ended.code, 0, "{ended:?}");
            cost(&ended.json(), "none")
        })
        .collect();
    let holding_zero = runs.iter().filter(|(_, low, high)| *low <= 0.0 && *high >= 0.0).count();
    // Of 20 intervals that each hold the truth with 95 %, fewer than 16 do once in 3000 times.
    assert!(holding_zero >= 16, "{holding_zero} of 20: {runs:?}");
}
