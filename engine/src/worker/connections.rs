//! A connection's life: opened, idle, lost, opened again.

use std::{cmp::Reverse, ops::Range};

use wire::{Class, Code, Outcome};

use super::{BACKOFF_FIRST_NS, BACKOFF_MOST_NS, CANCEL_MOST_NS, Timer, Worker};
use crate::{
    ConnectionId, ConnectionTimes, Nanos, Refusal, Transport,
    pool::{Pool, Since, State},
};

impl Worker {
    /// How many targets there are.
    pub(crate) fn targets(&self) -> usize {
        self.targets.len()
    }

    /// The places of the connections to a target.
    pub(crate) fn members(&self, target: usize) -> Range<ConnectionId> {
        self.pools[target].members.clone()
    }

    /// A connection is free.
    pub(super) fn idle(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        connection.state = State::Idle;
        let target = connection.target;
        if let Some(job) = self.take_bound(id) {
            return self.start(id, job, now, transport);
        }
        self.pools[target].idle.push_back(id);
        self.serve(target, now, transport);
    }

    /// What becomes of a connection whose iteration is over.
    pub(super) fn release(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        if self.connections[id as usize].is_being_cancelled {
            self.settle(id, now, transport);
        } else if self.reconnects(id) {
            self.vacate(id, now, transport);
        } else if self.connections[id as usize].session.is_reusable() {
            self.idle(id, now, transport);
        } else {
            self.ended(id, now, transport);
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
        connection.lost_since = Since::NEVER;
        let target = connection.target;
        if let Some(job) = self.take_bound(id) {
            return self.start(id, job, now, transport);
        }
        self.pools[target].idle.push_back(id);
        self.serve(target, now, transport);
    }

    /// Closes the connection; nobody has its place until the next phase.
    pub(super) fn retire(&mut self, id: ConnectionId, transport: &mut impl Transport) {
        self.part(id, transport);
        let connection = &mut self.connections[id as usize];
        connection.state = State::Retired;
        connection.lost_since = Since::NEVER;
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
        if connection.state == State::OpeningFor {
            return self.begin_opened(id, now, transport);
        }
        let target = connection.target;
        let since = std::mem::replace(&mut connection.lost_since, Since::NEVER);
        let lost_ns = since.get().map_or(0, |since| now.saturating_sub(since));
        if let Some(report) = self.report_of(id) {
            report.disconnected_ns += lost_ns;
        }
        let connection = &mut self.connections[id as usize];
        let pool = &mut self.pools[target];
        pool.unready -= 1;
        if !pool.is_open() {
            pool.opened.connections += 1;
            pool.opened.add_security(connection.session.security());
            pool.opened.add_login(connection.session.login_method());
            pool.opened.add_parameters(connection.session.take_parameters());
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
        if !self.pools[connection.target].is_open() {
            connection.session.keep_parameters();
        }
        connection.step_since = now;
        connection.deadline = now + target.timeout_ns;
        transport.connect(id, &target.address);
    }

    /// The connection ended: a new one takes its place, at once if this one has been of use.
    /// Otherwise whoever is there lets us in and ends it then, and would do so without pause.
    pub(super) fn ended(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        if self.is_open && !self.connections[id as usize].session.has_served() {
            let refusal = self.refusal_of(id, Outcome::Failed(Class::Disconnected));
            return self.lost(id, refusal, now, transport);
        }
        self.reopen(id, now, transport);
    }

    /// The opening goes on over another connection; the time it takes is the opening's.
    pub(super) fn reconnect(&mut self, id: ConnectionId, transport: &mut impl Transport) {
        transport.close(id);
        transport.connect(id, &self.targets[self.connections[id as usize].target].address);
    }

    /// A new connection takes the place of this one at once.
    pub(super) fn reopen(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let target = self.connections[id as usize].target;
        self.pools[target].idle.retain(|other| *other != id);
        self.count_reopened(id, now);
        transport.close(id);
        self.connect(id, now, transport);
        // A query that goes out again need not wait for this connection.
        self.serve(target, now, transport);
    }

    fn count_reopened(&mut self, id: ConnectionId, now: Nanos) {
        self.connections[id as usize].lost_since.begin(now);
        if let Some(report) = self.report_of(id) {
            report.reopened += 1;
        }
    }

    /// Counts the time so far of connections that are not there again.
    pub(super) fn count_disconnected(&mut self, now: Nanos) {
        for id in 0..self.connections.len() as ConnectionId {
            let Some(since) = self.connections[id as usize].lost_since.restart(now) else {
                continue;
            };
            if let Some(report) = self.report_of(id) {
                report.disconnected_ns += now.saturating_sub(since);
            }
        }
    }

    /// The request in flight was given up: the server is told to end it, where the protocol has
    /// words for that, so that it does not run on in front of the next one. The connection is
    /// replaced.
    pub(super) fn cancel(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        self.out.clear();
        if !connection.session.cancel(&mut self.out) {
            return self.replace(id, now, transport);
        }
        let target = &self.targets[connection.target];
        connection.state = State::Cancelling;
        connection.lost_since.begin(now);
        connection.deadline = now + target.timeout_ns.min(CANCEL_MOST_NS);
        self.pools[connection.target].unready += 1;
        if !std::mem::replace(&mut connection.is_being_cancelled, true) {
            self.cancels.push(id);
            self.begin_cancels(transport);
        }
    }

    pub(super) fn begin_cancels(&mut self, transport: &mut impl Transport) {
        while let Some((id, place)) = self.cancels.begin() {
            let target = self.connections[id as usize].target;
            transport.connect(place, &self.targets[target].address);
        }
    }

    /// The connection in `place`, by which the request of `id` is cancelled, is up.
    pub(super) fn send_cancel(
        &mut self,
        id: ConnectionId,
        place: ConnectionId,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        self.out.clear();
        let connection = &mut self.connections[id as usize];
        if !connection.session.cancel(&mut self.out) {
            return self.cancelled(id, now, transport);
        }
        connection.cancel_sent.begin(now);
        transport.send(place, &self.out);
    }

    /// The server knows that the request of `id` is to be cancelled, or can't be told.
    pub(super) fn cancelled(
        &mut self,
        id: ConnectionId,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        if let Some(place) = self.cancels.end(id) {
            transport.close(place);
        }
        let connection = &mut self.connections[id as usize];
        connection.is_being_cancelled = false;
        match connection.state {
            State::Cancelling => self.given_up(id, now, transport),
            State::Settling => self.settled(id, now, transport),
            // It may still take its effect.
            _ => {}
        }
        self.begin_cancels(transport);
    }

    fn given_up(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        if self.reconnects(id) {
            let target = self.connections[id as usize].target;
            self.pools[target].unready -= 1;
        }
        self.replace(id, now, transport);
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
        if matches!(self.connections[id as usize].state, State::Asleep | State::InScript) {
            self.script_broken(id, refusal.outcome, Some(&refusal.failure), now);
        }
        transport.close(id);
        if let Some(place) = self.cancels.end(id) {
            transport.close(place);
        }
        let connection = &mut self.connections[id as usize];
        connection.is_being_cancelled = false;
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
        let backoff_ns =
            (2 * Nanos::from(connection.backoff_ns)).clamp(BACKOFF_FIRST_NS, BACKOFF_MOST_NS);
        connection.backoff_ns = backoff_ns as u32;
        self.timers.push(Reverse((now + backoff_ns, Timer::Reopen(id))));
        if let Some(share) = connection.stream.and_then(|stream| self.share(stream)) {
            share.failed_to_connect(now);
        }
        self.count_reopened(id, now);
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
                State::Busy | State::InScript => {
                    self.respond(id, Outcome::Failed(Class::Timeout), now);
                    self.cancel(id, now, transport);
                }
                State::Cancelling | State::Settling => self.cancelled(id, now, transport),
                State::Opening | State::OpeningFor => {
                    let mut refusal = self.refusal_of(id, Outcome::Failed(Class::Timeout));
                    refusal.failure.set(Code::None, b"no answer within the time limit");
                    self.lost(id, refusal, now, transport);
                }
                State::Unopened
                | State::Idle
                | State::Asleep
                | State::Down
                | State::Vacant
                | State::Retired => {}
            }
        }
    }
}
