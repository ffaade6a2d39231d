//! A phase's beginning, its intervals and its end.

use std::{cmp::Reverse, collections::VecDeque};

use super::{Ending, Piece, Running, SPARES, TIMERS_A_STREAM, Timer, Worker, share::Share};
use crate::{
    ConnectionId, Nanos, Phase, PhaseReport, Stream, StreamReport, Transport, WorkerTime,
    pool::State,
};

impl Worker {
    /// Begins a phase whose streams start at `start` at the earliest.
    pub fn begin(&mut self, phase: &Phase, start: Nanos) {
        for (id, connection) in (0..).zip(&mut self.connections) {
            connection.lost_since.restart(start);
            let is_its = |stream: &Stream| stream.target == connection.target;
            connection.stream = phase.streams().iter().position(is_its).map(|found| found as u32);
            if connection.state == State::Retired {
                connection.state = State::Vacant;
                self.pools[connection.target].idle.push_back(id);
            }
        }
        // Streams on the same target are dealt out one after the other, so that each worker has
        // as many connections to it as their users need together.
        let mut dealt = vec![0_u32; self.pools.len()];
        let mut shares = Vec::with_capacity(phase.streams().len());
        for (number, stream) in (0..).zip(phase.streams()) {
            let dealt = &mut dealt[stream.target];
            let lane = (self.index + self.workers - *dealt % self.workers) % self.workers;
            *dealt = dealt.wrapping_add(stream.load.vus_max());
            let lane = (lane, self.workers);
            let places = self.pools[stream.target].members.len();
            let share = Share::new(stream.clone(), start, phase.waiting_max, places, lane);
            let graceful_ns = stream.graceful_stop_ns;
            let drained = share.end.saturating_add(phase.drain_ns.min(graceful_ns));
            // One a user, and the think times that users leave behind when they have to go.
            let left_behind = if stream.think_time_ns.1 > 0 { share.vus() } else { 0 };
            // Of requests that end before they are cancelled more may be left behind.
            let cancels = stream.cancel.map_or(0, |_| stream.load.vus_max() as usize);
            self.timers.reserve(share.vus() + left_behind + cancels + TIMERS_A_STREAM);
            self.timers.extend([
                Reverse((start + stream.start_ns, Timer::Step(number))),
                Reverse((share.end, Timer::End(number))),
                Reverse((drained, Timer::DrainEnd(number))),
                Reverse((share.end.saturating_add(graceful_ns), Timer::GracefulEnd(number))),
            ]);
            shares.push(share);
        }
        let interval_ns = phase.interval_ns.map_or(Nanos::MAX, |ns| ns.max(1));
        let empty = || phase.streams().iter().map(StreamReport::of).collect();
        // A phase shorter than an interval needs none.
        let spares = if phase.duration_ns() > interval_ns { SPARES } else { 0 };
        self.phase = Some(Running {
            start,
            end: start,
            shares,
            interval_ns,
            next_cut: (interval_ns < Nanos::MAX).then(|| start.saturating_add(interval_ns)),
            cut: 0,
            spares: (0..spares).map(|_| empty()).collect(),
            pieces: VecDeque::with_capacity(SPARES),
        });
    }

    /// The next interval that is over. Where one has come back empty through
    /// [`Worker::give_back`], another can be handed out; else the current one becomes longer.
    pub fn take_interval(&mut self) -> Option<Piece> {
        self.phase.as_mut()?.pieces.pop_front()
    }

    /// Whether there is room for a report that comes back.
    pub fn wants_back(&self) -> bool {
        self.phase
            .as_ref()
            .is_some_and(|phase| phase.next_cut.is_some() && phase.spares.len() < SPARES)
    }

    /// Takes back the emptied reports of an interval of this phase.
    pub fn give_back(&mut self, streams: Vec<StreamReport>) {
        if let Some(phase) = &mut self.phase {
            phase.spares.push(streams);
        }
    }

    /// Ends the phase: once it is drained, or before its time. Requests in flight are then left
    /// without an outcome, and their connections are opened again.
    ///
    /// Reports what happened since the last interval; take all intervals first.
    pub fn finish(
        &mut self,
        ending: Ending,
        now: Nanos,
        transport: &mut impl Transport,
    ) -> Option<(PhaseReport, Piece)> {
        for share in self.phase.iter_mut().flat_map(|phase| &mut phase.shares) {
            share.give_up_waiting();
        }
        if self.in_flight > 0 {
            for id in 0..self.connections.len() as ConnectionId {
                if self.connections[id as usize].state.has_flight() {
                    self.interrupt(id, now, transport);
                }
            }
        }
        self.count_disconnected(now);
        let mut phase = self.phase.take()?;
        self.timers.retain(|Reverse((_, timer))| matches!(timer, Timer::Reopen(_)));
        let streams = phase.shares.iter_mut().map(|share| share.finish(now)).collect();
        let end_ns = now.saturating_sub(phase.start);
        let piece = Piece {
            first: phase.cut,
            end: (end_ns / phase.interval_ns).max(phase.cut) + 1,
            end_ns,
            time: WorkerTime::default(),
            streams,
        };
        let report = PhaseReport {
            streams: Vec::new(),
            start: phase.start,
            end: phase.end,
            cpu_ns: 0,
            spun_ns: 0,
            workers: Vec::new(),
            is_interrupted: ending == Ending::Interrupted,
            is_aborted: ending == Ending::Aborted,
        };
        Some((report, piece))
    }
}
