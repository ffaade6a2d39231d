//! One SQL statement, encoded for simple, extended or prepared execution (Postgres manual, 55.2.3
//! "Simple Query", 55.2.4 "Extended Query").

use std::fmt;

use bytes::{BufMut, BytesMut};
use postgres_protocol::message::frontend;

use super::{Fallback, sql};
use crate::{Kind, Piece, Template, Values};

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One Query message; values are written into the text as literals.
    Simple,
    /// Parse, Bind, Describe, Execute and Sync of the unnamed statement in one write.
    Extended,
    /// Parsed once a connection under a name; then Bind, Describe, Execute and Sync.
    Prepared,
}

impl Protocol {
    /// Its name, as in a scenario file.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
            Protocol::Prepared => "prepared",
        }
    }
}

/// One `$n` of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Which of the request's values it takes.
    pub hole: usize,
    /// Its type's oid; 0 lets the server infer it. See [`parameter_type`].
    pub type_oid: u32,
}

/// The oid of a built-in type by its name (pg_type.dat), for [`Parameter::type_oid`].
pub fn parameter_type(name: &str) -> Option<u32> {
    Some(match name {
        "bool" | "boolean" => 16,
        "int8" | "bigint" => 20,
        "int2" | "smallint" => 21,
        "int4" | "int" | "integer" => 23,
        "text" => 25,
        "json" => 114,
        "float4" | "real" => 700,
        "float8" | "double precision" => 701,
        "varchar" | "character varying" => 1043,
        "date" => 1082,
        "timestamp" => 1114,
        "timestamptz" => 1184,
        "numeric" | "decimal" => 1700,
        "uuid" => 2950,
        "jsonb" => 3802,
        _ => return None,
    })
}

/// A statement that can't be put on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementError {
    /// The text has `$n`, but there are fewer parameters than n.
    MissingParameter(usize),
    /// There is a parameter that the text does not use.
    UnusedParameter(usize),
    /// A zero byte can't be sent.
    ZeroByte,
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatementError::MissingParameter(number) => {
                write!(f, "the SQL uses ${number}, but `params` has no entry number {number}")
            }
            StatementError::UnusedParameter(number) => {
                write!(f, "`params` has an entry number {number}, but the SQL has no ${number}")
            }
            StatementError::ZeroByte => f.write_str("the SQL holds a zero byte"),
        }
    }
}

impl std::error::Error for StatementError {}

/// One SQL statement with its parameters, encoded for one protocol.
#[derive(Clone, Debug)]
pub struct Statement {
    encoding: Encoding,
    expect: Option<usize>,
    /// Whether it may be sent unnamed in place of prepared, and whether it is.
    fallback: Option<Fallback>,
    /// Its number among those that are prepared when they are first used.
    late: Option<u32>,
    keeps_rows: bool,
}

#[derive(Clone, Debug)]
enum Encoding {
    /// A Query message's text; holes become literals.
    Simple(Template),
    /// Parse, Bind, Describe, Execute and Sync of the unnamed statement.
    Extended(Bound),
    /// The same without Parse, by a name; and unnamed, for where its name is lost.
    Prepared { named: Bound, unnamed: Bound },
}

#[derive(Clone, Debug)]
struct Bound {
    /// The Parse message: sent with each request if the statement is unnamed, else once a
    /// connection.
    parse: Box<[u8]>,
    /// What Bind says before its parameters: portal, statement name, formats, count.
    bind_head: Box<[u8]>,
    holes: Box<[usize]>,
    /// The number of result formats (none: all text), then Describe, Execute and Sync.
    tail: Box<[u8]>,
}

/// Each execution ends with a Sync message.
const SYNC_BYTES: usize = 5;

/// Bind ends with the number of result format codes; this many bytes of `tail` belong to Bind.
const RESULT_FORMATS_BYTES: usize = 2;

impl Statement {
    /// Encodes `sql`. `name` is the prepared statement's name, used by [`Protocol::Prepared`] only.
    pub fn new(
        sql: &str,
        parameters: &[Parameter],
        protocol: Protocol,
        name: &str,
    ) -> Result<Self, StatementError> {
        Self::encoded(sql, parameters, protocol, name, |text| text.as_bytes().into())
    }

