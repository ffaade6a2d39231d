//! Several statements that are one request.

use std::sync::Arc;

use bytes::BytesMut;

use super::reply::Reply;
use super::statement::{Statement, encode_under_one_sync};
use crate::{Failure, Values};

/// How the statements of a batch follow one another (Postgres manual, 55.2.4 "Pipelining").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipeline {
    /// Each is sent when the one before it was answered; none is sent after one that failed.
    Off,
    /// All are sent at once, a Sync behind each: where one fails, the others stand on their own.
    SyncEach,
    /// All are sent at once, with one Sync behind the last: where one fails, the server passes over
    /// the rest, and what was done before it is undone.
    SyncOnce,
}

impl Pipeline {
    /// Its name, as in a scenario file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::SyncEach => "sync-each",
            Self::SyncOnce => "sync-once",
        }
    }
}

/// Several statements that are one request, with one outcome: it worked if all of them did, or
/// failed as the first of them that did.
///
/// A transaction that it leaves open is rolled back, and then it has failed.
#[derive(Clone, Debug)]
pub struct Batch {
    statements: Box<[Statement]>,
    pipeline: Pipeline,
}

impl Batch {
    /// These statements, at least one, all for the same protocol. Those that are
    /// [`super::Protocol::Prepared`] under the same name must be the same.
    ///
    /// What one of them expects ([`Statement::expect_first_column`]) goes for the first row that
    /// comes from there on, up to the next statement that expects something.
    pub fn new(statements: Vec<Statement>, pipeline: Pipeline) -> Self {
        assert!(!statements.is_empty(), "a batch without statements is no request");
        Self { statements: statements.into(), pipeline }
    }

    /// Its statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// How many statements are sent before the first reply is waited for.
    pub(super) fn sent_at_once(&self) -> usize {
        match self.pipeline {
            Pipeline::Off => 1,
            Pipeline::SyncEach | Pipeline::SyncOnce => self.statements.len(),
        }
    }

    /// How many times the server will be ready for a query after that.
    fn syncs(&self) -> usize {
        match self.pipeline {
            Pipeline::Off | Pipeline::SyncOnce => 1,
            Pipeline::SyncEach => self.statements.len(),
        }
    }

    /// Appends to `out` what is sent before the first reply is waited for.
    pub(crate) fn encode(&self, values: &Values, out: &mut BytesMut) {
        let first = &self.statements[..self.sent_at_once()];
        match self.pipeline {
            Pipeline::SyncOnce => encode_under_one_sync(first, values, out),
            _ => first.iter().for_each(|statement| statement.encode(values, out)),
        }
    }
}

/// A batch on its way.
#[derive(Debug)]
pub(super) struct InFlight {
    batch: Arc<Batch>,
    values: Values,
    /// The statement that the next reply is to.
    at: usize,
    /// How many times the server will be ready for a query, by what was sent so far.
    syncs: usize,
}

/// What to do when the server is ready for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Replies to others are on their way.
    Wait,
    /// Another statement is to be sent.
    Sent,
    /// The batch is at its end; so many of its statements were passed over by the server.
    End { skipped: usize },
}

impl InFlight {
    pub(super) fn new(batch: &Arc<Batch>, values: &Values) -> Self {
        let (batch, values) = (Arc::clone(batch), values.clone());
        Self { at: 0, syncs: batch.syncs(), batch, values }
    }

    /// Another one is on its way.
    pub(super) fn begin(&mut self, batch: &Arc<Batch>, values: &Values) {
        self.batch = Arc::clone(batch);
        self.values.copy_from(values);
        self.at = 0;
        self.syncs = batch.syncs();
    }

    pub(super) fn is_pipelined(&self) -> bool {
        self.batch.sent_at_once() > 1
    }

    /// A statement has come to its end. Under one Sync nothing else tells where the next one's reply
    /// begins.
    pub(super) fn completed(&mut self, reply: &mut Reply, failure: &mut Failure) {
        if self.batch.pipeline == Pipeline::SyncOnce {
            self.go_on(reply, failure);
        }
    }

    /// The server is ready for a query: appends the next statement to `out` where it is its turn.
    pub(super) fn ready(
        &mut self,
        reply: &mut Reply,
        failure: &mut Failure,
        out: &mut BytesMut,
    ) -> Next {
        self.syncs -= 1;
        let has_failed = reply.error.is_some();
        let left = self.batch.statements.len() - 1 - self.at;
        match self.batch.pipeline {
            Pipeline::SyncEach if self.syncs > 0 => {
                self.go_on(reply, failure);
                Next::Wait
            }
            Pipeline::Off if left > 0 && !has_failed => {
                self.go_on(reply, failure);
                self.batch.statements[self.at].encode(&self.values, out);
                self.syncs = 1;
                Next::Sent
            }
            Pipeline::SyncOnce if has_failed => Next::End { skipped: left },
            _ => Next::End { skipped: 0 },
        }
    }

    /// What comes now is the reply to the next statement, if there is one.
    fn go_on(&mut self, reply: &mut Reply, failure: &mut Failure) {
        if let Some(next) = self.batch.statements.get(self.at + 1) {
            self.at += 1;
            reply.go_on(next, &self.values, failure);
        }
    }
}
