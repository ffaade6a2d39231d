//! What a load must keep to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cursor::Unreadable;
use crate::metric::{Aggregation, Known, Layer, Metric, Metrics};
use crate::threshold::Threshold;

/// A threshold that is to be met.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    threshold: Threshold,
    /// The same from the instant at which a request was sent: of that the target alone is the cause.
    service: Threshold,
}

/// What became of a goal in a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GoalResult {
    pub(crate) goal: String,
    pub(crate) is_met: bool,
    /// In the expression's own unit: ms for times, a share of 1 for rates.
    pub(crate) value: Option<f64>,
    /// Whether what was sent met it, from its sending on.
    pub(crate) is_met_by_service: bool,
}

/// Where the scenario and the command line name no goals.
pub(crate) const DEFAULTS: [&str; 2] = ["p(95)<100", "errors: rate<0.01"];

impl Goal {
    /// A goal of the command line: `METRIC: EXPRESSION`, or an expression on the response time of
    /// what the layer speaks.
    pub(crate) fn parse(text: &str, layer: Layer, known: &Known) -> Result<Self, Unreadable> {
        let response_time = match layer {
            Layer::Gateway => Metric::HttpReqResponseTime,
            Layer::Pooler | Layer::Postgres => Metric::PgResponseTime,
        };
        let (metric, expression) = match text.rsplit_once(':') {
            Some((metric, expression)) => (metric.trim(), expression.trim()),
            None => (response_time.name(), text.trim()),
        };
        Threshold::parse(metric, expression, known).map(Self::new)
    }

    /// A threshold of the scenario.
    pub(crate) fn new(threshold: Threshold) -> Self {
        let service = threshold.on(match threshold.metric() {
            Metric::HttpReqResponseTime => Metric::HttpReqDuration,
            Metric::PgResponseTime => Metric::PgQueryDuration,
            metric => metric,
        });
        Self { threshold, service }
    }

    /// Whether the layer has its metric.
    pub(crate) fn is_about(&self, layer: Layer) -> bool {
        match self.threshold.metric() {
            Metric::HttpReqDuration
            | Metric::HttpReqResponseTime
            | Metric::HttpReqs
            | Metric::HttpReqFailed => layer == Layer::Gateway,
            Metric::PgQueryDuration | Metric::PgResponseTime | Metric::PgConnectDuration => {
                layer != Layer::Gateway
            }
            _ => true,
        }
    }

    /// The quantile of a time that it bounds, if it does.
    pub(crate) fn quantile(&self) -> Option<f64> {
        match self.threshold.aggregation() {
            Aggregation::Percentile(percent) => Some(percent / 100.0),
            Aggregation::Med => Some(0.5),
            _ => None,
        }
    }

    /// Whether this value of its metric meets it.
    pub(crate) fn holds(&self, value: f64) -> bool {
        self.threshold.holds(value)
    }

    /// What becomes of it.
    pub(crate) fn judge(&self, metrics: &Metrics<'_>) -> GoalResult {
        let result = self.threshold.judge(metrics);
        GoalResult {
            goal: self.to_string(),
            is_met: result.ok,
            value: result.value,
            is_met_by_service: self.service.judge(metrics).ok,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.threshold.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_alone_is_about_the_response_time_of_the_layer() {
        let known = Known { operations: vec!["a".into()], ..Known::default() };
        let read = |text, layer| match Goal::parse(text, layer, &known) {
            Ok(goal) => goal.to_string(),
            Err(wrong) => wrong.to_string(),
        };
        assert_eq!(read("p(95)<100", Layer::Gateway), "http_req_response_time p(95)<100");
        assert_eq!(read(" p(95)<100 ", Layer::Pooler), "pg_response_time p(95)<100");
        assert_eq!(read("errors: rate<0.01", Layer::Pooler), "errors rate<0.01");
        let part = read("errors{operation:a}: rate<0.01", Layer::Pooler);
        assert_eq!(part, "errors{operation:a} rate<0.01");
        assert!(read("p95<100", Layer::Pooler).contains("p(95)"));
        assert!(read("errors{operation:a}", Layer::Pooler).contains("column"));
        let goal = Goal::parse("p(99)<5", Layer::Gateway, &known).unwrap();
        assert!(goal.is_about(Layer::Gateway) && !goal.is_about(Layer::Postgres));
        assert_eq!(goal.service.to_string(), "http_req_duration p(99)<5");
    }
}
