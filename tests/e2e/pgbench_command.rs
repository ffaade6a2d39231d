//! `poolbench pgbench` beside pgbench itself: the logs, several targets, and what a transaction costs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use poolbench_tests::pgbench::{Tables, number};
use poolbench_tests::{Ended, Home};
use serde_json::Value;

#[test]
fn counts_are_those_of_pgbench() {
    let tables = Tables::up(&[]);
    let slow = tables.stack.home.write("slow.sql", "SELECT pg_sleep(0.02);\n");
    for (options, expected) in [
        (
            &["-f", &slow, "-c", "2", "-t", "5", "-L", "10", "--failures-detailed"][..],
            "number of transactions above the 10.0 ms latency limit: 10/10 (100.000%)",
        ),
        (
            &["-f", &slow, "-c", "2", "-t", "5", "-L", "1000000"],
            "number of transactions above the 1000000.0 ms latency limit: 0/10 (0.000%)",
        ),
        (
            &["-f", &slow, "-C", "-t", "3", "-R", "1000", "-L", "1000000"],
            "number of transactions skipped: 0 (0.000%)",
        ),
    ] {
        let options = [&["-n"], options].concat();
        let [ours, theirs] =
            [tables.ours(&options, "postgres"), tables.theirs(&options, "postgres")];
        assert_eq!(theirs.code, 0, "{theirs:?}");
        let counts = |ended: &Ended| {
            let is_count = |line: &&str| {
                line.starts_with("number of ") || line.starts_with("total number of ")
            };
            ended.stdout.lines().filter(is_count).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(counts(&ours), counts(&theirs), "{options:?} {ours:?} {theirs:?}");
        assert!(counts(&ours).iter().any(|line| line == expected), "{options:?} {ours:?}");
    }
}

#[test]
fn tries_are_counted_as_pgbench_counts_them() {
    let tables = Tables::up(&[]);
    let script = tables.stack.home.write(
        "conflict.sql",
        "BEGIN ISOLATION LEVEL REPEATABLE READ;\n\
         UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;\n\
         UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1;\nEND;\n",
    );
    let options =
        ["-n", "-f", &script, "-c", "8", "-t", "25", "--max-tries=3", "--failures-detailed"];
    for ended in [tables.ours(&options, "postgres"), tables.theirs(&options, "postgres")] {
        let count = |start: &str| {
            let rest = ended.stdout.lines().find_map(|line| line.strip_prefix(start));
            let digits = rest.and_then(|rest| rest.split([' ', '/']).nth(1));
            digits
                .and_then(|digits| digits.parse::<u64>().ok())
                .unwrap_or_else(|| panic!("{ended:?}"))
        };
        let done = count("number of transactions actually processed:");
        let failed = count("number of failed transactions:");
        let [serialization, deadlock] =
            ["serialization", "deadlock"].map(|kind| count(&format!("number of {kind} failures:")));
        let retried = count("number of transactions retried:");
        let retries = count("total number of retries:");
        assert_eq!((done + failed, serialization + deadlock), (200, failed), "{ended:?}");
        // One that failed was tried three times, and each that was tried again at least twice.
        assert!(failed <= retried && retried <= 200, "{ended:?}");
        assert!((retried + failed..=2 * retried).contains(&retries), "{ended:?}");
    }
}

#[test]
fn a_number_of_transactions_at_a_rate_is_that_number() {
    let tables = Tables::up(&[]);
    let summary = tables.json(&["-S", "-n", "-c", "4", "-t", "25", "-R", "1000"], "postgres");
    assert_eq!(number(&summary, "transactions"), 100, "{summary}");
}

#[test]
fn deadlocks_are_no_serialization_failures() {
    let tables = Tables::up(&[]);
    let script = tables.stack.home.write(
        "deadlock.sql",
        "BEGIN;\nSELECT pg_advisory_xact_lock(:client_id % 2);\nSELECT pg_sleep(0.1);\n\
         SELECT pg_advisory_xact_lock(1 - :client_id % 2);\nEND;\n",
    );
    let options = ["-n", "-f", &script, "-c", "2", "-t", "2", "-r", "--failures-detailed"];
    let ended = tables.ours(&[&options[..], &["--json=-"]].concat(), "postgres");
    let summary = ended.json()["arms"][0].take();
    assert!(number(&summary, "deadlock_failures") > 0, "{summary}");
    assert_eq!(number(&summary, "serialization_failures"), 0, "{summary}");
    let commands = &summary["scripts"][0]["commands"];
    assert_eq!(commands[3]["failed"], summary["deadlock_failures"], "{summary}");
}

/// The lines of the files whose names begin with `prefix`, by what comes behind in the name, without
/// the process's number.
fn logged(home: &Home, prefix: &str) -> Vec<(String, Vec<Vec<String>>)> {
    let entries = std::fs::read_dir(home.path()).expect("a folder").flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let pid_and_thread = name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned();
            let thread = pid_and_thread.split_once('.').map_or("", |(_, thread)| thread);
            let text = std::fs::read_to_string(entry.path()).expect("a log");
            let words = |line: &str| line.split(' ').map(str::to_owned).collect();
            Some((thread.to_owned(), text.lines().map(words).collect()))
        })
        .collect();
    files.sort();
    files
}

