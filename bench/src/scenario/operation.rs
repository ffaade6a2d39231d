//! `[[operations]]`: what is asked for, as GraphQL and as SQL.

use std::path::PathBuf;

use graphql_tools::parser::query::parse_query;
use wire::http::Expect;
use wire::postgres::{Command, commands};

use super::fields::{self, Fields};
use super::mistake::{Mistake, Mistakes, suggest};
use super::node::{Node, Value};
use super::statements::{self, Statements};
use super::variables::Variables;

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct OperationFile {
    pub(crate) name: String,
    /// Its share of all requests, relative to the others'.
    pub(crate) weight: u32,
    pub(crate) graphql: Option<String>,
    pub(crate) sql: Option<Statements>,
    /// Whether it writes. What writes is never sent twice.
    pub(crate) writes: bool,
    /// The value that the reply must carry, and its path in the JSON; in SQL the first column.
    pub(super) expect: Option<(usize, String)>,
    pub(super) variables: Variables,
    /// The text with its place, for mistakes that only the server knows of.
    pub(super) graphql_node: Option<Node>,
}

impl OperationFile {
    /// A statement that does nothing for so long, in ns.
    pub(crate) fn sleep(length_ns: engine::Nanos) -> Self {
        let seconds = length_ns as f64 / engine::SECOND as f64;
        Self {
            name: "sleep".into(),
            weight: 1,
            graphql: None,
            sql: Some(Statements::one(format!("SELECT pg_sleep({seconds})"))),
            writes: false,
            expect: None,
            variables: Variables::default(),
            graphql_node: None,
        }
    }
}

/// Reads `[[operations]]`. `folders` has the folder of each of the scenario's files.
pub(super) fn read(root: &Fields<'_>, folders: &[PathBuf]) -> Vec<OperationFile> {
    let help = "add [[operations]] with a name, and graphql or sql";
    let Some(node) = root.required("operations", help) else { return Vec::new() };
    let nodes = match &node.value {
        Value::List(nodes) => nodes.as_slice(),
        _ => {
            root.mistakes.push(fields::wrong(
                node,
                "`operations`",
                "a list, written [[operations]]",
            ));
            return Vec::new();
        }
    };
    let mut operations: Vec<OperationFile> = Vec::new();
    for node in nodes {
        let Some(operation) = operation(node, folders, root.mistakes) else { continue };
        if operations.iter().any(|other| other.name == operation.name) {
            let message = format!("there are two operations called `{}`", operation.name);
            let place = name_of(node).map_or(&node.place, |name| &name.place);
            let mistake = Mistake::error(place, message);
            root.mistakes.push(mistake.help("each needs a name of its own: reports go by it"));
        }
        operations.push(operation);
    }
    let has_weight = operations.iter().any(|operation| operation.weight > 0);
    if !has_weight && operations.len() == nodes.len() {
        let weight = nodes.first().and_then(|node| match &node.value {
            Value::Table(table) => table.get("weight"),
            _ => None,
        });
        let place = &weight.unwrap_or(node).place;
        let message = match nodes.len() {
            0 => "there is no operation",
            _ => "every operation has weight 0: nothing would be sent",
        };
        let help = if nodes.is_empty() { help } else { "give at least one a weight above 0" };
        root.mistakes.push(Mistake::error(place, message).help(help));
    }
    operations
}

fn name_of(node: &Node) -> Option<&Node> {
    match &node.value {
        Value::Table(table) => table.get("name"),
        _ => None,
    }
}

