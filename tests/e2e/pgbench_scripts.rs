//! pgbench's language beside pgbench itself: what scripts draw, send and say.

use std::path::{Path, PathBuf};

use poolbench_tests::Ended;
use poolbench_tests::pgbench::Tables;

/// The scripts of a kind, with their texts.
fn scripts(kind: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/pgbench").join(kind);
    let files = std::fs::read_dir(folder).expect("scripts").map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let text = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).expect("text"));
    files.into_iter().map(text).collect()
}

/// What a script's `-- KEY: …` says.
fn said<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix("-- ")?.strip_prefix(key)?.strip_prefix(": "))
}

/// A stack with pgbench's tables, and one for what scripts draw.
fn tables() -> Tables {
    let mut tables = Tables::up(&[]);
    tables.client.batch_execute("CREATE TABLE drawn (n serial, text text)").expect("a table");
    tables
}

/// Runs a script, by pgbench or by us; what it drew. Clients have no order among one another.
fn drawn(tables: &mut Tables, is_ours: bool, path: &Path, text: &str) -> (Ended, Vec<String>) {
    tables.client.batch_execute("TRUNCATE drawn RESTART IDENTITY").expect("a table");
    let options: Vec<_> = said(text, "options").unwrap_or_default().split(' ').collect();
    let mut options: Vec<_> = options.into_iter().filter(|word| !word.is_empty()).collect();
    if !options.contains(&"-t") {
        options.extend(["-t", "1"]);
    }
    let path = path.to_str().expect("a name in UTF-8");
    if !options.iter().any(|option| option.starts_with("--random-seed")) {
        options.push("--random-seed=4217");
    }
    options.extend(["-n", "-f", path]);
    let ended = match is_ours {
        true => tables.ours(&options, "postgres"),
        false => tables.theirs(&options, "postgres"),
    };
    let rows = tables.client.query("SELECT text FROM drawn ORDER BY n", &[]).expect("rows");
    let value = |row: &postgres::Row| row.get::<_, Option<String>>(0);
    let mut rows: Vec<_> =
        rows.iter().map(|row| value(row).unwrap_or_else(|| "NULL".into())).collect();
    if said(text, "options").is_some_and(|options| options.contains("-c ")) {
        rows.sort();
    }
    (ended, rows)
}

#[test]
fn scripts_draw_and_send_what_they_do_with_pgbench() {
    let mut tables = tables();
    let scripts = scripts("valid");
    assert!(scripts.len() >= 40);
    for (path, text) in scripts {
        let (theirs, expected) = drawn(&mut tables, false, &path, &text);
        assert!(theirs.code == 0 && !expected.is_empty(), "{path:?} {theirs:?}");
        let (ours, found) = drawn(&mut tables, true, &path, &text);
        assert!(has_run(&ours), "{path:?} {ours:?}");
        assert_eq!(found, expected, "{path:?}");
        assert_eq!(debugged(&ours), debugged(&theirs), "{path:?}");
    }
}

/// Whether it ran to its end. A machine that is busy with other tests is no fault of a script: 111 is
/// the verdict on its times.
fn has_run(ended: &Ended) -> bool {
    matches!(ended.code, 0 | 111)
}

/// What `debug()` showed.
fn debugged(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| line.starts_with("debug(")).collect()
}

#[test]
fn scripts_that_pgbench_refuses_are_refused_with_file_line_and_column() {
    let mut tables = tables();
    for (path, text) in scripts("invalid") {
        // Those that are only ours to refuse say so.
        if said(&text, "pgbench").is_none() {
            let (theirs, _) = drawn(&mut tables, false, &path, &text);
            assert_ne!(theirs.code, 0, "{path:?} {theirs:?}");
        }
        let (ours, _) = drawn(&mut tables, true, &path, &text);
        let expected = format!("{}:{}", path.display(), said(&text, "error").expect("an error"));
        let words = format!("{}{}", ours.stdout, ours.stderr);
        // What shows only when it runs costs the client.
        let code = if words.contains(" aborted in command ") { 2 } else { 107 };
        assert_eq!(ours.code, code, "{path:?} {ours:?}");
        assert!(words.contains(&expected), "{expected:?} in {words}");
    }
}

