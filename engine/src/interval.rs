//! What happened in one second of a phase, put together from all workers.

use crate::{Nanos, StreamReport, WorkerTime, worker::Piece};

/// What all workers did in a second of a phase (or longer, where reports were not taken in time):
/// what is in one interval is in no other, and all of them appended are the phase.
#[derive(Clone, Debug)]
pub struct Interval {
    /// When it began, in ns after the phase's start.
    pub start_ns: Nanos,
    /// When it ended, in ns after the phase's start. What happened in its last microseconds may be
    /// in the next one.
    pub end_ns: Nanos,
    /// What each worker's thread did.
    pub workers: Vec<WorkerTime>,
    /// Per stream, in the phase's order.
    pub streams: Vec<StreamReport>,
}

/// Puts the workers' pieces of a phase together.
#[derive(Debug)]
pub(crate) struct Intervals {
    interval_ns: Nanos,
    /// Pieces with their workers.
    pending: Vec<(usize, Piece)>,
    /// Per worker, the interval up to which it has reported.
    reached: Vec<u64>,
    /// All that was handed out.
    whole: Option<Vec<StreamReport>>,
}

/// An interval, and the memory of the pieces that it was made of.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) interval: Interval,
    /// Whose piece the interval itself was.
    worker: usize,
    /// The other pieces, with their workers.
    spent: Vec<(usize, Vec<StreamReport>)>,
}

impl Intervals {
    pub(crate) fn new(workers: usize, interval_ns: Option<Nanos>) -> Self {
        let interval_ns = interval_ns.unwrap_or(Nanos::MAX);
        Self { interval_ns, pending: Vec::new(), reached: vec![0; workers], whole: None }
    }

    /// Takes a worker's piece; after the last one it reports no more.
    pub(crate) fn push(&mut self, worker: usize, piece: Piece, is_last: bool) {
        self.reached[worker] = if is_last { u64::MAX } else { piece.end };
        self.pending.push((worker, piece));
    }

    /// The next interval that every worker has reported on.
    pub(crate) fn take(&mut self) -> Option<Merged> {
        let mut end = self.pending.iter().map(|(_, piece)| piece.end).min()?;
        loop {
            // A worker that could not hand out a report in time has several intervals in one.
            let within = self.pending.iter().filter(|(_, piece)| piece.first < end);
            let longest = within.map(|(_, piece)| piece.end).max()?;
            if longest == end {
                break;
            }
            end = longest;
        }
        if self.reached.iter().any(|reached| *reached < end) {
            return None;
        }
        let (mut first, mut end_ns) = (u64::MAX, 0);
        let mut spent = Vec::new();
        let mut times = vec![WorkerTime::default(); self.reached.len()];
        let mut workers: Vec<(usize, Vec<StreamReport>)> = Vec::new();
        for (worker, piece) in self.pending.extract_if(.., |(_, piece)| piece.first < end) {
            first = first.min(piece.first);
            end_ns = end_ns.max(piece.end_ns);
            times[worker].append(piece.time);
            match workers.iter_mut().find(|(other, _)| *other == worker) {
                None => workers.push((worker, piece.streams)),
                Some((_, earlier)) => {
                    earlier.iter_mut().zip(&piece.streams).for_each(|(e, later)| e.append(later));
                    spent.push((worker, piece.streams));
                }
            }
        }
        let (worker, mut streams) = workers.pop()?;
        for (worker, others) in workers {
            streams.iter_mut().zip(&others).for_each(|(ours, theirs)| ours.merge(theirs));
            spent.push((worker, others));
        }
        let start_ns = first.saturating_mul(self.interval_ns);
        let interval = Interval { start_ns, end_ns, workers: times, streams };
        Some(Merged { interval, worker, spent })
    }

    /// Adds an interval to the whole; gives its memory back, emptied, with the workers that it is
    /// for.
    pub(crate) fn append(&mut self, merged: Merged) -> Vec<(usize, Vec<StreamReport>)> {
        let Merged { interval: Interval { mut streams, .. }, worker, mut spent } = merged;
        // They were told of in their interval, and the whole of a long run has no room for them.
        let scripts = streams.iter_mut().filter_map(|stream| stream.script.as_mut());
        scripts.for_each(|script| script.samples.clear());
        match &mut self.whole {
            Some(whole) => {
                whole.iter_mut().zip(&streams).for_each(|(ours, later)| ours.append(later));
            }
            // Where it is the last too, nothing will be added to it or given back.
            None if self.reached.iter().all(|reached| *reached == u64::MAX) => {
                self.whole = Some(streams);
                return Vec::new();
            }
            None => self.whole = Some(streams.clone()),
        }
        spent.push((worker, streams));
        for (_, streams) in &mut spent {
            streams.iter_mut().for_each(StreamReport::reset);
        }
        spent
    }

