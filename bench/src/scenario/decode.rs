//! Any section of a scenario as a type of serde's, with the places of its mistakes.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_spanned::de::{SpannedDeserializer, is_spanned};

use super::mistake::{Mistake, Place};
use super::node::{Key, Node, Value};

impl Node {
    /// The node as a `T`, or its first mistake; `None` where it depends on a `${NAME}` that is not
    /// set, which was reported. A `toml::Spanned` in `T` gets its span in bytes of its file.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, Option<Mistake>> {
        T::deserialize(self).map_err(|Wrong { message, place }| {
            let place = place.unwrap_or_else(|| self.place.clone());
            (message != UNSET).then(|| Mistake::error(&place, message))
        })
    }
}

/// What stops the reading of a value that depends on something unset.
const UNSET: &str = "unset";

/// A mistake and the innermost place that is known.
#[derive(Debug)]
pub(crate) struct Wrong {
    message: String,
    place: Option<Place>,
}

impl Wrong {
    fn at(self, place: &Place) -> Self {
        Self { place: self.place.or_else(|| Some(place.clone())), ..self }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), place: None }
    }
}

impl<'de> IntoDeserializer<'de, Wrong> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> serde::Deserializer<'de> for &'de Node {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let value = match &self.value {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Date => Err(Wrong::custom("a date is nothing that can stand here")),
            Value::List(nodes) => visitor.visit_seq(SeqDeserializer::new(nodes.iter())),
            Value::Table(table) => {
                let entries = table.0.iter().map(|(key, node)| (key, node));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            Value::Unknown => Err(Wrong::custom(UNSET)),
        };
        value.map_err(|wrong| wrong.at(&self.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let value = match &self.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Table(table) => {
                let entries = table.0.iter().map(|(key, node)| (key, node));
                let map = MapDeserializer::new(entries);
                visitor.visit_enum(serde::de::value::MapAccessDeserializer::new(map))
            }
            Value::Unknown => Err(Wrong::custom(UNSET)),
            _ => Err(Wrong::custom(format!(
                "{} is none of the words that can stand here",
                self.kind()
            ))),
        };
        value.map_err(|wrong| wrong.at(&self.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if is_spanned(name) {
            let span = self.place.start..self.place.end;
            let spanned = SpannedDeserializer::<&Node, Wrong>::new(self, span);
            return visitor.visit_map(spanned).map_err(|wrong| wrong.at(&self.place));
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Wrong> for &'de Key {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A key; where it is unknown, that is said at its own place.
impl<'de> serde::Deserializer<'de> for &'de Key {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_borrowed_str(&self.name).map_err(|wrong: Wrong| wrong.at(&self.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if is_spanned(name) {
            let span = self.place.start..self.place.end;
            return visitor.visit_map(SpannedDeserializer::<&Key, Wrong>::new(self, span));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let variant = self.name.as_str().into_deserializer();
        visitor.visit_enum(variant).map_err(|wrong: Wrong| wrong.at(&self.place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use toml::Spanned;

    use super::super::mistake::{Mistakes, Source};
    use super::super::node;
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Rule {
        metric: Spanned<String>,
        level: Option<Level>,
        #[serde(default)]
        abort_on_fail: bool,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        Warning,
        Above(f64),
    }

    fn decode(text: &str) -> Result<Vec<Rule>, (String, String)> {
        let source = Source { name: "a.toml".into(), text: text.into() };
        let root = node::parse(0, &source, &|_| None, &Mistakes::default());
        let Value::Table(table) = &root.value else { panic!("a table") };
        let decoded = table.get("rules").unwrap().decode();
        decoded.map_err(|mistake| {
            let report = super::super::Report::new(vec![source], mistake.into_iter().collect());
            let shown = report.to_string();
            let mut lines = shown.lines();
            let message = lines.next().unwrap_or_default().to_owned();
            (message, lines.next().unwrap_or_default().trim().to_owned())
        })
    }

    #[test]
    fn types_of_serdes_are_read_with_their_spans() {
        let text = "[[rules]]\nmetric = \"errors\"\nlevel = \"warning\"\n\
                    [[rules]]\nmetric = \"vus\"\nlevel = { above = 5.5 }\nabortOnFail = true";
        let rules = decode(text).unwrap();
        assert_eq!(rules[0].level, Some(Level::Warning));
        assert_eq!(
            (rules[1].level.as_ref(), rules[1].abort_on_fail),
            (Some(&Level::Above(5.5)), true)
        );
        assert_eq!(&text[rules[1].metric.span()], "\"vus\"");
    }

    #[test]
    fn what_serde_refuses_is_shown_in_its_place() {
        for (text, message, place) in [
            ("metric = 5", "error: invalid type: integer `5`, expected a string", "2:10"),
            ("metric = \"a\"\nabort = true", "error: unknown field `abort`", "3:1"),
            ("metric = \"a\"\nlevel = \"low\"", "error: unknown variant `low`", "3:9"),
            ("metric = \"a\"\nlevel = 2026-01-01", "error: a date is none of the words", "3:9"),
            ("level = \"warning\"", "error: missing field `metric`", "1:1"),
        ] {
            let (told, at) = decode(&format!("[[rules]]\n{text}")).unwrap_err();
            assert!(told.starts_with(message), "{told}");
            assert_eq!(at, format!("--> a.toml:{place}"));
        }
    }

    #[test]
    fn what_is_unset_was_reported_already() {
        let (told, _) = decode("[[rules]]\nmetric = \"${NO}\"").unwrap_err();
        assert_eq!(told, "");
    }
}
