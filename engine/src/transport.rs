//! What a worker asks of the sockets it does not have.

use socket2::SockAddr;

/// A connection's place, the same for the worker and for its driver.
pub type ConnectionId = u32;

/// Carries out what a [`crate::Worker`] decides. Implemented by each driver.
///
/// Calls never fail on the spot: what goes wrong comes back as an event
/// ([`crate::Worker::connect_failed`], [`crate::Worker::closed`]). After `end` no event of that
/// connection is delivered any more, until `connect` begins a new one in its place.
pub trait Transport {
    /// Begins to connect.
    fn connect(&mut self, id: ConnectionId, address: &SockAddr);
    /// Sends all of `bytes`, in one write.
    fn send(&mut self, id: ConnectionId, bytes: &[u8]);
    /// Sends `last_words`, as far as the socket takes them without waiting, and closes at once. What
    /// was to be sent before is given up.
    fn end(&mut self, id: ConnectionId, last_words: &[u8]);
    /// Closes at once, without a word.
    fn close(&mut self, id: ConnectionId) {
        self.end(id, &[]);
    }
}
