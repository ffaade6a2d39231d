//! Quantiles of blocks, and how sure a difference of them is.

use engine::Random;
use hdrhistogram::Histogram;

/// The values of one block: each with how often it came, in rising order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sample(Vec<(u64, u64)>);

impl Sample {
    /// The values of a histogram, each rounded up to the end of its bucket as HDR quantiles are.
    pub(crate) fn new(histogram: &Histogram<u64>) -> Self {
        let value = |value: u64| histogram.highest_equivalent(value).min(histogram.max());
        let recorded = histogram.iter_recorded();
        Self(
            recorded.map(|step| (value(step.value_iterated_to()), step.count_at_value())).collect(),
        )
    }
}

/// An estimate with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Enough for a 95 % interval by the percentile method (Efron and Tibshirani, "An Introduction to
/// the Bootstrap", 1993, section 13.3 and chapter 19).
const RESAMPLES: usize = 2000;

/// The differences of quantiles, left minus right, one for each of `quantiles`.
///
/// Blocks are resampled by their round: block n of both sides ran side by side, so what disturbed
/// the one disturbed the other, and they stay together. A quantile is always that of the merged
/// blocks, never a mean of quantiles. `None` where a side has no value at all.
pub(crate) fn differences(
    left: &[Sample],
    right: &[Sample],
    quantiles: &[f64],
    seed: u64,
) -> Option<Vec<Estimate>> {
    let rounds = left.len().min(right.len());
    let (left, right) = (Merger::new(&left[..rounds]), Merger::new(&right[..rounds]));
    let all: Vec<usize> = (0..rounds).collect();
    let difference = |left: &mut Merger, right: &mut Merger, rounds: &[usize]| {
        let left = left.quantiles(rounds, quantiles)?;
        let right = right.quantiles(rounds, quantiles)?;
        let pairs = left.iter().zip(&right);
        Some(pairs.map(|(left, right)| *left as f64 - *right as f64).collect::<Vec<_>>())
    };
    let (mut left, mut right) = (left, right);
    let values = difference(&mut left, &mut right, &all)?;
    let mut resampled: Vec<Vec<f64>> = vec![Vec::with_capacity(RESAMPLES); quantiles.len()];
    for number in 0..RESAMPLES as u64 {
        let mut random = Random::new(seed, number);
        let drawn: Vec<_> = all.iter().map(|_| random.below(rounds as u64) as usize).collect();
        // Where only blocks without a value were drawn there is nothing to tell apart.
        if let Some(values) = difference(&mut left, &mut right, &drawn) {
            resampled.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
        }
    }
    let estimates = values.into_iter().zip(&mut resampled).map(|(value, resampled)| {
        resampled.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = resampled.len().saturating_sub(1);
            resampled.get((share * last as f64).round() as usize).copied().unwrap_or(value)
        };
        Estimate { value, low: at(0.025), high: at(0.975) }
    });
    Some(estimates.collect())
}

/// Merges blocks over and over: each distinct value has a place, so that a merge only adds counts.
struct Merger {
    values: Vec<u64>,
    blocks: Vec<Vec<(usize, u64)>>,
    counts: Vec<u64>,
}

impl Merger {
    fn new(blocks: &[Sample]) -> Self {
        let mut values: Vec<u64> =
            blocks.iter().flat_map(|block| block.0.iter().map(|(value, _)| *value)).collect();
        values.sort_unstable();
        values.dedup();
        let place = |value: u64| values.partition_point(|other| *other < value);
        let blocks = blocks
            .iter()
            .map(|block| block.0.iter().map(|(value, count)| (place(*value), *count)).collect())
            .collect();
        Self { counts: vec![0; values.len()], values, blocks }
    }

    /// The quantiles (in rising order) of the chosen blocks together: the smallest value that at
    /// least that share of all values does not exceed.
    fn quantiles(&mut self, chosen: &[usize], quantiles: &[f64]) -> Option<Vec<u64>> {
        self.counts.fill(0);
        let mut total = 0;
        for block in chosen {
            for (place, count) in &self.blocks[*block] {
                self.counts[*place] += count;
                total += count;
            }
        }
        if total == 0 {
            return None;
        }
        let mut below = 0;
        let mut place = 0;
        let found = quantiles.iter().map(|quantile| {
            let wanted = ((quantile * total as f64).ceil() as u64).clamp(1, total);
            while below + self.counts[place] < wanted {
                below += self.counts[place];
                place += 1;
            }
            self.values[place]
        });
        Some(found.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: impl IntoIterator<Item = u64>) -> Sample {
        let mut values: Vec<_> = values.into_iter().map(|value| (value, 1)).collect();
        values.sort_unstable();
        Sample(values)
    }

    #[test]
    fn quantiles_of_merged_blocks_equal_those_of_all_values() {
        let blocks = [sample(1..=50), sample(51..=100)];
        let quantiles = [0.0, 0.5, 0.95, 0.99, 1.0];
        let merged = Merger::new(&blocks).quantiles(&[0, 1], &quantiles);
        assert_eq!(merged, Some(vec![1, 50, 95, 99, 100]));
        assert_eq!(Merger::new(&blocks).quantiles(&[1], &[0.5]), Some(vec![75]));
        assert_eq!(Merger::new(&[sample([])]).quantiles(&[0], &[0.5]), None);
    }

    #[test]
    fn a_histograms_quantiles_are_kept() {
        let mut histogram = engine::histogram();
        (0..10_000).for_each(|value| histogram.record(value * 1000).unwrap());
        let quantiles = [0.5, 0.9, 0.99, 0.999];
        let kept = Merger::new(&[Sample::new(&histogram)]).quantiles(&[0], &quantiles).unwrap();
        assert_eq!(kept, quantiles.map(|quantile| histogram.value_at_quantile(quantile)));
    }

    /// Exponential latencies of mean `mean` in `blocks` blocks; each block has its own disturbance,
    /// shared by both sides.
    fn blocks(mean: f64, blocks: u64, seed: u64) -> Vec<Sample> {
        (0..blocks)
            .map(|block| {
                let disturbance = 1.0 + 0.2 * Random::new(block, 99).unit();
                let value = |number| {
                    Random::new(seed, block * 1000 + number).exponential() * mean * disturbance
                };
                sample((0..200).map(|number| value(number) as u64))
            })
            .collect()
    }

    #[test]
    fn the_interval_holds_the_truth_about_as_often_as_it_says() {
        // Two arms of the same layer: the true difference is 0.
        let runs = 100;
        let covered = (0..runs)
            .filter(|run| {
                let (left, right) = (blocks(1e5, 24, 2 * run), blocks(1e5, 24, 2 * run + 1));
                let median = differences(&left, &right, &[0.5], *run).unwrap()[0];
                median.low <= 0.0 && 0.0 <= median.high
            })
            .count();
        assert!((88..=100).contains(&covered), "{covered} of {runs} intervals hold the truth");
    }

    #[test]
    fn a_real_difference_is_found_and_repeats_for_its_seed() {
        let (slow, fast) = (blocks(2e5, 24, 1), blocks(1e5, 24, 2));
        let quantiles = [0.5, 0.99];
        let found = differences(&slow, &fast, &quantiles, 7).unwrap();
        assert!(found.iter().all(|estimate| estimate.low > 0.0), "{found:?}");
        assert!(found.iter().all(|e| e.low <= e.value && e.value <= e.high), "{found:?}");
        assert_eq!(differences(&slow, &fast, &quantiles, 7).unwrap(), found);
        assert_eq!(differences(&slow, &[], &quantiles, 7), None);
    }
}
