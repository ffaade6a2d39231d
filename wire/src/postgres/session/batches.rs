//! Requests of several statements, and what is copied.

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::{
    super::{batch::Next, message::Message},
    Session, State,
};
use crate::{Class, Code, Progress};

impl Session {
    /// A statement of the batch has come to its end.
    pub(super) fn completed(&mut self) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.completed(&mut self.reply, &mut self.failure);
        }
    }

    pub(super) fn ready_in_batch(&mut self, status: &[u8], out: &mut BytesMut) -> Option<Progress> {
        let in_flight = self.in_flight.as_mut()?;
        let counts = self.counts.get_or_insert_default();
        counts.transactions += u64::from(status == b"I");
        match in_flight.ready(&mut self.reply, &mut self.failure, out) {
            Next::Wait => None,
            Next::Sent => {
                counts.queries += 1;
                Some(Progress::Write)
            }
            Next::End { skipped } => {
                counts.skipped += skipped as u64;
                Some(self.ready(status, out))
            }
        }
    }

    /// The next request must not find this one's transaction.
    #[cold]
    pub(super) fn roll_back(&mut self, out: &mut BytesMut) -> Progress {
        let counts = self.counts.get_or_insert_default();
        if std::mem::replace(&mut self.state, State::RollingBack) == State::Busy {
            counts.requests += 1;
            counts.queries += 1;
            counts.failed += 1;
        }
        counts.queries += 1;
        frontend::query("ROLLBACK", out).expect("no zero byte");
        Progress::Write
    }

    pub(super) fn rolled_back(&mut self, status: &[u8]) -> Progress {
        let is_clean = status == b"I";
        self.counts.get_or_insert_default().transactions += u64::from(is_clean);
        self.is_reusable &= is_clean;
        self.is_in_transaction = false;
        self.response()
    }

    /// A row of COPY TO STDOUT; in the binary format the last message is a trailer (Postgres manual,
    /// COPY, "File Trailer").
    pub(super) fn copied(&mut self, message: Message<'_>) {
        const TRAILER: &[u8] = &[0xff, 0xff];
        let counts = self.counts.get_or_insert_default();
        counts.copied_rows += u64::from(message.body != TRAILER);
        counts.copied_bytes += message.length as u64;
    }

    /// COPY FROM STDIN waits for data (Postgres manual, 55.2.6 "COPY Operations").
    #[cold]
    pub(super) fn refuse_data(&mut self, out: &mut BytesMut) -> Progress {
        let words = "COPY FROM STDIN waits for data, and none is sent here: use INSERT";
        self.failure.set(Code::None, words.as_bytes());
        let class = *self.reply.error.get_or_insert(Class::Sql);
        let is_pipelined = self.in_flight.as_ref().is_some_and(|batch| batch.is_pipelined());
        if self.state == State::Batch && is_pipelined {
            // What follows in the pipeline has ended the copying, or was swallowed by it.
            return self.broken_off(class);
        }
        frontend::copy_fail("no data is sent", out).expect("no zero byte");
        if !self.reply.is_simple {
            // The one that was sent with the statement is passed over while it waits.
            frontend::sync(out);
        }
        Progress::Write
    }
}
