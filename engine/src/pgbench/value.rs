//! What pgbench's expressions work with.

use std::io::Write as _;

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
    pub fn write(self, text: &mut Vec<u8>) {
        match self {
            Self::Null => text.extend_from_slice(b"NULL"),
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
        let number = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
        if text.is_empty() {
            return None;
        } else if is("null") {
            return Some(Self::Null);
        } else if is_prefix("true") || is_prefix("yes") || is("on") {
            return Some(Self::Boolean(true));
        } else if is_prefix("false") || is_prefix("no") || is("off") || is("of") {
            return Some(Self::Boolean(false));
        }
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return number.parse().ok().map(Self::Integer);
        }
        let is_negative = number.starts_with('-');
        read_double(digits).map(|value| Self::Double(if is_negative { -value } else { value }))
    }
}

/// What is behind a sign, as C's strtod reads it in the locale "C"; `None` too where it sets ERANGE.
fn read_double(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return read_hexadecimal(digits);
    }
    let first = text.bytes().next()?;
    if first.is_ascii_alphabetic() {
        return ["inf", "infinity", "nan"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(text))
            .then(|| text.parse().ok())?;
    }
    // A second sign is none of a number's.
    let value: f64 = if first == b'+' || first == b'-' { None } else { text.parse().ok() }?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    (value.is_normal() || is_zero).then_some(value)
}

/// Hexadecimal digits with a point, and behind `p` a power of two.
fn read_hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = match text.split_once(['p', 'P']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut mantissa, mut exponent) = (0_u64, i64::from(exponent) - 4 * fraction.len() as i64);
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = u64::from(digit.to_digit(16)?);
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
        } else {
            // What has no room still decides how the last bit is rounded.
            mantissa |= u64::from(digit > 0);
            exponent += 4;
        }
    }
    let exponent = exponent.clamp(-2000, 2000) as i32;
    // Each step is exact, unless the result has no room.
    let half = exponent / 2;
    let value = mantissa as f64 * 2_f64.powi(half) * 2_f64.powi(exponent - half);
    (value.is_normal() || mantissa == 0).then_some(value)
}

/// As Postgres' own `%.15g` (src/port/snprintf.c).
fn write_double(value: f64, text: &mut Vec<u8>) {
    const DIGITS: i32 = 15;
    if !value.is_finite() {
        let word = if value.is_nan() { "NaN" } else { "Infinity" };
        let sign = if value < 0.0 { "-" } else { "" };
        let _ = write!(text, "{sign}{word}");
        return;
    }
    let start = text.len();
    let _ = write!(text, "{value:.14e}");
    let mark = start + text[start..].iter().position(|byte| *byte == b'e').unwrap_or_default();
    let exponent = std::str::from_utf8(&text[mark + 1..]).unwrap_or_default();
    let exponent: i32 = exponent.parse().unwrap_or_default();
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

fn trim_zeros(start: usize, text: &mut Vec<u8>) {
    if !text[start..].contains(&b'.') {
        return;
    }
    while text.pop_if(|byte| *byte == b'0').is_some() {}
    text.pop_if(|byte| *byte == b'.');
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
            let mut text = Vec::new();
            Value::Double(value).write(&mut text);
            assert_eq!(String::from_utf8_lossy(&text), expected);
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
            (" \x0b+5", Some(Integer(5))),
            ("5 ", None),
            ("--5", None),
            ("+-0.5", None),
            ("-", None),
            ("1e400", None),
            ("1e-400", None),
            ("0e-400", Some(Double(0.0))),
            ("-Inf", Some(Double(f64::NEG_INFINITY))),
            ("0x10", Some(Double(16.0))),
            ("-0X.8p2", Some(Double(-2.0))),
            ("0x1.8p-1074", None),
            ("0x1p1024", None),
            ("0x", None),
            ("0x1g", None),
            ("0x10000000000000800000000001", Some(Double((2_f64.powi(52) + 1.0) * 2_f64.powi(48)))),
            ("abc", None),
        ] {
            assert_eq!(Value::read(text), expected, "{text}");
        }
    }
}
