//! Whole files: what is read, and what is said about mistakes.

use std::path::Path;

use engine::{Gaps, Load, SECOND, Stage};
use wire::Values;

use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/scenario");

fn lookup(name: &str) -> Option<String> {
    let value = match name {
        "HOST" => "gateway.internal.example",
        "VUS" => "5",
        "DURATION" => "5 s",
        "PORT" => "4000",
        _ => return None,
    };
    Some(value.into())
}

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    let file = Path::new(FOLDER).join("test_data/a.toml");
    Scenario::parse(&file.display().to_string(), text, &lookup)
}

/// What a user sees, without the folder of the sources.
fn shown(error: &ScenarioError) -> String {
    error.to_string().replace(&format!("{FOLDER}/"), "")
}

/// A JWT with nothing but an expiry so many seconds from now.
pub(super) fn unsigned_token(lifetime_s: u64) -> String {
    use base64::Engine as _;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let payload = format!("{{\"exp\":{}}}", now.as_secs() + lifetime_s);
    let coded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload);
    format!("e30.{coded}.c2ln")
}

#[test]
fn each_malformed_file_has_its_one_clear_message() {
    let mut count = 0;
    let files = std::fs::read_dir(Path::new(FOLDER).join("malformed")).unwrap().flatten();
    let paths = files.map(|file| file.path());
    for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let read = Scenario::parse(&path.display().to_string(), &text, &lookup);
        let error = read.err().unwrap_or_else(|| panic!("{name} was accepted"));
        let text = shown(&error).replace("malformed/", "");
        insta::with_settings!({ snapshot_path => "malformed", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, text);
        });
        count += 1;
    }
    assert!(count >= 20, "{count}");
}

const SMALL: &str = r#"
name = "small"
[targets.gateway]
url = "http://127.0.0.1:${PORT}/graphql" # not ${UNSET}
[[operations]]
name = "getUser"
graphql = "query GetUser($id: ID!) { user(id: $id) { id } }"
variables = { id = { uniform = [1, 10] } }
# ${NOT_LOOKED_UP}
"#;

fn load(text: &str) -> ScenarioLoad {
    parse(&format!("{SMALL}\n[load]\n{text}")).unwrap().loads.remove(0)
}

fn only_statement(operation: &OperationFile) -> Option<&str> {
    let sql = operation.sql.as_ref()?;
    assert_eq!(sql.list.len(), 1);
    Some(&sql.list[0].text)
}

#[test]
fn references_are_filled_in_outside_comments() {
    let scenario = parse(SMALL).unwrap();
    assert_eq!(scenario.targets["gateway"].url.as_deref(), Some("http://127.0.0.1:4000/graphql"));
    assert!(scenario.report.is_empty());
}

