//! One core's state machine.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use bytes::BytesMut;
use wire::{Class, Code, Failure, Outcome, Progress, Values};

use crate::{
    Arrival, Arrivals, ConnectionId, Load, Nanos, Phase, PhaseReport, Random, Recording, Refusal,
    Target, Transport,
    phase::Opened,
    pool::{Connection, Flight, Job, Pool, State},
    schedule::MILLISECOND,
};

/// One core's state machine, without I/O and without a clock.
///
/// Use: [`Worker::open`] once, and events until [`Worker::opened`] or [`Worker::refusal`] has
/// something; then for each phase [`Worker::begin`], events until [`Worker::is_drained`], and
/// [`Worker::finish`].
///
/// Events: [`Worker::poll`] when [`Worker::deadline`] has come (or earlier: it then does nothing),
/// and [`Worker::connected`], [`Worker::connect_failed`], [`Worker::received`] and
/// [`Worker::closed`] as they happen. `now` must never go back. What is to be done comes out
/// through the [`Transport`].
#[derive(Debug)]
pub struct Worker {
    index: u32,
    workers: u32,
    targets: Arc<[Target]>,
    pools: Vec<Pool>,
    connections: Vec<Connection>,
    timers: BinaryHeap<Reverse<(Nanos, Timer)>>,
    next_sweep: Nanos,
    sweep_interval_ns: Nanos,
    is_open: bool,
    refusal: Option<Refusal>,
    phase: Option<Running>,
    in_flight: u32,
    values: Values,
    out: BytesMut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A virtual user's think time is over.
    Think,
    /// No more arrivals: a wake-up, so that [`Worker::is_drained`] is asked in time.
    End,
    /// Arrivals that still wait for a connection are given up.
    DrainEnd,
    /// A connection that was lost may be opened again.
    Reopen(ConnectionId),
}

/// The phase in progress.
#[derive(Debug)]
struct Running {
    phase: Phase,
    arrivals: Option<Arrivals>,
    /// How many iterations this worker's virtual users have begun.
    iterations: u64,
    report: PhaseReport,
    reopened_before: u64,
}

impl Running {
    fn end(&self) -> Nanos {
        self.report.start + self.phase.duration_ns
    }
}

const BACKOFF_FIRST_NS: Nanos = 10 * MILLISECOND;
const BACKOFF_MOST_NS: Nanos = 1000 * MILLISECOND;

/// Deadlines are looked at this many times within a time limit, so a request may run over by 1/32.
const SWEEPS_PER_TIMEOUT: Nanos = 32;

/// Think times must not be drawn from the numbers that decide a request's contents.
const THINK_SEED: u64 = 0x7468_696e_6b74_696d;

impl Worker {
    /// Worker `index` of `workers`, with its share of each target's connections (at least one).
    pub fn new(index: u32, workers: u32, targets: Arc<[Target]>) -> Self {
        let mut pools = Vec::with_capacity(targets.len());
        let mut connections = Vec::new();
        for (number, target) in targets.iter().enumerate() {
            let first = connections.len() as ConnectionId;
            let members = share(target.connections, index, workers).max(1);
            connections.extend((0..members).map(|_| Connection::new(number, target.session())));
            pools.push(Pool::new(first..first + members));
        }
        let shortest = targets.iter().map(|target| target.timeout_ns).min().unwrap_or(0);
        Self {
            index,
            workers,
            timers: BinaryHeap::with_capacity(connections.len()),
            targets,
            pools,
            connections,
            next_sweep: 0,
            sweep_interval_ns: (shortest / SWEEPS_PER_TIMEOUT)
                .clamp(MILLISECOND, 100 * MILLISECOND),
            is_open: false,
            refusal: None,
            phase: None,
            in_flight: 0,
            values: Values::new(),
            out: BytesMut::new(),
        }
    }

    /// How many connections the driver must have places for.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Begins to open all connections, each target's in turn.
    pub fn open(&mut self, now: Nanos, transport: &mut impl Transport) {
        for target in 0..self.pools.len() {
            for _ in 0..self.targets[target].opening_at_once.max(1) {
                self.open_next(target, now, transport);
            }
        }
    }