#[test]
fn scripts_that_pgbench_15_does_not_take_yet_or_well_are_taken() {
    let mut tables = tables();
    for (name, options, text, expected) in [
        ("mark.sql", "", "\u{feff}\\set a 1\nINSERT INTO drawn (text) VALUES (':a');", &["1"][..]),
        (
            "body.sql",
            "",
            "SELECT 1 AS a \\gset\nCREATE OR REPLACE PROCEDURE draw() \
             BEGIN ATOMIC INSERT INTO drawn (text) VALUES ('2'); SELECT 1; END;\nCALL draw();",
            &["2"],
        ),
        (
            "sync.sql",
            "-- options: -M prepared -t 2",
            "\\startpipeline\n\\syncpipeline\nINSERT INTO drawn (text) VALUES ('3');\n\
             \\syncpipeline\nINSERT INTO drawn (text) VALUES ('4');\n\\endpipeline",
            &["3", "4", "3", "4"],
        ),
    ] {
        let path = tables.stack.home.write(name, &format!("{text}\n"));
        let (ended, found) = drawn(&mut tables, true, Path::new(&path), options);
        assert!(has_run(&ended), "{name} {ended:?}");
        assert_eq!(found, expected, "{name} {ended:?}");
    }
}

#[test]
fn what_a_sync_closes_off_in_a_pipeline_stays_where_something_behind_it_fails() {
    let mut tables = tables();
    let text = "\\startpipeline\nINSERT INTO drawn (text) VALUES ('kept');\n\\syncpipeline\n\
                INSERT INTO drawn (text) VALUES ('undone');\nSELECT 1 / 0;\n\\syncpipeline\n\
                INSERT INTO drawn (text) VALUES ('kept too');\n\\endpipeline\n";
    let path = tables.stack.home.write("sync.sql", text);
    for options in ["-- options: -t 1 -M extended", "-- options: -t 1 -M prepared"] {
        let (ended, found) = drawn(&mut tables, true, Path::new(&path), options);
        assert!(ended.stdout.contains("1 sql of the server (first: SQLSTATE 22012"), "{ended:?}");
        assert_eq!(found, ["kept", "kept too"], "{options}");
    }
}

#[test]
fn scripts_that_are_not_utf_8_go_out_byte_by_byte() {
    let mut tables = tables();
    // In Latin-1: a text, what is no variable, a variable's name, and its value.
    let text = |value: &str| {
        let text = format!(
            "SET client_encoding = 'LATIN1';\n\
             INSERT INTO drawn (text) VALUES ('caf\u{e9}');\n\
             SELECT text AS \u{e9} FROM drawn ORDER BY n LIMIT 1 \\gset\n\
             INSERT INTO drawn (text) VALUES ({value} || ' \u{e0} la');\n"
        );
        text.chars().map(|c| c as u8).collect::<Vec<_>>()
    };
    let path = tables.stack.home.path().join("latin.sql");
    for (protocol, value) in [
        ("simple", "':\u{e9} 1:\u{fc}'"),
        ("extended", ":\u{e9}::text"),
        ("prepared", ":\u{e9}::text"),
    ] {
        std::fs::write(&path, text(value)).expect("its own folder");
        let options = format!("-- options: -M {protocol}");
        let (theirs, expected) = drawn(&mut tables, false, &path, &options);
        assert_eq!((theirs.code, expected.len()), (0, 2), "{protocol} {theirs:?}");
        let (ours, found) = drawn(&mut tables, true, &path, &options);
        assert!(has_run(&ours), "{protocol} {ours:?}");
        assert_eq!(found, expected, "{protocol}");
        assert!(found[1].starts_with("caf\u{e9} "), "{found:?}");
    }
}

#[test]
fn with_the_same_seed_the_built_in_scripts_leave_the_same_tables() {
    let mut tables = Tables::up(&[]);
    let mut left = |is_ours: bool, script: &str| {
        tables.reset_balances();
        let options = ["-b", script, "-t", "100", "--random-seed=4217"];
        let ended = match is_ours {
            true => tables.ours(&options, "postgres"),
            false => tables.theirs(&options, "postgres"),
        };
        assert!(has_run(&ended), "{ended:?}");
        tables.assert_balanced();
        let query = "SELECT 'account', aid, abalance FROM pgbench_accounts WHERE abalance <> 0 \
                     UNION ALL SELECT 'teller', tid, tbalance FROM pgbench_tellers \
                     UNION ALL SELECT 'branch', bid, bbalance FROM pgbench_branches \
                     UNION ALL SELECT 'history', tid * 1000000 + aid, delta FROM pgbench_history \
                     ORDER BY 1, 2, 3";
        let rows = tables.client.query(query, &[]).expect("pgbench's tables");
        let row = |row: &postgres::Row| (row.get(0), row.get(1), row.get(2));
        rows.iter().map(row).collect::<Vec<(String, i32, i32)>>()
    };
    let expected = left(false, "tpcb-like");
    assert!(expected.len() > 150, "{}", expected.len());
    assert_eq!(left(true, "tpcb-like"), expected);
}

