//! What was looked at, as it is written to summary.json.

use serde::Serialize;

use super::{Observations, Observed};

/// What was looked at while the load went on, and what that cost.
#[derive(Debug, Serialize)]
pub(crate) struct ObserversSummary {
    /// CPU time of the observers' thread as a share of one core; null where it did not end.
    cpu_share: Option<f64>,
    sources: Vec<SourceSummary>,
}

#[derive(Debug, Serialize)]
struct SourceSummary {
    name: String,
    version: Option<String>,
    looks: usize,
    /// Looks that came to nothing: gaps in the series.
    failures: u64,
    error: Option<String>,
}

impl ObserversSummary {
    pub(crate) fn new(observations: &Observations) -> Self {
        let source = |observed: &Observed| SourceSummary {
            name: observed.name.clone(),
            version: observed.version.clone(),
            looks: observed.looks.len(),
            failures: observed.failures,
            error: observed.error.clone(),
        };
        let sources = observations.sources.iter().map(source).collect();
        Self { cpu_share: observations.cpu_share(), sources }
    }
}
