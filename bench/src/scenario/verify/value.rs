//! What kind of value a variable draws.

use engine::{Column, Generator};

/// Whether every value that `generator` draws is a whole number from `low` to `high`, however it
/// is quoted.
pub(super) fn is_integer(generator: &Generator, (low, high): (i64, i64)) -> bool {
    let is_inside = |number: &i64| (low..=high).contains(number);
    let reads = |text: &str| text.parse::<i64>().is_ok_and(|number| is_inside(&number));
    match generator {
        Generator::Integer(number) => is_inside(number),
        Generator::Uniform(least, most) => is_inside(least) && is_inside(most),
        Generator::Zipfian(zipfian) => {
            let (least, most) = zipfian.bounds();
            is_inside(&least) && is_inside(&most)
        }
        // It grows with the run; how far is not known here.
        Generator::Sequence(start) => is_inside(start),
        Generator::Pick(Column::Integers(numbers), _) => numbers.iter().all(is_inside),
        Generator::Pick(Column::Texts(texts), _) => texts.iter().all(|text| reads(text)),
        Generator::Text(text) | Generator::Literal(text) => reads(text),
        Generator::Uuid | Generator::Words(_) => false,
    }
}

/// Whether every value is a number, however it is quoted.
pub(super) fn is_number(generator: &Generator) -> bool {
    let reads = |text: &str| text.parse::<f64>().is_ok();
    match generator {
        Generator::Text(text) | Generator::Literal(text) => reads(text),
        Generator::Pick(Column::Texts(texts), _) => texts.iter().all(|text| reads(text)),
        other => is_integer(other, (i64::MIN, i64::MAX)),
    }
}

/// Whether every value is true or false.
pub(super) fn is_boolean(generator: &Generator) -> bool {
    matches!(generator, Generator::Literal(text) if text == "true" || text == "false")
}

/// Whether it is sent as a JSON string.
pub(super) fn is_text(generator: &Generator) -> bool {
    match generator {
        Generator::Text(_) | Generator::Uuid | Generator::Words(_) => true,
        Generator::Pick(column, _) => matches!(column, Column::Texts(_)),
        _ => false,
    }
}

/// The texts that it draws, where they are known.
pub(super) fn texts(generator: &Generator) -> Vec<&str> {
    match generator {
        Generator::Text(text) => vec![text],
        Generator::Pick(Column::Texts(texts), _) => texts.iter().map(|text| &**text).collect(),
        _ => Vec::new(),
    }
}

/// What it draws, for people.
pub(super) fn describe(generator: &Generator) -> String {
    match generator {
        Generator::Integer(number) => format!("{number}"),
        Generator::Text(text) => format!("the text {text:?}"),
        Generator::Literal(text) => text.clone(),
        Generator::Uniform(low, high) => format!("whole numbers from {low} to {high}"),
        Generator::Zipfian(zipfian) => {
            let (low, high) = zipfian.bounds();
            format!("whole numbers from {low} to {high}")
        }
        Generator::Sequence(start) => format!("whole numbers from {start} on"),
        Generator::Pick(Column::Integers(_), _) => "whole numbers".into(),
        Generator::Pick(Column::Texts(_), _) => "texts".into(),
        Generator::Uuid => "UUIDs".into(),
        Generator::Words(_) => "words".into(),
    }
}
