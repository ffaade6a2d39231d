//! Surfaces that are known beforehand: pools whose connections each sleep 10 ms a query.

use poolbench_tests::Stack;
use serde_json::Value;

fn sleeping() -> (Stack, String) {
    let stack = Stack::small(&["--pool-size", "5"]);
    let scenario = stack.home.write(
        "scenario.toml",
        "name = \"sleep\"\n\
         [targets.pooler]\nconninfo = \"${NOVA_POOLER}\"\nconsole = \"${NOVA_CONSOLE}\"\n\
         [targets.postgres]\nconninfo = \"${NOVA_POSTGRES}\"\n\
         [[operations]]\nname = \"sleep\"\nsql = \"SELECT pg_sleep(0.01)\"\n",
    );
    (stack, scenario)
}

fn sweep(stack: &Stack, scenario: &str, arguments: &[&str]) -> Value {
    let ended = stack.home.run(&[&["sweep", scenario, "--json=-"], arguments].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number: {value}"))
}

fn cells(summary: &Value) -> Vec<&Value> {
    let cells = summary["cells"].as_array().expect("cells");
    cells.iter().filter(|cell| cell["is_reference"] == false).collect()
}

fn answer<'a>(summary: &'a Value, question: &str) -> &'a Value {
    let advice = summary["advice"].as_array().expect("advice");
    let is_it = |one: &&Value| one["question"].as_str().is_some_and(|q| q.contains(question));
    advice.iter().find(is_it).unwrap_or_else(|| panic!("{question}: {advice:?}"))
}

/// The pooler's settings as its console shows them.
fn setting(stack: &Stack, name: &str) -> String {
    let rows = stack.connect("console").simple_query("SHOW CONFIG").expect("it answers");
    let value = rows.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) if row.get("key") == Some(name) => row.get("value"),
        _ => None,
    });
    value.expect("the setting").to_owned()
}

#[test]
fn three_by_three_cells_are_set_verified_and_given_back() {
    let (stack, scenario) = sleeping();
    let names = [
        "default_pool_size",
        "max_db_connections",
        "reserve_pool_size",
        "pool_mode",
        "max_client_conn",
    ];
    let before = names.map(|name| setting(&stack, name));
    let [csv, page] =
        ["cells.csv", "page.html"].map(|name| stack.home.path().join(name).display().to_string());
    let grid = ["--clients=1,4,8", "--pool-size=1,2,4", "--cell=1s", "--no-direct"];
    let summary =
        sweep(&stack, &scenario, &[&grid[..], &["--csv", &csv, "--html", &page]].concat());
    assert_eq!(names.map(|name| setting(&stack, name)), before);
    let cells = cells(&summary);
    assert_eq!(cells.len(), 9);
    for cell in &cells {
        assert_eq!(cell["configuration"]["pool_size"], cell["pool_size"], "{cell}");
        assert_eq!(cell["configuration"]["pool_mode"], "transaction", "{cell}");
        assert_eq!(cell["errors"], serde_json::json!({}), "{cell}");
        let busy = number(&cell["clients"]).min(number(&cell["pool_size"]));
        assert!(number(&cell["throughput"]) < busy * 100.0, "10 ms each: {cell}");
        assert!(number(&cell["pool"]["servers_max"]) <= number(&cell["pool_size"]), "{cell}");
    }
    let rate = |clients: u64, size: u64| {
        let is_it = |cell: &&&Value| cell["clients"] == clients && cell["pool_size"] == size;
        number(&cells.iter().find(is_it).expect("the cell")["throughput"])
    };
    assert!(rate(8, 4) > 1.5 * rate(8, 2) && rate(8, 2) > 1.5 * rate(8, 1), "{summary}");
    assert!(rate(4, 1) < 1.5 * rate(1, 4), "one server connection serves one at a time");
    let smallest = answer(&summary, "within 5 %");
    assert_eq!(number(&smallest["value"]), 4.0, "{smallest}");
    assert!(smallest["settings"].as_array().unwrap().contains(&"default_pool_size = 4".into()));
    assert_eq!(number(&answer(&summary, "queueing begins")["value"]), 8.0);
    for advice in summary["advice"].as_array().expect("advice") {
        let interval = advice["interval"].as_array().expect("an interval");
        assert!(interval.iter().any(Value::is_number), "{advice}");
    }
    let page = std::fs::read_to_string(&page).expect("the page");
    assert!(page.matches("<rect").count() >= 2 * 9, "two maps of nine cells");
    let lines = std::fs::read_to_string(&csv).expect("the cells");
    assert_eq!(lines.lines().count(), 1 + summary["cells"].as_array().unwrap().len());
}

