//! Reading short texts of a scenario file: expressions, selectors, bounds.

use std::fmt;

/// A text and a place in it.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// In characters, from 1.
    pub(crate) column: usize,
    pub(crate) problem: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.problem)
    }
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Where it is, for [`Cursor::wrong_at`].
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// The next character.
    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Passes over `token` if it is next.
    pub(crate) fn skip(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        self.at += if is_next { token.len() } else { 0 };
        is_next
    }

    /// Passes over characters as long as they are `wanted`.
    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Passes over white space.
    pub(crate) fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// A decimal number, with a sign, a fraction and an exponent if it likes.
    pub(crate) fn number(&mut self) -> Result<f64, Unreadable> {
        let start = self.at;
        let _ = self.skip("-") || self.skip("+");
        let mut digits = self.take_while(|c| c.is_ascii_digit()).len();
        if self.skip(".") {
            digits += self.take_while(|c| c.is_ascii_digit()).len();
        }
        let before_exponent = self.at;
        if self.skip("e") || self.skip("E") {
            let _ = self.skip("-") || self.skip("+");
            if self.take_while(|c| c.is_ascii_digit()).is_empty() {
                self.at = before_exponent;
            }
        }
        let number = self.text[start..self.at].parse().ok();
        match number.filter(|number: &f64| digits > 0 && number.is_finite()) {
            Some(number) => Ok(number),
            None => {
                self.at = start;
                Err(self.expected("a number"))
            }
        }
    }

    /// The end of the text, white space before it or not.
    pub(crate) fn end(&mut self) -> Result<(), Unreadable> {
        self.skip_space();
        if self.rest().is_empty() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// `what` was expected here, and something else is.
    pub(crate) fn expected(&self, what: &str) -> Unreadable {
        let found = match self.rest() {
            "" => "the end".to_owned(),
            rest => format!("`{rest}`"),
        };
        self.wrong(format!("expected {what}, found {found}"))
    }

    /// Something is wrong here.
    pub(crate) fn wrong(&self, problem: impl Into<String>) -> Unreadable {
        self.wrong_at(self.at, problem)
    }

    /// Something is wrong at `place`.
    pub(crate) fn wrong_at(&self, place: usize, problem: impl Into<String>) -> Unreadable {
        let column = self.text[..place].chars().count() + 1;
        Unreadable { column, problem: problem.into() }
    }
}

/// `did you mean ...?` where one of `known` is near, and all that are known.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const NEAR: f64 = 0.8;
    let known: Vec<_> = known.into_iter().collect();
    if known.is_empty() {
        return "there is none".into();
    }
    let likeness = |other: &str| match strsim::damerau_levenshtein(word, other) {
        1 if word.len() > 2 => 1.0,
        _ => strsim::jaro_winkler(word, other),
    };
    let rated = known.iter().map(|other| (likeness(other), *other));
    let nearest = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let meant = match nearest {
        Some((likeness, meant)) if likeness >= NEAR => format!("did you mean `{meant}`? "),
        _ => String::new(),
    };
    format!("{meant}known: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_and_finite() {
        for (text, expected) in
            [("1", 1.0), ("-0.5", -0.5), ("+.5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("2E-1", 0.2)]
        {
            let mut cursor = Cursor::new(text);
            assert_eq!(cursor.number(), Ok(expected), "{text}");
            assert_eq!(cursor.end(), Ok(()), "{text}");
        }
        for text in ["", ".", "-", "e5", "inf", "NaN", "0x10", "1_000", "1e", "1e999", "1,5"] {
            let mut cursor = Cursor::new(text);
            assert!(cursor.number().and_then(|_| cursor.end()).is_err(), "{text}");
        }
    }

    #[test]
    fn columns_count_characters() {
        let mut cursor = Cursor::new("µs <x");
        cursor.take_while(|c| c != '<');
        assert_eq!(cursor.expected("more").to_string(), "column 4: expected more, found `<x`");
    }
}
