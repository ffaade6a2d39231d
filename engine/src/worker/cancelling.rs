//! Requests that are cancelled on purpose while they run ([`crate::Stream::cancel`]).

use super::Worker;
use crate::{ConnectionId, Nanos, SECOND, Transport, pool::State};

/// The connection by which a request was cancelled may outlive the request by so long. It is long,
/// since PgBouncer 1.18 crashes where such a client goes first: its cancel may wait for a connection
/// to the server.
const SETTLE_MOST_NS: Nanos = 10 * SECOND;

impl Worker {
    /// The request that was sent at `sent` is to be cancelled, if it is still in flight.
    pub(super) fn cancel_due(
        &mut self,
        id: ConnectionId,
        sent: Nanos,
        transport: &mut impl Transport,
    ) {
        let connection = &mut self.connections[id as usize];
        let is_in_flight = connection.state == State::Busy && connection.flight.sent == sent;
        if is_in_flight && !connection.is_being_cancelled {
            connection.is_being_cancelled = true;
            self.cancels.push(id);
            self.begin_cancels(transport);
        }
    }

    /// The request has its outcome, and the server has not yet closed the connection that it is
    /// cancelled by. What came next on this one could be hit in its place.
    pub(super) fn settle(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        connection.state = State::Settling;
        connection.deadline = now + SETTLE_MOST_NS;
        self.pools[connection.target].unready += 1;
        if connection.cancel_sent.get().is_none() {
            self.cancelled(id, now, transport);
        }
    }

    /// Nothing is on its way to the connection's request any more.
    pub(super) fn settled(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        connection.state = State::Idle;
        self.pools[connection.target].unready -= 1;
        self.release(id, now, transport);
    }
}
