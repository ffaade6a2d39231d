//! A named request with pre-encoded bytes and typed holes.

use std::sync::Arc;

use bytes::BytesMut;

use crate::{Check, http, postgres};

/// How a value is written where a protocol distinguishes: JSON quotes text and not numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A decimal number, or true or false: it is written as it is.
    Number,
    /// Text; escaped where it is written into JSON or an SQL literal.
    Text,
    /// Text that is written into SQL as it is, such as pgbench's variables.
    Verbatim,
    /// NULL, or null in JSON.
    Null,
}

/// The values that fill one request's holes, as text, which is UTF-8 unless it is
/// [`Kind::Verbatim`]. Reused from request to request, so that
/// filling it does not allocate once it has held its largest request.
#[derive(Clone, Debug, Default)]
pub struct Values {
    text: Vec<u8>,
    ends: Vec<(usize, Kind)>,
}

impl Values {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the values and keeps the space.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Appends a number.
    pub fn push_integer(&mut self, value: i64) {
        self.text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.ends.push((self.text.len(), Kind::Number));
    }

    /// Appends a number with a fraction, or true or false, as JSON writes it.
    pub fn push_literal(&mut self, value: &str) {
        self.text.extend_from_slice(value.as_bytes());
        self.ends.push((self.text.len(), Kind::Number));
    }

    /// Appends a text.
    pub fn push_text(&mut self, value: &str) {
        self.text.extend_from_slice(value.as_bytes());
        self.ends.push((self.text.len(), Kind::Text));
    }

    /// Appends a text that is written as it is.
    pub fn push_verbatim(&mut self, value: &[u8]) {
        self.text.extend_from_slice(value);
        self.ends.push((self.text.len(), Kind::Verbatim));
    }

    /// Appends a name behind a sign, as it is written in a script.
    pub fn push_written(&mut self, sign: u8, name: &[u8]) {
        self.text.push(sign);
        self.push_verbatim(name);
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        self.text.extend_from_slice(b"null");
        self.ends.push((self.text.len(), Kind::Null));
    }

    /// Appends a text that is made of pieces.
    pub fn push_pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a str>) {
        pieces.into_iter().for_each(|piece| self.text.extend_from_slice(piece.as_bytes()));
        self.ends.push((self.text.len(), Kind::Text));
    }

    /// Makes it the same as `other`, and keeps the space.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.text.clone_from(&other.text);
        self.ends.clone_from(&other.ends);
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Value number `index` as text, with its kind. Panics where there is none: templates are
    /// checked against the values' number when they are built.
    pub fn at(&self, index: usize) -> (&[u8], Kind) {
        let start = if index == 0 { 0 } else { self.ends[index - 1].0 };
        let (end, kind) = self.ends[index];
        (&self.text[start..end], kind)
    }
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes that are the same in every request.
    Bytes(Box<[u8]>),
    /// The place of value number N.
    Hole(usize),
}

/// Bytes with holes, to be filled with [`Values`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// A template of these pieces, in order.
    pub fn new(pieces: Vec<Piece>) -> Self {
        Self { pieces }
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The highest hole's number plus one: how many values a request needs at least.
    pub fn holes(&self) -> usize {
        let hole = |piece: &Piece| match piece {
            Piece::Hole(index) => index + 1,
            Piece::Bytes(_) => 0,
        };
        self.pieces.iter().map(hole).max().unwrap_or(0)
    }
}

/// How an operation is put to one target.
#[derive(Clone, Debug)]
pub enum Request {
    /// A GraphQL request over HTTP/1.1.
    Http(http::Request),
    /// A statement over the Postgres protocol.
    Postgres(postgres::Statement),
    /// Several statements over the Postgres protocol.
    PostgresBatch(Arc<postgres::Batch>),
}

impl Request {
    /// The SQL statements that it is made of.
    pub fn statements(&self) -> &[postgres::Statement] {
        match self {
            Request::Http(_) => &[],
            Request::Postgres(statement) => std::slice::from_ref(statement),
            Request::PostgresBatch(batch) => batch.statements(),
        }
    }
}

/// One logical operation, encoded for one target.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name, as in the scenario file.
    pub name: String,
    /// Whether it may be sent again when a stale connection swallowed it: true for queries, false
    /// for whatever writes (RFC 9110, section 9.2.2).
    pub idempotent: bool,
    /// Its bytes.
    pub request: Request,
    /// What is counted about its replies.
    pub checks: Vec<Check>,
}

impl Operation {
    /// Appends the request's bytes to `out`, as far as they do not wait for a reply.
    pub(crate) fn encode(&self, values: &Values, out: &mut BytesMut) {
        match &self.request {
            Request::Http(request) => request.encode(values, out),
            Request::Postgres(statement) => statement.encode(values, out),
            Request::PostgresBatch(batch) => batch.encode(values, out),
        }
    }
}
