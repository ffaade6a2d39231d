//! The values of blocks, and quantiles of any blocks together.

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

    /// The smallest value that at least this share of all does not exceed; `None` without values.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<u64> {
        let merger = Merger::new(std::slice::from_ref(self));
        merger.quantiles(&[1], &[quantile]).map(|found| found[0])
    }
}

/// Merges blocks over and over, each as often as it was drawn: all their values lie in one list.
pub(crate) struct Merger {
    /// Value, block and count, in rising order.
    entries: Vec<(u64, u32, u64)>,
    /// Values in each block.
    totals: Vec<u64>,
}

impl Merger {
    pub(crate) fn new(blocks: &[Sample]) -> Self {
        let of_block = |(block, sample): (usize, &Sample)| {
            sample.0.iter().map(|(value, count)| (*value, block as u32, *count)).collect::<Vec<_>>()
        };
        let mut entries: Vec<_> = blocks.iter().enumerate().flat_map(of_block).collect();
        entries.sort_unstable();
        let total = |sample: &Sample| sample.0.iter().map(|(_, count)| count).sum();
        Self { entries, totals: blocks.iter().map(total).collect() }
    }

    /// The quantiles (in rising order) of all blocks together, each taken so many times: the
    /// smallest value that at least that share of all values does not exceed. `None` where there is
    /// no value.
    pub(crate) fn quantiles(&self, times: &[u32], quantiles: &[f64]) -> Option<Vec<u64>> {
        let counted = self.totals.iter().zip(times);
        let total: u64 = counted.map(|(total, times)| total * u64::from(*times)).sum();
        let mut entries = self.entries.iter();
        let (mut value, mut reached) = (None, 0);
        quantiles
            .iter()
            .map(|quantile| {
                let wanted = ((quantile * total as f64).ceil() as u64).max(1);
                while reached < wanted {
                    let (next, block, count) = entries.next()?;
                    reached += count * u64::from(times[*block as usize]);
                    value = Some(*next);
                }
                value
            })
            .collect()
    }
}

#[cfg(test)]
impl Sample {
    pub(crate) fn of(values: impl IntoIterator<Item = u64>) -> Self {
        let mut values: Vec<_> = values.into_iter().map(|value| (value, 1)).collect();
        values.sort_unstable();
        Self(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_merged_blocks_equal_those_of_all_values() {
        let blocks = [Sample::of(1..=50), Sample::of(51..=100)];
        let quantiles = [0.0, 0.5, 0.95, 0.99, 1.0];
        let merger = Merger::new(&blocks);
        assert_eq!(merger.quantiles(&[1, 1], &quantiles), Some(vec![1, 50, 95, 99, 100]));
        assert_eq!(merger.quantiles(&[0, 1], &[0.5]), Some(vec![75]));
        assert_eq!(merger.quantiles(&[3, 1], &[0.75]), Some(vec![50]));
        assert_eq!(merger.quantiles(&[0, 0], &[0.5]), None);
        assert_eq!(Sample::of([]).quantile(0.5), None);
        assert_eq!(blocks[1].quantile(0.5), Some(75));
    }

    #[test]
    fn a_histograms_quantiles_are_kept() {
        let mut histogram = engine::histogram();
        (0..10_000).for_each(|value| histogram.record(value * 1000).unwrap());
        let quantiles = [0.5, 0.9, 0.99, 0.999];
        let kept = Merger::new(&[Sample::new(&histogram)]).quantiles(&[1], &quantiles).unwrap();
        assert_eq!(kept, quantiles.map(|quantile| histogram.value_at_quantile(quantile)));
    }
}