/// Pearson's statistic of two samples, as counts of the same kinds (Press et al., "Numerical
/// Recipes", 14.3).
fn chi_square(one: &[u64], other: &[u64]) -> f64 {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let ratio = (sum(other) / sum(one)).sqrt();
    let term = |(a, b): (&u64, &u64)| match (*a as f64, *b as f64) {
        (a, b) if a + b > 0.0 => (ratio * a - b / ratio).powi(2) / (a + b),
        _ => 0.0,
    };
    one.iter().zip(other).map(term).sum()
}

/// What the statistic exceeds in one of a million cases, with so many degrees of freedom.
const OF_1: f64 = 23.9;
const OF_9: f64 = 45.1;

#[test]
fn other_seeds_draw_from_the_same_distributions_as_pgbench() {
    const FUNCTIONS: [&str; 4] = [
        "random(1, 10)",
        "random_gaussian(1, 10, 2.5)",
        "random_exponential(1, 10, 3)",
        "random_zipfian(1, 10, 1.5)",
    ];
    const DRAWS: usize = 50;
    let mut tables = tables();
    let sets = |(number, function): (usize, &&str)| {
        let sets = (0..DRAWS).map(|draw| format!("\\set v{draw} {function}\n"));
        let values: Vec<_> = (0..DRAWS).map(|draw| format!(":v{draw}")).collect();
        let sets: String = sets.collect();
        format!("{sets}INSERT INTO drawn (text) VALUES ('{number} {}');\n", values.join(" "))
    };
    let text: String = FUNCTIONS.iter().enumerate().map(sets).collect();
    let path = tables.stack.home.write("draw.sql", &text);
    let mut counts = |is_ours, options| {
        let (ended, rows) = drawn(&mut tables, is_ours, Path::new(&path), options);
        assert_eq!((has_run(&ended), rows.len()), (true, 200 * FUNCTIONS.len()), "{ended:?}");
        let mut counts = [[0_u64; 10]; FUNCTIONS.len()];
        for row in rows {
            let mut numbers = row.split(' ').map(|number| number.parse::<usize>().expect("one"));
            let function = numbers.next().expect("a number");
            numbers.for_each(|value| counts[function][value - 1] += 1);
        }
        counts
    };
    let ours = counts(true, "-- options: -t 100 -c 2 -j 2 --random-seed=2");
    let theirs = counts(false, "-- options: -t 100 -c 2 -j 2");
    assert_ne!(ours, theirs, "they are other numbers");
    for (number, function) in FUNCTIONS.iter().enumerate() {
        let statistic = chi_square(&ours[number], &theirs[number]);
        assert!(statistic < OF_9, "{function}: {statistic} {ours:?} {theirs:?}");
    }
    let other = chi_square(&ours[0], &theirs[1]);
    assert!(other > OF_9, "another distribution shows: {other}");
}

#[test]
fn scripts_are_chosen_by_their_weights() {
    let mut tables = tables();
    let script = |name: &str| {
        let text = format!("INSERT INTO drawn (text) VALUES ('{name}');\n");
        tables.stack.home.write(name, &text)
    };
    let [often, rarely] = ["often", "rarely"].map(script);
    let options = format!("-- options: -c 4 -j 2 -t 250 -f {often}@3");
    let rarely = Path::new(&rarely);
    let mut counts = |is_ours| {
        let (ended, rows) = drawn(&mut tables, is_ours, rarely, &options);
        assert_eq!((has_run(&ended), rows.len()), (true, 1000), "{ended:?}");
        let often = rows.iter().filter(|row| *row == "often").count() as u64;
        [often, 1000 - often]
    };
    for is_ours in [false, true] {
        let found = counts(is_ours);
        let statistic = chi_square(&found, &[3_000_000, 1_000_000]);
        assert!(statistic < OF_1, "{found:?}: {statistic}");
    }
}
