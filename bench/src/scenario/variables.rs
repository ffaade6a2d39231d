//! An operation's variables: what each request draws, and how it is written into the GraphQL
//! request and the SQL statement.

use engine::Generator;
use serde::Deserialize;
use toml::{Table, Value};
use wire::{Piece, Template};

use super::ScenarioError;
use super::file::OperationFile;

/// An operation's variables in the order of the request's values.
#[derive(Debug, Default)]
pub(super) struct Variables {
    names: Vec<String>,
    pub(super) generators: Vec<Generator>,
    /// The variables as JSON, with a hole for each value.
    json: Vec<Piece>,
}

/// A table with one of these keys alone draws a value; any other table is an input object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Draw {
    Uniform([i64; 2]),
    Choice(Vec<String>),
    Sequence(i64),
}

const DRAWS: [&str; 3] = ["uniform", "choice", "sequence"];

impl OperationFile {
    pub(super) fn variables(&self) -> Result<Variables, ScenarioError> {
        let mut variables = Variables::default();
        let place = format!("operations.{}.variables", self.name);
        variables.object(&self.variables, "", &place)?;
        let graphql = std::mem::take(&mut variables.json);
        let place = format!("operations.{}.sql_variables", self.name);
        variables.object(&self.sql_variables, "", &place)?;
        variables.json = graphql;
        Ok(variables)
    }
}

impl Variables {
    /// The number of the value called `name`, a path with dots.
    pub(super) fn hole(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    /// The names, for people.
    pub(super) fn names(&self) -> String {
        self.names.join(", ")
    }

    /// The body of a GraphQL request (GraphQL over HTTP, section 5.4): query and variables.
    pub(super) fn graphql_body(&self, query: &str) -> Template {
        let mut pieces = Vec::new();
        push(&mut pieces, &format!("{{\"query\":{}", quote(query)));
        if self.json != [Piece::Bytes(b"{}".as_slice().into())] {
            push(&mut pieces, ",\"variables\":");
            for piece in &self.json {
                match piece {
                    Piece::Bytes(bytes) => push(&mut pieces, &String::from_utf8_lossy(bytes)),
                    hole => pieces.push(hole.clone()),
                }
            }
        }
        push(&mut pieces, "}");
        Template::new(pieces)
    }

    fn object(&mut self, table: &Table, path: &str, place: &str) -> Result<(), ScenarioError> {
        push(&mut self.json, "{");
        for (index, (name, value)) in table.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            push(&mut self.json, &format!("{comma}{}:", quote(name)));
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{name}");
            self.value(value, &path, &format!("{place}.{name}"))?;
        }
        push(&mut self.json, "}");
        Ok(())
    }

    fn value(&mut self, value: &Value, path: &str, place: &str) -> Result<(), ScenarioError> {
        match value {
            Value::Integer(number) => self.hole_of(path, Generator::Integer(*number)),
            Value::String(text) => self.hole_of(path, Generator::Text(text.clone())),
            Value::Table(table) => match draw(table, place)? {
                Some(generator) => self.hole_of(path, generator),
                None => self.object(table, path, place)?,
            },
            constant => {
                let json = serde_json::to_string(constant)
                    .map_err(|error| ScenarioError::value(place, error.to_string()))?;
                push(&mut self.json, &json);
            }
        }
        Ok(())
    }

    fn hole_of(&mut self, path: &str, generator: Generator) {
        self.json.push(Piece::Hole(self.names.len()));
        self.names.push(path.to_owned());
        self.generators.push(generator);
    }
}

fn draw(table: &Table, place: &str) -> Result<Option<Generator>, ScenarioError> {
    if table.len() != 1 || !table.keys().all(|key| DRAWS.contains(&key.as_str())) {
        return Ok(None);
    }
    let draw = Draw::deserialize(table.clone())
        .map_err(|error| ScenarioError::value(place, error.message()))?;
    match draw {
        Draw::Uniform([low, high]) if low > high => {
            Err(ScenarioError::value(place, format!("uniform = [{low}, {high}] is empty")))
        }
        Draw::Choice(texts) if texts.is_empty() => {
            Err(ScenarioError::value(place, "choice = [] has nothing to choose from"))
        }
        Draw::Uniform([low, high]) => Ok(Some(Generator::Uniform(low, high))),
        Draw::Choice(texts) => Ok(Some(Generator::Choice(texts))),
        Draw::Sequence(start) => Ok(Some(Generator::Sequence(start))),
    }
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Appends to the last piece where that is bytes too.
fn push(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Bytes(bytes)) => {
            *bytes = [bytes, text.as_bytes()].concat().into();
        }
        _ => pieces.push(Piece::Bytes(text.as_bytes().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(text: &str) -> Variables {
        let text = format!("name = 'op'\n{text}");
        toml::from_str::<OperationFile>(&text).unwrap().variables().unwrap()
    }

    #[test]
    fn objects_constants_and_drawn_values_become_json_with_holes() {
        let variables = variables(
            "variables = { limit = 20, all = true, input = { title = { choice = ['a', 'b'] } } }",
        );
        let body = variables.graphql_body("query \"q\"");
        let mut text = String::new();
        for piece in body.pieces() {
            match piece {
                Piece::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
                Piece::Hole(hole) => text.push_str(&format!("<{}>", variables.names[*hole])),
            }
        }
        let expected = r#"{"query":"query \"q\"","variables":{"all":true,"input":{"title":<input.title>},"limit":<limit>}}"#;
        assert_eq!(text, expected);
        assert_eq!(variables.hole("title"), None);
    }

    #[test]
    fn an_operation_without_variables_sends_none() {
        let body = variables("").graphql_body("{ a }");
        assert_eq!(body.pieces(), [Piece::Bytes(br#"{"query":"{ a }"}"#.as_slice().into())]);
    }
}
