//! `[[checks]]` of a scenario file.

use std::fmt;

use serde::Deserialize;

/// One check: exactly one of `status`, `data`, `no_errors`, `latency`, or `path` with `equals`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckFile {
    /// Its name in reports; without one, what it asks in words.
    pub(super) name: Option<String>,
    /// Only replies to this operation.
    pub(super) operation: Option<String>,
    /// The HTTP status.
    pub(super) status: Option<u16>,
    /// GraphQL's `data` is there.
    pub(super) data: Option<bool>,
    /// The reply reports no error.
    pub(super) no_errors: Option<bool>,
    /// Of the service time, as in `<1s`.
    pub(super) latency: Option<String>,
    /// Into a GraphQL reply, as in `data.user.id`.
    pub(super) path: Option<String>,
    /// What stands there.
    pub(super) equals: Option<Literal>,
}

/// A value to compare with, as text: `5` and `"5"` are the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a text, a number, true or false")]
pub(super) enum Literal {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Boolean(value) => value.fmt(f),
        }
    }
}
