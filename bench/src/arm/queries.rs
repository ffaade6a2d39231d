//! What requests came to, statement by statement.

use serde::Serialize;
use wire::Counts;

/// The statements of an arm's requests.
#[derive(Debug, Serialize)]
pub(crate) struct QueriesSummary {
    /// Statements that were sent, BEGIN, COMMIT and ROLLBACK among them.
    sent: u64,
    /// Transactions that ended, as the server told; a statement outside of a block is one.
    transactions: u64,
    per_transaction: f64,
    /// Statements of batches that were answered with an error.
    failed: u64,
    /// Statements that the server passed over in a pipeline, since one before them had failed.
    skipped: u64,
}

/// What COPY TO STDOUT sent.
#[derive(Debug, Serialize)]
pub(crate) struct CopiedSummary {
    rows: u64,
    bytes: u64,
}

impl QueriesSummary {
    /// Of so many requests; `None` where each of them was one statement.
    pub(super) fn new(requests: u64, counts: &Counts) -> Option<Self> {
        let single = requests.saturating_sub(counts.requests);
        let (sent, transactions) = (single + counts.queries, single + counts.transactions);
        (counts.requests > 0).then_some(Self {
            sent,
            transactions,
            per_transaction: sent as f64 / transactions.max(1) as f64,
            failed: counts.failed,
            skipped: counts.skipped,
        })
    }

    /// In a line.
    pub(super) fn line(&self) -> String {
        let Self { sent, transactions, per_transaction, failed, skipped } = self;
        let mut line =
            format!("queries: {sent} in {transactions} transactions, {per_transaction:.1} each");
        if *failed > 0 {
            line += &format!("; {failed} failed");
        }
        if *skipped > 0 {
            line += &format!("; {skipped} passed over behind one that failed");
        }
        line
    }
}

impl CopiedSummary {
    /// `None` where nothing was copied.
    pub(super) fn new(counts: &Counts) -> Option<Self> {
        let copied = Self { rows: counts.copied_rows, bytes: counts.copied_bytes };
        (copied.rows > 0).then_some(copied)
    }

    /// In a line.
    pub(super) fn line(&self) -> String {
        format!("copied out: {} rows, {} bytes", self.rows, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_where_a_request_has_several() {
        let mut counts = Counts::default();
        assert!(QueriesSummary::new(100, &counts).is_none());
        counts = Counts { requests: 10, queries: 70, transactions: 10, ..counts };
        let line = |counts: &Counts| QueriesSummary::new(15, counts).unwrap().line();
        assert_eq!(line(&counts), "queries: 75 in 15 transactions, 5.0 each");
        counts = Counts { failed: 1, skipped: 3, ..counts };
        let expected = "queries: 75 in 15 transactions, 5.0 each; 1 failed; 3 passed over behind one \
                        that failed";
        assert_eq!(line(&counts), expected);
    }

    #[test]
    fn what_was_copied_is_told_where_something_was() {
        assert!(CopiedSummary::new(&Counts::default()).is_none());
        let counts = Counts { copied_rows: 3, copied_bytes: 42, ..Counts::default() };
        assert_eq!(CopiedSummary::new(&counts).unwrap().line(), "copied out: 3 rows, 42 bytes");
    }
}
