//! Values that come and go.

use std::collections::BTreeMap;

use super::Metric;

/// What was seen of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gauge {
    /// The last one.
    pub(crate) value: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    sum: f64,
    count: f64,
}

impl Gauge {
    /// Seen once.
    pub(crate) fn new(value: f64) -> Self {
        Self { value, min: value, max: value, sum: value, count: 1.0 }
    }

    /// Seen again.
    pub(crate) fn push(&mut self, value: f64) {
        self.value = value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        self.count += 1.0;
    }

    /// The mean of all that was seen.
    pub(crate) fn avg(&self) -> f64 {
        self.sum / self.count
    }
}

/// The run's gauges: those that were seen at least once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauges(BTreeMap<Metric, Gauge>);

impl Gauges {
    /// A value was seen.
    pub(crate) fn push(&mut self, metric: Metric, value: f64) {
        self.0
            .entry(metric)
            .and_modify(|gauge| gauge.push(value))
            .or_insert_with(|| Gauge::new(value));
    }

    /// It is not known any more, nor was it before.
    pub(crate) fn forget(&mut self, metric: Metric) {
        self.0.remove(&metric);
    }

    pub(crate) fn get(&self, metric: Metric) -> Option<Gauge> {
        self.0.get(&metric).copied()
    }
}
