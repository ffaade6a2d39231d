//! Whether a series has changed its level on the way.

use engine::Random;

/// Where a series most likely changed its level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ChangePoint {
    /// How many values come before.
    pub(crate) at: usize,
    /// How often a series without a change shows as much of one, 0 to 1.
    pub(crate) p: f64,
    /// The median before.
    pub(crate) before: f64,
    /// The median after.
    pub(crate) after: f64,
}

const PERMUTATIONS: u64 = 1000;

/// Pettitt's test: it asks for ranks alone, so that one outlier is no change. Its probability comes
/// from permutations of the series. `None` for series of less than two values.
pub(crate) fn change_point(series: &[f64], seed: u64) -> Option<ChangePoint> {
    if series.len() < 2 {
        return None;
    }
    let mut ranks = ranks(series);
    let height = highest(&ranks);
    let is_as_high = |number: &u64| {
        let mut random = Random::new(seed, *number);
        for last in (1..ranks.len()).rev() {
            ranks.swap(last, random.below(last as u64 + 1) as usize);
        }
        highest(&ranks) >= height
    };
    let at = split(series);
    let as_high = (0..PERMUTATIONS).filter(is_as_high).count();
    Some(ChangePoint {
        at,
        // The series itself is one of its permutations.
        p: (as_high + 1) as f64 / (PERMUTATIONS + 1) as f64,
        before: median(&series[..at]),
        after: median(&series[at..]),
    })
}

/// Twice the rank of each value, from 2; equal values share the mean of their ranks.
fn ranks(series: &[f64]) -> Vec<i64> {
    let mut sorted = series.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |value: &f64| {
        let below = sorted.partition_point(|other| other < value);
        let up_to = sorted.partition_point(|other| other <= value);
        (below + up_to + 1) as i64
    };
    series.iter().map(rank).collect()
}

/// The largest |U| of Pettitt's statistic: U after t of n values is twice the sum of their ranks
/// less t (n + 1).
fn highest(doubled_ranks: &[i64]) -> i64 {
    let mean = doubled_ranks.len() as i64 + 1;
    let sums = doubled_ranks.iter().scan(0, |sum, rank| {
        *sum += rank - mean;
        Some(*sum)
    });
    sums.map(i64::abs).max().unwrap_or_default()
}

/// After how many values two levels fit best: by least absolute deviations, since ranks find the
/// place of a change too near the middle.
fn split(series: &[f64]) -> usize {
    let deviations = |part: &[f64]| {
        let level = median(part);
        part.iter().map(|value| (value - level).abs()).sum::<f64>()
    };
    let both = |at: &usize| deviations(&series[..*at]) + deviations(&series[*at..]);
    let places = 1..series.len();
    places.min_by(|one, other| both(one).total_cmp(&both(other))).unwrap_or(1)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(seed: u64, change: impl Fn(u64) -> f64) -> Vec<f64> {
        (0..30).map(|n| change(n) + Random::new(seed, n).exponential()).collect()
    }

    #[test]
    fn a_steady_series_has_a_change_as_seldom_as_the_level_says() {
        const RUNS: u64 = 400;
        let steady = |run: &u64| change_point(&series(*run, |_| 0.0), *run).unwrap().p < 0.05;
        let alarms = (0..RUNS).filter(steady).count();
        // A binomial(400, 0.05) is 20 on average; three standard deviations are 13.
        assert!((7..=33).contains(&alarms), "{alarms} of {RUNS}");
    }

    #[test]
    fn a_step_is_found_in_its_place_and_an_outlier_is_none() {
        for seed in 0..20 {
            let found = change_point(&series(seed, |n| if n < 10 { 5.0 } else { 0.0 }), 1).unwrap();
            assert!(found.p < 0.01 && found.at.abs_diff(10) <= 1, "{found:?}");
            assert!(found.before > found.after);
        }
        let outlier = series(1, |n| if n == 3 { 1000.0 } else { 0.0 });
        assert!(change_point(&outlier, 1).unwrap().p > 0.05);
    }

    #[test]
    fn equal_values_and_short_series_have_no_change() {
        let flat = change_point(&[1.0; 20], 1).unwrap();
        assert_eq!((flat.p, flat.before, flat.after), (1.0, 1.0, 1.0));
        assert_eq!(change_point(&[1.0], 1), None);
        assert_eq!(change_point(&[], 1), None);
    }
}
