//! Bands: whether a number is good, bears watching or is bad, and what to do about it.

mod defaults;
mod file;

use std::fmt;

use serde::Serialize;

pub(crate) use file::BandFile;

use crate::cursor::Cursor;
use crate::metric::{Aggregation, Known, Metrics, Submetric};
use crate::rules::{RuleError, Step, at};
use crate::threshold::{Bound, Expression};

/// How a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Success,
    Warning,
    Failure,
    /// It was not measured.
    Unknown,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
        })
    }
}

/// One number with its bounds.
#[derive(Debug, Clone)]
struct Band {
    /// The metric as it is written.
    name: String,
    submetric: Submetric,
    aggregation: Aggregation,
    success: Bound,
    warning: Option<Bound>,
    failure: Option<Bound>,
    advice: String,
    /// What to do about a number that is not there.
    unknown: String,
}

/// A run's bands: those built in, and in their place or after them the scenario's.
#[derive(Debug, Clone)]
pub(crate) struct Bands(Vec<Band>);

/// What became of a band.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct BandResult {
    pub(crate) metric: String,
    /// Which of the metric's numbers.
    pub(crate) statistic: String,
    pub(crate) level: Level,
    /// In ms for times, a share of 1 for rates.
    pub(crate) value: Option<f64>,
    /// What to do; empty at success.
    pub(crate) advice: String,
    #[serde(skip)]
    pub(crate) submetric: Submetric,
    #[serde(skip)]
    pub(crate) aggregation: Aggregation,
}

impl Bands {
    /// The built-in bands and the file's, or every mistake in these. One of the file's takes the
    /// place of all that are built in for the same metric.
    pub(crate) fn read(file: &[BandFile], known: &Known) -> Result<Self, Vec<RuleError>> {
        let mut own = Vec::new();
        let mut errors = Vec::new();
        for (index, entry) in file.iter().enumerate() {
            match entry.read(known, &["bands".into(), index.into()]) {
                Ok(band) => own.push(band),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut bands = defaults::bands();
        bands.retain(|band| own.iter().all(|other| other.submetric != band.submetric));
        bands.extend(own);
        Ok(Self(bands))
    }

    /// What becomes of each.
    pub(crate) fn judge(&self, metrics: &Metrics<'_>) -> Vec<BandResult> {
        let judge = |band: &Band| {
            let value = metrics.query(&band.submetric, band.aggregation);
            let level = value.map_or(Level::Unknown, |value| band.level(value));
            let advice = match level {
                Level::Success => String::new(),
                Level::Unknown => band.unknown.clone(),
                Level::Warning | Level::Failure => band.advice.clone(),
            };
            BandResult {
                metric: band.name.clone(),
                statistic: band.aggregation.to_string(),
                level,
                value,
                advice,
                submetric: band.submetric.clone(),
                aggregation: band.aggregation,
            }
        };
        self.0.iter().map(judge).collect()
    }
}

impl Band {
    /// What lies between the bounds of warning and failure bears watching: it is not bad yet.
    fn level(&self, value: f64) -> Level {
        let holds = |bound: Option<Bound>| bound.map(|bound| bound.holds(value));
        match (self.success.holds(value), holds(self.failure), holds(self.warning)) {
            (true, ..) => Level::Success,
            (_, Some(true), _) | (_, None, Some(false)) => Level::Failure,
            _ => Level::Warning,
        }
    }
}

impl BandFile {
    fn read(&self, known: &Known, place: &[Step]) -> Result<Band, RuleError> {
        let submetric = Submetric::parse(&self.metric, known)
            .map_err(|wrong| RuleError::unreadable(at(place, "metric"), &self.metric, wrong))?;
        let statistic = &self.statistic;
        let unreadable = |wrong| RuleError::unreadable(at(place, "statistic"), statistic, wrong);
        let mut cursor = Cursor::new(statistic);
        cursor.skip_space();
        let aggregation = Aggregation::read(&mut cursor).map_err(unreadable)?;
        cursor.end().map_err(unreadable)?;
        let bound = |key: &str, text: &str| {
            Bound::read(&mut Cursor::new(text))
                .map_err(|wrong| RuleError::unreadable(at(place, key), text, wrong))
        };
        let optional =
            |key, text: &Option<String>| text.as_ref().map(|text| bound(key, text)).transpose();
        let success = bound("success", &self.success)?;
        Expression { aggregation, bound: success }
            .check_kind(submetric.metric)
            .map_err(unreadable)?;
        Ok(Band {
            name: self.metric.clone(),
            submetric,
            aggregation,
            success,
            warning: optional("warning", &self.warning)?,
            failure: optional("failure", &self.failure)?,
            advice: self.advice.clone(),
            unknown: "it was not measured in this run".into(),
        })
    }
}

#[cfg(test)]
mod tests;
