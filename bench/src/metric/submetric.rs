//! A metric, or the part of it that a selector names: `http_req_duration{operation:getFeed}`.

use std::collections::BTreeMap;
use std::fmt;

use super::{Metric, Tag};
use crate::cursor::{Cursor, Unreadable, suggest};

/// A metric, or a part of it (k6's submetric).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Submetric {
    pub(crate) metric: Metric,
    /// All of them must match.
    pub(crate) selector: Vec<(Tag, String)>,
}

/// The values that tags have in a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) operations: Vec<String>,
    pub(crate) targets: Vec<String>,
    pub(crate) layers: Vec<String>,
    pub(crate) scenarios: Vec<String>,
    pub(crate) checks: Vec<String>,
    /// The scenario's own tags.
    pub(crate) tags: BTreeMap<String, String>,
}

impl From<Metric> for Submetric {
    fn from(metric: Metric) -> Self {
        Self { metric, selector: Vec::new() }
    }
}

impl Submetric {
    /// Reads one. Metric, tags and their values must be known: a selector that can match nothing
    /// is a mistake.
    pub(crate) fn parse(text: &str, known: &Known) -> Result<Self, Unreadable> {
        let mut cursor = Cursor::new(text);
        cursor.skip_space();
        let start = cursor.place();
        let name = cursor.take_while(|c| c != '{').trim_end();
        let metric = Metric::named(name).ok_or_else(|| {
            let names = Metric::all().map(Metric::name);
            let problem = format!("there is no metric `{name}`; {}", suggest(name, names));
            cursor.wrong_at(start, problem)
        })?;
        let mut submetric = Self::from(metric);
        if !cursor.skip("{") {
            return cursor.end().map(|()| submetric);
        }
        let open = cursor.place() - 1;
        loop {
            submetric.read_condition(&mut cursor, known)?;
            match cursor.peek() {
                Some(',') => cursor.skip(","),
                Some(_) => break,
                None => return Err(cursor.wrong_at(open, "this `{` is not closed")),
            };
        }
        cursor.skip("}");
        cursor.end().map(|()| submetric)
    }

    /// Reads `tag:value`, up to the comma or the brace behind it.
    fn read_condition(&mut self, cursor: &mut Cursor<'_>, known: &Known) -> Result<(), Unreadable> {
        cursor.skip_space();
        let tag_at = cursor.place();
        let name = cursor.take_while(|c| !":,{}".contains(c)).trim_end();
        let name = name.trim_matches(['"', '\'']);
        if name.is_empty() || !cursor.skip(":") {
            let problem = match name {
                "" => "expected tag:value".to_owned(),
                name => format!(
                    "expected tag:value, found `{name}`; a value with a comma in it must be in \
                     quotes"
                ),
            };
            return Err(cursor.wrong_at(tag_at, problem));
        }
        let tag = self.tag(name, known).map_err(|problem| cursor.wrong_at(tag_at, problem))?;
        if self.selector.iter().any(|(other, _)| *other == tag) {
            return Err(cursor.wrong_at(tag_at, format!("the tag {name} is there twice")));
        }
        cursor.skip_space();
        let value_at = cursor.place();
        let value = value(cursor)?;
        let values = self.values(&tag, known);
        if !values.contains(&value.as_str()) {
            let problem = match tag {
                Tag::ExpectedResponse => format!(
                    "{} has no requests of expected_response `{value}`; the failed ones' times are \
                     in http_req_response_time and pg_response_time",
                    self.metric.name()
                ),
                _ => format!("there is no {name} `{value}`; {}", suggest(&value, values)),
            };
            return Err(cursor.wrong_at(value_at, problem));
        }
        self.selector.push((tag, value));
        Ok(())
    }

    fn tag(&self, name: &str, known: &Known) -> Result<Tag, String> {
        let tags = self.metric.tags();
        if let Some(tag) = tags.iter().find(|tag| tag.name() == name) {
            return Ok(tag.clone());
        }
        if known.tags.contains_key(name) {
            return Ok(Tag::Own(name.into()));
        }
        let names = tags.iter().map(Tag::name).chain(known.tags.keys().map(String::as_str));
        Err(format!("{} has no tag `{name}`; {}", self.metric.name(), suggest(name, names)))
    }

    fn values<'a>(&self, tag: &Tag, known: &'a Known) -> Vec<&'a str> {
        let all = match tag {
            Tag::Operation => &known.operations,
            Tag::Target => &known.targets,
            Tag::Layer => &known.layers,
            Tag::Scenario => &known.scenarios,
            Tag::Check => &known.checks,
            Tag::Own(name) => {
                return known.tags.get(name).map(String::as_str).into_iter().collect();
            }
            // Of those that failed only the time from the intended instant is kept.
            Tag::ExpectedResponse => match self.metric {
                Metric::HttpReqResponseTime | Metric::PgResponseTime => {
                    return vec!["true", "false"];
                }
                _ => return vec!["true"],
            },
        };
        all.iter().map(String::as_str).collect()
    }

    /// Whether what has this value of the tag belongs to it.
    pub(crate) fn selects(&self, tag: &Tag, value: &str) -> bool {
        self.selector.iter().all(|(other, wanted)| other != tag || wanted == value)
    }
}

