//! When iterations start.

use crate::Random;

/// Nanoseconds on the run's own monotonic clock.
pub type Nanos = u64;

/// A second in nanoseconds.
pub const SECOND: Nanos = 1_000_000_000;
/// A millisecond in nanoseconds.
pub const MILLISECOND: Nanos = 1_000_000;

/// The load on one target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Closed loop: so many virtual users, each waiting for its reply and then a think time.
    ConstantVus {
        /// How many virtual users, over all workers.
        vus: u32,
        /// The least and the most think time in ns, uniform between; equal for a constant one.
        think_time_ns: (Nanos, Nanos),
    },
    /// Open loop: arrivals at a rate, whatever the replies do.
    ConstantArrivalRate {
        /// Arrivals a second, over all workers. Above 0.
        rate: f64,
        /// How they are spaced.
        gaps: Gaps,
    },
}

/// How an open loop's arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// All the same: arrival n is due at n / rate.
    Uniform,
    /// Exponential, as of many independent users: a Poisson process.
    Poisson,
}

/// One iteration that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the phase, over all workers; with the seed it decides what the request holds.
    pub number: u64,
    /// When it is due. Latency counts from here.
    pub intended: Nanos,
}

/// One worker's share of the arrivals of an open loop: those whose number is `worker` modulo
/// `workers`. Every worker walks the same global sequence, so that the split changes nothing.
#[derive(Clone, Debug)]
pub struct Arrivals {
    rate: f64,
    gaps: Gaps,
    seed: u64,
    start: Nanos,
    end: Nanos,
    worker: u64,
    workers: u64,
    number: u64,
    /// Sum of the Poisson gaps up to arrival `number`, in units of the mean gap.
    elapsed_gaps: f64,
}

/// Arrival gaps must not be drawn from the numbers that decide a request's contents.
const GAP_SEED: u64 = 0x706f_6973_736f_6e21;

impl Arrivals {
    /// The arrivals from `start` up to, not including, `end`.
    pub fn new(
        rate: f64,
        gaps: Gaps,
        seed: u64,
        (start, end): (Nanos, Nanos),
        (worker, workers): (u32, u32),
    ) -> Self {
        let mut arrivals = Self {
            rate,
            gaps,
            seed: seed ^ GAP_SEED,
            start,
            end,
            worker: worker.into(),
            workers: workers.into(),
            number: 0,
            elapsed_gaps: 0.0,
        };
        arrivals.draw_gap();
        arrivals.skip_others();
        arrivals
    }

    /// The next arrival, without taking it; `None` when the schedule is over.
    pub fn peek(&self) -> Option<Arrival> {
        let gaps = match self.gaps {
            Gaps::Uniform => self.number as f64,
            Gaps::Poisson => self.elapsed_gaps,
        };
        let intended = self.start + (gaps * SECOND as f64 / self.rate) as Nanos;
        (intended < self.end).then_some(Arrival { number: self.number, intended })
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

    fn arrivals(rate: f64, gaps: Gaps, seconds: u64, share: (u32, u32)) -> Vec<Arrival> {
        Arrivals::new(rate, gaps, 42, (1000, 1000 + seconds * SECOND), share).collect()
    }

    #[test]
    fn uniform_arrivals_are_due_at_n_over_rate_and_exactly_as_many_as_planned() {
        for rate in [1.0, 7.0, 1000.0, 3333.0, 150_000.0] {
            let due = arrivals(rate, Gaps::Uniform, 3, (0, 1));
            assert_eq!(due.len() as f64, rate * 3.0);
            for arrival in &due {
                let exact = 1000.0 + arrival.number as f64 * 1e9 / rate;
                assert!((arrival.intended as f64 - exact).abs() <= 1.0);
            }
        }
    }

    #[test]
    fn poisson_arrivals_are_repeatable_and_their_number_is_near_the_mean() {
        let due = arrivals(1000.0, Gaps::Poisson, 100, (0, 1));
        assert_eq!(due, arrivals(1000.0, Gaps::Poisson, 100, (0, 1)));
        // Five standard deviations of a Poisson(100000).
        assert!(due.len().abs_diff(100_000) < 1582, "{}", due.len());
        assert!(due.is_sorted_by_key(|arrival| arrival.intended));
    }

    proptest! {
        #[test]
        fn the_split_over_workers_changes_nothing(
            rate in 1.0_f64..5000.0,
            workers in 1_u32..9,
            poisson: bool,
        ) {
            let gaps = if poisson { Gaps::Poisson } else { Gaps::Uniform };
            let mut split: Vec<_> =
                (0..workers).flat_map(|worker| arrivals(rate, gaps, 1, (worker, workers))).collect();
            split.sort_by_key(|arrival| arrival.number);
            prop_assert_eq!(split, arrivals(rate, gaps, 1, (0, 1)));
        }
    }
}
