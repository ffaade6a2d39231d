//! A metric's numbers, by its kind.

use engine::{MILLISECOND, Nanos, SECOND};
use hdrhistogram::Histogram;

use super::{Aggregation, Gauge};

/// A metric's numbers; times in ns.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    Trend(Box<Histogram<u64>>),
    Counter {
        count: f64,
        elapsed_ns: Nanos,
    },
    /// `hits` of `total`.
    Rate {
        hits: u64,
        total: u64,
    },
    Gauge(Gauge),
}

impl Values {
    /// One number; times in ms, as in k6. `None` where there is no value to make it of, or the
    /// kind does not have it.
    pub(crate) fn aggregate(&self, aggregation: Aggregation) -> Option<f64> {
        use Aggregation as A;
        Some(match (self, aggregation) {
            (Self::Trend(histogram), A::Count) => histogram.len() as f64,
            (Self::Trend(histogram), _) if histogram.is_empty() => return None,
            (Self::Trend(histogram), aggregation) => {
                // The highest value of a bucket can lie above the maximum; a percentile never does.
                let at = |percentile: f64| {
                    histogram.value_at_percentile(percentile).min(histogram.max()) as f64
                };
                let ns = match aggregation {
                    A::Avg => histogram.mean(),
                    A::Min => histogram.min() as f64,
                    A::Max => histogram.max() as f64,
                    A::Med => at(50.0),
                    A::Percentile(percentile) => at(percentile),
                    A::Count | A::Rate | A::Value => return None,
                };
                ns / MILLISECOND as f64
            }
            (Self::Counter { count, .. }, A::Count) => *count,
            (Self::Counter { count, elapsed_ns }, A::Rate) => {
                count * SECOND as f64 / (*elapsed_ns).max(1) as f64
            }
            (Self::Rate { total: 0, .. }, _) => return None,
            (Self::Rate { hits, total }, A::Rate) => *hits as f64 / *total as f64,
            (Self::Gauge(gauge), A::Value) => gauge.value,
            (Self::Gauge(gauge), A::Avg) => gauge.avg(),
            (Self::Gauge(gauge), A::Min) => gauge.min,
            (Self::Gauge(gauge), A::Max) => gauge.max,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Kind;

    #[test]
    fn every_aggregation_of_every_kind() {
        use Aggregation as A;
        let mut histogram = engine::histogram();
        (1..=1000).for_each(|n| histogram.record(n * 100_000).unwrap());
        let mut gauge = Gauge::new(3.0);
        [9.0, 6.0].iter().for_each(|value| gauge.push(*value));
        let kinds = [
            (Kind::Trend, Values::Trend(Box::new(histogram))),
            (Kind::Counter, Values::Counter { count: 90.0, elapsed_ns: 2 * SECOND }),
            (Kind::Rate, Values::Rate { hits: 1, total: 4 }),
            (Kind::Gauge, Values::Gauge(gauge)),
        ];
        let aggregations = [
            A::Count,
            A::Rate,
            A::Value,
            A::Avg,
            A::Min,
            A::Max,
            A::Med,
            A::Percentile(95.0),
            A::Percentile(99.9),
        ];
        let mut table = String::new();
        for (kind, values) in &kinds {
            for aggregation in aggregations {
                let number = values.aggregate(aggregation);
                assert_eq!(number.is_some(), aggregation.fits(*kind), "{kind} {aggregation}");
                if let Some(number) = number {
                    table += &format!("{kind} {aggregation} {number:.3}\n");
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn without_values_there_is_no_number_and_no_percentile_is_above_the_maximum() {
        let mut histogram = engine::histogram();
        let empty = Values::Trend(Box::new(histogram.clone()));
        assert_eq!(empty.aggregate(Aggregation::Percentile(95.0)), None);
        assert_eq!(empty.aggregate(Aggregation::Count), Some(0.0));
        assert_eq!(Values::Rate { hits: 0, total: 0 }.aggregate(Aggregation::Rate), None);
        histogram.record(123_456_789).unwrap();
        let one = Values::Trend(Box::new(histogram));
        let max = one.aggregate(Aggregation::Max);
        assert!(one.aggregate(Aggregation::Percentile(100.0)) <= max);
        assert!(one.aggregate(Aggregation::Med) <= max);
    }
}