/// Both tools' logs with the same options.
fn both_logs(
    tables: &Tables,
    name: &str,
    options: &[&str],
) -> [Vec<(String, Vec<Vec<String>>)>; 2] {
    [true, false].map(|is_ours| {
        let name = format!("{name}-{}", if is_ours { "ours" } else { "theirs" });
        let prefix = format!("--log-prefix={}", tables.stack.home.path().join(&name).display());
        let options = [&["-n", "-l", "--random-seed=7", &prefix], options].concat();
        let ended = match is_ours {
            true => tables.ours(&options, "postgres"),
            false => tables.theirs(&options, "postgres"),
        };
        assert_eq!(ended.code, 0, "{ended:?}");
        logged(&tables.stack.home, &name)
    })
}

/// Client, number and script of each transaction.
fn transactions(files: &[(String, Vec<Vec<String>>)]) -> BTreeSet<[String; 3]> {
    let lines = files.iter().flat_map(|(_, lines)| lines);
    lines.map(|line| [0, 1, 3].map(|column| line[column].clone())).collect()
}

#[test]
fn logs_have_pgbenchs_files_columns_and_transactions() {
    let tables = Tables::up(&[]);
    let scripts = ["-b", "simple@1", "-b", "select@2"];
    for (name, options, columns) in [
        ("plain", &["-c", "4", "-j", "2", "-t", "5"][..], 6),
        ("rate", &["-c", "1", "-t", "20", "-R", "500"], 7),
        ("retries", &["-c", "1", "-t", "20", "-R", "500", "--max-tries=2"], 8),
        // The same transactions are left out.
        ("sampled", &["-c", "1", "-t", "100", "--sampling-rate=0.3"], 6),
    ] {
        let [ours, theirs] = both_logs(&tables, name, &[options, &scripts].concat());
        let threads = |files: &[(String, Vec<_>)]| {
            files.iter().map(|(thread, _)| thread.clone()).collect::<Vec<_>>()
        };
        assert_eq!(threads(&ours), threads(&theirs), "{name}");
        for line in ours.iter().chain(&theirs).flat_map(|(_, lines)| lines) {
            assert_eq!(line.len(), columns, "{name} {line:?}");
            assert!(line.iter().all(|word| word.parse::<u64>().is_ok()), "{name} {line:?}");
        }
        let (ours, theirs) = (transactions(&ours), transactions(&theirs));
        match name {
            // With two threads the scripts are chosen anew.
            "plain" => assert_eq!(ours.len(), theirs.len()),
            _ => assert_eq!(ours, theirs, "{name}"),
        }
    }
}

#[test]
fn aggregated_logs_have_pgbenchs_columns_and_count_everything() {
    let tables = Tables::up(&[]);
    let options = ["-S", "-c", "2", "-t", "300", "-R", "250", "--aggregate-interval=1"];
    let [ours, theirs] = both_logs(&tables, "aggregated", &options);
    for line in ours.iter().chain(&theirs).flat_map(|(_, lines)| lines) {
        assert_eq!(line.len(), 15, "{line:?}");
    }
    let lines = &ours[0].1;
    let sum: u64 = lines.iter().map(|line| line[1].parse::<u64>().expect("a count")).sum();
    assert_eq!(sum, 600);
    let starts: Vec<u64> = lines.iter().map(|line| line[0].parse().expect("a second")).collect();
    assert!(starts.len() > 1 && starts.windows(2).all(|pair| pair[1] == pair[0] + 1), "{starts:?}");
}

