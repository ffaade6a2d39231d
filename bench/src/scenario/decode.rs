//! Any section of a scenario as a type of serde's, with the places of its mistakes.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_spanned::de::{SpannedDeserializer, is_spanned};

use super::mistake::{Mistake, Place};
use super::node::{Key, Node, Value};

impl Node {
    /// The node as a `T`, or its first mistake. A `toml::Spanned` in `T` gets its span in bytes of
    /// the file that the node is in; see [`Node::at`].
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Mistake> {
        T::deserialize(self).map_err(|Wrong { message, place }| {
            Mistake::error(&place.unwrap_or_else(|| self.place.clone()), message)
        })
    }

    /// The place of a `toml::Spanned`'s span, for a mistake in what was decoded from this node.
    pub(crate) fn at(&self, span: std::ops::Range<usize>) -> Place {
        Place::new(self.place.file, span)
    }
}

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
            Value::Unknown => visitor.visit_unit(),
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let value = match &self.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Table(table) => {
                let entries = table.0.iter().map(|(key, node)| (key, node));
                let map = MapDeserializer::new(entries);
                visitor.visit_enum(serde::de::value::MapAccessDeserializer::new(map))
            }
            _ => {
                let _ = (name, variants);
                Err(Wrong::custom(format!(
                    "{} is none of the words that can stand here",
                    self.kind()
                )))
            }
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
