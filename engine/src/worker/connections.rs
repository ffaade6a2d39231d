//! A connection's life: opened, idle, lost, opened again.

use std::cmp::Reverse;

use wire::{Class, Code, Outcome};

use super::{BACKOFF_FIRST_NS, BACKOFF_MOST_NS, Timer, Worker};
use crate::{
    ConnectionId, Nanos, Refusal, Transport,
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

    pub(super) fn ready(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        connection.backoff_ns = 0;
        let target = connection.target;
        let pool = &mut self.pools[target];
        pool.unready -= 1;
        if !pool.is_open() {
            pool.opened.connections += 1;
            pool.opened.add_security(connection.session.security());
            pool.opened.connect.saturating_record(now.saturating_sub(connection.opening_since));
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
        connection.state = State::Opening;
        connection.opening_since = now;
        connection.deadline = now + target.timeout_ns;
        transport.connect(id, &target.address);
    }

    /// The opening goes on over another connection; the time it takes is the opening's.
    pub(super) fn reconnect(&mut self, id: ConnectionId, transport: &mut impl Transport) {
        transport.close(id);
        transport.connect(id, &self.targets[self.connections[id as usize].target].address);
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
                    self.reopen(id, now, transport);
                }
                State::Opening => {
                    let mut refusal = self.refusal_of(id, Outcome::Failed(Class::Timeout));
                    refusal.failure.set(Code::None, b"no answer within the time limit");
                    self.lost(id, refusal, now, transport);
                }
                State::Unopened | State::Idle | State::Down => {}
            }
        }
    }
}
