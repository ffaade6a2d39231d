//! What a server says of a session's settings.

use std::collections::BTreeMap;

/// More settings than this are not kept: Postgres 17 tells of 15.
const COUNT_MAX: usize = 64;
/// A name or a value that is longer, in bytes, is not kept.
const LENGTH_MAX: usize = 256;

/// The settings that a server told of when it began a session, by name: its ParameterStatus messages
/// up to the first ReadyForQuery (Postgres manual, 55.2.7 "Asynchronous Operations").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Takes the body of a ParameterStatus message: two strings, each with a zero byte behind it.
    pub(super) fn add(&mut self, body: &[u8]) {
        let mut texts = body.split(|byte| *byte == 0);
        let (Some(name), Some(value), Some(_)) = (texts.next(), texts.next(), texts.next()) else {
            return;
        };
        if self.0.len() < COUNT_MAX && name.len().max(value.len()) <= LENGTH_MAX {
            let [name, value] =
                [name, value].map(|text| String::from_utf8_lossy(text).into_owned());
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_each_name_is_kept_and_never_more_than_a_few() {
        let mut parameters = Parameters::default();
        parameters.add(b"TimeZone\0UTC\0");
        parameters.add(b"TimeZone\0Asia/Tokyo\0");
        parameters.add(b"search_path\0\0");
        let long = [&b"long\0"[..], &[b'x'; LENGTH_MAX + 1], b"\0"].concat();
        for body in [&long[..], b"cut\0off", b"cut", b""] {
            parameters.add(body);
        }
        let found: Vec<_> = parameters.iter().collect();
        assert_eq!(found, [("TimeZone", "Asia/Tokyo"), ("search_path", "")]);
        (0..1000).for_each(|number| parameters.add(format!("p{number}\0v\0").as_bytes()));
        assert_eq!(parameters.iter().count(), COUNT_MAX);
    }
}