#[test]
fn the_pool_for_a_rate_agrees_with_littles_law() {
    let (stack, scenario) = sleeping();
    let rate = 120.0;
    let summary = sweep(
        &stack,
        &scenario,
        &[
            "--rate=120",
            "--goal=p(95)<200",
            "--clients=60",
            "--pool-size=1,2,3",
            "--cell=2s",
            "--no-direct",
        ],
    );
    let smallest = answer(&summary, "at a rate");
    let size = number(&smallest["value"]);
    let cell = cells(&summary).into_iter().find(|cell| number(&cell["pool_size"]) == size);
    let query_ns = number(&cell.expect("its cell")["pool"]["query_ns"]);
    assert_eq!(size, (rate * query_ns / 1e9).ceil(), "{smallest} {query_ns}");
    let remarks = smallest["remarks"].as_array().expect("remarks");
    assert!(remarks[0].as_str().is_some_and(|remark| remark.contains("Little")), "{smallest}");
}

#[test]
fn a_switch_to_session_mode_is_seen_in_who_waits() {
    let (stack, scenario) = sleeping();
    let run = stack.home.stacks()[0].join("run");
    let read = |name: &str| std::fs::read_to_string(run.join(name)).expect("the stack's file");
    let before = read("pgbouncer.ini");
    let arguments = [
        "--pool-mode=transaction,session",
        "--clients=8",
        "--pool-size=2",
        "--cell=1s",
        "--no-direct",
    ];
    // By the stack's ini.
    let summary = sweep(&stack, &scenario, &arguments);
    for (mode, stuck) in [("transaction", 0), ("session", 6)] {
        let cells = cells(&summary);
        let cell = cells.iter().find(|cell| cell["pool_mode"] == mode).expect("the cell");
        assert_eq!(cell["configuration"]["pool_mode"], mode, "{cell}");
        assert_eq!(cell["pool"]["clients_stuck"], stuck, "{cell}");
    }
    assert!(read("pgbouncer.log").contains("RELOAD"), "the ini was read again");
    assert_eq!(setting(&stack, "pool_mode"), "transaction", "as before");
    assert_eq!(read("pgbouncer.ini"), before);
    // By a command, for poolers that are not ours.
    let command = format!(
        "sed -i \"s/^pool_mode.*/pool_mode = $POOL_MODE/\" {}/pgbouncer.ini && kill -HUP {}",
        run.display(),
        stack.pid("pgbouncer")
    );
    let by_command = [&arguments[..], &["--mode-command", &command]].concat();
    let ended = stack.home.run(&[&["sweep", &scenario], &by_command[..]].concat());
    assert!(ended.stdout.contains("6 of 8 clients waited all the time"), "{ended:?}");
    assert_eq!(setting(&stack, "pool_mode"), "transaction", "as before");
    assert_eq!(read("pgbouncer.ini"), before);
    let failing = [&arguments[..], &["--mode-command=exit 3"]].concat();
    let ended = stack.home.run(&[&["sweep", &scenario], &failing[..]].concat());
    assert_eq!(ended.code, 104, "{ended:?}");
    assert!(
        ended.stderr.contains("exit 3") && ended.stderr.contains("exit status: 3"),
        "{ended:?}"
    );
}

