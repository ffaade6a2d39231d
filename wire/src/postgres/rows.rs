//! What a request that asks for it keeps of its reply: column names, and the last row of each result.

use std::ops::Range;

use super::message::Message;

/// The longest row that is kept, in bytes as they come: each connection may hold one.
pub(super) const ROW_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The results of one request, in order. Reused from request to request, so that keeping a reply
/// does not allocate once it has held its largest.
#[derive(Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    columns: Vec<Column>,
    results: Vec<Result>,
    /// Whether the last of the results has not come to its end.
    is_open: bool,
    is_cut: bool,
}

#[derive(Clone, Debug)]
struct Column {
    name: Range<usize>,
    /// Of the last row; `None` is NULL.
    value: Option<Range<usize>>,
}

#[derive(Clone, Debug)]
struct Result {
    rows: u64,
    columns: Range<usize>,
    /// Where the last row's values begin.
    values: usize,
}

/// One result as it was kept.
#[derive(Clone, Copy, Debug)]
pub struct ResultRows<'a> {
    rows: &'a Rows,
    result: &'a Result,
}

impl Rows {
    /// The results, one for each statement that came to its end; of those without rows some have no
    /// columns either.
    pub fn results(&self) -> impl DoubleEndedIterator<Item = ResultRows<'_>> {
        self.results.iter().map(|result| ResultRows { rows: self, result })
    }

    /// Whether a row was longer than what is kept of one: values are missing.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.columns.clear();
        self.results.clear();
        self.is_open = false;
        self.is_cut = false;
    }

    /// RowDescription (Postgres manual, 55.7 "Message Formats"): a name, and 18 bytes that nobody asks
    /// for here.
    pub(super) fn describe(&mut self, message: Message<'_>) {
        const REST_BYTES: usize = 18;
        self.is_cut |= message.body.len() < message.length;
        let first = self.columns.len();
        let mut rest = message.body.get(2..).unwrap_or_default();
        while let Some(end) = memchr::memchr(0, rest) {
            let name = self.keep(&rest[..end]);
            self.columns.push(Column { name, value: None });
            rest = rest.get(end + 1 + REST_BYTES..).unwrap_or_default();
        }
        self.begin(first);
    }

    fn begin(&mut self, first_column: usize) {
        let columns = first_column..self.columns.len();
        self.results.push(Result { rows: 0, columns, values: self.bytes.len() });
        self.is_open = true;
    }

    /// A statement has come to its end: CommandComplete or EmptyQueryResponse. It had no columns where
    /// it was not described.
    pub(super) fn complete(&mut self) {
        if !std::mem::take(&mut self.is_open) {
            self.begin(self.columns.len());
            self.is_open = false;
        }
    }

    /// DataRow: takes the place of the row before.
    pub(super) fn row(&mut self, message: Message<'_>) {
        self.is_cut |= message.body.len() < message.length;
        let Some(result) = self.results.last_mut().filter(|_| self.is_open) else { return };
        result.rows += 1;
        self.bytes.truncate(result.values);
        let mut rest = message.body.get(2..).unwrap_or_default();
        for index in result.columns.clone() {
            let Some((length, after)) = rest.split_first_chunk() else { break };
            // NULL has the length -1.
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let value = length.and_then(|length| after.get(..length));
            self.columns[index].value = value.map(|value| self.keep(value));
            rest = &after[value.map_or(0, <[u8]>::len)..];
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

impl<'a> ResultRows<'a> {
    /// How many rows there were.
    pub fn count(&self) -> u64 {
        self.result.rows
    }

    /// Each column's name, and its value in the last row as text; NULL is `None`.
    pub fn last(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let Self { rows, result } = *self;
        rows.columns[result.columns.clone()].iter().map(|column| {
            let value = column.value.clone().map(|value| &rows.bytes[value]);
            (&rows.bytes[column.name.clone()], value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Message<'_> {
        Message { kind, body, length: body.len() }
    }

    fn description(names: &[&str]) -> Vec<u8> {
        let mut body = vec![0, names.len() as u8];
        for name in names {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0; 19]);
        }
        body
    }

    /// How many rows, and each column of the last.
    type Shown = (u64, Vec<(String, Option<String>)>);

    fn shown(rows: &Rows) -> Vec<Shown> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let result = |result: ResultRows<'_>| {
            let last = result.last().map(|(name, value)| (text(name), value.map(text)));
            (result.count(), last.collect())
        };
        rows.results().map(result).collect()
    }

    #[test]
    fn the_last_row_of_each_statement_is_kept() {
        let mut rows = Rows::default();
        rows.clear();
        rows.describe(message(b'T', &description(&["a", "b"])));
        rows.row(message(b'D', &[0, 2, 0, 0, 0, 3, b'o', b'n', b'e', 0, 0, 0, 0]));
        rows.row(message(b'D', &[0, 2, 0, 0, 0, 1, b'2', 0xff, 0xff, 0xff, 0xff]));
        rows.complete();
        rows.describe(message(b'T', &description(&["c"])));
        rows.complete();
        rows.complete();
        let pair = |name: &str, value: Option<&str>| (name.into(), value.map(Into::into));
        assert_eq!(
            shown(&rows),
            [
                (2, vec![pair("a", Some("2")), pair("b", None)]),
                (0, vec![pair("c", None)]),
                (0, vec![]),
            ]
        );
        assert!(!rows.is_cut());
    }

    #[test]
    fn what_is_cut_or_no_row_is_no_panic() {
        let mut rows = Rows::default();
        rows.row(message(b'D', &[0, 1]));
        rows.describe(Message { kind: b'T', body: b"\0\x01abc\0\0", length: 100 });
        rows.row(message(b'D', &[0, 1, 0, 0, 0, 9, b'x']));
        assert_eq!(shown(&rows), [(1, vec![("abc".into(), None)])]);
        assert!(rows.is_cut());
    }
}
