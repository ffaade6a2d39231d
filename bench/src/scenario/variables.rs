//! An operation's variables: what each request draws, and how it is written into the GraphQL
//! request and the SQL statement.

use std::path::PathBuf;

use engine::Generator;
use serde_json::Value as Json;
use wire::{Piece, Template};

use super::generator::{self, Drawn};
use super::mistake::{Mistake, Mistakes, Place};
use super::node::{Node, Table, Value};

/// An operation's variables in the order of the request's values.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    names: Vec<String>,
    pub(super) generators: Vec<Generator>,
    /// Those of the GraphQL request.
    pub(super) graphql: Vec<Variable>,
}

/// A variable, or a field of an input object.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) input: Input,
}

/// What a variable is sent as.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// The request's value with this number.
    Hole(usize),
    /// The same in every request.
    Constant(Json),
    /// An input object.
    Object(Vec<Variable>),
}

impl Variables {
    /// Reads `variables` and `sql_variables`. `folders` has the folder of each file.
    pub(super) fn read(
        graphql: Option<&Table>,
        sql: Option<&Table>,
        folders: &[PathBuf],
        mistakes: &Mistakes,
    ) -> Self {
        let mut variables = Self::default();
        let reader = Reader { folders, mistakes };
        if let Some(table) = graphql {
            variables.graphql = variables.object(table, "", &reader);
        }
        if let Some(table) = sql {
            variables.object(table, "", &reader);
        }
        variables
    }

    /// The number of the value called `name`, a path with dots.
    pub(super) fn hole(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    /// Their names: paths with dots.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The body of a GraphQL request (GraphQL over HTTP, section 5.4): query and variables.
    pub(super) fn graphql_body(&self, query: &str) -> Template {
        let mut pieces = Vec::new();
        push(&mut pieces, &format!("{{\"query\":{}", quote(query)));
        if !self.graphql.is_empty() {
            push(&mut pieces, ",\"variables\":");
            push_object(&mut pieces, &self.graphql);
        }
        push(&mut pieces, "}");
        Template::new(pieces)
    }

    fn object(&mut self, table: &Table, path: &str, reader: &Reader<'_>) -> Vec<Variable> {
        let entries = table.0.iter();
        let variables = entries.filter_map(|(key, node)| {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", key.name);
            if self.hole(&path).is_some() {
                let message = format!("there are two variables called `{path}`");
                let help = "`variables` and `sql_variables` share their names";
                reader.mistakes.push(Mistake::error(&key.place, message).help(help));
            }
            let input = self.input(node, &path, reader)?;
            Some(Variable { name: key.name.clone(), place: node.place.clone(), input })
        });
        variables.collect()
    }

    fn input(&mut self, node: &Node, path: &str, reader: &Reader<'_>) -> Option<Input> {
        if let Value::Table(table) = &node.value {
            return match generator::read(node, reader.folders, reader.mistakes) {
                Drawn::Value(generator) => Some(self.value(path, generator)),
                Drawn::Constant(node) => self.constant(node, path, reader),
                Drawn::Object => Some(Input::Object(self.object(table, path, reader))),
                Drawn::Wrong => {
                    // It has its name, so that it is not missed elsewhere.
                    self.value(path, Generator::Integer(0));
                    None
                }
            };
        }
        self.constant(node, path, reader)
    }

    fn constant(&mut self, node: &Node, path: &str, reader: &Reader<'_>) -> Option<Input> {
        Some(match &node.value {
            Value::Integer(number) => self.value(path, Generator::Integer(*number)),
            Value::Text(text) => self.value(path, Generator::Text(text.clone())),
            Value::Boolean(value) => self.value(path, Generator::Literal(value.to_string())),
            Value::Unknown => {
                self.value(path, Generator::Integer(0));
                return None;
            }
            _ => match node.json() {
                Some(Json::Number(number)) => {
                    self.value(path, Generator::Literal(number.to_string()))
                }
                Some(json) => Input::Constant(json),
                None => {
                    let message = format!("`{path}` has {} in it, which JSON has not", node.kind());
                    let help = "write it as a text";
                    reader.mistakes.push(Mistake::error(&node.place, message).help(help));
                    return None;
                }
            },
        })
    }

    fn value(&mut self, path: &str, generator: Generator) -> Input {
        self.names.push(path.to_owned());
        self.generators.push(generator);
        Input::Hole(self.names.len() - 1)
    }
}

struct Reader<'a> {
    folders: &'a [PathBuf],
    mistakes: &'a Mistakes,
}

impl Node {
    /// The value as JSON; `None` where it has a date or a number that is none.
    pub(super) fn json(&self) -> Option<Json> {
        Some(match &self.value {
            Value::Text(text) => Json::String(text.clone()),
            Value::Integer(number) => Json::from(*number),
            Value::Float(number) => Json::Number(serde_json::Number::from_f64(*number)?),
            Value::Boolean(value) => Json::Bool(*value),
            Value::List(nodes) => Json::Array(nodes.iter().map(Node::json).collect::<Option<_>>()?),
            Value::Table(table) => {
                let entries =
                    table.0.iter().map(|(key, node)| Some((key.name.clone(), node.json()?)));
                Json::Object(entries.collect::<Option<_>>()?)
            }
            Value::Date => return None,
            Value::Unknown => Json::Null,
        })
    }
}

fn push_object(pieces: &mut Vec<Piece>, variables: &[Variable]) {
    push(pieces, "{");
    for (index, variable) in variables.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        push(pieces, &format!("{comma}{}:", quote(&variable.name)));
        match &variable.input {
            Input::Hole(hole) => pieces.push(Piece::Hole(*hole)),
            Input::Constant(json) => push(pieces, &json.to_string()),
            Input::Object(variables) => push_object(pieces, variables),
        }
    }
    push(pieces, "}");
}

fn quote(text: &str) -> String {
    Json::from(text).to_string()
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
