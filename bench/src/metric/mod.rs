//! What a run is judged by: metrics with k6's names, kinds and units where the meaning is k6's.

mod aggregation;
mod definition;
mod gauge;
mod loads;
mod metrics;
mod submetric;
mod tally;
mod values;

pub(crate) use aggregation::Aggregation;
pub(crate) use definition::{Kind, Metric, Tag, Unit};
pub(crate) use gauge::{Gauge, Gauges};
pub(crate) use loads::{Load, Loads};
pub(crate) use metrics::{Layer, Measured, Metrics};
pub(crate) use submetric::{Known, Submetric};
pub(crate) use tally::Tally;
pub(crate) use values::Values;