    /// The whole phase.
    pub(crate) fn whole(self) -> Vec<StreamReport> {
        self.whole.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Recording;
    use crate::pgbench::{Sample, ScriptReport};

    fn piece(first: u64, end: u64, planned: u64) -> Piece {
        let mut report = StreamReport::new(Recording::new(1));
        report.planned = planned;
        report.vus.current = 1;
        report.vus.max = planned as u32;
        let time = WorkerTime { thread: 7, busy_ns: planned };
        Piece { first, end, end_ns: end * 1000, time, streams: vec![report] }
    }

    fn next(intervals: &mut Intervals) -> Option<(Nanos, Nanos, u64, Vec<usize>)> {
        let merged = intervals.take()?;
        let Interval { start_ns, end_ns, streams, .. } = &merged.interval;
        let told = (*start_ns, *end_ns, streams[0].planned);
        let mut workers: Vec<_> = intervals.append(merged).iter().map(|(to, _)| *to).collect();
        workers.sort_unstable();
        Some((told.0, told.1, told.2, workers))
    }

    #[test]
    fn an_interval_is_told_when_every_worker_has_reported_and_its_memory_goes_back() {
        let mut intervals = Intervals::new(2, Some(1000));
        intervals.push(0, piece(0, 1, 5), false);
        assert_eq!(next(&mut intervals), None);
        intervals.push(1, piece(0, 1, 7), false);
        assert_eq!(next(&mut intervals), Some((0, 1000, 12, vec![0, 1])));
        assert_eq!(next(&mut intervals), None);
    }

    #[test]
    fn a_worker_that_stretched_its_interval_stretches_the_whole() {
        let mut intervals = Intervals::new(2, Some(1000));
        intervals.push(0, piece(0, 2, 10), false);
        intervals.push(1, piece(0, 1, 5), false);
        assert_eq!(next(&mut intervals), None, "it would lack the first worker's");
        intervals.push(1, piece(1, 2, 5), false);
        assert_eq!(next(&mut intervals), Some((0, 2000, 20, vec![0, 1, 1])));
    }

    #[test]
    fn a_worker_that_is_done_is_not_waited_for() {
        let mut intervals = Intervals::new(2, Some(1000));
        intervals.push(0, piece(0, 1, 1), true);
        for number in 0..3 {
            intervals.push(1, piece(number, number + 1, 2), number == 2);
        }
        let told: Vec<_> = std::iter::from_fn(|| next(&mut intervals)).map(|told| told.2).collect();
        assert_eq!(told, [3, 2, 2]);
        assert_eq!(intervals.whole()[0].planned, 7);
    }

    #[test]
    fn what_a_worker_did_is_told_apart_from_what_others_did() {
        let mut intervals = Intervals::new(2, Some(1000));
        intervals.push(0, piece(0, 2, 950), false);
        intervals.push(1, piece(0, 1, 300), false);
        intervals.push(1, piece(1, 2, 400), true);
        let told = |busy_ns| WorkerTime { thread: 7, busy_ns };
        assert_eq!(intervals.take().unwrap().interval.workers, [told(950), told(700)]);
        intervals.push(0, piece(2, 3, 5), true);
        let workers = intervals.take().unwrap().interval.workers;
        assert_eq!(workers, [told(5), WorkerTime::default()], "one was done before");
    }

    #[test]
    fn transactions_are_told_of_in_their_interval_alone() {
        let sample = Sample {
            client: 0,
            number: 0,
            script: 0,
            outcome: wire::Outcome::Ok,
            conflict: None,
            intended: 0,
            sent: 0,
            done: 1,
            retries: 0,
        };
        let mut intervals = Intervals::new(2, Some(1000));
        for (worker, number, is_last) in [(0, 0, false), (1, 0, false), (0, 1, true), (1, 1, true)]
        {
            let mut piece = piece(number, number + 1, 1);
            let script = ScriptReport { samples: vec![sample], ..ScriptReport::default() };
            piece.streams[0].script = Some(Box::new(script));
            intervals.push(worker, piece, is_last);
        }
        while let Some(merged) = intervals.take() {
            let samples =
                |stream: &StreamReport| stream.script.as_ref().map(|own| own.samples.len());
            assert_eq!(samples(&merged.interval.streams[0]), Some(2));
            intervals.append(merged);
        }
        assert_eq!(intervals.whole()[0].script.as_ref().map(|own| own.samples.len()), Some(0));
    }

    proptest! {
        #[test]
        fn whatever_the_workers_do_intervals_follow_each_other_and_add_up(
            lengths in prop::collection::vec(prop::collection::vec(1_u64..4, 1..12), 1..5),
            order in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let mut intervals = Intervals::new(lengths.len(), Some(1000));
            let mut left: Vec<_> = lengths.iter().map(|lengths| (0, lengths.as_slice())).collect();
            let (mut told_to, mut sum, mut pushed) = (0, 0, 0);
            for index in order.iter().cycle() {
                let open: Vec<_> = (0..left.len()).filter(|w| !left[*w].1.is_empty()).collect();
                if open.is_empty() {
                    break;
                }
                let worker = *index.get(&open);
                let (first, lengths) = left[worker];
                let end = first + lengths[0];
                left[worker] = (end, &lengths[1..]);
                pushed += end;
                intervals.push(worker, piece(first, end, end), lengths.len() == 1);
                while let Some((start, end, planned, _)) = next(&mut intervals) {
                    prop_assert_eq!(start, told_to);
                    prop_assert!(end > start);
                    told_to = end;
                    sum += planned;
                }
            }
            prop_assert_eq!(sum, pushed);
            prop_assert_eq!(intervals.whole()[0].planned, pushed);
        }
    }
}
