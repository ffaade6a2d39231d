//! What the command line makes of a file's loads, operations and tags.

use clap::Parser;
use engine::MILLISECOND;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    options: RunOptions,
}

fn options(line: &str) -> Result<RunOptions, String> {
    let words = std::iter::once("run").chain(line.split(' ').filter(|word| !word.is_empty()));
    Line::try_parse_from(words).map(|line| line.options).map_err(|error| error.to_string())
}

const HEAD: &str = r#"
name = "table"
[targets.gateway]
url = "http://127.0.0.1:4000/graphql"
[targets.pooler]
conninfo = "host=127.0.0.1"
[[operations]]
name = "read"
weight = 30
sql = "SELECT 1"
[[operations]]
name = "search"
weight = 10
sql = "SELECT 2"
[[operations]]
name = "write"
weight = 2
sql = "INSERT INTO a VALUES (1)"
[tags]
release = "1"
"#;

const CLOSED: &str = "[load]\ntarget = 'gateway'\nexecutor = 'constant-vus'\nvus = 20\n\
                      duration = '1m'\nthink_time = '1s'";
const RAMP: &str = "[load]\ntarget = 'gateway'\nexecutor = 'ramping-vus'\nstart_vus = 3\n\
                    stages = [{ duration = '10s', target = 50 }, { duration = '0s', target = 90 }, \
                    { duration = '20s', target = 0 }]";
const OPEN: &str = "[load]\ntarget = 'gateway'\nexecutor = 'constant-arrival-rate'\nrate = 100\n\
                    duration = '1m'\npre_allocated_vus = 5\nmax_vus = 9\ngaps = 'poisson'";
const EACH: &str = "[load]\ntarget = 'gateway'\nexecutor = 'per-vu-iterations'\nvus = 4\n\
                    iterations = 7\nmax_duration = '1m'";
const SEVERAL: &str = "[[loads]]\nname = 'a'\ntarget = 'gateway'\nexecutor = 'constant-vus'\n\
                       vus = 2\nduration = '10s'\n[[loads]]\nname = 'b'\ntarget = 'pooler'\n\
                       executor = 'constant-vus'\nvus = 3\nstart_time = '10s'\nduration = '30s'";

fn applied(file: &str, line: &str) -> Result<Scenario, String> {
    let options = options(line)?;
    let mut scenario = Scenario::parse("table.toml", &format!("{HEAD}\n{file}"), &|_| None)
        .map_err(|error| error.to_string())?;
    options.apply(&mut scenario).map_err(|error| error.to_string())?;
    Ok(scenario)
}

/// One load in a line: its target, executor, numbers, think time and start.
fn row(load: &ScenarioLoad) -> String {
    let s = |ns: &Nanos| format!("{}s", *ns as f64 / SECOND as f64);
    let stages = |stages: &[Stage]| {
        let stage = |stage: &Stage| format!("{}:{}", s(&stage.duration_ns), stage.target);
        stages.iter().map(stage).collect::<Vec<_>>().join(",")
    };
    let shape = match &load.load {
        Load::ConstantVus { vus, duration_ns } => format!("{vus} VUs {}", s(duration_ns)),
        Load::RampingVus { start_vus, stages: all, .. } => {
            format!("{start_vus} VUs then {}", stages(all))
        }
        Load::PerVuIterations { vus, iterations, max_duration_ns } => {
            format!("{vus} VUs, {iterations} each, {}", s(max_duration_ns))
        }
        Load::SharedIterations { vus, iterations, max_duration_ns } => {
            format!("{vus} VUs, {iterations} shared, {}", s(max_duration_ns))
        }
        Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus, max_vus } => {
            format!("{rate}/s {} {gaps:?} {pre_allocated_vus}-{max_vus}", s(duration_ns))
        }
        Load::RampingArrivalRate { start_rate, stages: all, .. } => {
            format!("{start_rate}/s then {}", stages(all))
        }
    };
    let target = load.target.as_deref().unwrap_or_default();
    let (least, most) = load.think_time_ns;
    let think =
        if most > 0 { format!(", think {}-{}", s(&least), s(&most)) } else { String::new() };
    let start =
        if load.start_ns > 0 { format!(" at {}", s(&load.start_ns)) } else { String::new() };
    format!("{target}: {shape}{think}{start}")
}

