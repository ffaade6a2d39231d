//! A request's way: due, dispatched to a connection, answered.

use std::cmp::Reverse;

use wire::{Class, Failure, Outcome, Session};

use super::{Timer, Worker, share::Share};
use crate::{
    ConnectionId, Nanos, Script, StreamReport, Transport,
    pool::{Flight, Job, Since, State},
};

impl Worker {
    /// A stream of the phase in progress.
    pub(super) fn share(&mut self, stream: u32) -> Option<&mut Share> {
        self.phase.as_mut()?.shares.get_mut(stream as usize)
    }

    /// Where what happens on a connection is counted.
    pub(super) fn report_of(&mut self, id: ConnectionId) -> Option<&mut StreamReport> {
        let stream = self.connections[id as usize].stream?;
        self.share(stream).map(|share| &mut share.report)
    }

    /// Sends what is in `out`.
    pub(super) fn send(&mut self, id: ConnectionId, transport: &mut impl Transport) {
        transport.send(id, &self.out);
        let bytes = self.out.len() as u64;
        if let Some(report) = self.report_of(id) {
            report.data_sent += bytes;
        }
    }

    /// An iteration is due: it takes a free connection, or waits for one, or is dropped.
    pub(super) fn dispatch(&mut self, job: Job, now: Nanos, transport: &mut impl Transport) {
        let Some(share) = self.share(job.stream) else { return };
        let (target, has_room) = (share.stream.target, share.has_room());
        share.report.planned += 1;
        let reconnect = share.stream.reconnect;
        let own = job.vu.filter(|_| share.is_bound());
        let pool = &mut self.pools[target];
        let place = match own {
            _ if !has_room => None,
            Some(vu) => pool.take_own(vu),
            None => pool.take_place(reconnect),
        };
        if let Some(id) = place {
            return self.start(id, job, now, transport);
        }
        let Some(share) = self.share(job.stream) else { return };
        share.report.late += 1;
        let is_waiting = share.may_wait();
        if is_waiting {
            share.waits(job.vu);
            share.waiting.push_back(job);
        } else {
            share.report.dropped += 1;
        }
        if has_room {
            self.grow(target, job.stream, u32::from(!is_waiting), now, transport);
        }
    }

    /// Opens another connection to `target` where fewer are being opened than are waited for;
    /// `dropped` iterations would have waited if they might.
    fn grow(
        &mut self,
        target: usize,
        stream: u32,
        dropped: u32,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let Some(phase) = &self.phase else { return };
        let shares = phase.shares.iter().filter(|share| share.stream.target == target);
        let waiting = shares.map(|share| share.waiting.len()).sum::<usize>();
        let pool = &mut self.pools[target];
        let room = phase.shares[stream as usize].room();
        if (pool.unready as usize) < waiting + dropped as usize
            && pool.unready < room
            && let Some(id) = pool.unopened.next()
        {
            self.connections[id as usize].stream = Some(stream);
            self.connect(id, now, transport);
        }
    }

    /// The iterations that wait longest take the connections that are free.
    pub(super) fn serve(&mut self, target: usize, now: Nanos, transport: &mut impl Transport) {
        while !self.pools[target].idle.is_empty()
            && let Some(job) = self.next_waiting(target)
            && let Some(id) = self.pools[target].idle.pop_front()
        {
            self.start(id, job, now, transport);
        }
    }

    fn next_waiting(&mut self, target: usize) -> Option<Job> {
        let shares = self.phase.as_mut()?.shares.iter_mut();
        let able = shares
            .filter(|share| share.stream.target == target && share.has_room() && !share.is_bound());
        let waiting =
            able.filter_map(|share| Some((share.waiting.front()?.arrival.intended, share)));
        let (_, share) = waiting.min_by_key(|(intended, _)| *intended)?;
        share.waiting.pop_front()
    }

    /// The iteration that waits for this connection and no other.
    pub(super) fn take_bound(&mut self, id: ConnectionId) -> Option<Job> {
        let target = self.connections[id as usize].target;
        let place = id - self.pools[target].members.start;
        let shares = self.phase.as_mut()?.shares.iter_mut();
        shares.filter(|share| share.stream.target == target && share.is_bound()).find_map(|share| {
            let index = share.waiting.iter().position(|job| job.vu == Some(place))?;
            share.waiting.remove(index)
        })
    }

    /// An iteration begins in a place: its request goes out, or a connection is opened for it.
    pub(super) fn start(
        &mut self,
        id: ConnectionId,
        job: Job,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let Some(phase) = &mut self.phase else { return };
        let share = &mut phase.shares[job.stream as usize];
        let connection = &mut self.connections[id as usize];
        share.took_off(job.vu, id);
        self.in_flight += 1;
        connection.stream = Some(job.stream);
        let (seed, number) = (share.stream.seed, job.arrival.number);
        let operation = match &share.stream.script {
            Script::Mix(mix) => mix.fill(seed, number, &mut self.values) as u32,
            // Which script it is falls to whoever has the connection, once that is there.
            Script::Pgbench(_) => 0,
        };
        connection.flight = Flight { job, operation, sent: now };
        if connection.state == State::Idle && !share.stream.reconnect {
            if share.clients.is_none() {
                return self.ask(id, now, transport);
            }
            if self.begin_transaction(id, now, transport) {
                // Whoever waits is served by whoever called.
                let target = self.connections[id as usize].target;
                self.pools[target].idle.push_back(id);
            }
            return;
        }
        if connection.state == State::Idle {
            self.part(id, transport);
        }
        self.connections[id as usize].state = State::OpeningFor;
        self.connect(id, now, transport);
    }

