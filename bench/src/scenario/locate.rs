//! Where rules that cannot be used stand in the file.

use super::mistake::{Mistake, Place};
use super::node::{Node, Value};
use super::{Scenario, ScenarioError};
use crate::rules::{RuleError, RulesError, Step};

impl Scenario {
    /// The scenario's rules are refused: each error with the lines in question.
    pub(crate) fn refuse(&self, errors: &RulesError) -> ScenarioError {
        let mistake = |error: &RuleError| {
            let place = self.root.as_ref().map(|root| find(root, error));
            Mistake::error(&place.unwrap_or_default(), &error.problem)
        };
        let report = self.report.with(errors.0.iter().map(mistake).collect());
        let file = report.file().to_owned();
        ScenarioError::mistakes(&file, report)
    }
}

fn find(root: &Node, error: &RuleError) -> Place {
    let (mut node, mut key_place) = (root, &root.place);
    for step in &error.place {
        match (step, &node.value) {
            (Step::Key(name), Value::Table(table)) => {
                let Some((key, inner)) = table.0.iter().find(|(key, _)| key.name == *name) else {
                    break;
                };
                (node, key_place) = (inner, &key.place);
            }
            (Step::Index(index), Value::List(nodes)) => match nodes.get(*index) {
                Some(inner) => node = inner,
                None => break,
            },
            // A list of one may be written without its brackets.
            _ => {}
        }
    }
    match error.column {
        _ if error.is_about_key() => key_place.clone(),
        Some(column) => node.part(1, column),
        None => node.place.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[test]
    fn every_rule_that_cannot_be_used_is_shown_where_it_stands() {
        let text = r#"name = "t"
[targets.gateway]
url = "http://127.0.0.1:1/"
[[operations]]
name = "getUser"
graphql = "{ user }"
[thresholds]
errors = "rate<<0.1"
http_req_duration = ["p(95)<100", { threshold = "avg=123", abortOnFail = true }]
"http_req_duration{operation:getFeed}" = ["p(95)<50"]
[[checks]]
latency = "fast"
"#;
        let scenario = Scenario::parse("t.toml", text, &|_| None).unwrap();
        let error = scenario.refuse(&Rules::read(&scenario).unwrap_err());
        insta::assert_snapshot!(error);
    }
}