    /// As [`Statement::new`], for a text that goes out in another encoding than UTF-8: `encode` makes
    /// the bytes of a part of it, each ASCII character one byte.
    pub fn encoded(
        sql: &str,
        parameters: &[Parameter],
        protocol: Protocol,
        name: &str,
        encode: impl Fn(&str) -> Box<[u8]>,
    ) -> Result<Self, StatementError> {
        if sql.contains('\0') || name.contains('\0') {
            return Err(StatementError::ZeroByte);
        }
        let used = sql::parameters(sql);
        let known = |number: usize| (1..=parameters.len()).contains(&number);
        if let Some((_, number)) = used.iter().find(|(_, number)| !known(*number)) {
            return Err(StatementError::MissingParameter(*number));
        }
        let is_used = |number: &usize| used.iter().any(|(_, other)| other == number);
        if let Some(number) = (1..=parameters.len()).find(|number| !is_used(number)) {
            return Err(StatementError::UnusedParameter(number));
        }
        let encoding = match protocol {
            Protocol::Simple => Encoding::Simple(literal_template(sql, &used, parameters, encode)),
            Protocol::Extended => Encoding::Extended(Bound::new(&encode(sql), parameters, "")),
            Protocol::Prepared => Encoding::Prepared {
                named: Bound::new(&encode(sql), parameters, name),
                unnamed: Bound::new(&encode(sql), parameters, ""),
            },
        };
        Ok(Self { encoding, expect: None, fallback: None, late: None, keeps_rows: false })
    }

    /// A Query message whose text is `pieces`, with its holes filled by values as they are
    /// ([`Values::push_verbatim`]).
    pub fn verbatim(pieces: Vec<Piece>) -> Result<Self, StatementError> {
        let has_zero = |piece: &Piece| matches!(piece, Piece::Bytes(bytes) if bytes.contains(&0));
        if pieces.iter().any(has_zero) {
            return Err(StatementError::ZeroByte);
        }
        let encoding = Encoding::Simple(Template::new(pieces));
        Ok(Self { encoding, expect: None, fallback: None, late: None, keeps_rows: false })
    }

    /// If it is [`Protocol::Prepared`], each connection prepares it with its first use instead of at
    /// its start. `number` tells it from the others that are: they should be 0, 1, 2 and so on.
    pub fn prepared_late(mut self, number: u32) -> Self {
        self.late = matches!(self.encoding, Encoding::Prepared { .. }).then_some(number);
        self
    }

    /// The session keeps what comes in reply: see [`crate::Session::rows`].
    pub fn keeping_rows(mut self) -> Self {
        self.keeps_rows = true;
        self
    }

    /// If it is [`Protocol::Prepared`], it is sent unnamed once `fallback` has happened; the
    /// session that finds a name missing or taken makes it happen.
    pub fn or_unnamed(mut self, fallback: &Fallback) -> Self {
        self.fallback = Some(fallback.clone());
        self
    }

    /// What was given to [`Statement::or_unnamed`].
    pub fn fallback(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }

    /// The first column of the first row must be value number `hole`.
    pub fn expect_first_column(mut self, hole: usize) -> Self {
        self.expect = Some(hole);
        self
    }

    pub(super) fn expect(&self) -> Option<usize> {
        self.expect
    }

    /// Whether it is sent as a Query message.
    pub(super) fn is_simple(&self) -> bool {
        matches!(self.encoding, Encoding::Simple(_))
    }

    /// The Parse message to send once a connection, for a prepared statement.
    pub(super) fn prepare(&self) -> Option<&[u8]> {
        match &self.encoding {
            Encoding::Prepared { named, .. } if self.late.is_none() => Some(&named.parse),
            _ => None,
        }
    }

    /// Its number and its Parse message, if it is to be prepared with its first use.
    pub(super) fn late(&self) -> Option<(u32, &[u8])> {
        match &self.encoding {
            Encoding::Prepared { named, .. } => Some((self.late?, &named.parse)),
            Encoding::Simple(_) | Encoding::Extended(_) => None,
        }
    }

    pub(super) fn keeps_rows(&self) -> bool {
        self.keeps_rows
    }

    /// Appends one execution to `out`.
    #[inline]
    pub(crate) fn encode(&self, values: &Values, out: &mut BytesMut) {
        match &self.encoding {
            Encoding::Simple(text) => encode_query([text], values, out),
            Encoding::Prepared { named, .. }
                if !self.fallback.as_ref().is_some_and(Fallback::has_happened) =>
            {
                named.bind(values, out);
            }
            Encoding::Extended(unnamed) | Encoding::Prepared { unnamed, .. } => {
                out.extend_from_slice(&unnamed.parse);
                unnamed.bind(values, out);
            }
        }
    }
}