    /// Per target what opening came to, once every connection is ready.
    pub fn opened(&self) -> Option<Vec<Opened>> {
        self.is_open.then(|| self.pools.iter().map(|pool| pool.opened.clone()).collect())
    }

    /// The first target that could not be opened. Once the worker is open this stays `None`:
    /// connections that are lost then are opened again with a back-off.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Begins a phase whose arrivals start at `start`.
    pub fn begin(&mut self, phase: Phase, start: Nanos) {
        let end = start + phase.duration_ns;
        self.timers.push(Reverse((end, Timer::End)));
        self.timers.push(Reverse((end + phase.drain_ns, Timer::DrainEnd)));
        let arrivals = match phase.load {
            Load::ConstantVus { vus, .. } => {
                let vus = share(vus, self.index, self.workers);
                self.timers.reserve(vus as usize);
                self.timers.extend((0..vus).map(|_| Reverse((start, Timer::Think))));
                None
            }
            Load::ConstantArrivalRate { rate, gaps } => {
                let share = (self.index, self.workers);
                Some(Arrivals::new(rate, gaps, phase.seed, (start, end), share))
            }
        };
        let pool = &mut self.pools[phase.target];
        pool.waiting.reserve(phase.waiting_max.min(1 << 16));
        self.phase = Some(Running {
            arrivals,
            iterations: 0,
            reopened_before: pool.reopened,
            report: PhaseReport {
                recording: Recording::new(phase.mix.len()),
                planned: 0,
                sent: 0,
                dropped: 0,
                unserved: 0,
                resent: 0,
                reopened: 0,
                start,
                end: start,
                cpu_ns: 0,
                is_interrupted: false,
            },
            phase,
        });
    }

    /// Whether every arrival of the phase has been served or given up.
    pub fn is_drained(&self, now: Nanos) -> bool {
        let Some(running) = &self.phase else { return true };
        let is_over = match &running.arrivals {
            Some(arrivals) => arrivals.peek().is_none(),
            None => now >= running.end(),
        };
        is_over && self.in_flight == 0 && self.pools[running.phase.target].waiting.is_empty()
    }

    /// Ends the phase: once it is drained, or before its time where `is_interrupted`. Requests in
    /// flight are then left without an outcome, and their connections are opened again.
    pub fn finish(
        &mut self,
        is_interrupted: bool,
        now: Nanos,
        transport: &mut impl Transport,
    ) -> Option<PhaseReport> {
        let mut running = self.phase.take()?;
        let pool = &mut self.pools[running.phase.target];
        running.report.unserved += pool.waiting.len() as u64;
        running.report.reopened = pool.reopened - running.reopened_before;
        running.report.is_interrupted = is_interrupted;
        pool.waiting.clear();
        self.timers.retain(|Reverse((_, timer))| matches!(timer, Timer::Reopen(_)));
        if self.in_flight > 0 {
            let busy = |id: &ConnectionId| self.connections[*id as usize].state == State::Busy;
            let left: Vec<_> = pool.members.clone().filter(busy).collect();
            for id in left {
                transport.close(id);
                self.connect(id, now, transport);
            }
            self.in_flight = 0;
        }
        Some(running.report)
    }

    /// When [`Worker::poll`] has something to do next.
    pub fn deadline(&self) -> Nanos {
        let timer = self.timers.peek().map_or(Nanos::MAX, |Reverse((at, _))| *at);
        let arrivals = self.phase.as_ref().and_then(|running| running.arrivals.as_ref());
        let arrival = arrivals.and_then(Arrivals::peek).map_or(Nanos::MAX, |next| next.intended);
        let sweep = if self.is_open && self.in_flight == 0 { Nanos::MAX } else { self.next_sweep };
        timer.min(arrival).min(sweep)
    }

