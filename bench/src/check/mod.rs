//! Checks: conditions on each reply that are counted and fail no request.

mod file;

use std::sync::Arc;

use engine::Recording;
use serde::Serialize;
use wire::{CHECKS_MAX, Check, Condition, Operation, Request};

pub(crate) use file::CheckFile;

use crate::cursor::{Cursor, Unreadable, suggest};
use crate::duration;
use crate::rules::{RuleError, Step, at};

/// A scenario's checks, in the order of the file: a check's number is its place in recordings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    names: Vec<String>,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Only this one.
    operation: Option<String>,
    asks: Asks,
}

#[derive(Debug, Clone)]
enum Asks {
    Condition(Condition),
    Path { path: String, value: String },
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CheckResult {
    pub(crate) name: String,
    pub(crate) passes: u64,
    pub(crate) fails: u64,
}

impl Checks {
    /// The file's checks, or every mistake in them.
    pub(crate) fn read(file: &[CheckFile], operations: &[String]) -> Result<Self, Vec<RuleError>> {
        let mut checks = Self::default();
        let mut errors = Vec::new();
        for (index, entry) in file.iter().enumerate() {
            let place = vec!["checks".into(), index.into()];
            match entry.read(operations, &place) {
                Ok((name, _)) if checks.names.contains(&name) => {
                    let problem = format!("there is a check `{name}` already: give it a name");
                    errors.push(RuleError::new(place, problem));
                }
                Ok((name, rule)) => {
                    checks.names.push(name);
                    checks.rules.push(rule);
                }
                Err(error) => errors.push(error),
            }
        }
        if file.len() > CHECKS_MAX {
            let problem = format!("there are {}, and {CHECKS_MAX} is the most", file.len());
            errors.push(RuleError::new(vec!["checks".into()], problem));
        }
        if errors.is_empty() { Ok(checks) } else { Err(errors) }
    }

    /// Their names, by their places in recordings.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The operations, with their replies checked.
    pub(crate) fn apply(&self, operations: &Arc<[Operation]>) -> Arc<[Operation]> {
        if self.rules.is_empty() {
            return Arc::clone(operations);
        }
        let mut operations = operations.to_vec();
        for operation in &mut operations {
            for (place, rule) in self.rules.iter().enumerate() {
                if rule.operation.as_ref().is_some_and(|only| *only != operation.name) {
                    continue;
                }
                let condition = match (&rule.asks, &mut operation.request) {
                    (Asks::Condition(condition), _) => *condition,
                    (Asks::Path { path, value }, Request::Http(request)) => {
                        let number = request.add_path_check(path, value);
                        Condition::Path(number.expect("the path was read before"))
                    }
                    // There is nothing to look at in an SQL reply.
                    (Asks::Path { .. }, _) => continue,
                };
                operation.checks.push(Check { place, condition });
            }
        }
        operations.into()
    }

    /// What became of each, over all operations of all loads.
    pub(crate) fn results<'a>(
        &self,
        recordings: impl IntoIterator<Item = &'a Recording>,
    ) -> Vec<CheckResult> {
        let result = |name: &String| CheckResult { name: name.clone(), passes: 0, fails: 0 };
        let mut results: Vec<_> = self.names.iter().map(result).collect();
        for operation in recordings.into_iter().flat_map(|recording| &recording.operations) {
            for (place, result) in results.iter_mut().enumerate() {
                let checked = operation.check(place);
                result.passes += checked.passes;
                result.fails += checked.fails;
            }
        }
        results
    }
}

impl CheckFile {
    /// Its name and what it asks.
    fn read(&self, operations: &[String], place: &[Step]) -> Result<(String, Rule), RuleError> {
        let (default_name, asks) = self.asks(place)?;
        if let Some(operation) = &self.operation
            && !operations.contains(operation)
        {
            let known = operations.iter().map(String::as_str);
            let problem =
                format!("there is no operation `{operation}`; {}", suggest(operation, known));
            return Err(RuleError::new(at(place, "operation"), problem));
        }
        let name = match (&self.name, &self.operation) {
            (Some(name), _) => name.clone(),
            (None, Some(operation)) => format!("{operation}: {default_name}"),
            (None, None) => default_name,
        };
        Ok((name, Rule { operation: self.operation.clone(), asks }))
    }

    fn asks(&self, place: &[Step]) -> Result<(String, Asks), RuleError> {
        let mut all = Vec::new();
        if let Some(status) = self.status {
            let asks = Asks::Condition(Condition::Status(status));
            all.push((format!("status is {status}"), asks));
        }
        for (key, value, name, condition) in [
            ("data", self.data, "data is there", Condition::Data),
            ("no_errors", self.no_errors, "no errors", Condition::NoErrors),
        ] {
            match value {
                Some(true) => all.push((name.into(), Asks::Condition(condition))),
                Some(false) => {
                    let problem = "can only be true: leave the check out where it is not wanted";
                    return Err(RuleError::new(at(place, key), problem));
                }
                None => {}
            }
        }
        if let Some(text) = &self.latency {
            let most_ns = latency(text)
                .map_err(|wrong| RuleError::unreadable(at(place, "latency"), text, wrong))?;
            all.push((format!("latency {text}"), Asks::Condition(Condition::Latency(most_ns))));
        }
        match (&self.path, &self.equals) {
            (Some(path), Some(value)) => {
                wire::http::Expect::parse(path, 0)
                    .map_err(|error| RuleError::new(at(place, "path"), error.to_string()))?;
                let asks = Asks::Path { path: path.clone(), value: value.to_string() };
                all.push((format!("{path} is {value}"), asks));
            }
            (Some(_), None) => {
                return Err(RuleError::new(place.to_vec(), "`path` needs `equals` beside it"));
            }
            (None, Some(_)) => {
                return Err(RuleError::new(place.to_vec(), "`equals` needs `path` beside it"));
            }
            (None, None) => {}
        }
        let [_] = all.as_slice() else {
            let problem = format!(
                "a check has exactly one of status, data, no_errors, latency, or path with equals; \
                 this one has {}",
                if all.is_empty() { "none".into() } else { all.len().to_string() }
            );
            return Err(RuleError::new(place.to_vec(), problem));
        };
        Ok(all.remove(0))
    }
}

/// `<1s` or `<=500ms`: the most nanoseconds that are allowed.
fn latency(text: &str) -> Result<u64, Unreadable> {
    let mut cursor = Cursor::new(text);
    cursor.skip_space();
    let is_inclusive = match () {
        () if cursor.skip("<=") => true,
        () if cursor.skip("<") => false,
        () => return Err(cursor.expected("`<` or `<=` and a duration, as in <1s")),
    };
    cursor.skip_space();
    let start = cursor.place();
    let bound = cursor.rest().trim_end();
    let ns = duration::parse(bound).map_err(|problem| cursor.wrong_at(start, problem))?;
    Ok(if is_inclusive { ns } else { ns.saturating_sub(1) })
}

#[cfg(test)]
mod tests;
