//! When there is enough to know.

use super::Estimate;

/// Measure until an interval is as narrow as this, and no longer.
///
/// Asymptotically an interval that is first looked at when it has become narrow enough holds the
/// truth as often as one of a fixed number of blocks (Chow and Robbins 1965): what is watched is its
/// width, not where it lies. With few blocks that is not so: the width itself is uncertain, and
/// chances of a narrow one are taken at each look (Singham and Schruben 2012). Against that stand a
/// least number of blocks, looks that become rarer as blocks become more, and intervals at
/// [`FixedWidth::CONFIDENCE`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FixedWidth {
    /// Of which quantile's difference the interval is, 0 to 1.
    pub(crate) quantile: f64,
    /// How wide it may be, from end to end, in ns.
    pub(crate) width_ns: u64,
}

/// Before that nothing is looked at.
const ROUNDS_MIN: u64 = 20;

impl FixedWidth {
    /// The confidence of a fixed number of blocks at which intervals are looked at and told, so that
    /// they hold the truth in 95 of 100 where a look has ended the measuring.
    ///
    /// With intervals at 95 % that was 94.2 to 95.0 of 100, over widths that take 10 to 200 blocks to
    /// reach (Student's intervals of normal blocks, 40,000 runs of each of eleven widths); with these
    /// it was 95.2 to 96.1. So it was with the bootstrap's intervals of differences between medians of
    /// exponential values, over 1500 runs: 94.2 to 95.6, and 95.3 to 96.5. The price is a tenth more
    /// blocks.
    pub(crate) const CONFIDENCE: f64 = 0.96;

    /// Whether after so many rounds there is a look: at 20, and whenever they are a quarter more.
    pub(crate) fn looks_after(rounds: u64) -> bool {
        let mut look = ROUNDS_MIN;
        while look < rounds {
            look += look / 4;
        }
        look == rounds
    }

    /// Whether all of these are known well enough.
    pub(crate) fn is_met(&self, estimates: &[Estimate]) -> bool {
        !estimates.is_empty() && self.widest(estimates) <= self.width_ns as f64
    }

    /// The widest of these intervals, in ns.
    pub(crate) fn widest(&self, estimates: &[Estimate]) -> f64 {
        estimates.iter().map(Estimate::width).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use engine::Random;

    use super::*;
    use crate::statistics::{Merger, Sample, estimates_at};

    #[test]
    fn looks_are_rarer_the_more_there_is() {
        let looks: Vec<_> = (0..80).filter(|rounds| FixedWidth::looks_after(*rounds)).collect();
        assert_eq!(looks, [20, 25, 31, 38, 47, 58, 72]);
    }

    #[test]
    fn an_interval_that_has_become_narrow_enough_still_holds_the_truth() {
        const RUNS: u64 = 400;
        let goal = FixedWidth { quantile: 0.5, width_ns: 12_000 };
        let (mut covered, mut ends) = (0, Vec::new());
        for run in 0..RUNS {
            // Two arms of the same layer: the true difference is 0.
            let arm = |seed: u64| {
                let block = |round: u64| {
                    let value = |n| 1e5 * Random::new(seed, round * 1000 + n).exponential();
                    Sample::of((0..40).map(|n| value(n) as u64))
                };
                (0..200).map(block).collect::<Vec<_>>()
            };
            let arms = [arm(2 * run), arm(2 * run + 1)];
            let look = |rounds: u64| {
                let count = rounds as usize;
                let [left, right] = arms.each_ref().map(|arm| Merger::new(&arm[..count]));
                let difference = |times: &[u32]| {
                    let median = |arm: &Merger| Some(arm.quantiles(times, &[0.5])?[0] as f64);
                    Some(vec![median(&left)? - median(&right)?])
                };
                let found = estimates_at(FixedWidth::CONFIDENCE, count, run, difference);
                (rounds, found.unwrap()[0])
            };
            let looks = (0..200).filter(|rounds| FixedWidth::looks_after(*rounds));
            let met = looks.map(look).find(|(_, found)| goal.is_met(&[*found]));
            let (rounds, found) = met.expect("200 rounds are enough");
            covered += u64::from(found.holds(0.0));
            ends.push(rounds);
        }
        // It is not always the first or the last look that ends it.
        assert!(ends.iter().min() < ends.iter().max(), "{ends:?}");
        // Of a binomial(400, 0.95) the mean is 380, and three standard deviations are 13.
        assert!((380..=393).contains(&covered), "{covered} of {RUNS}, ended after {ends:?}");
    }
}