    /// Does whatever is due.
    pub fn poll(&mut self, now: Nanos, transport: &mut impl Transport) {
        while let Some(Reverse((at, timer))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            match timer {
                Timer::Reopen(id) => self.connect(id, now, transport),
                Timer::Think => self.iterate(at, now, transport),
                Timer::End => {}
                Timer::DrainEnd => self.give_up_waiting(),
            }
        }
        while let Some(arrival) = self.next_arrival(now) {
            self.dispatch(arrival, now, transport);
        }
        if now >= self.next_sweep {
            self.next_sweep = now + self.sweep_interval_ns;
            self.sweep(now, transport);
        }
    }

    /// The transport is up.
    pub fn connected(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        self.out.clear();
        let progress = self.connections[id as usize].session.open(&mut self.out);
        if !self.out.is_empty() {
            transport.send(id, &self.out);
        }
        if progress == Progress::Ready {
            self.ready(id, now, transport);
        }
    }

    /// The transport could not be brought up; `reason` is the system's word.
    pub fn connect_failed(
        &mut self,
        id: ConnectionId,
        reason: &str,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let mut refusal = self.refusal_of(id, Outcome::Failed(Class::ConnectFailed));
        refusal.failure.set(Code::None, reason.as_bytes());
        self.lost(id, refusal, now, transport);
    }

    /// Bytes came.
    pub fn received(
        &mut self,
        id: ConnectionId,
        mut bytes: &[u8],
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let mut is_answered = false;
        while !bytes.is_empty() {
            self.out.clear();
            let session = &mut self.connections[id as usize].session;
            match session.receive(&mut bytes, &mut self.out) {
                Progress::NeedMore => {}
                Progress::Write => transport.send(id, &self.out),
                Progress::Ready => self.ready(id, now, transport),
                Progress::Response(outcome) => {
                    self.respond(id, outcome, now);
                    if !self.connections[id as usize].session.is_reusable() {
                        return self.reopen(id, now, transport);
                    }
                    // The rest of the bytes must not count for the next request.
                    is_answered = true;
                }
                Progress::Refused(outcome) => {
                    let refusal = self.refusal_of(id, outcome);
                    return self.lost(id, refusal, now, transport);
                }
                Progress::Reconnect => return self.reconnect(id, transport),
            }
        }
        if is_answered {
            self.idle(id, now, transport);
        }
    }

    /// The peer closed the connection, or it broke.
    pub fn closed(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        match self.connections[id as usize].session.end_of_stream() {
            Progress::Response(outcome) => {
                self.respond(id, outcome, now);
                self.reopen(id, now, transport);
            }
            Progress::Refused(outcome) => {
                let refusal = self.refusal_of(id, outcome);
                self.lost(id, refusal, now, transport);
            }
            Progress::Reconnect => self.reconnect(id, transport),
            _ => self.reopen(id, now, transport),
        }
    }

    fn next_arrival(&mut self, now: Nanos) -> Option<Arrival> {
        let arrivals = self.phase.as_mut()?.arrivals.as_mut()?;
        let arrival = arrivals.peek().filter(|arrival| arrival.intended <= now)?;
        arrivals.advance();
        Some(arrival)
    }

    /// A virtual user begins its next iteration, or ends.
    fn iterate(&mut self, intended: Nanos, now: Nanos, transport: &mut impl Transport) {
        let Some(running) = self.phase.as_mut().filter(|running| intended < running.end()) else {
            return;
        };
        let number = running.iterations * u64::from(self.workers) + u64::from(self.index);
        running.iterations += 1;
        self.dispatch(Arrival { number, intended }, now, transport);
    }

    fn give_up_waiting(&mut self) {
        let Some(running) = &mut self.phase else { return };
        let waiting = &mut self.pools[running.phase.target].waiting;
        running.report.unserved += waiting.len() as u64;
        waiting.clear();
    }