/// A tag's value: in quotes whatever it is, without them up to a comma or the last brace.
fn value(cursor: &mut Cursor<'_>) -> Result<String, Unreadable> {
    let start = cursor.place();
    for quote in ["\"", "'"] {
        if !cursor.skip(quote) {
            continue;
        }
        let value = cursor.take_while(|c| !quote.contains(c));
        if !cursor.skip(quote) {
            return Err(cursor.wrong_at(start, "this quote is not closed"));
        }
        cursor.skip_space();
        if !matches!(cursor.peek(), Some(',' | '}') | None) {
            return Err(cursor.expected("`,` or `}`"));
        }
        return Ok(value.into());
    }
    let rest = cursor.rest();
    let end = rest.find(',').or_else(|| rest.rfind('}')).unwrap_or(rest.len());
    let value = rest[..end].trim_end();
    if value.is_empty() {
        return Err(cursor.wrong_at(start, "expected a value"));
    }
    cursor.skip(&rest[..end]);
    Ok(value.into())
}

/// As it is written in a scenario file.
impl fmt::Display for Submetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric.name())?;
        for (number, (tag, value)) in self.selector.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let quote = match value {
                value if value.contains('"') => "'",
                value if value.trim() != value || value.contains([',', '\'', '{', '}']) => "\"",
                _ => "",
            };
            write!(f, "{before}{}:{quote}{value}{quote}", tag.name())?;
        }
        f.write_str(if self.selector.is_empty() { "" } else { "}" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known() -> Known {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Known {
            operations: list(&["getFeed", "a b", "a:b", "a,b", "{a}", "getUser"]),
            targets: list(&["gateway", "pooler"]),
            layers: list(&["gateway", "pooler"]),
            scenarios: list(&["nova"]),
            checks: list(&["status is 200", "it's, \"quoted\"", "it's {here}"]),
            tags: BTreeMap::from([("release".into(), "2026-11".into())]),
        }
    }

    fn printed(text: &str) -> String {
        let parsed = Submetric::parse(text, &known());
        parsed.map_or_else(|wrong| wrong.to_string(), |submetric| submetric.to_string())
    }

    #[test]
    fn selectors_are_read_as_k6_reads_them() {
        for (text, expected) in [
            ("errors", "errors"),
            (" errors ", "errors"),
            ("errors{operation:getFeed}", "errors{operation:getFeed}"),
            (
                "errors{ operation : getFeed , layer: pooler }",
                "errors{operation:getFeed,layer:pooler}",
            ),
            ("errors{\"operation\":'getFeed'}", "errors{operation:getFeed}"),
            ("errors{operation:a b}", "errors{operation:a b}"),
            ("errors{operation:a:b}", "errors{operation:a:b}"),
            ("errors{operation:{a}}", "errors{operation:\"{a}\"}"),
            (
                "errors{operation:\"a,b\",release:2026-11}",
                "errors{operation:\"a,b\",release:2026-11}",
            ),
            ("checks{check:status is 200}", "checks{check:status is 200}"),
            (
                "http_req_duration{expected_response:true}",
                "http_req_duration{expected_response:true}",
            ),
        ] {
            assert_eq!(printed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_named_with_its_column_and_all_that_is_known() {
        let mut lines = String::new();
        for text in [
            "http_req_duratoin",
            "",
            "errors{operation:getfeed}",
            "errors{operaton:getFeed}",
            "errors{check:status is 200}",
            "vus{layer:pooler}",
            "errors{operation:a,b}",
            "errors{operation}",
            "errors{operation:}",
            "errors{}",
            "errors{operation:getFeed",
            "errors{operation:\"getFeed}",
            "errors{operation:\"getFeed\"x}",
            "errors{operation:getFeed}x",
            "errors}",
            "errors{operation:getFeed,operation:getUser}",
            "errors{release:2026-12}",
            "http_req_duration{expected_response:false}",
        ] {
            lines += &format!("{text}\n    {}\n", printed(text));
        }
        insta::assert_snapshot!(lines);
    }

    proptest! {
        #[test]
        fn a_printed_selector_reads_as_itself(
            operation in prop::option::of(0_usize..6),
            check in prop::option::of(0_usize..3),
            own in any::<bool>(),
        ) {
            let known = known();
            let mut submetric = Submetric::from(Metric::Checks);
            let selector = &mut submetric.selector;
            if let Some(number) = operation {
                selector.push((Tag::Operation, known.operations[number].clone()));
            }
            // What has both quotes can't be written.
            if let Some(number) = check.filter(|number| *number != 1) {
                selector.push((Tag::Check, known.checks[number].clone()));
            }
            if own {
                selector.push((Tag::Own("release".into()), "2026-11".into()));
            }
            prop_assert_eq!(Submetric::parse(&submetric.to_string(), &known), Ok(submetric));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(errors|checks|vus|)[a-z{}:,'\" µ]{0,20}") {
            let _ = Submetric::parse(&text, &known());
        }
    }
}
