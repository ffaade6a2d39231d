//! `{ uniform = [1, 10000] }` and its like: where a variable's values come from.

use std::path::{Path, PathBuf};

use engine::{Column, Generator, Order, Zipfian};

use super::fields::{self, Fields};
use super::mistake::{Mistake, Mistakes, suggest};
use super::node::{Node, Table, Value};

/// A generator's key, and the keys that may stand beside it.
const GENERATORS: [(&str, &[&str]); 8] = [
    ("constant", &[]),
    ("sequence", &[]),
    ("uniform", &[]),
    ("zipfian", &["exponent"]),
    ("choice", &[]),
    ("uuid", &[]),
    ("words", &[]),
    ("csv", &["column", "order", "type"]),
];

/// As in YCSB and pgbench's examples: a few percent of the values take most of the draws.
const EXPONENT: f64 = 0.99;
/// The most words of one text.
const WORDS_MAX: u64 = 10_000;

/// What a table among the variables is.
pub(super) enum Drawn<'a> {
    /// It draws a value.
    Value(Generator),
    /// This value, whatever it looks like.
    Constant(&'a Node),
    /// No generator: an input object.
    Object,
    /// A generator with a mistake, which was reported.
    Wrong,
}

/// Whether the table has a generator's key, and no other but those that belong to it.
fn name(table: &Table) -> Option<&'static str> {
    let is_of = |name: &str, beside: &[&str]| {
        table.get(name).is_some()
            && table.0.iter().all(|(key, _)| key.name == name || beside.contains(&&*key.name))
    };
    GENERATORS.iter().find(|(name, beside)| is_of(name, beside)).map(|(name, _)| *name)
}

/// Reads a table among the variables. `folders` has the folder of each of the scenario's files.
pub(super) fn read<'a>(node: &'a Node, folders: &[PathBuf], mistakes: &'a Mistakes) -> Drawn<'a> {
    let Value::Table(table) = &node.value else { return Drawn::Object };
    let Some(name) = name(table) else { return Drawn::Object };
    let Some(fields) = Fields::new(node, name, mistakes) else { return Drawn::Wrong };
    if name == "constant" {
        return fields.get("constant").map_or(Drawn::Wrong, Drawn::Constant);
    }
    let generator = match name {
        "sequence" => sequence(&fields),
        "uniform" => range(&fields, "uniform").map(|(low, high)| Generator::Uniform(low, high)),
        "zipfian" => zipfian(&fields),
        "choice" => choice(&fields),
        "uuid" => uuid(&fields),
        "words" => fields.count("words", 1..=WORDS_MAX).map(|words| Generator::Words(words as u32)),
        _ => csv(&fields, folders),
    };
    fields.finish();
    generator.map_or(Drawn::Wrong, Drawn::Value)
}

fn integer(node: &Node, name: &str, mistakes: &Mistakes) -> Option<i64> {
    match node.value {
        Value::Integer(number) => Some(number),
        Value::Unknown => None,
        _ => {
            mistakes.push(fields::wrong(node, &format!("`{name}`"), "of whole numbers"));
            None
        }
    }
}

fn sequence(fields: &Fields<'_>) -> Option<Generator> {
    let node = fields.get("sequence")?;
    if let Value::Integer(start) = node.value {
        return Some(Generator::Sequence(start));
    }
    fields.mistakes.push(fields::wrong(node, "`sequence`", "the first number, as in 1"));
    None
}

/// The least and the most, both included.
fn range(fields: &Fields<'_>, name: &'static str) -> Option<(i64, i64)> {
    let node = fields.get(name)?;
    let help = format!("give the least and the most, as in {name} = [1, 10000]");
    let [low, high] = fields.list(name)? else {
        let message = format!("`{name}` takes two numbers");
        fields.mistakes.push(Mistake::error(&node.place, message).help(help));
        return None;
    };
    let low = integer(low, name, fields.mistakes);
    let high = integer(high, name, fields.mistakes);
    let (low, high) = (low?, high?);
    if low > high {
        let message = format!("`{name}` from {low} to {high} is empty");
        fields.mistakes.push(Mistake::error(&node.place, message).help(help));
        return None;
    }
    Some((low, high))
}

fn zipfian(fields: &Fields<'_>) -> Option<Generator> {
    let (low, high) = range(fields, "zipfian")?;
    let exponent = match fields.get("exponent") {
        None => EXPONENT,
        Some(_) => fields.number("exponent")?,
    };
    let zipfian = Zipfian::new(low, high, exponent);
    if zipfian.is_none() {
        let place = &fields.get("exponent").or_else(|| fields.get("zipfian"))?.place;
        let message = format!(
            "no such distribution: `exponent` is above 0, and there are at most {} numbers",
            Zipfian::RANKS_MAX
        );
        fields.mistakes.push(Mistake::error(place, message));
    }
    zipfian.map(Generator::Zipfian)
}

