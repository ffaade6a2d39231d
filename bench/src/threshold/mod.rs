//! Thresholds: what a run must keep to, with k6's grammar.

mod bound;
mod expression;
mod file;

use std::fmt;

use engine::Nanos;
use serde::Serialize;

pub(crate) use bound::Bound;
pub(crate) use expression::Expression;
pub(crate) use file::ThresholdsFile;

use crate::cursor::Unreadable;
use crate::duration;
use crate::metric::{Aggregation, Known, Metric, Metrics, Submetric};
use crate::rules::{RuleError, Step, at};

/// One threshold.
#[derive(Debug, Clone)]
pub(crate) struct Threshold {
    /// The metric as it is written in the scenario.
    name: String,
    submetric: Submetric,
    /// The expression as it is written.
    source: String,
    expression: Expression,
    abort_on_fail: bool,
    /// No abort before.
    delay_abort_eval_ns: Nanos,
}

/// A scenario's thresholds, in the order of the file's keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Thresholds(Vec<Threshold>);

/// What became of a threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ThresholdResult {
    pub(crate) metric: String,
    pub(crate) expression: String,
    pub(crate) ok: bool,
    /// In the expression's own unit: ms for times, a share of 1 for rates. `None` without samples,
    /// which is not ok.
    pub(crate) value: Option<f64>,
    #[serde(skip)]
    pub(crate) submetric: Submetric,
    #[serde(skip)]
    pub(crate) aggregation: Aggregation,
}

impl Thresholds {
    /// The file's thresholds, or every mistake in them.
    pub(crate) fn read(file: &ThresholdsFile, known: &Known) -> Result<Self, Vec<RuleError>> {
        let mut thresholds = Vec::new();
        let mut errors = Vec::new();
        for (name, entries) in &file.0 {
            let place = vec!["thresholds".into(), name.as_str().into()];
            let submetric = Submetric::parse(name, known)
                .map_err(|wrong| RuleError::unreadable(place.clone(), name, wrong));
            if let Err(error) = &submetric {
                errors.push(error.clone());
            }
            for (index, entry) in entries.0.iter().enumerate() {
                match entry.read(name, submetric.as_ref().ok(), &at(&place, index)) {
                    Ok(threshold) => thresholds.extend(threshold),
                    Err(error) => errors.push(error),
                }
            }
        }
        if errors.is_empty() { Ok(Self(thresholds)) } else { Err(errors) }
    }

    /// One after the other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Threshold> {
        self.0.iter()
    }

    /// Whether one of them ends the run.
    pub(crate) fn can_abort(&self) -> bool {
        self.0.iter().any(|threshold| threshold.abort_on_fail)
    }

    /// What becomes of each.
    pub(crate) fn judge(&self, metrics: &Metrics<'_>) -> Vec<ThresholdResult> {
        self.0.iter().map(|threshold| threshold.judge(metrics)).collect()
    }

    /// The threshold for which the run is to end now: one that is failed, has samples, ends the run
    /// on failing, and is not to be delayed any longer.
    pub(crate) fn should_abort(
        &self,
        elapsed_ns: Nanos,
        metrics: &Metrics<'_>,
    ) -> Option<ThresholdResult> {
        let due = |threshold: &&Threshold| {
            threshold.abort_on_fail && elapsed_ns >= threshold.delay_abort_eval_ns
        };
        let results = self.0.iter().filter(due).map(|threshold| threshold.judge(metrics));
        results.into_iter().find(|result| !result.ok && result.value.is_some())
    }
}

impl Threshold {
    /// The threshold `expression` on the metric, or part of one, called `name`.
    pub(crate) fn parse(name: &str, expression: &str, known: &Known) -> Result<Self, Unreadable> {
        let submetric = Submetric::parse(name, known)?;
        let condition = Expression::parse(expression)?;
        condition.check_kind(submetric.metric)?;
        Ok(Self {
            name: name.into(),
            submetric,
            source: expression.into(),
            expression: condition,
            abort_on_fail: false,
            delay_abort_eval_ns: 0,
        })
    }

    /// The metric that it is about.
    pub(crate) fn metric(&self) -> Metric {
        self.submetric.metric
    }

    /// The number of it that it is about.
    pub(crate) fn aggregation(&self) -> Aggregation {
        self.expression.aggregation
    }

    /// The same condition on the same part of another metric.
    pub(crate) fn on(&self, metric: Metric) -> Self {
        let submetric = Submetric { metric, ..self.submetric.clone() };
        Self { name: submetric.to_string(), submetric, ..self.clone() }
    }

    /// Whether this number is what it asks for.
    pub(crate) fn holds(&self, value: f64) -> bool {
        self.expression.bound.holds(value)
    }

    /// What becomes of it.
    pub(crate) fn judge(&self, metrics: &Metrics<'_>) -> ThresholdResult {
        let aggregation = self.expression.aggregation;
        let value = metrics.query(&self.submetric, aggregation);
        ThresholdResult {
            metric: self.name.clone(),
            expression: self.source.clone(),
            ok: value.is_some_and(|value| self.holds(value)),
            value,
            submetric: self.submetric.clone(),
            aggregation,
        }
    }
}

/// `errors rate<0.01`.
impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.source)
    }
}

impl file::ThresholdFile {
    /// The threshold; `None` where its metric is not known, so that nothing more can be said.
    fn read(
        &self,
        name: &str,
        submetric: Option<&Submetric>,
        place: &[Step],
    ) -> Result<Option<Threshold>, RuleError> {
        let source = &self.threshold;
        let unreadable = |wrong| RuleError::unreadable(place.to_vec(), source, wrong);
        let expression = Expression::parse(source).map_err(unreadable)?;
        let delay_abort_eval_ns = match &self.delay_abort_eval {
            None => 0,
            Some(delay) => duration::parse(delay)
                .map_err(|problem| RuleError::new(at(place, "delayAbortEval"), problem))?,
        };
        let Some(submetric) = submetric else { return Ok(None) };
        expression.check_kind(submetric.metric).map_err(unreadable)?;
        Ok(Some(Threshold {
            name: name.into(),
            submetric: submetric.clone(),
            source: source.clone(),
            expression,
            abort_on_fail: self.abort_on_fail,
            delay_abort_eval_ns,
        }))
    }
}

#[cfg(test)]
mod tests;