/// Appends one execution in the extended protocol to `out`, without the Sync that ends it.
pub(super) fn encode_without_sync(statement: &Statement, values: &Values, out: &mut BytesMut) {
    debug_assert!(!statement.is_simple());
    statement.encode(values, out);
    out.truncate(out.len() - SYNC_BYTES);
}

/// Appends one execution of each to `out`, with one Sync behind them all: where one fails, the server
/// passes over the rest. In the simple protocol they are one Query message, which is to the same
/// effect (Postgres manual, 55.2.3.1 "Multiple Statements in a Simple Query", 55.2.4 "Pipelining").
pub(super) fn encode_under_one_sync(statements: &[Statement], values: &Values, out: &mut BytesMut) {
    let texts = statements.iter().filter_map(|statement| match &statement.encoding {
        Encoding::Simple(text) => Some(text),
        Encoding::Extended(_) | Encoding::Prepared { .. } => None,
    });
    if statements.first().is_some_and(Statement::is_simple) {
        return encode_query(texts, values, out);
    }
    statements.iter().for_each(|statement| encode_without_sync(statement, values, out));
    frontend::sync(out);
}

impl Bound {
    fn new(sql: &[u8], parameters: &[Parameter], name: &str) -> Self {
        let count = u16::try_from(parameters.len()).unwrap_or(u16::MAX);
        let mut parse = BytesMut::new();
        parse.put_u8(b'P');
        parse.put_i32(wire_length(4 + name.len() + 1 + sql.len() + 1 + 2 + 4 * parameters.len()));
        parse.put_slice(name.as_bytes());
        parse.put_u8(0);
        parse.put_slice(sql);
        parse.put_u8(0);
        parse.put_u16(count);
        parameters.iter().for_each(|parameter| parse.put_u32(parameter.type_oid));

        let mut bind_head = BytesMut::new();
        bind_head.put_u8(0); // the unnamed portal
        bind_head.put_slice(name.as_bytes());
        bind_head.put_u8(0);
        bind_head.put_u16(0); // no parameter format codes: all are text
        bind_head.put_u16(count);

        let mut tail = BytesMut::new();
        tail.put_u16(0);
        frontend::describe(b'P', "", &mut tail).expect("no zero bytes");
        frontend::execute("", 0, &mut tail).expect("no zero bytes");
        frontend::sync(&mut tail);
        Self {
            parse: parse.as_ref().into(),
            bind_head: bind_head.as_ref().into(),
            holes: parameters.iter().map(|parameter| parameter.hole).collect(),
            tail: tail.as_ref().into(),
        }
    }

    fn bind(&self, values: &Values, out: &mut BytesMut) {
        let length = |&hole: &usize| match values.at(hole) {
            (_, Kind::Null) => 4,
            (text, _) => 4 + text.len(),
        };
        let parameters_len: usize = self.holes.iter().map(length).sum();
        let length = 4 + self.bind_head.len() + parameters_len + RESULT_FORMATS_BYTES;
        out.put_u8(b'B');
        out.put_i32(wire_length(length));
        out.extend_from_slice(&self.bind_head);
        for &hole in &self.holes {
            let (text, kind) = values.at(hole);
            if kind == Kind::Null {
                out.put_i32(-1);
                continue;
            }
            out.put_i32(wire_length(text.len()));
            out.extend_from_slice(text);
        }
        out.extend_from_slice(&self.tail);
    }
}

/// Values are ours and short; one of 2 GiB would have failed long before.
fn wire_length(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn literal_template(
    sql: &str,
    used: &[(std::ops::Range<usize>, usize)],
    parameters: &[Parameter],
    encode: impl Fn(&str) -> Box<[u8]>,
) -> Template {
    let mut pieces = Vec::new();
    let mut at = 0;
    for (range, number) in used {
        pieces.push(Piece::Bytes(encode(&sql[at..range.start])));
        pieces.push(Piece::Hole(parameters[number - 1].hole));
        at = range.end;
    }
    pieces.push(Piece::Bytes(encode(&sql[at..])));
    Template::new(pieces)
}

#[inline]
fn encode_query<'a>(
    texts: impl IntoIterator<Item = &'a Template>,
    values: &Values,
    out: &mut BytesMut,
) {
    let start = out.len();
    out.put_u8(b'Q');
    out.put_i32(0);
    for (number, text) in texts.into_iter().enumerate() {
        if number > 0 {
            // A comment may end the text before.
            out.extend_from_slice(b"\n;");
        }
        for piece in text.pieces() {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Hole(hole) => encode_literal(values.at(*hole), out),
            }
        }
    }
    out.put_u8(0);
    let length = wire_length(out.len() - start - 1);
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
}

