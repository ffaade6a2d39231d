//! What pgbench's expressions work with.

use std::fmt::Write as _;

use super::EvaluationError;

/// A value of pgbench's expression language.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Double(f64),
    /// TRUE or FALSE.
    Boolean(bool),
}

impl Value {
    /// Its type's name in pgbench's messages.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "int",
            Self::Double(_) => "double",
            Self::Boolean(_) => "boolean",
        }
    }

    /// Whether a condition holds: NULL does not, and of numbers all but 0 do.
    pub fn is_true(self) -> bool {
        match self {
            Self::Null => false,
            Self::Integer(value) => value != 0,
            Self::Double(value) => value != 0.0,
            Self::Boolean(value) => value,
        }
    }

    pub(super) fn integer(self) -> Result<i64, EvaluationError> {
        match self {
            Self::Integer(value) => Ok(value),
            Self::Double(value) => {
                let whole = value.round_ties_even();
                // 2^63 itself is no i64 any more.
                let fits = (i64::MIN as f64..-(i64::MIN as f64)).contains(&whole);
                fits.then_some(whole as i64).ok_or(EvaluationError::DoubleToInteger(value))
            }
            _ => Err(EvaluationError::Coercion { from: self.type_name(), to: "int" }),
        }
    }

    pub(super) fn double(self) -> Result<f64, EvaluationError> {
        match self {
            Self::Integer(value) => Ok(value as f64),
            Self::Double(value) => Ok(value),
            _ => Err(EvaluationError::Coercion { from: self.type_name(), to: "double" }),
        }
    }

    pub(super) fn boolean(self) -> Result<bool, EvaluationError> {
        match self {
            Self::Boolean(value) => Ok(value),
            _ => Err(EvaluationError::Coercion { from: self.type_name(), to: "boolean" }),
        }
    }

    /// Appends it as pgbench writes it into a statement.
    pub fn write(self, text: &mut String) {
        match self {
            Self::Null => text.push_str("NULL"),
            Self::Integer(value) => drop(write!(text, "{value}")),
            Self::Boolean(value) => drop(write!(text, "{value}")),
            Self::Double(value) => write_double(value, text),
        }
    }

    /// What a variable that was set as text is in an expression: `None` where it is no value.
    pub fn read(text: &str) -> Option<Self> {
        let is_prefix = |word: &str| {
            word.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
        };
        let is = |word: &str| word.eq_ignore_ascii_case(text);
        let digits = text.trim_start().trim_start_matches(['+', '-']);
        if text.is_empty() {
            return None;
        } else if is("null") {
            return Some(Self::Null);
        } else if is_prefix("true") || is_prefix("yes") || is("on") {
            return Some(Self::Boolean(true));
        } else if is_prefix("false") || is_prefix("no") || is("off") || is("of") {
            return Some(Self::Boolean(false));
        }
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.trim_start().parse().ok().map(Self::Integer);
        }
        text.trim_start().parse().ok().map(Self::Double)
    }
}

/// As Postgres' own `%.15g` (src/port/snprintf.c).
fn write_double(value: f64, text: &mut String) {
    const DIGITS: i32 = 15;
    if !value.is_finite() {
        let word = if value.is_nan() { "NaN" } else { "Infinity" };
        let sign = if value < 0.0 { "-" } else { "" };
        text.extend([sign, word]);
        return;
    }
    let start = text.len();
    let _ = write!(text, "{value:.14e}");
    let mark = start + text[start..].find('e').unwrap_or_default();
    let exponent: i32 = text[mark + 1..].parse().unwrap_or_default();
    if (-4..DIGITS).contains(&exponent) {
        text.truncate(start);
        let _ = write!(text, "{value:.*}", (DIGITS - 1 - exponent) as usize);
        trim_zeros(start, text);
    } else {
        text.truncate(mark);
        trim_zeros(start, text);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(text, "e{sign}{:02}", exponent.abs());
    }
}

fn trim_zeros(start: usize, text: &mut String) {
    if text[start..].contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_postgres_writes_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (100.0, "100"),
            (1.0 / 3.0, "0.333333333333333"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (1e300, "1e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (std::f64::consts::PI, "3.14159265358979"),
        ] {
            let mut text = String::new();
            Value::Double(value).write(&mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn text_is_what_pgbench_takes_it_for() {
        use Value::{Boolean, Double, Integer, Null};
        for (text, expected) in [
            ("", None),
            ("NULL", Some(Null)),
            ("t", Some(Boolean(true))),
            ("yes", Some(Boolean(true))),
            ("o", None),
            ("on", Some(Boolean(true))),
            ("OF", Some(Boolean(false))),
            ("n", Some(Boolean(false))),
            ("0", Some(Integer(0))),
            ("-12", Some(Integer(-12))),
            ("1e3", Some(Double(1000.0))),
            (".5", Some(Double(0.5))),
            ("99999999999999999999", None),
            ("abc", None),
        ] {
            assert_eq!(Value::read(text), expected, "{text}");
        }
    }
}
