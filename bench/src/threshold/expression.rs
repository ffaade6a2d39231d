//! A threshold's condition: `p(95)<100`.

use std::fmt;

use super::Bound;
use crate::cursor::{Cursor, Unreadable};
use crate::metric::{Aggregation, Metric};

/// A condition on one of a metric's numbers.
///
/// k6's grammar (documentation, "Thresholds"): an aggregation, an operator and a number, with
/// white space around each; times are in ms, rates from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expression {
    pub(crate) aggregation: Aggregation,
    pub(crate) bound: Bound,
}

impl Expression {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut cursor = Cursor::new(text);
        cursor.skip_space();
        let aggregation = Aggregation::read(&mut cursor)?;
        Ok(Self { aggregation, bound: Bound::read(&mut cursor)? })
    }

    /// Whether the metric has such a number.
    pub(crate) fn check_kind(&self, metric: Metric) -> Result<(), Unreadable> {
        let kind = metric.kind();
        if self.aggregation.fits(kind) {
            return Ok(());
        }
        let problem = format!(
            "{} is a {kind} and has no {}; it has: {}",
            metric.name(),
            self.aggregation,
            Aggregation::of(kind)
        );
        Err(Unreadable { column: 1, problem })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.aggregation, self.bound)
    }
}
