//! Operations against the schema that a gateway told.

use super::super::mistake::Mistake;
use super::*;

const INTROSPECTION: &str = include_str!("../test_data/introspection.json");

fn compared(operations: &str) -> String {
    let head = "name = 'a'\n[targets.a]\nurl = 'http://127.0.0.1:4000/'\n";
    let scenario = Scenario::parse("a.toml", &format!("{head}{operations}"), &|_| None);
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
    let schema = schema::read(&serde_json::from_str(INTROSPECTION).unwrap()).unwrap();
    let mut mistakes: Vec<Mistake> = Vec::new();
    for operation in &scenario.operations {
        graphql::compare(operation, &schema, &mut mistakes);
    }
    scenario.report.with(mistakes).to_string()
}

#[test]
fn what_fits_the_schema_is_accepted() {
    let nova = include_str!("../../../../scenarios/nova/nova.toml");
    let operations = &nova[nova.find("[[operations]]").unwrap()..];
    assert_eq!(compared(operations), "");
    let more = r#"
[[operations]]
name = "wide"
graphql = "query A($id: ID!, $limit: Int = 5) { user(id: $id) { ...U } feed(limit: $limit) { __typename id } } fragment U on User { username }"
variables = { id = { uuid = true } }
[[operations]]
name = "constant"
graphql = "mutation C($input: CreateContentInput!) { createContent(input: $input) { id } }"
variables = { input = { constant = { title = "a", body = "b" } } }
"#;
    assert_eq!(compared(more), "");
}

#[test]
fn what_does_not_fit_is_shown_in_its_place() {
    insta::assert_snapshot!(compared(
        r#"
[[operations]]
name = "field"
graphql = """
query GetUser($id: ID!) {
  user(id: $id) {
    id
    usrname
  }
}"""
variables = { id = 1 }

[[operations]]
name = "argument"
graphql = "{ feed(limt: 3) { id } }"

[[operations]]
name = "position"
graphql = "query A($limit: String!) { feed(limit: $limit) { id } }"
variables = { limit = "20" }

[[operations]]
name = "types"
graphql = "query A($query: String!, $limit: Int!) { searchContent(query: $query, limit: $limit) { id } }"
variables = { query = { uniform = [1, 5] }, limit = { uniform = [1, 9000000000] } }

[[operations]]
name = "names"
graphql = "query A($query: String!) { searchContent(query: $query) { id } }"
variables = { qeury = { words = 2 } }

[[operations]]
name = "object"
graphql = "mutation C($input: CreateContentInput!) { createContent(input: $input) { id } }"
variables = { input = { title = true, boddy = "b" } }

[[operations]]
name = "constant"
graphql = "mutation C($input: CreateContentInput!) { createContent(input: $input) { id } }"
variables = { input = { constant = { title = ["a"], body = 5 } } }
"#
    ));
}

#[test]
fn a_gateway_that_tells_no_schema_gives_its_reason() {
    let reply = serde_json::json!({ "errors": [{ "message": "introspection is disabled" }] });
    assert_eq!(schema::read(&reply).unwrap_err(), "introspection is disabled");
    assert!(schema::read(&serde_json::json!({ "data": null })).is_err());
}