    /// The connection that was opened for an iteration is ready for it.
    pub(super) fn begin_opened(
        &mut self,
        id: ConnectionId,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let Flight { job, .. } = self.connections[id as usize].flight;
        let Some(phase) = &self.phase else { return };
        let stream = &phase.shares[job.stream as usize].stream;
        let Script::Mix(mix) = &stream.script else {
            if job.vu.is_some() {
                // As pgbench counts: without a schedule nothing is due before it can be sent.
                let flight = &mut self.connections[id as usize].flight;
                (flight.job.arrival.intended, flight.sent) = (now, now);
            }
            if self.begin_transaction(id, now, transport) {
                self.release(id, now, transport);
            }
            return;
        };
        mix.fill(stream.seed, job.arrival.number, &mut self.values);
        self.connections[id as usize].step_since = now;
        self.ask(id, now, transport);
    }

    /// Sends the request in flight, whose values are filled in.
    fn ask(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        let target = &self.targets[connection.target];
        let operation = &target.operations[connection.flight.operation as usize];
        self.out.clear();
        connection.session.request(operation, &self.values, &mut self.out);
        connection.state = State::Busy;
        connection.deadline = now + target.timeout_ns;
        connection.cancel_sent = Since::NEVER;
        let (stream, sent) = (connection.stream, connection.flight.sent);
        if let Some(share) = stream.and_then(|stream| self.share(stream)) {
            share.report.sent += 1;
            if let Some(cancel) = share.stream.cancel {
                self.timers.push(Reverse((now + cancel.after_ns, Timer::Cancel(id, sent))));
            }
        }
        self.send(id, transport);
    }

    /// Records the outcome of the request in flight.
    pub(super) fn respond(&mut self, id: ConnectionId, outcome: Outcome, now: Nanos) {
        match self.connections[id as usize].state {
            State::InScript => self.script_broken(id, outcome, None, now),
            _ => self.conclude(id, outcome, None, now),
        }
    }

    /// Records the outcome of the iteration in flight; `refused` has the words where no connection
    /// could be had for it.
    pub(super) fn conclude(
        &mut self,
        id: ConnectionId,
        outcome: Outcome,
        refused: Option<&Failure>,
        now: Nanos,
    ) {
        let connection = &mut self.connections[id as usize];
        connection.state = State::Idle;
        let Some(phase) = &mut self.phase else { return };
        let Flight { job, operation, sent } = connection.flight;
        let operation = operation as usize;
        // A transaction of a script is sent again by no one, and nothing is checked about it.
        let request = self.targets[connection.target].operations.get(operation);
        let request = request.filter(|_| phase.shares[job.stream as usize].clients.is_none());
        let share = &mut phase.shares[job.stream as usize];
        self.in_flight -= 1;
        phase.end = now;
        share.landed(now);
        if connection.session.has_served() {
            connection.backoff_ns = 0;
        }
        if outcome == Outcome::Failed(Class::StaleConnection)
            && !job.is_resent
            && request.is_some_and(|request| request.idempotent)
        {
            share.report.resent += 1;
            share.waits(job.vu);
            return share.waiting.push_front(Job { is_resent: true, ..job });
        }
        if let Some(counts) = connection.session.take_counts() {
            share.report.counts.add(&counts);
        }
        share.note(outcome, now);
        let silence = Failure::default();
        let failure = refused.unwrap_or_else(|| words(&connection.session, outcome, &silence));
        let times = (job.arrival.intended, sent, now);
        share.report.recording.record(operation, outcome, failure, times);
        if let Some(delay_ns) = self.receive_delay_ns {
            share.report.recording.delayed(operation, delay_ns);
        }
        if outcome.is_ok() {
            share.report.recording.timed(operation, connection.session.server_timing());
        }
        if let Some(times) = share.report.connections.as_mut().filter(|_| outcome.is_ok()) {
            times.answered(now.saturating_sub(connection.step_since));
        }
        let cancels = share.report.cancels.as_deref_mut().zip(share.stream.cancel);
        if let Some((times, cancel)) = cancels.filter(|_| refused.is_none()) {
            times.ended(outcome, connection.cancel_sent.get(), now, cancel.length_ns);
        }
        let checks = request.map_or(&[][..], |request| &request.checks);
        let reply = connection.session.reply(outcome, now.saturating_sub(sent));
        share.report.recording.check(operation, checks, &reply);
        share.report.iterations += 1;
        // What took no time must not be followed by the next at once, or nothing else would be done.
        self.rest(job.stream, job.vu, now.max(sent + 1));
    }

    /// Breaks off the request in flight: it stays without an outcome.
    pub(super) fn interrupt(
        &mut self,
        id: ConnectionId,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let Job { stream, vu, .. } = self.connections[id as usize].flight.job;
        let state = std::mem::replace(&mut self.connections[id as usize].state, State::Idle);
        self.in_flight -= 1;
        if let Some(share) = self.share(stream) {
            share.landed(now);
            share.report.interrupted += 1;
            if let Some(vu) = vu {
                share.gone(vu);
            }
        }
        match state {
            // Nothing is running that could be cancelled.
            State::Asleep => self.replace(id, now, transport),
            _ => self.cancel(id, now, transport),
        }
    }
}

/// What the peer said with an outcome; of a time-out it said nothing.
pub(super) fn words<'a>(
    session: &'a Session,
    outcome: Outcome,
    silence: &'a Failure,
) -> &'a Failure {
    if outcome == Outcome::Failed(Class::Timeout) { silence } else { session.failure() }
}