#[test]
fn every_executor_is_read_with_k6s_fields_and_defaults() {
    const MINUTE: u64 = 60 * SECOND;
    let stages = |targets: [(u64, f64); 2]| -> std::sync::Arc<[Stage]> {
        targets.map(|(duration_ns, target)| Stage { duration_ns, target }).into()
    };
    let cases = [
        (
            "executor = 'constant-vus'\nvus = ${VUS}\nduration = 5000",
            Load::ConstantVus { vus: 5, duration_ns: 5 * SECOND },
        ),
        (
            "executor = 'ramping-vus'\nstartVUs = 0\ngracefulRampDown = '1s'\n\
             stages = [{ duration = '1m', target = 50 }, { duration = '0s', target = 500 }]",
            Load::RampingVus {
                start_vus: 0,
                stages: stages([(MINUTE, 50.0), (0, 500.0)]),
                graceful_ramp_down_ns: SECOND,
            },
        ),
        (
            "executor = 'per-vu-iterations'\nvus = 2\niterations = 3\nmaxDuration = '1m'",
            Load::PerVuIterations { vus: 2, iterations: 3, max_duration_ns: MINUTE },
        ),
        (
            "executor = 'shared-iterations'",
            Load::SharedIterations { vus: 1, iterations: 1, max_duration_ns: 10 * MINUTE },
        ),
        (
            "executor = 'constant-arrival-rate'\nrate = 6000\ntimeUnit = '1m'\nduration = '1m30s'\n\
             preAllocatedVUs = 10\ngaps = 'poisson'",
            Load::ConstantArrivalRate {
                rate: 100.0,
                gaps: Gaps::Poisson,
                duration_ns: 90 * SECOND,
                pre_allocated_vus: 10,
                max_vus: 10,
            },
        ),
        (
            "executor = 'ramping-arrival-rate'\nstart_rate = 60\ntime_unit = '1m'\nmax_vus = 7\n\
             stages = [{ duration = '1m', target = 90 }, { duration = 1000, target = 0 }]",
            Load::RampingArrivalRate {
                start_rate: 1.0,
                stages: stages([(MINUTE, 1.5), (SECOND, 0.0)]),
                gaps: Gaps::Uniform,
                pre_allocated_vus: 7,
                max_vus: 7,
            },
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(load(text).load, expected, "{text}");
    }
    let text = "executor = 'constant-vus'\nduration = '1s'";
    assert_eq!(load(text), ScenarioLoad::new(Load::ConstantVus { vus: 1, duration_ns: SECOND }));
    let more =
        "startTime = '2s'\ngracefulStop = '3s'\nthink_time = ['1s', 2000]\ntarget = 'gateway'";
    let expected = ScenarioLoad {
        target: Some("gateway".into()),
        think_time_ns: (SECOND, 2 * SECOND),
        start_ns: 2 * SECOND,
        graceful_stop_ns: 3 * SECOND,
        ..load(text)
    };
    assert_eq!(load(&format!("{text}\n{more}")), expected);
    assert_eq!(load(&format!("{text}\nthink_time = 1000")).think_time_ns, (SECOND, SECOND));
}

#[test]
fn a_think_time_in_an_open_loop_is_a_warning() {
    let text = "executor = 'constant-arrival-rate'\nrate = 5\nduration = '1s'\nthink_time = '1s'";
    let scenario = parse(&format!("{SMALL}\n[load]\n{text}")).unwrap();
    assert_eq!(scenario.loads[0].think_time_ns, (0, 0));
    insta::assert_snapshot!(scenario.report.to_string().replace(&format!("{FOLDER}/"), ""));
}

#[test]
fn several_loads_are_read_in_their_order() {
    let text = format!(
        "{SMALL}\n[[loads]]\nname = 'b'\nexecutor = 'constant-vus'\nduration = '1s'\n\
         [[loads]]\nname = 'a'\nexecutor = 'shared-iterations'\nstart_time = '1s'\nwarm_up = '3s'"
    );
    let scenario = parse(&text).unwrap();
    let names: Vec<_> = scenario.loads.iter().map(|load| load.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(scenario.warm_up_ns, Some(3 * SECOND));
}

/// The values of an operation's request `number`, by the variables' names.
fn values(variables: &str, number: u64) -> Vec<String> {
    let text = SMALL.replace("{ id = { uniform = [1, 10] } }", variables);
    let mix = parse(&text).unwrap_or_else(|error| panic!("{error}")).mix().unwrap();
    let mut values = Values::new();
    mix.fill(1, number, &mut values);
    let text = |hole| String::from_utf8(values.at(hole).0.to_vec()).unwrap();
    (0..values.len()).map(text).collect()
}

#[test]
fn every_generator_draws() {
    let one = |variable: &str, number| values(&format!("{{ id = {variable} }}"), number).remove(0);
    assert_eq!(one("{ constant = 'x' }", 3), "x");
    assert_eq!(one("{ sequence = 10 }", 3), "13");
    assert_eq!(one("{ uniform = [5, 5] }", 3), "5");
    assert_eq!(one("{ choice = [4] }", 3), "4");
    assert_eq!(one("true", 3), "true");
    assert_eq!(one("1.5", 3), "1.5");
    assert_eq!(one("{ words = 3 }", 3).split(' ').count(), 3);
    assert_eq!(one("{ uuid = true }", 3).len(), 36);
    assert!((1..=9).contains(&one("{ zipfian = [1, 9], exponent = 1.2 }", 3).parse().unwrap()));
    let column =
        |name: &str, number| one(&format!("{{ csv = 'users.csv', column = '{name}' }}"), number);
    let ids: Vec<_> = (0..4).map(|number| column("id", number)).collect();
    assert_eq!(ids, ["7", "8", "9", "7"]);
    assert_eq!(column("zip", 0), "00123");
    assert_eq!(column("name", 3), "Ada, of London");
}

#[test]
fn random_rows_of_a_csv_file_belong_together() {
    let both = "{ id = { csv = 'users.csv', column = 'id', order = 'random' }, \
                name = { csv = 'users.csv', column = 'name', order = 'random' } }";
    let known = [["7", "Ada, of London"], ["8", "Ben"], ["9", "Cy"]];
    let rows: Vec<_> = (0..50).map(|number| values(both, number)).collect();
    assert!(rows.iter().all(|row| known.iter().any(|known| row == known)), "{rows:?}");
    assert!(known.iter().all(|known| rows.iter().any(|row| row == known)));
}

fn body(variables: &str) -> String {
    let text = SMALL.replace("{ id = { uniform = [1, 10] } }", variables);
    let scenario = parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let variables = &scenario.operations[0].variables;
    let names: Vec<_> = variables.names().collect();
    let mut text = String::new();
    for piece in variables.graphql_body("query \"q\"").pieces() {
        match piece {
            wire::Piece::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
            wire::Piece::Hole(hole) => text.push_str(&format!("<{}>", names[*hole])),
        }
    }
    text
}

#[test]
fn objects_constants_and_drawn_values_become_json_with_holes() {
    assert_eq!(
        body(
            "{ limit = 20, all = [true, 'a'], input = { title = { choice = ['a'] }, uuid = 'x', b = 1.5 } }"
        ),
        r#"{"query":"query \"q\"","variables":{"limit":<limit>,"all":[true,"a"],"input":{"title":<input.title>,"uuid":<input.uuid>,"b":<input.b>}}}"#
    );
    assert_eq!(
        body("{ input = { constant = { words = 'not drawn' } } }"),
        r#"{"query":"query \"q\"","variables":{"input":{"words":"not drawn"}}}"#
    );
    assert_eq!(body("{}"), r#"{"query":"query \"q\""}"#);
}

#[test]
fn an_included_file_gives_what_this_one_does_not_say() {
    let text = r#"
name = "suite"
include = "base.toml"
[targets.gateway]
backends = "own"
[targets.pooler]
url = "http://elsewhere/graphql"
[[operations]]
name = "b"
weight = 7
[[operations]]
name = "c"
sql = "SELECT 3"
"#;
    let scenario = parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scenario.name, "suite");
    let gateway = &scenario.targets["gateway"];
    assert_eq!(gateway.url.as_deref(), Some("http://127.0.0.1:4000/graphql"));
    assert_eq!(gateway.backends.as_deref(), Some("own"));
    let pooler = &scenario.targets["pooler"];
    assert_eq!((pooler.url.is_some(), pooler.conninfo.is_some()), (true, false));
    let operations: Vec<_> = scenario
        .operations
        .iter()
        .map(|operation| (operation.name.as_str(), operation.weight, only_statement(operation)))
        .collect();
    let expected =
        [("a", 3, Some("SELECT 1")), ("b", 7, Some("SELECT 2")), ("c", 1, Some("SELECT 3"))];
    assert_eq!(operations, expected);
    assert!(scenario.loads.is_empty(), "a load is never included");
    assert!(matches!(scenario.auth, AuthFile::Jwt(_)));
    let own = text.replace("[targets.gateway]", "[auth]\njwt = 'own'\n[targets.gateway]");
    assert!(matches!(parse(&own).unwrap().auth, AuthFile::Jwt(jwt) if jwt == "own"));
}

#[test]
fn the_token_comes_from_the_file_and_else_from_jwt_token() {
    let with = |auth: &str| {
        let lookup = |name: &str| match name {
            "JWT_TOKEN" => Some("environment".into()),
            name => lookup(name),
        };
        Scenario::parse("a.toml", &format!("{SMALL}\n{auth}"), &lookup).unwrap().auth
    };
    assert!(matches!(with(""), AuthFile::Environment(token) if token == "environment"));
    assert!(matches!(with("[auth]\njwt = 'file'"), AuthFile::Jwt(token) if token == "file"));
    let login = "[auth.login]\nquery = 'mutation { a }'\ntoken = 'data.a'";
    assert!(matches!(with(login), AuthFile::Login(_)));
    assert!(matches!(parse(SMALL).unwrap().auth, AuthFile::None));
}

/// The nova scenario sends the database what the gateway sends it.
#[test]
fn the_nova_scenarios_sql_is_the_gateways() {
    const SCENARIO: &str = include_str!("../../../scenarios/nova/nova.toml");
    const STATEMENTS: &str = include_str!("../../../scenarios/nova/gateway/src/statements.rs");
    let statement = |name: &str| {
        let after = STATEMENTS.split_once(&format!("const {name}: &str = \"")).unwrap().1;
        let literal = after.split_once("\";\n").unwrap().0;
        let joined: Vec<_> = literal.split("\\\n").map(str::trim_start).collect();
        joined.concat().replace("\\\"", "\"")
    };
    let scenario = Scenario::parse("nova.toml", SCENARIO, &|name| match name {
        name if name.starts_with("NOVA_GATEWAY") => Some("http://a/".into()),
        _ => Some("host=a".into()),
    });
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
    for (name, constant) in [
        ("getFeed", "FEED"),
        ("getUser", "USER"),
        ("getContent", "CONTENT"),
        ("searchContent", "SEARCH_CONTENT"),
        ("createContent", "CREATE_CONTENT"),
    ] {
        let operation = scenario.operations.iter().find(|operation| operation.name == name);
        let expected = statement(constant);
        assert_eq!(only_statement(operation.unwrap()), Some(expected.as_str()), "{name}");
    }
    assert_eq!(scenario.operations.len(), 5);
}

#[test]
fn processes_are_numbers_or_places_and_several_of_them_a_list() {
    let text = "name = \"p\"\n[targets.a]\nurl = \"http://127.0.0.1:1/\"\n\
                [[operations]]\nname = \"a\"\ngraphql = \"{a}\"\n[processes]\n";
    let parse = |rest: &str| Scenario::parse("p.toml", &format!("{text}{rest}"), &|_| None);
    let scenario = parse("one = 7\nfile = \"/run/p.pid\"\nseveral = [7, \"/run/p.pid\"]").unwrap();
    let processes = scenario.processes.iter();
    let processes: Vec<_> = processes.map(|(name, places)| (&**name, places.join(" "))).collect();
    let expected = [("file", "/run/p.pid"), ("one", "7"), ("several", "7 /run/p.pid")];
    assert_eq!(processes, expected.map(|(name, places)| (name, places.to_owned())));
    assert!(parse("none = []").is_err());
    assert!(parse("odd = [7, true]").is_err());
}
