//! Answers in the simple protocol, read by the names of their columns.

use std::collections::BTreeMap;

use postgres::{SimpleQueryMessage, SimpleQueryRow};

/// Texts by name: the cells of a row (what is NULL is empty), or settings. Versions differ in what
/// they show, and in which order.
pub(crate) type Row = BTreeMap<String, String>;

/// The rows of each statement of a query string, in the order of the statements.
pub(super) fn tables(messages: Vec<SimpleQueryMessage>) -> Vec<Vec<Row>> {
    let mut tables = Vec::new();
    let mut rows = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => rows.push(cells(&row)),
            SimpleQueryMessage::CommandComplete(_) => tables.push(std::mem::take(&mut rows)),
            _ => {}
        }
    }
    tables
}

fn cells(row: &SimpleQueryRow) -> Row {
    let names = row.columns().iter().enumerate();
    let cell = |index| row.get(index).unwrap_or_default().to_owned();
    names.map(|(index, column)| (column.name().to_owned(), cell(index))).collect()
}

/// A cell that is a whole number.
pub(super) fn number(row: &Row, name: &str) -> Option<u64> {
    row.get(name)?.parse().ok()
}

/// Those of several together; what not all of them have is unknown.
pub(super) fn sum<'a>(
    all: impl IntoIterator<Item = &'a BTreeMap<String, u64>>,
) -> BTreeMap<String, u64> {
    let mut all = all.into_iter();
    let Some(first) = all.next() else { return BTreeMap::new() };
    all.fold(first.clone(), |mut sum, other| {
        sum.retain(|name, count| {
            let more = other.get(name);
            *count = count.saturating_add(more.copied().unwrap_or_default());
            more.is_some()
        });
        sum
    })
}

/// What each counter rose by between two readings; what only one of them has is left out. `None`
/// where one has fallen: it began anew in between, and nobody knows what it lost.
pub(super) fn risen(
    later: &BTreeMap<String, u64>,
    earlier: &BTreeMap<String, u64>,
) -> Option<BTreeMap<String, u64>> {
    let both = later.iter().filter_map(|(name, now)| Some((name, now, earlier.get(name)?)));
    both.map(|(name, now, then)| Some((name.clone(), now.checked_sub(*then)?))).collect()
}
