//! `[[bands]]` of a scenario file.

use serde::Deserialize;

/// One band. What is neither `success` nor `failure` is a warning; without `failure`, what is
/// neither `success` nor `warning` is a failure.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BandFile {
    /// As in `[thresholds]`.
    pub(super) metric: String,
    /// Which of its numbers, as in `p(95)`.
    pub(super) statistic: String,
    /// As in `<100`.
    pub(super) success: String,
    pub(super) warning: Option<String>,
    pub(super) failure: Option<String>,
    /// What to do about it, for whoever is on call.
    #[serde(default)]
    pub(super) advice: String,
}
