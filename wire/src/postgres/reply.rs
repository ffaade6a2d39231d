//! What has come of the reply to the request in flight.

use super::message::{HELD_BYTES_MAX, Message, first_column};
use super::rows::{ROW_BYTES_MAX, Rows};
use super::statement::Statement;
use crate::{Class, Code, Failure, Outcome, Values};

/// The reply so far. What it fails by goes into the session's [`Failure`] as it is found.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// Whether any byte came.
    pub(super) is_begun: bool,
    /// The first error's class.
    pub(super) error: Option<Class>,
    /// How it is not what was asked for, by what has come so far.
    unmet: Option<Class>,
    /// Whether the request is a Query message.
    pub(super) is_simple: bool,
    expects: bool,
    expected: Vec<u8>,
    is_found: bool,
    keeps_rows: bool,
    /// Once a request kept some.
    pub(super) rows: Option<Box<Rows>>,
}

impl Reply {
    /// A request begins, with this statement.
    #[inline]
    pub(super) fn begin(&mut self, statement: &Statement, values: &Values) {
        self.is_begun = false;
        self.error = None;
        self.unmet = None;
        self.is_simple = statement.is_simple();
        self.expects = false;
        self.keeps_rows = statement.keeps_rows();
        if self.keeps_rows {
            self.rows.get_or_insert_default().clear();
        }
        if let Some(hole) = statement.expect() {
            self.expect(values.at(hole).0);
        }
    }

    /// The next row's first column must be this.
    fn expect(&mut self, value: &[u8]) {
        self.expects = true;
        self.is_found = false;
        self.expected.clear();
        self.expected.extend_from_slice(value);
    }

    /// What comes now is the reply to this statement of a batch.
    pub(super) fn go_on(&mut self, statement: &Statement, values: &Values, failure: &mut Failure) {
        if let Some(hole) = statement.expect() {
            self.settle(failure);
            self.expect(values.at(hole).0);
        }
    }

    /// A row came.
    #[inline]
    pub(super) fn row(&mut self, message: Message<'_>, failure: &mut Failure) {
        if !self.expects || self.is_found {
            return self.keep(message, Rows::row);
        }
        let Some(found) = first_column(message.body) else { return };
        self.is_found = true;
        if found != self.expected && self.is_good() {
            let words = [b"asked for ", &self.expected[..], b", got ", found].concat();
            failure.set(Code::None, &words);
            self.unmet = Some(Class::WrongReply);
        }
    }

    /// A result begins, with these columns.
    #[inline]
    pub(super) fn describe(&mut self, message: Message<'_>) {
        self.keep(message, Rows::describe);
    }

    /// A statement has come to its end.
    #[inline]
    pub(super) fn complete(&mut self) {
        if self.keeps_rows
            && let Some(rows) = &mut self.rows
        {
            rows.complete();
        }
    }

    /// How much of a message's body is needed.
    pub(super) fn held_bytes_max(&self) -> usize {
        if self.keeps_rows { ROW_BYTES_MAX } else { HELD_BYTES_MAX }
    }

    #[inline]
    fn keep(&mut self, message: Message<'_>, how: fn(&mut Rows, Message<'_>)) {
        if self.keeps_rows
            && let Some(rows) = &mut self.rows
        {
            how(rows, message);
        }
    }

    /// No more rows come for what is expected.
    #[inline]
    fn settle(&mut self, failure: &mut Failure) {
        if self.expects && !self.is_found {
            self.fail(Class::EmptyReply, "no row for what was asked for", failure);
        }
    }

    /// It is not what was asked for, if nothing else was wrong before.
    pub(super) fn fail(&mut self, class: Class, words: &str, failure: &mut Failure) {
        if self.is_good() {
            failure.set(Code::None, words.as_bytes());
            self.unmet = Some(class);
        }
    }

    fn is_good(&self) -> bool {
        self.error.is_none() && self.unmet.is_none()
    }

    /// It has come to its end.
    #[inline]
    pub(super) fn outcome(&mut self, failure: &mut Failure) -> Outcome {
        self.settle(failure);
        self.error.or(self.unmet).map_or(Outcome::Ok, Outcome::Failed)
    }
}
