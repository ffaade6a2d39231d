//! What one load did, as plain numbers.

use engine::Recording;

/// What one load did in a stretch of time.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) recording: Recording,
    /// Iterations that got their outcome.
    pub(crate) iterations: u64,
    /// Arrivals that were never sent.
    pub(crate) dropped: u64,
    /// In bytes.
    pub(crate) data_sent: u64,
    /// In bytes.
    pub(crate) data_received: u64,
}

impl Tally {
    /// Adds what it did next.
    pub(crate) fn append(&mut self, later: &Self) {
        self.recording.merge(&later.recording);
        self.iterations += later.iterations;
        self.dropped += later.dropped;
        self.data_sent += later.data_sent;
        self.data_received += later.data_received;
    }
}
