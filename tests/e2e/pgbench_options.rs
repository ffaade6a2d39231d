//! The options of `poolbench pgbench` beside those of pgbench's own `--help`, and where both connect.

use std::collections::BTreeSet;
use std::process::Command;

use poolbench_tests::pgbench::Tables;
use poolbench_tests::{Ended, Home};

/// An option as pgbench's `--help` has it.
#[derive(Clone, Debug)]
struct HelpOption {
    short: Option<String>,
    long: String,
    /// What its value is called, if it has one.
    value: Option<String>,
    /// Whether it stands among those of the initialization.
    is_of_initialization: bool,
}

/// Every option of `pgbench --help`, line by line.
fn help() -> Vec<HelpOption> {
    let help: Ended = Command::new("pgbench").arg("--help").output().expect("pgbench").into();
    let mut options = Vec::new();
    let mut section = "";
    for line in help.stdout.lines() {
        match line.strip_prefix("  ").filter(|rest| rest.starts_with('-')) {
            Some(rest) => {
                let mut words = rest.split_whitespace();
                let first = words.next().expect("an option");
                let short = first.strip_suffix(',').map(str::to_owned);
                let long = if short.is_some() { words.next().expect("its name") } else { first };
                let (long, value) = match long.split_once('=') {
                    Some((long, value)) => (long, Some(value.to_owned())),
                    None => (long, None),
                };
                let is_of_initialization = section.starts_with("Initialization");
                let long = long.to_owned();
                options.push(HelpOption { short, long, value, is_of_initialization });
            }
            None if line.ends_with(':') => section = line,
            None => {}
        }
    }
    options
}

/// What can be given for a value of this name.
fn example(value: &str) -> &str {
    match value {
        "NUM" | "PORT" | "SEED" => "1",
        "NAME" | "NAME[@W]" => "select-only",
        "VARNAME=VALUE" => "a=1",
        "simple|extended|prepared" => "prepared",
        "(range|hash)" => "hash",
        value => value,
    }
}

/// The beginnings of a name that are no other option's (getopt_long(3)), the name itself included.
fn beginnings(long: &str, all: &BTreeSet<String>) -> Vec<String> {
    let is_its_own = |beginning: &&str| {
        all.iter().filter(|other| other.starts_with(*beginning)).all(|other| other == long)
    };
    let proper = (3..long.len()).map(|end| &long[..end]).filter(is_its_own);
    proper.chain([long]).map(str::to_owned).collect()
}

#[test]
fn every_option_of_pgbench_is_known_or_refused_with_what_to_do() {
    let home = Home::new();
    let help = help();
    assert!(help.len() > 40, "{help:?}");
    let all: BTreeSet<_> = help.iter().map(|option| option.long.clone()).collect();
    let elsewhere: BTreeSet<_> = help
        .iter()
        .filter(|option| !option.is_of_initialization)
        .map(|option| option.long.clone())
        .collect();
    for option in help {
        let value = option.value.as_deref().map(example);
        let mut forms: Vec<Vec<String>> = Vec::new();
        for name in beginnings(&option.long, &all) {
            forms.push(match value {
                Some(value) => vec![format!("{name}={value}")],
                None => vec![name],
            });
        }
        let short = option.short.iter().cloned();
        forms.extend(
            short.map(|short| {
                [short].into_iter().chain(value.map(str::to_owned)).collect::<Vec<_>>()
            }),
        );
        let is_refused = !elsewhere.contains(&option.long);
        for form in forms {
            let form: Vec<_> = form.iter().map(String::as_str).collect();
            // What the others need; nothing is connected to.
            let rest = if is_refused { &["-S"][..] } else { &["-l", "-P", "1", "-b", "list"] };
            let ended = home.run(&[&["pgbench"], &form[..], rest].concat());
            match is_refused {
                true => {
                    let words = format!("{}: pgbench makes its tables itself", option.long);
                    assert_eq!(ended.code, 104, "{form:?} {ended:?}");
                    assert!(ended.stderr.contains(&words), "{form:?} {ended:?}");
                    assert!(ended.stderr.contains("`pgbench -i`"), "{form:?} {ended:?}");
                }
                false => assert_eq!(ended.code, 0, "{form:?} {ended:?}"),
            }
        }
    }
}

#[test]
fn what_pgbench_refuses_is_refused() {
    let home = Home::new();
    for (options, words) in [
        (&["-l", "-T", "3", "--aggregate-interval=5"][..], "multiple of --aggregate-interval"),
        (&["-l", "-T", "3", "--aggregate-interval=2"], "multiple of --aggregate-interval"),
        (&["--aggregate-interval=1"], "--log"),
        (&["-l", "--aggregate-interval=1", "--sampling-rate=0.5"], "cannot be used with"),
        (&["--sampling-rate=0.5"], "--log"),
        (&["-l", "--sampling-rate=2"], "a sampling rate is"),
        (&["--log-prefix=x"], "--log"),
        (&["--progress-timestamp"], "--progress"),
        (&["--random-seed=x"], "a seed is"),
        (&["--pro=1"], "--pro"),
        (&["-T", "1", "-t", "1"], "cannot be used with"),
        (&["--max-tries=0"], "--max-tries=0 needs"),
        (&["-b", "s"], "ambiguous builtin name"),
        (&["-c", "0"], "--client"),
        (&["-j", "0"], "--jobs"),
        (&["-D", "a="], "has no value"),
        (&["a", "b"], "unexpected argument 'b'"),
    ] {
        let ended = home.run(&[&["pgbench"], options].concat());
        assert_eq!(ended.code, 104, "{options:?} {ended:?}");
        assert!(ended.stderr.contains(words), "{options:?} {ended:?}");
        let theirs: Ended = Command::new("pgbench").args(options).output().expect("pgbench").into();
        assert_eq!(theirs.code, 1, "{options:?} {theirs:?}");
    }
}

