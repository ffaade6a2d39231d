//! One core's state machine.

mod cancelling;
mod cancels;
mod connections;
mod executors;
mod phases;
mod requests;
mod scripts;
mod share;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

use bytes::BytesMut;
use wire::{Class, Code, Operation, Outcome, Progress, Values};

use self::{cancels::Cancels, share::Share};
use crate::{
    ConnectionId, Nanos, Opened, Refusal, StreamReport, Target, Transport, WorkerTime,
    load::MILLISECOND,
    pool::{Connection, Job, Pool, State},
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
    /// In places that follow those of the connections.
    cancels: Cancels,
    values: Values,
    out: BytesMut,
    /// How long the bytes in hand lay with the kernel, if that is known, in ns.
    receive_delay_ns: Option<Nanos>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The number of a stream's virtual users changes.
    Step(u32),
    /// A virtual user of a stream begins its next iteration.
    Think(u32, u32),
    /// The time of a virtual user that is to go is over.
    RampDownEnd(u32, u32),
    /// A stream begins no more iterations.
    End(u32),
    /// A stream's iterations that still wait for a connection are given up.
    DrainEnd(u32),
    /// A stream's requests in flight are interrupted.
    GracefulEnd(u32),
    /// The request that was sent on a connection at this time is to be cancelled.
    Cancel(ConnectionId, Nanos),
    /// A connection that was lost may be opened again.
    Reopen(ConnectionId),
    /// A script has slept.
    Wake(ConnectionId),
}

/// The phase in progress.
#[derive(Debug)]
struct Running {
    start: Nanos,
    /// When the last request had its outcome.
    end: Nanos,
    shares: Vec<Share>,
    interval_ns: Nanos,
    /// When the next interval is over, if any are reported.
    next_cut: Option<Nanos>,
    /// Intervals that were handed out.
    cut: u64,
    /// Empty reports to go on with.
    spares: Vec<Vec<StreamReport>>,
    /// Intervals to be handed out.
    pieces: VecDeque<Piece>,
}

/// Timers that a stream has beside its users'.
const TIMERS_A_STREAM: usize = 4;

const BACKOFF_FIRST_NS: Nanos = 10 * MILLISECOND;
const BACKOFF_MOST_NS: Nanos = 1000 * MILLISECOND;

/// A server that is told to end a request has so long to take note of it.
const CANCEL_MOST_NS: Nanos = 1000 * MILLISECOND;

/// Deadlines are looked at this many times within a time limit, so a request may run over by 1/32.
const SWEEPS_PER_TIMEOUT: Nanos = 32;

/// So many empty reports for the next intervals; one that is handed out has as long as that for
/// its way back.
pub(crate) const SPARES: usize = 2;

/// Why a phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is drained.
    Complete,
    /// The stop flag was raised.
    Interrupted,
    /// Whoever was told of its intervals did not want to go on.
    Aborted,
}

/// What one worker did in some intervals of a phase, one as a rule.
#[derive(Debug)]
pub struct Piece {
    /// The number of the first of them.
    pub first: u64,
    /// The number of the one after the last.
    pub end: u64,
    /// When the last of them ended, in ns after the phase's start.
    pub end_ns: Nanos,
    /// What its thread did meanwhile; whoever takes it and has a clock knows.
    pub time: WorkerTime,
    /// Per stream, in the phase's order.
    pub streams: Vec<StreamReport>,
}

impl Worker {
    /// Worker `index` of `workers`, with its share of each target's connections (at least one).
    pub fn new(index: u32, workers: u32, targets: Arc<[Target]>) -> Self {
        let mut pools = Vec::with_capacity(targets.len());
        let mut connections = Vec::new();
        for (number, target) in targets.iter().enumerate() {
            let first = connections.len() as ConnectionId;
            let beforehand = share(target.connections.into(), index, workers).max(1) as u32;
            let places = share(target.connections_max.into(), index, workers) as u32;
            let places = places.max(beforehand);
            connections.extend((0..places).map(|_| Connection::new(number, target.session())));
            pools.push(Pool::new(first..first + places, beforehand));
        }
        let has_cancel = |one: &&Connection| targets[one.target].opening.has_cancel();
        let cancellable = connections.iter().filter(has_cancel).count();
        let cancels = Cancels::new(connections.len() as ConnectionId, cancellable);
        let shortest = targets.iter().map(|target| target.timeout_ns).min().unwrap_or(0);
        Self {
            index,
            workers,
            // Phases reserve what they need; connections that are lost may cost an allocation.
            timers: BinaryHeap::new(),
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
            cancels,
            values: Values::new(),
            out: BytesMut::new(),
            receive_delay_ns: None,
        }
    }

