//! A request's way: due, dispatched to a connection, answered.

use std::cmp::Reverse;

use wire::{Class, Failure, Outcome};

use super::{THINK_SEED, Timer, Worker};
use crate::{
    Arrival, ConnectionId, Load, Nanos, Random, Transport,
    pool::{Flight, Job, State},
};

impl Worker {
    pub(super) fn next_arrival(&mut self, now: Nanos) -> Option<Arrival> {
        let arrivals = self.phase.as_mut()?.arrivals.as_mut()?;
        let arrival = arrivals.peek().filter(|arrival| arrival.intended <= now)?;
        arrivals.advance();
        Some(arrival)
    }

    /// A virtual user begins its next iteration, or ends.
    pub(super) fn iterate(&mut self, intended: Nanos, now: Nanos, transport: &mut impl Transport) {
        let Some(running) = self.phase.as_mut().filter(|running| intended < running.end()) else {
            return;
        };
        let number = running.iterations * u64::from(self.workers) + u64::from(self.index);
        running.iterations += 1;
        self.dispatch(Arrival { number, intended }, now, transport);
    }

    pub(super) fn give_up_waiting(&mut self) {
        let Some(running) = &mut self.phase else { return };
        let waiting = &mut self.pools[running.phase.target].waiting;
        running.report.unserved += waiting.len() as u64;
        waiting.clear();
    }

    pub(super) fn dispatch(
        &mut self,
        arrival: Arrival,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let Some(running) = &mut self.phase else { return };
        running.report.planned += 1;
        let job = Job { arrival, is_resent: false };
        let pool = &mut self.pools[running.phase.target];
        match pool.idle.pop_front() {
            Some(id) => self.start(id, job, now, transport),
            None if pool.waiting.len() < running.phase.waiting_max => pool.waiting.push_back(job),
            None => {
                running.report.dropped += 1;
                self.think(now);
            }
        }
    }

    pub(super) fn start(
        &mut self,
        id: ConnectionId,
        job: Job,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let Some(running) = &mut self.phase else { return };
        let connection = &mut self.connections[id as usize];
        let target = &self.targets[connection.target];
        let phase = &running.phase;
        let operation = phase.mix.fill(phase.seed, job.arrival.number, &mut self.values);
        self.out.clear();
        connection.session.request(&target.operations[operation], &self.values, &mut self.out);
        connection.state = State::Busy;
        connection.deadline = now + target.timeout_ns;
        connection.flight = Flight { job, operation, sent: now };
        self.in_flight += 1;
        running.report.sent += 1;
        transport.send(id, &self.out);
    }

    /// Records the outcome of the request in flight.
    pub(super) fn respond(&mut self, id: ConnectionId, outcome: Outcome, now: Nanos) {
        let connection = &mut self.connections[id as usize];
        connection.state = State::Idle;
        let Some(running) = &mut self.phase else { return };
        let Flight { job, operation, sent } = connection.flight;
        self.in_flight -= 1;
        running.report.end = now;
        if outcome == Outcome::Failed(Class::StaleConnection)
            && !job.is_resent
            && self.targets[connection.target].operations[operation].idempotent
        {
            running.report.resent += 1;
            let pool = &mut self.pools[connection.target];
            return pool.waiting.push_front(Job { is_resent: true, ..job });
        }
        // The peer did not say anything of a time-out.
        let silence = Failure::default();
        let failure = match outcome {
            Outcome::Failed(Class::Timeout) => &silence,
            _ => connection.session.failure(),
        };
        let times = (job.arrival.intended, sent, now);
        running.report.recording.record(operation, outcome, failure, times);
        self.think(now);
    }

    /// In a closed loop, the virtual user whose request is over thinks about the next.
    pub(super) fn think(&mut self, now: Nanos) {
        let Some(running) = &mut self.phase else { return };
        let Load::ConstantVus { think_time_ns: (least, most), .. } = running.phase.load else {
            return;
        };
        let span = most.saturating_sub(least).saturating_add(1);
        let number = running.iterations * u64::from(self.workers) + u64::from(self.index);
        let think = least + Random::new(running.phase.seed ^ THINK_SEED, number).below(span);
        self.timers.push(Reverse((now + think, Timer::Think)));
    }
}
