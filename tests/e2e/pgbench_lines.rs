//! The lines of `poolbench pgbench` beside pgbench's own: each of theirs is one of ours, in the same
//! order.

use poolbench_tests::pgbench::Tables;

/// Beginnings of lines that pgbench writes and we do not, each with why.
const DIFFERENCES: [(&str, &str); 6] = [
    ("poolbench (", "the header has our name and version, and those of the server"),
    ("poolbench: client # executing", "-d: each command has a line; the server's log has them too"),
    ("poolbench: client # sending", "-d: the same"),
    ("poolbench: client # receiving", "-d: the same"),
    ("poolbench: client # ", "--verbose-errors: ours are counted by line, class and layer"),
    ("CONTEXT:", "--verbose-errors: the same"),
];

/// A line as it is compared: without its numbers, and how they are set, and without the program's name.
fn form(line: &str) -> String {
    let line = match line.strip_prefix("pgbench") {
        Some(rest) => format!("poolbench{rest}"),
        None => line.to_owned(),
    };
    let mut form = String::new();
    let mut is_number = false;
    for c in line.chars() {
        match c.is_ascii_digit() {
            true if is_number => {}
            true => form.push('#'),
            false => form.push(c),
        }
        is_number = c.is_ascii_digit();
    }
    form.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Fails unless each line of theirs is one of ours, in the same order, but for [`DIFFERENCES`].
fn assert_lines(tables: &Tables, options: &[&str]) -> String {
    let (ours, theirs) = (tables.ours(options, "postgres"), tables.theirs(options, "postgres"));
    // 111 is the verdict on the times of a machine that is busy with other tests.
    assert!(matches!(ours.code, 0 | 111), "{options:?} {ours:?}");
    assert_eq!(theirs.code, 0, "{options:?} {theirs:?}");
    for (ours, theirs) in [(&ours.stdout, &theirs.stdout), (&ours.stderr, &theirs.stderr)] {
        let mut lines = ours.lines().map(form);
        let is_common =
            |line: &String| !DIFFERENCES.iter().any(|(beginning, _)| line.starts_with(beginning));
        for line in theirs.lines().map(form).filter(is_common) {
            assert!(lines.any(|ours| ours == line), "{options:?} {line:?} in {ours}");
        }
    }
    assert!(ours.stdout.starts_with("poolbench ("), "{ours:?}");
    assert!(ours.stdout.contains(", server "), "{ours:?}");
    ours.stdout + &ours.stderr
}

#[test]
fn each_line_of_pgbench_is_one_of_ours() {
    let tables = Tables::up(&[]);
    let write = |name: &str, text: &str| tables.stack.home.write(name, text);
    let own = write(
        "own.sql",
        "\\set a 1 + \\\n  2\n\\if :a > 5\nSELECT 'no';\n\\elif :a = 3\nSELECT :a,\n  2;\n\\else\n\
         SELECT 'no'\n;\n\\endif\n\\sleep 1 ms\nSELECT 1 AS b \\gset\n",
    );
    // Of two clients the second one's transactions fail.
    let failing = write(
        "failing.sql",
        "\\if :client_id = 1\n\
         DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'serialization_failure'; END $$;\n\
         \\endif\nSELECT 1;\n",
    );
    let failing = ["-n", "-f", &failing, "-c", "2", "-t", "3"];
    let cases: Vec<Vec<&str>> = vec![
        vec!["-S", "-c", "2", "-t", "5", "-M", "prepared"],
        vec!["-N", "-t", "3", "-C"],
        vec!["-r", "-c", "2", "-t", "5"],
        vec!["-r", "-f", &own, "-t", "3"],
        vec![
            "-b",
            "tpcb@2",
            "-b",
            "select@1",
            "-t",
            "9",
            "-r",
            "--max-tries=3",
            "--failures-detailed",
        ],
        vec!["-N", "-c", "2", "-t", "20", "-R", "500", "-L", "1000", "--failures-detailed"],
        vec!["-S", "-T", "3", "-P", "1", "-R", "50", "-L", "1000", "--max-tries=2"],
        // Scripts are numbered as they stand.
        vec!["-S", "-f", &own, "-b", "tpcb@3", "-N", "-t", "12", "-r", "--random-seed=5"],
        vec!["-v", "-t", "2", "-M", "extended", "--random-seed=-1"],
        vec!["-n", "-v", "-S", "-t", "2", "-d"],
        vec!["-S", "-s", "7", "-t", "2", "-L", "1000", "--random-seed=rand"],
        vec!["-f", &own, "-s", "7", "-t", "2", "-j", "3", "-c", "2"],
        vec!["-n", "-S", "-T", "1", "--max-tries=0", "--random-seed=time"],
        failing.to_vec(),
        [&failing[..], &["--max-tries=2", "--failures-detailed", "-r"]].concat(),
        [&failing[..], &["-L", "1000", "--verbose-errors"]].concat(),
    ];
    for options in cases {
        assert_lines(&tables, &options);
    }
    let said = assert_lines(&tables, &failing);
    let words = "errors by class and layer: 3 retryable of the server (first: SQLSTATE 40001 no)";
    assert!(said.contains(words), "{said}");
    assert!(said.contains("(including failures)"), "{said}");
    let said = assert_lines(&tables, &[&failing[..], &["--verbose-errors"]].concat());
    assert!(said.contains("failing.sql:2: 3 retryable of the server (first: "), "{said}");
}

#[test]
fn what_a_run_is_made_of_is_said_as_by_pgbench() {
    let tables = Tables::up(&[]);
    // A client for each core, and one more, each with a thread: we have one a core.
    let cores = std::thread::available_parallelism().expect("cores").get();
    let more = (cores + 1).to_string();
    let said = assert_lines(&tables, &["-n", "-S", "-t", "1", "-c", &more, "-j", &more]);
    let warning = format!("warning: -j {more}: {cores} threads are used");
    assert!(said.contains(&warning), "{said}");
    assert!(said.contains(&format!("number of threads: {cores}\n")), "{said}");
    // No more threads than clients.
    let said = assert_lines(&tables, &["-n", "-S", "-t", "1", "-j", &more]);
    assert!(said.contains("number of threads: 1\n") && !said.contains("warning"), "{said}");
    // Seconds since 1970.
    let said = assert_lines(&tables, &["-n", "-S", "-T", "2", "-P", "1", "--progress-timestamp"]);
    let at = said.lines().find_map(|line| line.strip_prefix("progress: ")?.split(' ').next());
    let (seconds, rest) = at.and_then(|at| at.split_once('.')).expect("a time with a fraction");
    assert!(seconds.parse::<u64>().expect("seconds") > 1_600_000_000 && rest.len() == 3, "{said}");
    // Partitions.
    for (method, count) in [("hash", "3"), ("range", "2")] {
        let options = ["-i", "-q", "--partition-method", method, "--partitions", count];
        let filled = tables.theirs(&options, "postgres");
        assert_eq!(filled.code, 0, "{filled:?}");
        let said = assert_lines(&tables, &["-S", "-t", "1"]);
        let words = format!("scaling factor: 1\npartition method: {method}\npartitions: {count}\n");
        assert!(said.contains(&words), "{said}");
    }
}

#[test]
fn tables_that_are_not_there_are_named() {
    let mut tables = Tables::up(&[]);
    let one = tables.stack.home.write("one.sql", "SELECT 1;\n");
    tables.client.batch_execute("DROP TABLE pgbench_branches").expect("a table");
    // The vacuum is no reason to stop.
    let ours = tables.ours(&["-f", &one, "-t", "1"], "postgres");
    assert!(matches!(ours.code, 0 | 111), "{ours:?}");
    let words =
        "starting vacuum...end.\npoolbench: relation \"pgbench_branches\" does not exist (ignored";
    assert!(ours.stderr.contains(words), "{ours:?}");
    let ours = tables.ours(&["-S", "-t", "1"], "postgres");
    assert_eq!(ours.code, 104, "{ours:?}");
    assert!(ours.stderr.contains("`pgbench -i` makes the tables"), "{ours:?}");
}