    fn dispatch(&mut self, arrival: Arrival, now: Nanos, transport: &mut impl Transport) {
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

    fn start(&mut self, id: ConnectionId, job: Job, now: Nanos, transport: &mut impl Transport) {
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
    fn respond(&mut self, id: ConnectionId, outcome: Outcome, now: Nanos) {
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
    fn think(&mut self, now: Nanos) {
        let Some(running) = &mut self.phase else { return };
        let Load::ConstantVus { think_time_ns: (least, most), .. } = running.phase.load else {
            return;
        };
        let span = most.saturating_sub(least).saturating_add(1);
        let number = running.iterations * u64::from(self.workers) + u64::from(self.index);
        let think = least + Random::new(running.phase.seed ^ THINK_SEED, number).below(span);
        self.timers.push(Reverse((now + think, Timer::Think)));
    }

    /// A connection is free: the arrival that waits longest takes it.
    fn idle(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        connection.state = State::Idle;
        let pool = &mut self.pools[connection.target];
        match pool.waiting.pop_front() {
            Some(job) => self.start(id, job, now, transport),
            None => pool.idle.push_back(id),
        }
    }

    fn ready(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        connection.backoff_ns = 0;
        let target = connection.target;
        let pool = &mut self.pools[target];
        if !pool.is_open() {
            pool.opened.connections += 1;
            pool.opened.add_security(connection.session.security());
            pool.opened.connect.saturating_record(now.saturating_sub(connection.opening_since));
        }
        self.idle(id, now, transport);
        self.open_next(target, now, transport);
        self.is_open = self.is_open || self.pools.iter().all(Pool::is_open);
    }

    fn open_next(&mut self, target: usize, now: Nanos, transport: &mut impl Transport) {
        if let Some(id) = self.pools[target].unopened.next() {
            self.connect(id, now, transport);
        }
    }

    fn connect(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let connection = &mut self.connections[id as usize];
        let target = &self.targets[connection.target];
        connection.state = State::Opening;
        connection.opening_since = now;
        connection.deadline = now + target.timeout_ns;
        transport.connect(id, &target.address);
    }

    /// The opening goes on over another connection; the time it takes is the opening's.
    fn reconnect(&mut self, id: ConnectionId, transport: &mut impl Transport) {
        transport.close(id);
        transport.connect(id, &self.targets[self.connections[id as usize].target].address);
    }

    /// The peer ended the connection in an orderly way: a new one takes its place at once.
    fn reopen(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        let pool = &mut self.pools[self.connections[id as usize].target];
        pool.idle.retain(|other| *other != id);
        pool.reopened += 1;
        transport.close(id);
        self.connect(id, now, transport);
        // A query that goes out again need not wait for this connection.
        let pool = &mut self.pools[self.connections[id as usize].target];
        if !pool.waiting.is_empty()
            && let Some(other) = pool.idle.pop_front()
        {
            self.idle(other, now, transport);
        }
    }

    /// The connection can't be had now: try again, later each time.
    fn lost(
        &mut self,
        id: ConnectionId,
        refusal: Refusal,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        transport.close(id);
        let connection = &mut self.connections[id as usize];
        connection.state = State::Down;
        let pool = &mut self.pools[connection.target];
        pool.idle.retain(|other| *other != id);
        if !self.is_open {
            self.refusal.get_or_insert(refusal);
            return;
        }
        pool.reopened += 1;
        connection.backoff_ns =
            (connection.backoff_ns * 2).clamp(BACKOFF_FIRST_NS, BACKOFF_MOST_NS);
        self.timers.push(Reverse((now + connection.backoff_ns, Timer::Reopen(id))));
    }

    fn refusal_of(&self, id: ConnectionId, outcome: Outcome) -> Refusal {
        let connection = &self.connections[id as usize];
        let failure = connection.session.failure().clone();
        Refusal { target: connection.target, outcome, failure }
    }

    /// Gives up what has run over its time limit.
    fn sweep(&mut self, now: Nanos, transport: &mut impl Transport) {
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
                State::Idle | State::Down => {}
            }
        }
    }
}

/// Worker `index`'s part of `whole`: the parts of all workers add up to it.
fn share(whole: u32, index: u32, workers: u32) -> u32 {
    whole / workers + u32::from(index < whole % workers)
}