    /// From now on requests to `target` are these, in the order of the mix: a token was renewed.
    /// What is in flight stays as it is. Not for Postgres, whose sessions know their statements
    /// from the start.
    pub fn replace_operations(&mut self, target: usize, operations: Arc<[Operation]>) {
        let mut targets = self.targets.to_vec();
        targets[target].operations = operations;
        self.targets = targets.into();
    }

    /// How many connections the driver must have places for: its own, and some that are opened only
    /// while requests are being cancelled.
    pub fn connections(&self) -> usize {
        self.connections.len() + self.cancels.places()
    }

    /// Whether a server is being told of a request that was given up. Whoever closes the
    /// connections now leaves the request running there.
    pub fn is_cancelling(&self) -> bool {
        !self.cancels.is_empty()
    }

    /// Begins to open all connections, each target's in turn.
    pub fn open(&mut self, now: Nanos, transport: &mut impl Transport) {
        for target in 0..self.pools.len() {
            for _ in 0..self.targets[target].opening_at_once.max(1) {
                self.open_beforehand(target, now, transport);
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

    /// Whether every arrival of the phase has been served or given up.
    pub fn is_drained(&self, now: Nanos) -> bool {
        self.phase.as_ref().is_none_or(|phase| phase.shares.iter().all(|share| share.is_over(now)))
    }

    /// When [`Worker::poll`] has something to do next.
    pub fn deadline(&self) -> Nanos {
        let timer = self.timers.peek().map_or(Nanos::MAX, |Reverse((at, _))| *at);
        let is_at_rest =
            self.is_open && self.in_flight == 0 && self.pools.iter().all(|pool| pool.unready == 0);
        let sweep = if is_at_rest { Nanos::MAX } else { self.next_sweep };
        let soonest = timer.min(sweep);
        let Some(phase) = &self.phase else { return soonest };
        let arrivals = phase.shares.iter().filter_map(|share| share.arrivals.as_ref()?.peek());
        let arrival = arrivals.map(|next| next.intended).min();
        soonest.min(arrival.unwrap_or(Nanos::MAX)).min(phase.next_cut.unwrap_or(Nanos::MAX))
    }

    /// Does whatever is due.
    pub fn poll(&mut self, now: Nanos, transport: &mut impl Transport) {
        self.cut_interval(now);
        while let Some((stream, arrival)) = self.next_arrival(now) {
            let job = Job { arrival, stream, vu: None, is_resent: false };
            self.dispatch(job, now, transport);
        }
        while let Some(Reverse((at, timer))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            match timer {
                Timer::Cancel(id, sent) => self.cancel_due(id, sent, transport),
                Timer::Reopen(id) => self.connect(id, now, transport),
                Timer::Wake(id) => self.wake(id, at, now, transport),
                Timer::Step(stream) => self.step(stream, at, now, transport),
                Timer::Think(stream, vu) => self.iterate(stream, vu, at, now, transport),
                Timer::RampDownEnd(stream, vu) => self.break_off(stream, vu, at, now, transport),
                Timer::End(stream) => self.end_stream(stream),
                Timer::DrainEnd(stream) => self.give_up_waiting(stream),
                Timer::GracefulEnd(stream) => self.break_off_all(stream, now, transport),
            }
        }
        if now >= self.next_sweep {
            self.next_sweep = now + self.sweep_interval_ns;
            self.sweep(now, transport);
        }
    }

    /// The transport is up.
    pub fn connected(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        if let Some(cancelled) = self.cancels.whose(id) {
            return self.send_cancel(cancelled, id, now, transport);
        }
        self.out.clear();
        let progress = self.connections[id as usize].session.open(&mut self.out);
        if let Some((times, step_ns, _)) = self.opening_step(id, now) {
            times.connected(step_ns);
        }
        if !self.out.is_empty() {
            self.send(id, transport);
        }
        if progress == Progress::Ready {
            if let Some((times, _, whole_ns)) = self.opening_step(id, now) {
                times.ready(None, whole_ns);
            }
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
        if let Some(cancelled) = self.cancels.whose(id) {
            return self.cancelled(cancelled, now, transport);
        }
        let mut refusal = self.refusal_of(id, Outcome::Failed(Class::ConnectFailed));
        refusal.failure.set(Code::None, reason.as_bytes());
        self.lost(id, refusal, now, transport);
    }

    /// The kernel had the bytes that [`Worker::received`] gets next so many ns before.
    pub fn stamp(&mut self, delay_ns: Nanos) {
        self.receive_delay_ns = Some(delay_ns);
    }

    /// Bytes came.
    pub fn received(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        self.take(id, bytes, now, transport);
        self.receive_delay_ns = None;
    }

    fn take(
        &mut self,
        id: ConnectionId,
        mut bytes: &[u8],
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        // What a cancelled request still says is nobody's; a server says nothing to a cancel.
        if self.connections.get(id as usize).is_none_or(|one| one.state == State::Cancelling) {
            return;
        }
        let mut is_answered = false;
        let mut script_outcome = None;
        if let Some(report) = self.report_of(id) {
            report.data_received += bytes.len() as u64;
        }
        while !bytes.is_empty() {
            self.out.clear();
            let session = &mut self.connections[id as usize].session;
            let was_secured = session.is_secured();
            let progress = session.receive(&mut bytes, &mut self.out);
            if !was_secured
                && session.is_secured()
                && let Some((times, step_ns, _)) = self.opening_step(id, now)
            {
                times.secured(step_ns);
            }
            match progress {
                Progress::NeedMore => {}
                Progress::Write => self.send(id, transport),
                Progress::Ready => {
                    let has_login = self.connections[id as usize].session.has_login();
                    if let Some((times, step_ns, whole_ns)) = self.opening_step(id, now) {
                        times.ready(has_login.then_some(step_ns), whole_ns);
                    }
                    self.ready(id, now, transport);
                }
                Progress::Response(outcome)
                    if self.connections[id as usize].state == State::InScript =>
                {
                    script_outcome = Some(outcome);
                    if !self.connections[id as usize].session.is_reusable() {
                        break;
                    }
                }
                Progress::Response(outcome) => {
                    self.respond(id, outcome, now);
                    if !self.connections[id as usize].session.is_reusable() {
                        return self.release(id, now, transport);
                    }
                    // The rest of the bytes must not count for the next request.
                    is_answered = true;
                }
                Progress::Refused(outcome) => {
                    let refusal = self.refusal_of(id, outcome);
                    if let Some(answered) = script_outcome {
                        self.script_cut_off(id, answered, &refusal, now);
                    }
                    let is_over = is_answered || script_outcome.is_some();
                    if is_over && self.reconnects(id) {
                        return self.vacate(id, now, transport);
                    }
                    return self.lost(id, refusal, now, transport);
                }
                Progress::Reconnect => return self.reconnect(id, transport),
            }
        }
        if is_answered {
            self.release(id, now, transport);
        }
        if let Some(outcome) = script_outcome {
            self.script_answered(id, outcome, now, transport);
        }
    }

    /// The peer closed the connection, or it broke.
    pub fn closed(&mut self, id: ConnectionId, now: Nanos, transport: &mut impl Transport) {
        if let Some(cancelled) = self.cancels.whose(id) {
            return self.cancelled(cancelled, now, transport);
        }
        if self.connections[id as usize].state == State::Cancelling {
            return self.cancelled(id, now, transport);
        }
        if self.connections[id as usize].state == State::Settling {
            // It is opened again when nothing is on its way to it any more.
            self.connections[id as usize].session.end_of_stream();
            return;
        }
        match self.connections[id as usize].session.end_of_stream() {
            Progress::Response(outcome) => {
                self.respond(id, outcome, now);
                self.release(id, now, transport);
            }
            Progress::Refused(outcome) => {
                let refusal = self.refusal_of(id, outcome);
                self.lost(id, refusal, now, transport);
            }
            Progress::Reconnect => self.reconnect(id, transport),
            _ => {
                if self.connections[id as usize].state == State::Asleep {
                    self.lost_asleep(id, now);
                }
                self.ended(id, now, transport);
            }
        }
    }
}

/// Worker `index`'s part of `whole`: the parts of all workers add up to it.
fn share(whole: u64, index: u32, workers: u32) -> u64 {
    let (index, workers) = (u64::from(index), u64::from(workers));
    whole / workers + u64::from(index < whole % workers)
}
