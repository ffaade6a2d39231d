use std::sync::Arc;

use wire::postgres::{Protocol, Statement};
use wire::{Operation, Outcome, Piece, Reply, Template};

use super::*;

#[derive(serde::Deserialize)]
struct File {
    checks: Vec<CheckFile>,
}

fn read(file: &str) -> Result<Checks, Vec<RuleError>> {
    let file: File = toml::from_str(file).unwrap();
    Checks::read(&file.checks, &["getFeed".into(), "getUser".into()])
}

const ALL: &str = r#"
    [[checks]]
    status = 200
    [[checks]]
    data = true
    [[checks]]
    no_errors = true
    operation = "getUser"
    [[checks]]
    name = "answers within 1 s"
    latency = "<1s"
    [[checks]]
    path = "data.user.id"
    equals = 5
    operation = "getUser"
    [[checks]]
    path = "data.user.admin"
    equals = true
"#;

fn operations(requests: [Request; 2]) -> Arc<[Operation]> {
    let operations = ["getFeed", "getUser"].into_iter().zip(requests);
    let operation = |(name, request): (&str, Request)| Operation {
        name: name.into(),
        idempotent: true,
        request,
        checks: Vec::new(),
    };
    operations.map(operation).collect()
}

fn conditions(operations: &[Operation]) -> Vec<Vec<(usize, Condition)>> {
    let each = |operation: &Operation| {
        operation.checks.iter().map(|check| (check.place, check.condition)).collect()
    };
    operations.iter().map(each).collect()
}

#[test]
fn each_check_goes_to_its_operations_and_keeps_its_place() {
    let checks = read(ALL).unwrap();
    assert_eq!(
        checks.names(),
        [
            "status is 200",
            "data is there",
            "getUser: no errors",
            "answers within 1 s",
            "getUser: data.user.id is 5",
            "data.user.admin is true",
        ]
    );
    let body = Template::new(vec![Piece::Bytes(b"{}".as_slice().into())]);
    let http = wire::http::Request::new("/", "peer", body).unwrap();
    let gateway = operations([Request::Http(http.clone()), Request::Http(http)]);
    let unchecked = Checks::default().apply(&gateway);
    assert!(Arc::ptr_eq(&unchecked, &gateway), "nothing to do, nothing done");
    let gateway = checks.apply(&gateway);
    let latency = Condition::Latency(999_999_999);
    assert_eq!(
        conditions(&gateway),
        [
            vec![
                (0, Condition::Status(200)),
                (1, Condition::Data),
                (3, latency),
                (5, Condition::Path(0))
            ],
            vec![
                (0, Condition::Status(200)),
                (1, Condition::Data),
                (2, Condition::NoErrors),
                (3, latency),
                (4, Condition::Path(0)),
                (5, Condition::Path(1)),
            ],
        ]
    );

    let statement = Statement::new("SELECT 1", &[], Protocol::Simple, "getUser").unwrap();
    let statement = Request::Postgres(statement);
    let pooler = operations([statement.clone(), statement]);
    let pooler = checks.apply(&pooler);
    assert!(conditions(&pooler).iter().flatten().all(|(place, _)| ![4, 5].contains(place)));
}

#[test]
fn passes_and_fails_are_summed_over_operations_and_loads() {
    let checks = read("[[checks]]\nno_errors = true\n[[checks]]\nstatus = 200").unwrap();
    let asked = [
        Check { place: 0, condition: Condition::NoErrors },
        Check { place: 1, condition: Condition::Status(200) },
    ];
    let mut recording = Recording::new(2);
    let reply = Reply { outcome: Outcome::Ok, service_ns: 1, http: None };
    recording.check(0, &asked, &reply);
    recording.check(1, &asked, &reply);
    let failed = Outcome::Failed(wire::Class::Sql);
    recording.check(1, &asked, &Reply { outcome: failed, ..reply });
    let result = |name: &str, passes, fails| CheckResult { name: name.into(), passes, fails };
    assert_eq!(
        checks.results([&recording, &recording]),
        [result("no errors", 4, 2), result("status is 200", 0, 0)]
    );
}

#[test]
fn mistakes_are_named_with_their_place_and_all_are_found() {
    let errors = read(
        r#"
        [[checks]]
        name = "nothing"
        [[checks]]
        status = 200
        data = true
        [[checks]]
        data = false
        [[checks]]
        latency = "1s"
        [[checks]]
        latency = "< soon"
        [[checks]]
        path = "data.user.id"
        [[checks]]
        equals = 5
        [[checks]]
        path = "user.id"
        equals = 5
        [[checks]]
        status = 200
        operation = "getusers"
        [[checks]]
        no_errors = true
        [[checks]]
        no_errors = true
        "#,
    );
    let lines: Vec<_> = errors.unwrap_err().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
    let many = "[[checks]]\nstatus = 200\n[[checks]]\nlatency = \"<1s\"\n".repeat(17);
    let errors = read(&many).unwrap_err();
    assert_eq!(errors.last().unwrap().to_string(), "checks: there are 34, and 32 is the most");
}