fn choice(fields: &Fields<'_>) -> Option<Generator> {
    let node = fields.get("choice")?;
    let nodes = fields.list("choice")?;
    let help = "as in choice = [\"moonlight\", \"oakleaf\"]";
    let numbers: Option<Vec<_>> = nodes
        .iter()
        .map(|node| match node.value {
            Value::Integer(number) => Some(number),
            _ => None,
        })
        .collect();
    let texts: Option<Vec<_>> = nodes
        .iter()
        .map(|node| match &node.value {
            Value::Text(text) => Some(text.as_str().into()),
            _ => None,
        })
        .collect();
    let column = match (numbers, texts) {
        _ if nodes.iter().any(Node::is_unknown) => return None,
        _ if nodes.is_empty() => {
            let mistake = Mistake::error(&node.place, "`choice` has nothing to choose from");
            fields.mistakes.push(mistake.help(help));
            return None;
        }
        (Some(numbers), _) => Column::Integers(numbers.into()),
        (_, Some(texts)) => Column::Texts(texts.into()),
        (None, None) => {
            let message = "`choice` takes texts, or whole numbers, and not both";
            fields.mistakes.push(Mistake::error(&node.place, message).help(help));
            return None;
        }
    };
    Some(Generator::Pick(column, Order::Each))
}

fn uuid(fields: &Fields<'_>) -> Option<Generator> {
    if fields.boolean("uuid")? {
        return Some(Generator::Uuid);
    }
    let place = &fields.get("uuid")?.place;
    let message = "`uuid` is true, or it is not there";
    fields.mistakes.push(Mistake::error(place, message).help("write uuid = true"));
    None
}

#[derive(Clone, Copy, PartialEq)]
enum CsvType {
    Text,
    Number,
}

/// A column of a file whose first line names the columns.
fn csv(fields: &Fields<'_>, folders: &[PathBuf]) -> Option<Generator> {
    let node = fields.get("csv")?;
    let name = fields.text("csv");
    let column_node = fields.required("column", "the name of a column in the file's first line");
    let column = fields.text("column");
    // Every column of the file that is drawn at random comes from the same row in one request.
    let orders = [("sequential", Order::Sequence), ("random", Order::Row { salt: 0 })];
    let order = fields.word("order", &orders);
    let wanted = fields.word("type", &[("text", CsvType::Text), ("number", CsvType::Number)]);
    let (name, column, column_node) = (name?, column?, column_node?);
    let path = folders[node.place.file].join(name);
    let column = match read_column(&path, column) {
        Ok(column) => column,
        Err(CsvError::File(problem)) => {
            let message = format!("cannot read {}: {problem}", path.display());
            let help = "the path is relative to the scenario file";
            fields.mistakes.push(Mistake::error(&node.place, message).help(help));
            return None;
        }
        Err(CsvError::Column(columns)) => {
            let message = format!("{name} has no column `{column}`");
            let help = suggest(column, columns.iter().map(String::as_str));
            fields.mistakes.push(Mistake::error(&column_node.place, message).help(help));
            return None;
        }
    };
    let numbers: Option<Vec<i64>> = column.iter().map(|value| whole_number(value)).collect();
    let column = match (numbers, wanted) {
        (Some(numbers), None | Some(CsvType::Number)) => Column::Integers(numbers.into()),
        (None, Some(CsvType::Number)) => {
            let other = column.iter().find(|value| whole_number(value).is_none());
            let message =
                format!("not all values are whole numbers: {:?}", other.map_or("", |other| other));
            fields.mistakes.push(Mistake::error(&column_node.place, message));
            return None;
        }
        _ => Column::Texts(column.into()),
    };
    let order = match order {
        Some(Order::Row { .. }) => Order::Row { salt: salt(name) },
        _ => Order::Sequence,
    };
    Some(Generator::Pick(column, order))
}

enum CsvError {
    File(String),
    /// There is no such column; these are there.
    Column(Vec<String>),
}

/// The values of one column (RFC 4180).
fn read_column(path: &Path, name: &str) -> Result<Vec<Box<str>>, CsvError> {
    let file = |error: ::csv::Error| CsvError::File(error.to_string());
    let mut reader = ::csv::Reader::from_path(path).map_err(file)?;
    let headers = reader.headers().map_err(file)?;
    let index = headers.iter().position(|header| header == name);
    let index = index.ok_or_else(|| CsvError::Column(headers.iter().map(Into::into).collect()))?;
    let rows = reader.records().map(|row| Ok(row?.get(index).unwrap_or_default().into()));
    let rows: Vec<Box<str>> = rows.collect::<Result<_, _>>().map_err(file)?;
    if rows.is_empty() {
        return Err(CsvError::File("it has no line but the first".into()));
    }
    Ok(rows)
}

/// A number that is written as we would write it: `007` is a text.
fn whole_number(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

/// FNV-1a of a file's name (draft-eastlake-fnv): the same in every run and every release.
fn salt(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
