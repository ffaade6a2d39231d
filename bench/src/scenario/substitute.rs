//! `${NAME}` in a scenario file: in a text it stands for its value, outside one for a number,
//! true or false, or a text. `$${NAME}` is left as `${NAME}`.

use std::ops::Range;

use toml_parser::Source as TomlSource;
use toml_parser::lexer::TokenKind;

use super::Lookup;

/// A `${NAME}` that has no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unset {
    pub(super) name: String,
}

/// The text of a string with each `${NAME}` replaced; what is unset is left and reported.
pub(super) fn text(text: &str, lookup: Lookup<'_>) -> (String, Vec<Unset>) {
    let mut result = String::with_capacity(text.len());
    let mut unset = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        result.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            result.push_str("${");
            rest = after;
            continue;
        };
        if before.ends_with('$') || !is_name(name) {
            // `$${NAME}` loses one of its two signs.
            let literal = if before.ends_with('$') { "{" } else { "${" };
            result.push_str(&format!("{literal}{name}}}"));
        } else if let Some(value) = lookup(name) {
            result.push_str(&value);
        } else {
            unset.push(Unset { name: name.into() });
        }
        rest = after;
    }
    result.push_str(rest);
    (result, unset)
}

fn is_name(name: &str) -> bool {
    let is_start = |first: char| first.is_ascii_alphabetic() || first == '_';
    name.starts_with(is_start)
        && name.chars().all(|other| other.is_ascii_alphanumeric() || other == '_')
}

/// A file's text with each `${NAME}` outside strings and comments replaced, and the way back.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Where each replacement stands, and where what it replaces stood.
    replaced: Vec<(Range<usize>, Range<usize>)>,
    /// What has no value, with its place in the original text.
    pub(super) unset: Vec<(Unset, Range<usize>)>,
}

impl Expanded {
    /// Replaces what stands outside strings and comments.
    pub(super) fn new(original: &str, lookup: Lookup<'_>) -> Self {
        let mut expanded = Self::default();
        let mut copied = 0;
        let quoted = [
            TokenKind::Comment,
            TokenKind::LiteralString,
            TokenKind::BasicString,
            TokenKind::MlLiteralString,
            TokenKind::MlBasicString,
        ];
        let tokens = TomlSource::new(original).lex();
        let bare = tokens.filter(|token| !quoted.contains(&token.kind())).map(|token| token.span());
        for start in bare.map(|span| span.start()) {
            let found = original.get(start..).and_then(|rest| {
                // The sign is a token or the end of one; the brace is a token of its own.
                let name = rest.strip_prefix('{')?.split_once('}')?.0;
                (original[copied..start].ends_with('$') && is_name(name)).then_some(name)
            });
            let Some(name) = found else { continue };
            let place = start - 1..start + name.len() + 2;
            expanded.text.push_str(&original[copied..place.start]);
            let value = lookup(name).unwrap_or_else(|| {
                expanded.unset.push((Unset { name: name.into() }, place.clone()));
                "0".into()
            });
            let from = expanded.text.len();
            expanded.text.push_str(&literal(&value));
            expanded.replaced.push((from..expanded.text.len(), place.clone()));
            copied = place.end;
        }
        expanded.text.push_str(&original[copied..]);
        expanded
    }

    /// Where a stretch of the new text came from.
    pub(super) fn original(&self, span: Range<usize>) -> Range<usize> {
        self.at(span.start, false)..self.at(span.end, true)
    }

    fn at(&self, offset: usize, is_end: bool) -> usize {
        let before = self
            .replaced
            .iter()
            .rev()
            .find(|(new, _)| if is_end { new.start < offset } else { new.start <= offset });
        match before {
            None => offset,
            Some((new, old)) if offset < new.end => {
                if is_end {
                    old.end
                } else {
                    old.start
                }
            }
            Some((new, old)) => old.end + (offset - new.end),
        }
    }
}

/// A value as TOML: it stays a number, true or false, and becomes a text otherwise.
fn literal(value: &str) -> String {
    let is_plain = value.parse::<i64>().is_ok()
        || matches!(value, "true" | "false")
        || (value.parse::<f64>().is_ok_and(f64::is_finite) && value.contains('.'));
    let toml = toml::Value::String(value.to_owned());
    let plain = value.trim_start_matches('+');
    if is_plain && toml::from_str::<toml::Table>(&format!("v={plain}")).is_ok() {
        plain.into()
    } else {
        toml.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "VUS" => Some("50".into()),
            "FOR" => Some("5m".into()),
            "ODD" => Some("a\"b\\c\nd".into()),
            _ => None,
        }
    }

    #[test]
    fn texts_are_filled_in_and_what_is_unset_is_named() {
        let filled = |from| text(from, &lookup);
        assert_eq!(filled("${VUS} for ${FOR}"), ("50 for 5m".into(), vec![]));
        assert_eq!(
            filled("$${VUS} $VUS ${} ${1A} ${"),
            ("${VUS} $VUS ${} ${1A} ${".into(), vec![])
        );
        let unset = vec![Unset { name: "NO".into() }];
        assert_eq!(filled("a${NO}b"), ("ab".into(), unset));
    }

    #[test]
    fn bare_references_become_numbers_or_texts_and_places_lead_back() {
        let original = "a = ${VUS} # ${NO}\nb = \"${NO}\"\nc = [${FOR}, ${ODD}]\nd = ${NO}\ne = 1";
        let expanded = Expanded::new(original, &lookup);
        let table: toml::Table = expanded.text.parse().unwrap();
        assert_eq!(table["a"].as_integer(), Some(50));
        assert_eq!(table["b"].as_str(), Some("${NO}"));
        assert_eq!(table["c"][0].as_str(), Some("5m"));
        assert_eq!(table["c"][1].as_str(), Some("a\"b\\c\nd"));
        assert_eq!(&original[expanded.unset[0].1.clone()], "${NO}");
        assert_eq!(expanded.unset.len(), 1);
        for (new, old) in [("50", "${VUS}"), ("e = 1", "e = 1"), ("\"5m\"", "${FOR}"), ("b", "b")] {
            let at = expanded.text.find(new).unwrap();
            assert_eq!(&original[expanded.original(at..at + new.len())], old);
        }
    }
}