fn operation(node: &Node, folders: &[PathBuf], mistakes: &Mistakes) -> Option<OperationFile> {
    let what = match name_of(node).map(|name| &name.value) {
        Some(Value::Text(name)) => format!("operation {name}"),
        _ => "an operation".into(),
    };
    let fields = Fields::new(node, &what, mistakes)?;
    fields.required("name", "reports go by it");
    let name = fields.text("name");
    let weight = match fields.get("weight") {
        None => Some(1),
        Some(_) => fields.count("weight", 0..=u64::from(u32::MAX)).map(|weight| weight as u32),
    };
    let variables = fields.get("variables").and_then(|_| fields.entries("variables"));
    let sql_variables = fields.get("sql_variables").and_then(|_| fields.entries("sql_variables"));
    let variables = Variables::read(variables, sql_variables, folders, mistakes);
    let graphql_node = fields.get("graphql");
    if graphql_node.is_none() && fields.get("sql").is_none() {
        fields.missing("graphql", "give it graphql, sql or both: what is to be sent");
    }
    let graphql = fields.text("graphql");
    if let (Some(graphql), Some(node)) = (graphql, graphql_node) {
        check_syntax(graphql, node, mistakes);
    }
    let sql = statements::read(&fields, &variables);
    let expect = expect(&fields, &variables);
    let writes = match fields.get("writes") {
        Some(_) => fields.boolean("writes").unwrap_or(true),
        None => {
            let texts = sql.iter().flat_map(|sql| &sql.list).map(|statement| &*statement.text);
            writes(graphql, texts)
        }
    };
    fields.finish();
    Some(OperationFile {
        name: name?.into(),
        weight: weight.unwrap_or(1),
        graphql: graphql.map(Into::into),
        sql,
        writes,
        expect,
        variables,
        graphql_node: graphql_node.cloned(),
    })
}

/// A mutation writes, and so does whatever SQL does more than read.
fn writes<'a>(graphql: Option<&str>, sql: impl IntoIterator<Item = &'a str>) -> bool {
    let reads = |command| matches!(command, Command::Read | Command::Begin | Command::End);
    let is_mutation = |query: &str| query.trim_start().starts_with("mutation");
    graphql.is_some_and(is_mutation) || !sql.into_iter().flat_map(commands).all(reads)
}

fn check_syntax(graphql: &str, node: &Node, mistakes: &Mistakes) {
    if let Err(error) = parse_query::<String>(graphql) {
        // "query parse error: Parse error at 1:9\nUnexpected …\nExpected …"
        let text = error.to_string();
        let mut lines = text.lines();
        let position = lines.next().and_then(|line| line.rsplit_once(" at ")).map(|(_, at)| at);
        let position = position.and_then(|at| at.split_once(':'));
        let place = match position.map(|(line, column)| (line.parse(), column.parse())) {
            Some((Ok(line), Ok(column))) => node.part(line, column),
            _ => node.place.clone(),
        };
        let reason = lines.collect::<Vec<_>>().join(", ");
        mistakes.push(Mistake::error(&place, format!("`graphql` is not GraphQL: {reason}")));
    }
}

/// `expect = { id = "data.user.id" }`.
fn expect(fields: &Fields<'_>, variables: &Variables) -> Option<(usize, String)> {
    let node = fields.get("expect")?;
    let table = fields.entries("expect")?;
    let [(key, path_node)] = table.0.as_slice() else {
        let message = format!("`expect` has {} entries, and can have one", table.0.len());
        let help = "name the variable that the reply must carry, as in { id = \"data.user.id\" }";
        fields.mistakes.push(Mistake::error(&node.place, message).help(help));
        return None;
    };
    let hole = variables.hole(&key.name);
    if hole.is_none() {
        let message = format!("`expect` names `{}`, and there is no such variable", key.name);
        let help = suggest(&key.name, variables.names());
        fields.mistakes.push(Mistake::error(&key.place, message).help(help));
    }
    let path = fields::text(path_node, &key.name, fields.mistakes)?;
    if let Err(error) = Expect::parse(path, 0) {
        let message = format!("{path:?} is no path into a reply: {error}");
        fields.mistakes.push(Mistake::error(&path_node.place, message));
    }
    Some((hole?, path.into()))
}

#[cfg(test)]
mod tests {
    use super::writes;

    #[test]
    fn what_writes_is_told_from_its_text() {
        for (graphql, sql, expected) in [
            (Some("query A { a }"), Some("SELECT 1"), false),
            (Some("{ a }"), None, false),
            (Some(" mutation A { a }"), None, true),
            (None, Some("\n select 1"), false),
            (None, Some("INSERT INTO a VALUES (1)"), true),
            (None, Some("BEGIN; SELECT 1; COMMIT"), false),
            (None, Some("BEGIN; DELETE FROM a; COMMIT"), true),
        ] {
            assert_eq!(writes(graphql, sql), expected, "{graphql:?} {sql:?}");
        }
    }
}
