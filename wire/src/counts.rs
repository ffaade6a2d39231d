//! What is counted on a connection beside outcomes.

/// What went over a connection beside requests and their outcomes, since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests whose statements are counted here; any other is one query and one transaction.
    pub requests: u64,
    /// Statements that were sent for them, BEGIN, COMMIT and ROLLBACK among them.
    pub queries: u64,
    /// As many of them were answered with an error.
    pub failed: u64,
    /// As many of them the server passed over, since one before them had failed.
    pub skipped: u64,
    /// How often the server was then ready outside of a transaction: transactions that ended.
    pub transactions: u64,
    /// NoticeResponse messages.
    pub notices: u64,
    /// Rows that COPY TO STDOUT sent.
    pub copied_rows: u64,
    /// Their bytes.
    pub copied_bytes: u64,
}

impl Counts {
    /// Adds what was counted elsewhere or later.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.queries += other.queries;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.transactions += other.transactions;
        self.notices += other.notices;
        self.copied_rows += other.copied_rows;
        self.copied_bytes += other.copied_bytes;
    }
}