#[test]
fn built_in_scripts_are_listed_and_shown_as_pgbench_does_it() {
    let home = Home::new();
    for options in [&["-b", "list"][..], &["--show-script=select"], &["--show-script", "tpcb-like"]]
    {
        let ours = home.run(&[&["pgbench"], options].concat());
        let theirs: Ended = Command::new("pgbench").args(options).output().expect("pgbench").into();
        assert_eq!((ours.code, theirs.code), (0, 0), "{options:?} {ours:?} {theirs:?}");
        assert_eq!(ours.stderr.trim_end(), theirs.stderr.trim_end(), "{options:?}");
    }
}

/// Runs a program with these variables alone, and says where it connected (`-d`); nothing where it
/// could not.
fn connected(mut command: Command, variables: &[(&str, &str)], options: &[&str]) -> Option<String> {
    let path = std::env::var("PATH").expect("where programs are");
    command.env_clear().env("PATH", path).envs(variables.iter().copied());
    let options = [&["-d", "-S", "-n", "-t", "1"], options].concat();
    let ended: Ended = command.args(options).output().expect("it starts").into();
    let line = ended.stderr.lines().find_map(|line| line.split_once("bench: pghost: "));
    match ended.code {
        0 | 111 => Some(line.expect("where it connects").1.to_owned()),
        _ => None,
    }
}

/// Variables, options, and whether there is a way in.
type Case<'a> = (Vec<(&'a str, &'a str)>, Vec<&'a str>, bool);

#[test]
fn both_connect_to_the_same_place() {
    let tables = Tables::up(&[]);
    let place = tables.stack.place("postgres");
    let (port, user, password) = (place.port.to_string(), &*place.user, &*place.password);
    let account: Ended = Command::new("id").arg("-un").output().expect("id").into();
    let account = account.stdout.trim();
    // Who logs in where nobody is named.
    let mut superuser = tables.stack.connect("superuser");
    let role = format!("CREATE ROLE \"{account}\" LOGIN SUPERUSER PASSWORD '{password}'");
    superuser.batch_execute(&role).expect("an account that is no role yet");
    let passfile = tables.stack.home.write_private("pass", &format!("*:*:*:*:{password}\n"));
    let services = format!("[mine]\nhost=127.0.0.1\nport={port}\nuser={user}\ndbname=nova\n");
    let services = tables.stack.home.write("services", &services);
    let secret = ("PGPASSWORD", password);
    let at = [secret, ("PGHOST", "127.0.0.1"), ("PGPORT", &port)];
    let uri = format!("postgres://{user}@127.0.0.1:{port}/nova");
    let here = ["-h", "127.0.0.1", "-p", &port];
    let with = |more: &[(&'static str, &'static str)]| [&at[..], more].concat();
    let cases: Vec<Case<'_>> = vec![
        (vec![secret], [&here[..], &["-U", user, "nova"]].concat(), true),
        (vec![("PGPASSFILE", &passfile)], [&here[..], &["-U", user, "nova"]].concat(), true),
        // What a connection string says goes before the options, which fill the rest.
        (vec![secret], [&here[..], &["-U", user, "postgres:///nova"]].concat(), true),
        (vec![secret], [&here[..], &["postgres://nova@/nova"]].concat(), true),
        (vec![secret], vec!["-h", "127.0.0.9", "-p", "1", "-U", "nobody", &uri], true),
        (vec![secret], [&here[..], &["-U", "nobody", "user=nova dbname=nova"]].concat(), true),
        (vec![secret], [&here[..], &["-U", user, "sslmode=disable dbname=nova"]].concat(), true),
        (vec![secret], vec!["-h", "127.0.0.1,127.0.0.1", "-p", &port, "-U", user, "nova"], true),
        // The environment fills what neither says.
        (with(&[("PGUSER", "nova")]), vec![], true),
        (with(&[("PGUSER", "nova"), ("PGDATABASE", "missing")]), vec!["nova"], true),
        (with(&[("PGUSER", "nobody"), ("PGDATABASE", "nova")]), vec!["-U", user], true),
        (with(&[("PGUSER", "nova"), ("PGDATABASE", "nova")]), vec!["postgres://"], true),
        (with(&[("PGDATABASE", "dbname=nova user=nova")]), vec![], true),
        (with(&[("PGUSER", "nova"), ("PGSSLMODE", "disable")]), vec!["nova"], true),
        (with(&[("PGUSER", "nova"), ("PGSSLMODE", "require")]), vec!["nova"], false),
        (vec![secret, ("PGSERVICEFILE", &services)], vec!["service=mine"], true),
        // The account logs in where nobody is named; USER does not count.
        (with(&[("PGDATABASE", "nova"), ("USER", "nobody")]), vec![], true),
        (with(&[("USER", "nova")]), vec![], false),
        // With -U alone the database is still PGUSER's or the account's.
        (with(&[]), vec!["-U", user], false),
        (with(&[("PGUSER", "nova")]), vec!["-U", "nobody"], false),
        (vec![secret], vec!["-h", "127.0.0.1", "-p", "x", "-U", user, "nova"], false),
    ];
    for (variables, options, is_open) in cases {
        let theirs = connected(Command::new("pgbench"), &variables, &options);
        let ours = connected(tables.stack.home.command(&["pgbench"]), &variables, &options);
        assert_eq!(theirs.is_some(), is_open, "{variables:?} {options:?}");
        assert_eq!(ours, theirs, "{variables:?} {options:?}");
    }
}
