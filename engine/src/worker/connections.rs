//! A connection's life: opened, idle, lost, opened again.

use std::cmp::Reverse;

use wire::{Class, Code, Outcome};

use super::{BACKOFF_FIRST_NS, BACKOFF_MOST_NS, Timer, Worker};
use crate::{
    ConnectionId, ConnectionTimes, Nanos, Refusal, Transport,
    pool::{Pool, State},
};

impl Worker {
    /// A connection is free.
    pub(super) fn idle(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        connection.state = State::Idle;
        let target = connection.target;
        self.pools[target].idle.push_back(id);
        self.serve(target, now, transport);
    }

    /// What becomes of a connection whose iteration is over.
    pub(super) fn release(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let is_reusable = self.connections[id as usize].session.is_reusable();
        if is_reusable && !self.reconnects(id) {
            self.idle(id, now, transport);
        } else {
            self.replace(id, now, transport);
        }
    }

    /// Closes a connection for which there is no more use; what takes its place is opened at once,
    /// or for the next iteration.
    pub(super) fn replace(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        if self.reconnects(id) {
            self.vacate(id, now, transport);
        } else {
            self.reopen(id, now, transport);
        }
    }

    /// Whether the stream that has the connection opens one for each iteration.
    pub(super) fn reconnects(&mut self, id: ConnectionId) -> bool {
        let stream = self.connections[id as usize].stream;
        stream.and_then(|stream| self.share(stream)).is_some_and(|share| share.stream.reconnect)
    }

    /// Closes the connection; its place is free for the next iteration.
    pub(super) fn vacate(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        self.part(id, transport);
        let connection = &mut self.connections[id as usize];
        connection.state = State::Vacant;
        let target = connection.target;
        self.pools[target].idle.push_back(id);
        self.serve(target, now, transport);
    }

    /// Says goodbye as the protocol has it, and closes.
    pub(super) fn part(&mut self, id: ConnectionId, transport: &mut impl Transport) {
        self.out.clear();
        self.connections[id as usize].session.finish(&mut self.out);
        transport.end(id, &self.out);
        let bytes = self.out.len() as u64;
        if let Some(report) = self.report_of(id) {
            report.data_sent += bytes;
        }
    }

    /// A step of a connection that is opened for an iteration has ended: where its time is
    /// recorded, how long the step took, and how long all steps so far.
    pub(super) fn opening_step(
        &mut self,
        id: ConnectionId,
        now: Nanos,
    ) -> Option<(&mut ConnectionTimes, Nanos, Nanos)> {
        let connection = &mut self.connections[id as usize];
        if connection.state != State::OpeningFor {
            return None;
        }
        let since = std::mem::replace(&mut connection.step_since, now);
        let whole_ns = now.saturating_sub(connection.flight.sent);
        let times = self.report_of(id)?.connections.as_deref_mut()?;
        Some((times, now.saturating_sub(since), whole_ns))
    }

    pub(super) fn ready(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        connection.backoff_ns = 0;
        if connection.state == State::OpeningFor {
            return self.begin_opened(id, now, transport);
        }
        let target = connection.target;
        let pool = &mut self.pools[target];
        pool.unready -= 1;
        if !pool.is_open() {
            pool.opened.connections += 1;
            pool.opened.connect.saturating_record(now.saturating_sub(connection.step_since));
        }
        self.idle(id, now, transport);
        self.open_beforehand(target, now, transport);
        self.is_open = self.is_open || self.pools.iter().all(Pool::is_open);
    }

    pub(super) fn open_beforehand(
        &mut self,
        target: usize,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        if let Some(id) = self.pools[target].next_beforehand() {
            self.connect(id, now, transport);
        }
    }

    pub(super) fn connect(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        let target = &self.targets[connection.target];
        if matches!(connection.state, State::Unopened | State::Idle | State::Busy) {
            self.pools[connection.target].unready += 1;
        }
        if connection.state != State::OpeningFor {
            connection.state = State::Opening;
        }
        connection.step_since = now;
        connection.deadline = now + target.timeout_ns;
        transport.connect(id, &target.address);
    }

    /// The connection ended in an orderly way, or was made to: a new one takes its place at once.
    pub(super) fn reopen(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let target = self.connections[id as usize].target;
        self.pools[target].idle.retain(|other| *other != id);
        self.count_reopened(id);
        transport.close(id);
        self.connect(id, now, transport);
        // A query that goes out again need not wait for this connection.
        self.serve(target, now, transport);
    }

    fn count_reopened(&mut self, id: ConnectionId) {
        if let Some(report) = self.report_of(id) {
            report.reopened += 1;
        }
    }

    /// The connection can't be had now: try again, later each time.
    pub(super) fn lost(
        &mut self,
        id: ConnectionId,
        refusal: Refusal,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        if self.connections[id as usize].state == State::OpeningFor {
            self.conclude(id, refusal.outcome, Some(&refusal.failure), now);
            if self.reconnects(id) {
                // The next iteration tries again when it is due: that is the load.
                return self.vacate(id, now, transport);
            }
        }
        transport.close(id);
        let connection = &mut self.connections[id as usize];
        let pool = &mut self.pools[connection.target];
        if matches!(connection.state, State::Idle | State::Busy) {
            pool.unready += 1;
        }
        connection.state = State::Down;
        pool.idle.retain(|other| *other != id);
        if !self.is_open {
            self.refusal.get_or_insert(refusal);
            return;
        }
        connection.backoff_ns =
            (connection.backoff_ns * 2).clamp(BACKOFF_FIRST_NS, BACKOFF_MOST_NS);
        self.timers.push(Reverse((now + connection.backoff_ns, Timer::Reopen(id))));
        self.count_reopened(id);
    }

    pub(super) fn refusal_of(&self, id: ConnectionId, outcome: Outcome) -> Refusal {
        let connection = &self.connections[id as usize];
        let failure = connection.session.failure().clone();
        Refusal { target: connection.target, outcome, failure }
    }

    /// Gives up what has run over its time limit.
    pub(super) fn sweep(&mut self, now: Nanos, transport: &mut impl Transport) {
        for id in 0..self.connections.len() as ConnectionId {
            let connection = &self.connections[id as usize];
            if connection.deadline > now {
                continue;
            }
            match connection.state {
                State::Busy => {
                    self.respond(id, Outcome::Failed(Class::Timeout), now);
                    self.replace(id, now, transport);
                }
                State::Opening | State::OpeningFor => {
                    let mut refusal = self.refusal_of(id, Outcome::Failed(Class::Timeout));
                    refusal.failure.set(Code::None, b"no answer within the time limit");
                    self.lost(id, refusal, now, transport);
                }
                State::Unopened | State::Idle | State::Down | State::Vacant => {}
            }
        }
    }
}