#[test]
fn the_command_line_goes_before_the_file() {
    for (file, line, expected) in [
        // Nothing said: the file's own, or one user for 10 s.
        (CLOSED, "", "gateway: 20 VUs 60s, think 1s-1s"),
        ("", "--target pooler", "pooler: 1 VUs 10s"),
        // One number of the file's own executor.
        (CLOSED, "-u 5", "gateway: 5 VUs 60s, think 1s-1s"),
        (CLOSED, "-d 3s", "gateway: 20 VUs 3s, think 1s-1s"),
        (CLOSED, "--vus 5 --duration 1500 --target pooler", "pooler: 5 VUs 1.5s, think 1s-1s"),
        (EACH, "--vus 2 --iterations 9", "gateway: 2 VUs, 9 each, 60s"),
        (EACH, "-d 5s", "gateway: 4 VUs, 7 each, 5s"),
        (OPEN, "--rate 7", "gateway: 7/s 60s Poisson 5-9"),
        (OPEN, "--connections 3 -d 2s", "gateway: 100/s 2s Poisson 3-3"),
        // Stages keep their shape.
        (RAMP, "-d 3s", "gateway: 3 VUs then 1s:50,0s:90,2s:0"),
        (RAMP, "-d 10ms", "gateway: 3 VUs then 0.003333333s:50,0s:90,0.006666667s:0"),
        (SEVERAL, "-d 4s", "gateway: 2 VUs 1s\npooler: 3 VUs 3s at 1s"),
        // Another executor.
        (
            CLOSED,
            "-s 1m:50,5m:500 -s 0s:9",
            "gateway: 1 VUs then 60s:50,300s:500,0s:9, think 1s-1s",
        ),
        (RAMP, "-s 1m:50", "gateway: 3 VUs then 60s:50"),
        (CLOSED, "-s 1m:50 -u 7", "gateway: 7 VUs then 60s:50, think 1s-1s"),
        (CLOSED, "-i 40", "gateway: 20 VUs, 40 shared, 600s, think 1s-1s"),
        (CLOSED, "-i 40 -u 2 -d 9s", "gateway: 2 VUs, 40 shared, 9s, think 1s-1s"),
        (CLOSED, "--rate 7.5", "gateway: 7.5/s 60s Uniform 50-50"),
        (CLOSED, "--rate 7 --poisson --connections 8", "gateway: 7/s 60s Poisson 8-8"),
        (CLOSED, "--rps 100 -u 8", "gateway: 100/s 60s Uniform 8-8"),
        (RAMP, "-u 8", "gateway: 8 VUs 30s"),
        (OPEN, "-u 8", "gateway: 8 VUs 60s"),
        (EACH, "--rate 8", "gateway: 8/s 10s Uniform 50-50"),
        // Several loads give way to one, as in k6.
        (SEVERAL, "-u 8 --target pooler", "pooler: 8 VUs 10s"),
        (SEVERAL, "--target pooler", "pooler: 2 VUs 10s\npooler: 3 VUs 30s at 10s"),
        // Think time.
        (CLOSED, "--think-time 500ms,3s", "gateway: 20 VUs 60s, think 0.5s-3s"),
        (CLOSED, "--think-time 0s", "gateway: 20 VUs 60s"),
    ] {
        let scenario = applied(file, line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let rows: Vec<_> = scenario.loads.iter().map(row).collect();
        assert_eq!(rows.join("\n"), expected, "{line}");
    }
}

#[test]
fn what_contradicts_itself_or_the_file_is_named() {
    for (file, line, words) in [
        (CLOSED, "--rate 5 --vus 3", "'--rate <RATE>' cannot be used with '--vus <VUS>'"),
        (CLOSED, "--rate 5 --rps 3", "cannot be used with '--rps <RPS>'"),
        (
            CLOSED,
            "-s 1m:5 -d 3s",
            "'--stage <DURATION:VUS>' cannot be used with '--duration <DURATION>'",
        ),
        (CLOSED, "-i 5 --rate 3", "cannot be used with"),
        (CLOSED, "-s 1m5", "1m5 is no stage: write DURATION:VUS, as in 1m:50"),
        (CLOSED, "-s 1m:-5", "1m:-5 is no stage"),
        (CLOSED, "-d 0s", "a run of 0 s measures nothing"),
        (CLOSED, "--vus 0", "0 is not in 1.."),
        (CLOSED, "--writes 0.5", "0.5 is no share: write it as in 50%"),
        (CLOSED, "--writes 101%", "a share is from 0% to 100%"),
        (CLOSED, "-e A", "A is not of the form NAME=VALUE"),
        (CLOSED, "-i 5", "20 VUs can't share 5 iterations: lower --vus or raise --iterations"),
        (CLOSED, "--target gatway", "there is no target gatway"),
        (
            CLOSED,
            "--operation raed",
            "--operation raed: there is none of this name; the scenario has read, search, write",
        ),
        (
            CLOSED,
            "--operation read --writes 50%",
            "--writes 50%: no operation of the scenario writes",
        ),
        (
            CLOSED,
            "--poisson",
            "--poisson is for an open loop, and load [load] is a closed one: give --rate",
        ),
        (CLOSED, "--connections 5", "--connections is for an open loop"),
        (
            OPEN,
            "--think-time 1s",
            "--think-time is for a closed loop, and load [load] is an open one",
        ),
        (CLOSED, "--think-time 3s,1s", "the first must not be above the second"),
        ("", "", "choose one with --target: gateway, pooler"),
        (SEVERAL, "-u 3", "choose one with --target: gateway, pooler"),
    ] {
        let error = applied(file, line).err().unwrap_or_else(|| panic!("{line} was accepted"));
        assert!(error.contains(words), "{line}: {error}");
    }
}

fn weights(line: &str) -> Vec<(String, u32)> {
    let scenario = applied(CLOSED, line).unwrap();
    scenario.operations.iter().map(|operation| (operation.name.clone(), operation.weight)).collect()
}

#[test]
fn operations_are_chosen_and_the_share_of_writes_is_set() {
    let row = |line: &str| {
        weights(line)
            .iter()
            .map(|(name, weight)| format!("{name} {weight}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(row(""), "read 30, search 10, write 2");
    assert_eq!(row("--operation write --operation read"), "read 30, write 2");
    assert_eq!(row("--writes 50%"), "read 3, search 1, write 4");
    assert_eq!(row("--writes 0%"), "read 3, search 1, write 0");
    assert_eq!(row("--writes 100%"), "read 0, search 0, write 1");
    let odd = weights("--writes 12.34%");
    let total: u32 = odd.iter().map(|(_, weight)| weight).sum();
    let share = f64::from(odd[2].1) / f64::from(total);
    assert!((share - 0.1234).abs() < 1e-9, "{odd:?}");
    assert_eq!(odd[0].1, 3 * odd[1].1);
}

#[test]
fn tags_and_variables_are_set() {
    let scenario = applied(CLOSED, "--tag release=2 --tag team=a=b").unwrap();
    let tags: Vec<_> =
        scenario.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(tags, ["release=2", "team=a=b"]);
    let options = options("-e POOLBENCH_A=1 -e POOLBENCH_A=2 --env POOLBENCH_B=").unwrap();
    assert_eq!(options.variable("POOLBENCH_A").as_deref(), Some("2"));
    assert_eq!(options.variable("POOLBENCH_B").as_deref(), Some(""));
    assert_eq!(options.variable("POOLBENCH_NOT_SET"), None);
    assert!(options.variable("PATH").is_some());
}

#[test]
fn a_file_without_a_duration_is_enough_where_the_command_line_has_one() {
    let file = format!("{HEAD}\n[load]\nexecutor = 'constant-vus'\ntarget = 'pooler'");
    let read = |line: &str| {
        let options = options(line).unwrap();
        let reading =
            crate::scenario::Reading { lookup: &|_| None, has_duration: options.has_duration() };
        let mut scenario = Scenario::parse_with("a.toml", file.clone(), &reading).map_err(drop)?;
        options.apply(&mut scenario).map_err(drop)?;
        Ok(scenario.loads[0].load.duration_ns())
    };
    assert_eq!(read("--duration 7ms"), Ok(7 * MILLISECOND));
    assert_eq!(read("--vus 3"), Err(()));
}
