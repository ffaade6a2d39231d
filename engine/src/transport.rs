//! What a worker asks of the sockets it does not have.

use socket2::SockAddr;

/// A connection's place, the same for the worker and for its driver.
pub type ConnectionId = u32;

/// Carries out what a [`crate::Worker`] decides. Implemented by each driver.
///
/// Calls never fail on the spot: what goes wrong comes back as an event
/// ([`crate::Worker::connect_failed`], [`crate::Worker::closed`]). After `close` no event of that
/// connection is delivered any more, until `connect` begins a new one in its place.
pub trait Transport {
    /// Begins to connect.
    fn connect(&mut self, id: ConnectionId, address: &SockAddr);
    /// Sends all of `bytes`, in one write.
    fn send(&mut self, id: ConnectionId, bytes: &[u8]);
    /// Closes at once.
    fn close(&mut self, id: ConnectionId);
}
