//! What was looked at, as it is written to summary.json.

use std::collections::BTreeMap;
use std::fmt;

use engine::Nanos;
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
    /// Looks whose answer came after half of the time to the next one.
    late: u64,
    /// The longest that one took, from when it was due, in ns.
    delay_ns_max: Nanos,
    /// How often its counters began anew: after a restart, or a reset of its statistics.
    restarts: usize,
    /// What its console says of its settings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
}

impl ObserversSummary {
    pub(crate) fn new(observations: &Observations) -> Self {
        let source = |observed: &Observed| SourceSummary {
            name: observed.name.clone(),
            version: observed.about.version.clone(),
            looks: observed.looks.len(),
            failures: observed.failures,
            error: observed.error.clone(),
            late: observed.late,
            delay_ns_max: observed.delay_ns_max,
            restarts: observed.restarts(),
            settings: settings(observed),
        };
        let sources = observations.sources.iter().map(source).collect();
        Self { cpu_share: observations.cpu_share(), sources }
    }
}

/// Results are shown to others: no secrets.
fn settings(observed: &Observed) -> BTreeMap<String, String> {
    let settings = observed.about.settings.iter().flat_map(|settings| settings.iter());
    let is_secret = |name: &str| name.contains("password") || name.contains("secret");
    let shown = settings.filter(|(name, _)| !is_secret(name));
    shown.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// For a person, in one line.
impl fmt::Display for ObserversSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cpu_share {
            Some(share) => write!(f, "observers: {:.2} % of a core", share * 100.0),
            None => f.write_str("observers: their CPU time is not known, since one did not end"),
        }
    }
}
