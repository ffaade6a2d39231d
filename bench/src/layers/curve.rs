//! A layer's cost as a loss of throughput: which rates lead to the same latency.

use serde::Serialize;

use super::arms::Pair;
use super::cost::{merger, rounds};
use super::level::Level;
use crate::statistics::{Estimate, Merger, Reached, estimates, rate_at};

/// The rates at which two arms have the same latency. Rates in 1/s.
#[derive(Debug, Serialize)]
pub(super) struct SameLatency {
    /// What lies between the arms.
    pub(super) layer: &'static str,
    pub(super) given: Vec<&'static str>,
    pub(super) quantile: f64,
    /// In the middle of what both arms have within the rates that were measured, in ns.
    pub(super) latency_ns: f64,
    pub(super) rate_with: RateEstimate,
    pub(super) rate_without: RateEstimate,
}

/// A rate with its interval. An end that is null is beyond the rates that were measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct RateEstimate {
    pub(super) value: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

impl RateEstimate {
    /// From what was estimated with the first and the last rate for whatever is beyond them.
    fn within((first, last): (f64, f64), Estimate { value, low, high }: Estimate) -> Self {
        let (low, high) = ((low > first).then_some(low), (high < last).then_some(high));
        Self { value, low, high }
    }
}

/// For each layer, the same latency with and without it. None where fewer than two rates were
/// measured, or the arms have no latency in common.
pub(super) fn same_latencies(
    levels: &[Level],
    pairs: &[Pair],
    quantile: f64,
    seed: u64,
) -> Vec<SameLatency> {
    let [first, .., last] = levels else { return Vec::new() };
    let measured = (first.rate, last.rate);
    let rounds = levels.iter().map(|level| rounds(&level.arms)).min().unwrap_or_default();
    let of_pair = |pair: &Pair| {
        let curve = |arm: usize| Curve {
            rates: levels.iter().map(|level| level.rate).collect(),
            blocks: levels.iter().map(|level| merger(&level.arms[arm], rounds)).collect(),
            quantile,
        };
        let (with, without) = (curve(pair.with), curve(pair.without));
        let all = vec![1; rounds];
        let (low, high) = common(&with.points(&all)?, &without.points(&all)?)?;
        let latency_ns = f64::midpoint(low, high);
        let found = estimates(rounds, seed, |times| {
            Some(vec![with.rate_at(times, latency_ns)?, without.rate_at(times, latency_ns)?])
        })?;
        Some(SameLatency {
            layer: pair.layer?,
            given: pair.given.clone(),
            quantile,
            latency_ns,
            rate_with: RateEstimate::within(measured, found[0]),
            rate_without: RateEstimate::within(measured, found[1]),
        })
    };
    pairs.iter().filter_map(of_pair).collect()
}

/// One arm's latencies at all rates.
struct Curve {
    rates: Vec<f64>,
    blocks: Vec<Merger>,
    quantile: f64,
}

impl Curve {
    fn points(&self, times: &[u32]) -> Option<Vec<(f64, f64)>> {
        let points = self.rates.iter().zip(&self.blocks).map(|(rate, blocks)| {
            Some((*rate, blocks.quantiles(times, &[self.quantile])?[0] as f64))
        });
        points.collect()
    }

    /// Where the latency is reached; the first or the last rate where that is not between them.
    fn rate_at(&self, times: &[u32], latency_ns: f64) -> Option<f64> {
        let points = self.points(times)?;
        Some(match rate_at(&points, latency_ns)? {
            Reached::At(rate) => rate,
            Reached::Before => points.first()?.0,
            Reached::After => points.last()?.0,
        })
    }
}

/// The latencies that both curves have.
fn common(one: &[(f64, f64)], other: &[(f64, f64)]) -> Option<(f64, f64)> {
    let range = |points: &[(f64, f64)]| Some((points.first()?.1, points.last()?.1));
    let ((low, high), (other_low, other_high)) = (range(one)?, range(other)?);
    let (low, high) = (low.max(other_low), high.min(other_high));
    (low < high).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_curves_have_in_common_what_both_span() {
        let slow = [(500.0, 2.0), (1000.0, 9.0)];
        let fast = [(500.0, 1.0), (1000.0, 4.0)];
        assert_eq!(common(&slow, &fast), Some((2.0, 4.0)));
        assert_eq!(common(&slow, &[(500.0, 0.5), (1000.0, 1.5)]), None);
        assert_eq!(common(&[], &fast), None);
    }

    #[test]
    fn the_slower_way_has_the_same_latency_at_a_lower_rate() {
        let summary = crate::layers::Summary::example_of_itself();
        let [same] = &summary.same_latencies[..] else { panic!("{:?}", summary.same_latencies) };
        assert_eq!((same.layer, same.quantile), ("pooler", 0.95));
        assert!(same.rate_with.high < same.rate_without.low, "{same:?}");
        assert!(same.rate_with.low.is_some() && same.rate_without.high.is_some(), "{same:?}");
        assert!(
            crate::layers::Summary::example().same_latencies.is_empty(),
            "one rate is no curve"
        );
    }

    #[test]
    fn an_interval_that_ends_beyond_what_was_measured_has_no_end_there() {
        let within = |low, high| {
            let estimate = Estimate { value: 900.0, low, high };
            let RateEstimate { low, high, .. } = RateEstimate::within((500.0, 2000.0), estimate);
            (low, high)
        };
        assert_eq!(within(600.0, 1900.0), (Some(600.0), Some(1900.0)));
        assert_eq!(within(500.0, 1900.0), (None, Some(1900.0)));
        // The bootstrap's percentiles are moved outwards.
        assert_eq!(within(600.0, 2040.0), (Some(600.0), None));
    }
}
