//! When an open loop's requests are due.

use crate::{Gaps, Load, Nanos, Random, Stage, ramp::Ramp};

/// One iteration that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the stream, over all workers; with the seed it decides what the request holds.
    pub number: u64,
    /// When it is due. Latency counts from here.
    pub intended: Nanos,
}

/// One worker's share of the arrivals of an open loop: those whose number is `worker` modulo
/// `workers`. Every worker walks the same global sequence, so that the split changes nothing.
#[derive(Clone, Debug)]
pub struct Arrivals {
    ramp: Ramp,
    piece: usize,
    gaps: Gaps,
    seed: u64,
    start: Nanos,
    worker: u64,
    workers: u64,
    number: u64,
    /// Sum of the Poisson gaps up to arrival `number`, in units of the mean gap: a process of rate
    /// 1, which the ramp's integral maps to time.
    elapsed_gaps: f64,
    next: Option<Arrival>,
}

/// Arrival gaps must not be drawn from the numbers that decide a request's contents.
const GAP_SEED: u64 = 0x706f_6973_736f_6e21;

impl Arrivals {
    /// The arrivals of a load that begins at `start`; `None` where it is a closed loop.
    pub fn new(
        load: &Load,
        seed: u64,
        start: Nanos,
        (worker, workers): (u32, u32),
    ) -> Option<Self> {
        let (ramp, gaps) = match load {
            Load::ConstantArrivalRate { rate, gaps, duration_ns, .. } => {
                let whole = Stage { duration_ns: *duration_ns, target: *rate };
                (Ramp::new(*rate, &[whole]), *gaps)
            }
            Load::RampingArrivalRate { start_rate, stages, gaps, .. } => {
                (Ramp::new(*start_rate, stages), *gaps)
            }
            _ => return None,
        };
        let mut arrivals = Self {
            ramp,
            piece: 0,
            gaps,
            seed: seed ^ GAP_SEED,
            start,
            worker: worker.into(),
            workers: workers.into(),
            number: 0,
            elapsed_gaps: 0.0,
            next: None,
        };
        arrivals.draw_gap();
        arrivals.skip_others();
        Some(arrivals)
    }

    /// The next arrival, without taking it; `None` when the schedule is over.
    pub fn peek(&self) -> Option<Arrival> {
        self.next
    }

    /// Takes the arrival that [`Arrivals::peek`] showed.
    pub fn advance(&mut self) {
        self.step();
        self.skip_others();
    }

    fn skip_others(&mut self) {
        while self.number % self.workers != self.worker {
            self.step();
        }
        let position = match self.gaps {
            Gaps::Uniform => self.number as f64,
            Gaps::Poisson => self.elapsed_gaps,
        };
        let due = self.ramp.passes(position, &mut self.piece);
        self.next = due.map(|ns| Arrival { number: self.number, intended: self.start + ns });
    }

    fn step(&mut self) {
        self.number += 1;
        self.draw_gap();
    }

    fn draw_gap(&mut self) {
        if self.gaps == Gaps::Poisson {
            self.elapsed_gaps += Random::new(self.seed, self.number).exponential();
        }
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let arrival = self.peek()?;
        self.advance();
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SECOND;

    fn arrivals(load: &Load, share: (u32, u32)) -> Vec<Arrival> {
        Arrivals::new(load, 42, 1000, share).expect("an open loop").collect()
    }

    fn constant(rate: f64, gaps: Gaps, seconds: u64) -> Load {
        let duration_ns = seconds * SECOND;
        Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus: 1, max_vus: 1 }
    }

    fn ramp(start_rate: f64, stages: &[(u64, f64)], gaps: Gaps) -> Load {
        let stage = |(seconds, target): &(u64, f64)| Stage {
            duration_ns: seconds * SECOND,
            target: *target,
        };
        let stages = stages.iter().map(stage).collect();
        Load::RampingArrivalRate { start_rate, stages, gaps, pre_allocated_vus: 1, max_vus: 1 }
    }

    #[test]
    fn uniform_arrivals_are_due_at_n_over_rate_and_exactly_as_many_as_planned() {
        for rate in [1.0, 7.0, 1000.0, 3333.0, 150_000.0] {
            let due = arrivals(&constant(rate, Gaps::Uniform, 3), (0, 1));
            assert_eq!(due.len() as f64, rate * 3.0);
            for arrival in &due {
                let exact = 1000.0 + arrival.number as f64 * 1e9 / rate;
                assert!((arrival.intended as f64 - exact).abs() <= 1.0);
            }
        }
    }

    #[test]
    fn poisson_arrivals_are_repeatable_and_their_number_is_near_the_mean() {
        let load = constant(1000.0, Gaps::Poisson, 100);
        let due = arrivals(&load, (0, 1));
        assert_eq!(due, arrivals(&load, (0, 1)));
        // Five standard deviations of a Poisson(100000).
        assert!(due.len().abs_diff(100_000) < 1582, "{}", due.len());
        assert!(due.is_sorted_by_key(|arrival| arrival.intended));
    }

    #[test]
    fn poisson_arrivals_of_a_ramp_come_in_proportion_to_its_rate() {
        let due = arrivals(&ramp(0.0, &[(100, 2000.0)], Gaps::Poisson), (0, 1));
        assert!(due.len().abs_diff(100_000) < 1582, "{}", due.len());
        let first_half = due.iter().filter(|due| due.intended < 1000 + 50 * SECOND).count();
        // A quarter of the triangle; five standard deviations of a Poisson(25000).
        assert!(first_half.abs_diff(25_000) < 791, "{first_half}");
    }

    proptest! {
        #[test]
        fn the_split_over_workers_changes_nothing(
            start_rate in 0.0_f64..3000.0,
            targets in prop::collection::vec((0_u64..2, 0.0_f64..3000.0), 1..4),
            workers in 1_u32..9,
            poisson: bool,
        ) {
            let gaps = if poisson { Gaps::Poisson } else { Gaps::Uniform };
            let load = ramp(start_rate, &targets, gaps);
            let mut split: Vec<_> =
                (0..workers).flat_map(|worker| arrivals(&load, (worker, workers))).collect();
            split.sort_by_key(|arrival| arrival.number);
            prop_assert_eq!(split, arrivals(&load, (0, 1)));
        }
    }
}
