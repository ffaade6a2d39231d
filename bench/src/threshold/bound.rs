//! A comparison with a number: `<100`.

use std::fmt;

use crate::cursor::{Cursor, Unreadable};

/// A comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bound {
    operator: Operator,
    value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    StrictlyEqual,
    NotEqual,
}

/// Longer ones before those that they begin with.
const OPERATORS: [(&str, Operator); 7] = [
    ("<=", Operator::LessOrEqual),
    ("<", Operator::Less),
    (">=", Operator::GreaterOrEqual),
    (">", Operator::Greater),
    ("===", Operator::StrictlyEqual),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
];

impl Bound {
    /// Reads one to the end of the text.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Unreadable> {
        cursor.skip_space();
        let found = OPERATORS.iter().find(|(text, _)| cursor.skip(text));
        let Some((_, operator)) = found else {
            let rest = cursor.rest();
            return Err(match rest {
                _ if rest.starts_with("=<") => cursor.wrong("`=<` is written `<=`"),
                _ if rest.starts_with("=>") => cursor.wrong("`=>` is written `>=`"),
                _ if rest.starts_with('=') => cursor.wrong("to be equal is written `==`"),
                _ => cursor.expected("one of < <= > >= == === !="),
            });
        };
        cursor.skip_space();
        let value = cursor.number()?;
        cursor.end().map_err(|wrong| match cursor.peek() {
            Some(unit) if unit.is_alphabetic() || unit == '%' => cursor.wrong(format!(
                "{}; a time is a plain number, in ms, and a rate one from 0 to 1",
                wrong.problem
            )),
            _ => wrong,
        })?;
        Ok(Self { operator: *operator, value })
    }

    /// Whether it is true of `number`.
    pub(crate) fn holds(self, number: f64) -> bool {
        match self.operator {
            Operator::Less => number < self.value,
            Operator::LessOrEqual => number <= self.value,
            Operator::Greater => number > self.value,
            Operator::GreaterOrEqual => number >= self.value,
            Operator::Equal | Operator::StrictlyEqual => number == self.value,
            Operator::NotEqual => number != self.value,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = OPERATORS.iter().find(|(_, operator)| *operator == self.operator);
        write!(f, "{}{}", found.map_or("", |(text, _)| text), self.value)
    }
}