#[test]
fn targets_take_turns_and_what_the_second_costs_has_an_interval() {
    let tables = Tables::up(&[]);
    let home = &tables.stack.home;
    // The same server, which waits longer for one of the two.
    let script =
        home.write("wait.sql", "SELECT pg_sleep(current_setting('poolbench.wait')::float8);\n");
    let target = |name: &str, wait: &str| {
        let conninfo = tables.stack.target("postgres");
        format!("--target={name}={conninfo} options='-c poolbench.wait={wait}'")
    };
    let out = home.path().join("results");
    let log = home.path().join("log");
    let ended = home.run(&[
        "pgbench",
        "-n",
        "-f",
        &script,
        "-c",
        "2",
        "-T",
        "1",
        "--block=50ms",
        "-l",
        &format!("--log-prefix={}", log.display()),
        &format!("--out={}", out.display()),
        &target("fast", "0.001"),
        &target("slow", "0.004"),
    ]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for words in ["target: fast", "target: slow", "cost against fast (95 % interval)"] {
        assert!(ended.stdout.contains(words), "{words:?} in {ended:?}");
    }
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect(name);
    assert_eq!(read("report.txt"), ended.stdout);
    let summary: Value = serde_json::from_str(&read("summary.json")).expect("JSON");
    let costs = summary["costs"].as_array().expect("costs");
    assert_eq!(costs.len(), 4, "{summary}");
    for cost in costs.iter().take(3) {
        assert_eq!((&cost["layer"], &cost["against"]), (&"slow".into(), &"fast".into()));
        assert_eq!(cost["blocks"], 20, "{summary}");
        let low = cost["ci_ns"][0].as_f64().expect("a bound");
        assert!(low > 0.0 && low <= cost["ns"].as_f64().expect("a cost"), "{summary}");
    }
    let throughput = &summary["throughput_costs"][0];
    assert!(throughput["ci_tps"][1].as_f64().expect("a bound") < 0.0, "{summary}");
    // Every transaction is in the histograms and in the log once.
    for (number_of, name) in ["fast", "slow"].into_iter().enumerate() {
        let done = number(&summary["arms"][number_of], "transactions");
        let histograms = read("histograms.csv");
        let of_name = |line: &&str| {
            let words: Vec<_> = line.split(',').collect();
            words[0] == name && words[2] == "response"
        };
        let count = |line: &str| line.rsplit(',').next()?.parse::<u64>().ok();
        assert_eq!(histograms.lines().filter(of_name).filter_map(count).sum::<u64>(), done);
        let files = logged(home, &format!("log.{name}"));
        assert_eq!(files.iter().map(|(_, lines)| lines.len() as u64).sum::<u64>(), done);
    }
    let wrong = home.run(&["pgbench", "--target=a=dbname=x", "--target=a=dbname=y"]);
    assert!(wrong.code == 104 && wrong.stderr.contains("two of this name"), "{wrong:?}");
}

#[test]
fn a_pooler_that_shares_nothing_is_told_by_its_console() {
    // In a session pool each client has a server connection for as long as it is connected.
    let tables = Tables::up(&["--pool-mode=session", "--pool-size=20"]);
    let home = &tables.stack.home;
    let script = home.write("think.sql", "SELECT 1;\n\\sleep 5 ms\n");
    let target = |name: &str| format!("--target={name}={}", tables.stack.target(name));
    let console = format!("--console=pooler={}", tables.stack.target("console"));
    let common =
        ["pgbench", "-n", "-f", &script, "-c", "4", "-T", "3", "--block=100ms", "--json=-"];
    let targets = [target("postgres"), target("pooler"), console];
    let compared = |more: &[&str]| {
        let targets: Vec<_> = targets.iter().map(String::as_str).collect();
        home.run(&[&common[..], more, &targets].concat()).json()
    };
    let told = |summary: &Value| {
        let reasons = summary["reasons"].as_array().expect("reasons");
        let shared = |reason: &&Value| {
            reason.as_str().is_some_and(|text| text.contains("nothing is multiplexed"))
        };
        reasons.iter().filter(shared).map(ToString::to_string).collect::<Vec<_>>()
    };
    let summary = compared(&[]);
    let [reason] = &told(&summary)[..] else { panic!("{summary}") };
    assert!(reason.contains("pooler: 4 server connections for 4 clients"), "{reason}");
    assert_eq!(summary["valid"], "suspect", "{summary}");
    let [direct, pooler] = [0, 1].map(|number| summary["arms"][number]["pool"].clone());
    assert!(direct.is_null() && pooler["clients"] == 4.0, "{summary}");
    // A target alone is not warmed up: its pool is empty before the load.
    let console = format!("--console={}", tables.stack.target("console"));
    let alone = home.run(&[&common[..], &[&console, tables.stack.target("pooler")]].concat());
    let summary = alone.json();
    let [reason] = &told(&summary)[..] else { panic!("{summary}") };
    assert!(reason.contains("pgbench: 4 server connections for 4 clients"), "{reason}");
    // A connection for each transaction shares the pool over time.
    let summary = compared(&["-C"]);
    assert!(told(&summary).is_empty(), "{summary}");
    // A console that does not let us in leaves a gap, and the load goes on.
    let nobody = format!("--console=pooler={} user=nobody", tables.stack.target("console"));
    let last = [target("postgres"), target("pooler"), nobody];
    let last: Vec<_> = last.iter().map(String::as_str).collect();
    let summary = home.run(&[&common[..], &last].concat()).json();
    assert!(summary["arms"][1]["pool"].is_null(), "{summary}");
    assert!(summary["reasons"].to_string().contains("the pooler's console"), "{summary}");
}

#[test]
fn where_the_pooler_loses_names_both_say_so() {
    // One server connection for two clients.
    let tables = Tables::up(&["--pool-size=1"]);
    let options = ["-S", "-n", "-c", "2", "-t", "50", "-M", "prepared"];
    let theirs = tables.theirs(&options, "pooler");
    let exists = |words: &str| words.contains("prepared statement \"P") && words.contains("exists");
    // Theirs counts no failure where another client's statement has the name that it needs.
    assert!(exists(&theirs.stderr), "{theirs:?}");
    let ours = tables.ours(&options, "pooler");
    assert!(
        ours.stdout.contains("pooling_incompatible of the pooler (first: SQLSTATE 42P05"),
        "{ours:?}"
    );
    assert!(exists(&ours.stdout) && ours.stdout.contains("use -M extended"), "{ours:?}");
    // Their clients end, ours go on.
    let summary = ours.stdout.lines().find_map(|line| line.strip_prefix("number of failed "));
    assert!(summary.is_some_and(|line| !line.starts_with("transactions: 0 ")), "{ours:?}");
}

/// One run's transactions a second, and the CPU time of its process in seconds.
struct Cost {
    tps: f64,
    cpu: f64,
}

impl Cost {
    /// Of pgbench, or of ours. The shell knows what its child took.
    fn of(tables: &Tables, is_ours: bool, options: &[&str], target: &str) -> Self {
        let program = match is_ours {
            true => {
                vec![poolbench_tests::program("poolbench").display().to_string(), "pgbench".into()]
            }
            false => vec!["pgbench".to_owned()],
        };
        let ended: Ended = Command::new("bash")
            .args(["-c", "TIMEFORMAT='cpu %U %S'; time \"$@\"", "-"])
            .args(program)
            .args(options)
            .arg(tables.stack.target(target))
            .current_dir(Path::new("/"))
            .output()
            .expect("bash is installed")
            .into();
        assert_eq!(ended.code, 0, "{options:?} {ended:?}");
        let tps = ended.stdout.lines().find_map(|line| line.strip_prefix("tps = "));
        let tps = tps.and_then(|rest| rest.split(' ').next()?.parse().ok());
        let cpu = ended.stderr.lines().find_map(|line| line.strip_prefix("cpu "));
        let cpu =
            cpu.map(|times| times.split(' ').filter_map(|time| time.parse::<f64>().ok()).sum());
        Self { tps: tps.expect("a line with tps"), cpu: cpu.expect("the shell's times") }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn as_many_transactions_a_second_as_pgbench_where_postgres_is_the_limit() {
    let tables = Tables::up(&["--pool-mode=session", "--pool-size=8"]);
    let mut ratios = Vec::new();
    for script in ["-S", "-N", "-btpcb"] {
        for protocol in ["simple", "extended", "prepared"] {
            for target in ["postgres", "pooler"] {
                let options = [script, "-n", "-c", "8", "-t", "100", "-M", protocol];
                // One after the other, and the other way round the next time.
                let is_even = ratios.len() % 2 == 0;
                let costs =
                    [is_even, !is_even].map(|ours| Cost::of(&tables, ours, &options, target));
                let [ours, theirs] =
                    if is_even { [&costs[0], &costs[1]] } else { [&costs[1], &costs[0]] };
                ratios.push(ours.tps / theirs.tps);
            }
        }
    }
    let middle = median(ratios.clone());
    assert!(middle > 0.8, "{middle} of pgbench's: {ratios:?}");
}

#[test]
fn a_prepared_select_at_64_clients_costs_less_than_pgbench_takes() {
    let tables = Tables::up(&[]);
    // What both take to start and to log in cancels out.
    let cpu = |is_ours: bool| {
        let of = |each: &str| {
            let options = ["-S", "-n", "-M", "prepared", "-c", "64", "-j", "1", "-t", each];
            Cost::of(&tables, is_ours, &options, "postgres").cpu
        };
        of("500") - of("100")
    };
    let ratios: Vec<_> = (0..3).map(|_| cpu(true) / cpu(false)).collect();
    // `make bench` has the goal of 0.70, with a build that is optimised.
    let middle = median(ratios.clone());
    assert!(middle < 1.0, "{ratios:?}");
}