/// A literal as `PQescapeLiteral` writes it: quotes doubled, and an escape string where there is a
/// backslash, so that it means the same whatever standard_conforming_strings says.
fn encode_literal((text, kind): (&[u8], Kind), out: &mut BytesMut) {
    match kind {
        // In brackets, since `x-$1` with -1 would begin a comment.
        Kind::Number if text.starts_with(b"-") => {
            out.put_u8(b'(');
            out.extend_from_slice(text);
            out.put_u8(b')');
        }
        Kind::Number | Kind::Verbatim | Kind::Null => out.extend_from_slice(text),
        Kind::Text => {
            let has_backslash = memchr::memchr(b'\\', text).is_some();
            out.extend_from_slice(if has_backslash { b" E'" } else { b"'" });
            for &byte in text.iter().filter(|byte| **byte != 0) {
                if matches!(byte, b'\'' | b'\\') {
                    out.put_u8(byte);
                }
                out.put_u8(byte);
            }
            out.put_u8(b'\'');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &[Parameter] = &[Parameter { hole: 0, type_oid: 20 }];

    fn encoded(statement: &Statement, values: &Values) -> BytesMut {
        let mut out = BytesMut::new();
        statement.encode(values, &mut out);
        out
    }

    fn integer(value: i64) -> Values {
        let mut values = Values::new();
        values.push_integer(value);
        values
    }

    #[test]
    fn extended_messages_equal_those_of_postgres_protocol() {
        let statement = Statement::new("SELECT $1", ID, Protocol::Extended, "").unwrap();
        let mut expected = BytesMut::new();
        frontend::parse("", "SELECT $1", [20], &mut expected).unwrap();
        let bind = frontend::bind(
            "",
            "",
            [],
            [1234_i64],
            |value, out| {
                out.put_slice(value.to_string().as_bytes());
                Ok(postgres_protocol::IsNull::No)
            },
            [],
            &mut expected,
        );
        assert!(bind.is_ok());
        frontend::describe(b'P', "", &mut expected).unwrap();
        frontend::execute("", 0, &mut expected).unwrap();
        frontend::sync(&mut expected);
        assert_eq!(encoded(&statement, &integer(1234)), expected);
    }

    #[test]
    fn a_prepared_statement_is_parsed_apart_from_its_executions() {
        let statement = Statement::new("SELECT $1", ID, Protocol::Prepared, "getUser").unwrap();
        assert!(statement.prepare().unwrap().starts_with(b"P"));
        assert!(encoded(&statement, &integer(1)).starts_with(b"B"));
        let unnamed = Statement::new("SELECT $1", ID, Protocol::Extended, "getUser").unwrap();
        assert_eq!(unnamed.prepare(), None);
    }

    #[test]
    fn simple_queries_carry_their_values_as_literals() {
        let query = |sql: &str, values: &Values| {
            let statement = Statement::new(sql, ID, Protocol::Simple, "").unwrap();
            let mut expected_length = BytesMut::new();
            let bytes = encoded(&statement, values);
            expected_length.put_i32(bytes.len() as i32 - 1);
            assert_eq!(&bytes[1..5], &expected_length[..]);
            String::from_utf8(bytes[5..bytes.len() - 1].to_vec()).unwrap()
        };
        let text = |value: &str| {
            let mut values = Values::new();
            values.push_text(value);
            values
        };
        assert_eq!(query("SELECT $1::int8", &integer(7)), "SELECT 7::int8");
        assert_eq!(query("SELECT 1-$1", &integer(-7)), "SELECT 1-(-7)");
        assert_eq!(query("SELECT $1", &text("it's")), "SELECT 'it''s'");
        assert_eq!(query("SELECT $1", &text(r"a\'")), r"SELECT  E'a\\'''");
    }

    #[test]
    fn parameters_and_text_must_agree() {
        let wrong = |sql, parameters| {
            Statement::new(sql, parameters, Protocol::Extended, "").expect_err("refused")
        };
        assert_eq!(wrong("SELECT $2", ID), StatementError::MissingParameter(2));
        assert_eq!(wrong("SELECT $0", ID), StatementError::MissingParameter(0));
        assert_eq!(wrong("SELECT 1", ID), StatementError::UnusedParameter(1));
        assert_eq!(wrong("SELECT '\0'", &[]), StatementError::ZeroByte);
    }
}
