//! A scenario file's values, each with its place.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Lookup;
use super::mistake::{Mistake, Mistakes, Place, Source};
use super::substitute::{self, Expanded, Unset};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// Where a text begins in its file, if it is written there as it reads: without escapes and
    /// references.
    text_start: Option<usize>,
}

/// A value, with its `${NAME}` filled in.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date or a time, which nothing takes.
    Date,
    List(Vec<Node>),
    Table(Table),
    /// It is unknown, since a `${NAME}` in it is not set; that was reported.
    Unknown,
}

/// Keys and values in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Table(pub(super) Vec<(Key, Node)>);

/// A key and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) place: Place,
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }
}

impl Node {
    /// A text that stands in no file.
    pub(super) fn outside_files(text: String) -> Self {
        Self { place: Place::default(), value: Value::Text(text), text_start: None }
    }

    /// What it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number with a fraction",
            Value::Boolean(_) => "true or false",
            Value::Date => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Unknown => "unknown",
        }
    }

    /// Whether nothing can be said about it.
    pub(super) fn is_unknown(&self) -> bool {
        self.value == Value::Unknown
    }

    /// The place of line and column (from 1, in characters) of the text that this node is, up to
    /// the end of its word; the whole node where the text is not written as it reads.
    pub(super) fn part(&self, line: usize, column: usize) -> Place {
        let (Value::Text(text), Some(first)) = (&self.value, self.text_start) else {
            return self.place.clone();
        };
        let before: usize =
            text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let rest = &text[before..];
        let at = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
        let word = rest[at..].find(|c: char| !c.is_alphanumeric() && c != '_');
        let length = word.unwrap_or(rest.len() - at).max(1);
        let start = first + before + at;
        Place::new(self.place.file, start..start + length)
    }
}

/// Reads a file's text; what is wrong with its syntax goes to `mistakes`.
pub(super) fn parse(file: usize, source: &Source, lookup: Lookup<'_>, mistakes: &Mistakes) -> Node {
    let expanded = Expanded::new(&source.text, lookup);
    let reader = Reader { file, source, expanded: &expanded, lookup, mistakes };
    for (unset, span) in &expanded.unset {
        reader.report_unset(unset, Place::new(file, span.clone()));
    }
    let (table, errors) = DeTable::parse_recoverable(&expanded.text);
    let line =
        |place: &Place| source.text[..place.start.min(source.text.len())].matches('\n').count();
    let mut last_line = None;
    for error in &errors {
        // What follows in a line is mostly the first one's doing.
        let place = reader.place(error.span().unwrap_or_default());
        if last_line.replace(line(&place)) != Some(line(&place)) {
            mistakes.push(Mistake::syntax(&place, format!("not TOML: {}", error.message())));
        }
    }
    let whole = Place::new(file, 0..0);
    Node { place: whole, value: Value::Table(reader.table(table.get_ref())), text_start: None }
}

struct Reader<'a> {
    file: usize,
    source: &'a Source,
    expanded: &'a Expanded,
    lookup: Lookup<'a>,
    mistakes: &'a Mistakes,
}

impl Reader<'_> {
    fn place(&self, span: std::ops::Range<usize>) -> Place {
        Place::new(self.file, self.expanded.original(span))
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let place = self.place(key.span());
                (Key { name: key.get_ref().to_string(), place }, self.node(value))
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.place.start);
        Table(entries)
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span());
        let is_here = |span: &std::ops::Range<usize>| *span == (place.start..place.end);
        if self.expanded.unset.iter().any(|(_, span)| is_here(span)) {
            return Node { place, value: Value::Unknown, text_start: None };
        }
        let value = match value.get_ref() {
            DeValue::String(text) => self.text(text, &place),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => {
                        let message =
                            format!("{number} is too large: 64 bits are what it can have");
                        self.mistakes.push(Mistake::error(&place, message));
                        Value::Unknown
                    }
                }
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(values) => {
                Value::List(values.iter().map(|value| self.node(value)).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        let text_start = match &value {
            Value::Text(text) => {
                let raw = self.source.text.get(place.start..place.end).unwrap_or_default();
                raw.find(text.as_str()).map(|at| place.start + at)
            }
            _ => None,
        };
        Node { place, value, text_start }
    }

    fn text(&self, text: &str, place: &Place) -> Value {
        let (text, unset) = substitute::text(text, self.lookup);
        for unset in &unset {
            let reference = format!("${{{}}}", unset.name);
            let raw = &self.source.text[place.start..place.end];
            let at = raw.find(&reference).map(|at| place.start + at);
            let place = at.map(|at| Place::new(self.file, at..at + reference.len()));
            self.report_unset(unset, place.unwrap_or_else(|| Place::new(self.file, 0..0)));
        }
        if unset.is_empty() { Value::Text(text) } else { Value::Unknown }
    }

    fn report_unset(&self, Unset { name }: &Unset, place: Place) {
        let help = format!("give it with -e {name}=VALUE, or set it in the environment");
        self.mistakes.push(Mistake::error(&place, format!("${{{name}}} is not set")).help(help));
    }
}
