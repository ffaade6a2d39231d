//! Scenario files: a system under test with its operations and its load.

mod auth;
mod file;
mod target;
mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::{Mix, MixEntry};
use thiserror::Error;

pub(crate) use auth::token;
pub(crate) use file::{Executor, ProtocolFile, Scenario, TargetFile};
pub(crate) use target::Places;

use crate::conninfo::ConninfoError;

/// Where `${NAME}` in a scenario is looked up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A scenario that cannot be used. Each names the place in the file.
#[derive(Debug, Error)]
pub(crate) enum ScenarioError {
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{file}: ${{{name}}} is not set: set it in the environment, or write the value itself")]
    Unset { file: String, name: String },
    #[error("{file}: {error}")]
    Syntax { file: String, error: Box<toml::de::Error> },
    #[error("{place}: {problem}")]
    Value { place: String, problem: String },
    #[error("targets.{target}: {error}")]
    Conninfo { target: String, error: ConninfoError },
    #[error("auth: {0}")]
    Auth(String),
    #[error("there is no target {0}: add [targets.{0}] to the scenario file; it has {1}")]
    NoTarget(String, String),
    #[error("the scenario has several targets, choose one with --target: {0}")]
    WhichTarget(String),
}

impl ScenarioError {
    fn value(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { place: place.into(), problem: problem.into() }
    }
}

impl Scenario {
    /// Reads a file; `${NAME}` comes from the environment.
    pub(crate) fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScenarioError::Read { path: path.into(), source })?;
        Self::parse(&path.display().to_string(), &text, &|name| std::env::var(name).ok())
    }

    /// Reads the text of a file called `file`.
    pub(crate) fn parse(file: &str, text: &str, lookup: Lookup<'_>) -> Result<Self, ScenarioError> {
        let text = substitute(file, text, lookup)?;
        let scenario: Self = toml::from_str(&text)
            .map_err(|error| ScenarioError::Syntax { file: file.into(), error: Box::new(error) })?;
        scenario.mix()?;
        Ok(scenario)
    }

    /// What the requests hold.
    pub(crate) fn mix(&self) -> Result<Mix, ScenarioError> {
        let entries: Result<Vec<_>, _> = self
            .operations
            .iter()
            .map(|operation| {
                let variables = operation.variables()?;
                Ok(MixEntry { weight: operation.weight, generators: variables.generators })
            })
            .collect();
        Mix::new(entries?).ok_or_else(|| {
            ScenarioError::value("operations", "at least one needs a weight above 0")
        })
    }

    /// The target called `name`.
    pub(crate) fn target(&self, name: &str) -> Result<&TargetFile, ScenarioError> {
        self.targets.get(name).ok_or_else(|| {
            let names: Vec<_> = self.targets.keys().map(String::as_str).collect();
            ScenarioError::NoTarget(name.into(), names.join(", "))
        })
    }
}

/// Replaces each `${NAME}` outside comments.
fn substitute(file: &str, text: &str, lookup: Lookup<'_>) -> Result<String, ScenarioError> {
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !line.trim_start().starts_with('#')
            && let Some((before, after)) = rest.split_once("${")
            && let Some((name, after)) = after.split_once('}')
        {
            let value = lookup(name)
                .ok_or_else(|| ScenarioError::Unset { file: file.into(), name: name.into() })?;
            result.push_str(before);
            result.push_str(&value.replace('\\', "\\\\").replace('"', "\\\""));
            rest = after;
        }
        result.push_str(rest);
    }
    Ok(result)
}

/// A pid, given as such or by the path of a file that holds it.
pub(crate) type Processes = BTreeMap<String, u32>;

impl Scenario {
    /// The processes whose CPU time is to be read, by target.
    pub(crate) fn processes(&self) -> Result<Processes, ScenarioError> {
        self.processes
            .iter()
            .map(|(target, place)| {
                let pid = place.parse().or_else(|_| {
                    let text = std::fs::read_to_string(place).unwrap_or_default();
                    text.lines().next().unwrap_or_default().trim().parse()
                });
                let problem = || format!("{place} is neither a pid nor a file that holds one");
                pid.map(|pid| (target.clone(), pid))
                    .map_err(|_| ScenarioError::value(format!("processes.{target}"), problem()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        name = "small"
        [targets.gateway]
        url = "http://127.0.0.1:${PORT}/graphql"
        [[operations]]
        name = "getUser"
        graphql = "query GetUser($id: ID!) { user(id: $id) { id } }"
        variables = { id = { uniform = [1, 10] } }
        # ${NOT_LOOKED_UP}
    "#;

    fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse("small.toml", text, &|name| (name == "PORT").then(|| "4000".into()))
    }

    #[test]
    fn variables_of_the_environment_are_filled_in_and_missing_ones_are_named() {
        let scenario = parse(SMALL).unwrap();
        assert_eq!(
            scenario.targets["gateway"].url.as_deref(),
            Some("http://127.0.0.1:4000/graphql")
        );
        let error = parse(&SMALL.replace("${PORT}", "${HOST}")).unwrap_err().to_string();
        assert!(error.contains("${HOST} is not set"), "{error}");
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (from, to, words) in [
            ("name = \"small\"", "nmae = \"small\"", "unknown field `nmae`"),
            ("uniform = [1, 10]", "uniform = [10, 1]", "operations.getUser.variables.id"),
            (
                "uniform = [1, 10]",
                "uniform = [1]",
                "operations.getUser.variables.id: invalid length 1",
            ),
            ("url = ", "url == ", "line 4"),
            ("name = \"getUser\"", "name = \"getUser\"\nweight = 0", "weight above 0"),
        ] {
            let error = parse(&SMALL.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(words), "{to}: {error}");
        }
    }
}