#[test]
fn without_a_pool_and_with_a_published_table() {
    let (stack, scenario) = sleeping();
    let text = std::fs::read_to_string(&scenario).expect("our file");
    let long = "[[operations]]\nname = \"long\"\nsql = \"SELECT pg_sleep(0.03)\"\n";
    let scenario = stack.home.write("two.toml", &(text + long));
    let summary = sweep(
        &stack,
        &scenario,
        &["--clients=2,4", "--pool-size=1", "--cell=1s", "--protocol=simple"],
    );
    let direct: Vec<_> =
        cells(&summary).into_iter().filter(|cell| cell["pool_mode"].is_null()).collect();
    assert_eq!(direct.len(), 2);
    // A pool of one is never better than connections of one's own.
    assert_eq!(answer(&summary, "beats direct")["value"], Value::Null);
    // Both operations wait for both: the short one loses more of its speed.
    let starved = answer(&summary, "starve");
    let [low, value, high] =
        [&starved["interval"][0], &starved["value"], &starved["interval"][1]].map(number);
    assert!(0.5 <= low && low <= value && value <= high && high <= 1.0, "{starved}");

    let ended = stack.home.run(&[
        "sweep",
        "--published=pgcat",
        "--max-clients=16",
        "--cell=500ms",
        "--json=-",
    ]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let published = &ended.json()["published"];
    let rows = published["rows"].as_array().expect("rows");
    for (row, is_direct) in [(0, true), (1, false)] {
        assert_eq!(rows[row]["published"]["is_direct"], is_direct, "{published}");
        assert!(number(&rows[row]["published"]["throughput"]) > 0.0, "{published}");
        assert!(number(&rows[row]["ours"]["throughput"]) > 0.0, "{published}");
    }
    assert_eq!(rows[2]["published"]["pooler"], "PgCat", "{published}");
    assert_eq!(rows[2]["ours"], Value::Null, "it is not there");
    assert_eq!(rows[3]["ours"], Value::Null, "32 clients were left out");
}

#[test]
fn two_processes_behind_one_port_share_a_budget() {
    let home = poolbench_tests::Home::new();
    let ended = home.run(&[
        "sweep",
        "--poolers=1,2",
        "--pool-budget=4",
        "--clients=8",
        "--cell=500ms",
        "--operation=getUser",
        "--json=-",
    ]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.json();
    let cells = cells(&summary);
    let poolers: Vec<_> = cells.iter().map(|cell| &cell["poolers"]).collect();
    assert_eq!(poolers, [1, 2]);
    assert!(cells.iter().all(|cell| cell["pool_size"] == 4), "{summary}");
    let answer = answer(&summary, "several pooler processes");
    assert!(number(&answer["value"]) > 0.0, "{answer}");
    assert_eq!(answer["settings"][1], "default_pool_size = 2", "{answer}");
    assert_eq!(home.processes(), Vec::<u32>::new(), "both stacks are gone");
}

#[test]
fn a_sweep_goes_on_from_its_log() {
    let (stack, scenario) = sleeping();
    let log = stack.home.path().join("cells").display().to_string();
    let arguments =
        ["--clients=1,2", "--pool-size=1,2", "--cell=300ms", "--no-direct", "--log", &log];
    let whole = sweep(&stack, &scenario, &arguments);
    let text = std::fs::read_to_string(&log).unwrap();
    // As if it had been killed in the middle of its fourth line.
    let lines: Vec<_> = text.lines().collect();
    std::fs::write(&log, format!("{}\n{}", lines[..3].join("\n"), &lines[3][..20])).unwrap();
    let resumed = sweep(&stack, &scenario, &[&arguments[..], &["--resume"]].concat());
    let [whole, resumed] = [&whole, &resumed].map(|one| -> Vec<f64> {
        let cells = one["cells"].as_array().unwrap().iter();
        cells.map(|cell| number(&cell["throughput"])).collect()
    });
    assert_eq!(whole.len(), resumed.len());
    assert_eq!(whole[..2], resumed[..2], "taken from the log");
    assert_ne!(whole[2..], resumed[2..], "measured again");
    let again = stack.home.run(&[&["sweep", &scenario], &arguments[..]].concat());
    assert_eq!(again.code, 104, "{again:?}");
}
