//! Which statements a connection has prepared, where each is when it is first used.

use std::collections::VecDeque;

/// The numbers of the statements that the server knows on one connection.
#[derive(Debug, Default)]
pub(super) struct Preparation {
    known: Vec<bool>,
    /// Those whose Parse messages are on their way, in order; `None` where a Sync is among them.
    sent: VecDeque<Option<u32>>,
}

impl Preparation {
    /// The connection is a new one.
    pub(super) fn reset(&mut self) {
        self.known.fill(false);
        self.sent.clear();
    }

    /// Nothing is on its way: where a request failed, the server passed over what followed.
    pub(super) fn begin(&mut self) {
        self.sent.clear();
    }

    /// Whether statement `number` must be parsed before its next use.
    pub(super) fn needs(&mut self, number: u32) -> bool {
        let place = number as usize;
        if self.known.len() <= place {
            self.known.resize(place + 1, false);
        }
        let is_needed = !self.known[place] && !self.sent.contains(&Some(number));
        if is_needed {
            self.sent.push_back(Some(number));
        }
        is_needed
    }

    /// A ParseComplete came.
    pub(super) fn completed(&mut self) {
        if let Some(Some(number)) = self.sent.pop_front() {
            self.known[number as usize] = true;
        }
    }

    /// A Sync is sent.
    pub(super) fn sync(&mut self) {
        self.sent.push_back(None);
    }

    /// A Sync was answered. Where a request before it failed, the server passed over what followed.
    pub(super) fn synced(&mut self) {
        while let Some(Some(_)) = self.sent.pop_front() {}
    }
}
