//! What the timers of a phase's streams do: virtual users start, iterate and go; streams end.

use std::cmp::Reverse;

use super::{Piece, Timer, Worker, share::Broken};
use crate::{Arrival, Nanos, Transport, WorkerTime, pool::Job};

impl Worker {
    /// The open-loop arrival that is due first, with its stream.
    pub(super) fn next_arrival(&mut self, now: Nanos) -> Option<(u32, Arrival)> {
        let phase = self.phase.as_mut()?;
        let arrivals = (0..).zip(&mut phase.shares).filter_map(|(stream, share)| {
            let arrivals = share.arrivals.as_mut()?;
            let arrival = arrivals.peek().filter(|arrival| arrival.intended <= now)?;
            Some((stream, arrival, arrivals))
        });
        let (stream, arrival, arrivals) = arrivals.min_by_key(|(_, next, _)| next.intended)?;
        arrivals.advance();
        Some((stream, arrival))
    }

    /// The number of a stream's virtual users changes.
    pub(super) fn step(
        &mut self,
        stream: u32,
        at: Nanos,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let Some(share) = self.share(stream) else { return };
        let (coming, going) = share.step();
        let next = share.next_step();
        for vu in going {
            if let Some(by) = self.share(stream).and_then(|share| share.leave(vu, at)) {
                self.timers.push(Reverse((by, Timer::RampDownEnd(stream, vu))));
            }
        }
        if let Some(share) = self.share(stream) {
            coming.clone().for_each(|vu| share.join(vu, at));
        }
        for vu in coming {
            self.iterate(stream, vu, at, now, transport);
        }
        if let Some(next) = next {
            self.timers.push(Reverse((next, Timer::Step(stream))));
        }
    }

    /// A virtual user that has thought until `at` begins its next iteration, or goes.
    pub(super) fn iterate(
        &mut self,
        stream: u32,
        vu: u32,
        at: Nanos,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        if let Some(arrival) = self.share(stream).and_then(|share| share.begin(vu, at)) {
            let job = Job { arrival, stream, vu: Some(vu), is_resent: false };
            self.dispatch(job, now, transport);
        }
    }

    /// In a closed loop, the virtual user whose iteration is over thinks about the next.
    pub(super) fn rest(&mut self, stream: u32, vu: Option<u32>, now: Nanos) {
        if let Some(vu) = vu
            && let Some(until) = self.share(stream).and_then(|share| share.rest(vu, now))
        {
            self.timers.push(Reverse((until, Timer::Think(stream, vu))));
        }
    }

    /// The time of a virtual user that was to go by `at` is over.
    pub(super) fn break_off(
        &mut self,
        stream: u32,
        vu: u32,
        at: Nanos,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        let Some(share) = self.share(stream) else { return };
        match share.overdue(vu, at) {
            None => {}
            Some(Broken::InFlight(id)) => self.interrupt(id, now, transport),
            Some(Broken::Waiting) => {
                share.waiting.retain(|job| job.vu != Some(vu));
                share.report.interrupted += 1;
                share.gone(vu);
            }
        }
    }

    /// No more iterations of the stream begin.
    pub(super) fn end_stream(&mut self, stream: u32) {
        if let Some(share) = self.share(stream) {
            share.end();
        }
    }

    /// The stream's iterations that wait for a connection are given up.
    pub(super) fn give_up_waiting(&mut self, stream: u32) {
        if let Some(share) = self.share(stream) {
            share.give_up_waiting();
        }
    }

    /// The stream's requests in flight have had their time.
    pub(super) fn break_off_all(
        &mut self,
        stream: u32,
        now: Nanos,
        transport: &mut impl Transport,
    ) {
        self.give_up_waiting(stream);
        for id in 0..self.connections.len() as u32 {
            let connection = &self.connections[id as usize];
            if connection.state.has_flight() && connection.flight.job.stream == stream {
                self.interrupt(id, now, transport);
            }
        }
    }

    /// Where an interval is over, puts what happened in it aside to be taken. Goes on with an
    /// empty report that came back; where none did, this interval becomes longer.
    pub(super) fn cut_interval(&mut self, now: Nanos) {
        let next_cut = self.phase.as_ref().and_then(|phase| phase.next_cut);
        let Some(at) = next_cut.filter(|at| *at <= now) else { return };
        self.count_disconnected(now);
        let Some(phase) = &mut self.phase else { return };
        let over = (now - phase.start) / phase.interval_ns;
        let over_ns = over * phase.interval_ns;
        debug_assert!(at <= phase.start + over_ns);
        phase.next_cut = Some(phase.start + over_ns + phase.interval_ns);
        let Some(mut streams) = phase.spares.pop() else { return };
        for (share, spare) in phase.shares.iter_mut().zip(&mut streams) {
            share.take_report(spare);
        }
        let time = WorkerTime::default();
        phase.pieces.push_back(Piece {
            first: phase.cut,
            end: over,
            end_ns: over_ns,
            time,
            streams,
        });
        phase.cut = over;
    }
}
