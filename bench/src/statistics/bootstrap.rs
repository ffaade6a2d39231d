//! How sure a figure is that was computed from blocks.

use engine::Random;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};

/// An estimate with its confidence interval: 95 %, if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// Whether the interval holds this.
    pub(crate) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    pub(crate) fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// Enough for a 95 % interval by the percentile method.
const RESAMPLES: u64 = 2000;

/// How often an interval holds the truth, 0 to 1.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// Figures that `statistic` computes from rounds, each with its interval at [`CONFIDENCE`].
pub(crate) fn estimates(
    rounds: usize,
    seed: u64,
    statistic: impl FnMut(&[u32]) -> Option<Vec<f64>>,
) -> Option<Vec<Estimate>> {
    estimates_at(CONFIDENCE, rounds, seed, statistic)
}

/// Figures that `statistic` computes from rounds, each with its interval at this confidence.
///
/// Rounds are drawn whole, with replacement: blocks of all arms in one round ran side by side, so
/// what disturbed the one disturbed the others, and they stay together. `statistic` is told how
/// often each round was drawn, and gives the same figures in the same order each time, or `None`
/// where these rounds hold too little to compute them. `None` where that is so for all rounds
/// together.
pub(crate) fn estimates_at(
    confidence: f64,
    rounds: usize,
    seed: u64,
    mut statistic: impl FnMut(&[u32]) -> Option<Vec<f64>>,
) -> Option<Vec<Estimate>> {
    let values = statistic(&vec![1; rounds])?;
    let mut resampled: Vec<Vec<f64>> = vec![Vec::with_capacity(RESAMPLES as usize); values.len()];
    let mut times = vec![0; rounds];
    for number in 0..RESAMPLES {
        let mut random = Random::new(seed, number);
        times.fill(0);
        (0..rounds).for_each(|_| times[random.below(rounds as u64) as usize] += 1);
        if let Some(values) = statistic(&times) {
            resampled.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
        }
    }
    let tail = tail(confidence, rounds);
    let estimates = values.into_iter().zip(&mut resampled).map(|(value, resampled)| {
        resampled.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = resampled.len().saturating_sub(1);
            resampled.get((share * last as f64).round() as usize).copied().unwrap_or(value)
        };
        Estimate { value, low: at(tail), high: at(1.0 - tail) }
    });
    Some(estimates.collect())
}

/// What share of the resampled figures lies below an interval. With few rounds it is less than half
/// of what lies outside of a normal distribution's: resampled figures spread too little by a factor of sqrt((n - 1) / n), and their spread is
/// itself an estimate, for which Student's t stands (Hesterberg 2015, "expanded percentile
/// interval").
fn tail(confidence: f64, rounds: usize) -> f64 {
    let degrees = rounds.saturating_sub(1) as f64;
    // It has no distribution without a degree of freedom: one round says nothing.
    let Ok(student) = StudentsT::new(0.0, 1.0, degrees) else { return 0.0 };
    let expanded = student.inverse_cdf((1.0 - confidence) / 2.0) * (rounds as f64 / degrees).sqrt();
    Normal::standard().cdf(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{Merger, Sample};

    /// Exponential latencies of mean `mean` in `blocks` blocks; each block has its own disturbance,
    /// shared by both sides.
    fn blocks(mean: f64, blocks: u64, seed: u64, disturbed: u64) -> Vec<Sample> {
        (0..blocks)
            .map(|block| {
                let disturbance = 1.0 + 0.2 * Random::new(block, disturbed).unit();
                let value = |number| {
                    Random::new(seed, block * 1000 + number).exponential() * mean * disturbance
                };
                Sample::of((0..200).map(|number| value(number) as u64))
            })
            .collect()
    }

    fn differences(left: &[Sample], right: &[Sample], quantiles: &[f64]) -> Option<Vec<Estimate>> {
        let (left, right) = (Merger::new(left), Merger::new(right));
        estimates(24, 7, |times| {
            let pairs = left.quantiles(times, quantiles)?;
            let pairs = pairs.into_iter().zip(right.quantiles(times, quantiles)?);
            Some(pairs.map(|(left, right)| left as f64 - right as f64).collect())
        })
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        // Two arms of the same layer: the true difference is 0 at each quantile.
        const RUNS: u64 = 400;
        let quantiles = [0.5, 0.95];
        let mut covered = [0; 2];
        for run in 0..RUNS {
            let (left, right) = (2 * run, 2 * run + 1);
            let (left, right) = (blocks(1e5, 24, left, run), blocks(1e5, 24, right, run));
            let found = differences(&left, &right, &quantiles).unwrap();
            for (covered, estimate) in covered.iter_mut().zip(found) {
                *covered += u64::from(estimate.holds(0.0));
            }
        }
        // A binomial(400, 0.95) is 380 on average; three standard deviations are 13.
        assert!(covered.iter().all(|count| (367..=393).contains(count)), "{covered:?} of {RUNS}");
    }

    #[test]
    fn a_real_difference_is_found_and_repeats_for_its_seed() {
        let (slow, fast) = (blocks(2e5, 24, 1, 1), blocks(1e5, 24, 2, 1));
        let quantiles = [0.5, 0.99];
        let found = differences(&slow, &fast, &quantiles).unwrap();
        assert!(found.iter().all(|estimate| estimate.low > 0.0), "{found:?}");
        assert!(found.iter().all(|e| e.low <= e.value && e.value <= e.high), "{found:?}");
        assert_eq!(differences(&slow, &fast, &quantiles).unwrap(), found);
        assert_eq!(differences(&slow, &[], &quantiles), None);
    }

    #[test]
    fn few_rounds_leave_more_outside_of_what_was_resampled() {
        let tail = |rounds| tail(CONFIDENCE, rounds);
        assert!((tail(100_000) - 0.025).abs() < 1e-4, "{}", tail(100_000));
        // 23 rounds: t of 22 degrees is 2.074, and so the normal's 2.121.
        assert!((tail(23) - 0.016_97).abs() < 1e-4, "{}", tail(23));
        assert!(tail(2) < 1e-6);
        assert_eq!((tail(1), tail(0)), (0.0, 0.0));
    }
}
