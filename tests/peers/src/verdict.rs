//! Whether a goal was met.

use std::fmt;

use serde::Serialize;

use crate::spread::{Spread, number};

/// A goal beside what was measured: smaller is better.
#[derive(Debug, Serialize)]
pub(crate) struct Goal {
    /// What is to be at most so much, with its unit.
    pub(crate) what: String,
    pub(crate) at_most: f64,
    pub(crate) measured: Result<Spread, Missing>,
}

/// Why there is no measurement, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Missing {
    /// The peer is not installed, or crashed: nothing against us.
    Peer(String),
    /// Ours, or the server, did not work.
    Ours(String),
}

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    /// Missed at the median, but the rounds' lower quartile meets it.
    WithinSpread,
    Missed,
    NoPeer,
    Failed,
}

impl Verdict {
    /// Whether the whole run failed with it.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Missed | Self::Failed)
    }
}

impl Goal {
    /// What it came to.
    pub(crate) fn verdict(&self) -> Verdict {
        let measured = match &self.measured {
            Ok(measured) => measured,
            Err(Missing::Peer(_)) => return Verdict::NoPeer,
            Err(Missing::Ours(_)) => return Verdict::Failed,
        };
        if measured.median() <= self.at_most {
            Verdict::Met
        } else if measured.quartiles()[0] <= self.at_most {
            Verdict::WithinSpread
        } else {
            Verdict::Missed
        }
    }

    /// What, goal, measured, spread, verdict.
    pub(crate) fn cells(&self) -> [String; 5] {
        let (measured, spread) = match &self.measured {
            Ok(spread) => {
                let [low, high] = spread.quartiles().map(number);
                (number(spread.median()), format!("{low} to {high}"))
            }
            Err(Missing::Peer(why) | Missing::Ours(why)) => (why.clone(), "-".into()),
        };
        let goal = format!("<= {}", number(self.at_most));
        [self.what.clone(), goal, measured, spread, self.verdict().to_string()]
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::WithinSpread => "within the spread",
            Self::Missed => "MISSED",
            Self::NoPeer => "not measured",
            Self::Failed => "FAILED",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_missed_only_by_more_than_the_spread() {
        let verdict = |values: &[f64]| {
            let measured = Spread::new(values.iter().copied()).expect("values");
            Goal { what: "x".into(), at_most: 0.8, measured: Ok(measured) }.verdict()
        };
        assert_eq!(verdict(&[0.7, 0.8, 0.9, 0.8, 0.7]), Verdict::Met);
        assert_eq!(verdict(&[0.7, 0.8, 0.9, 0.9, 0.9]), Verdict::WithinSpread);
        assert_eq!(verdict(&[0.7, 0.81, 0.9, 0.9, 0.9]), Verdict::Missed);
    }

    #[test]
    fn a_missing_peer_is_no_failure_and_our_own_crash_is() {
        let verdict =
            |missing| Goal { what: "x".into(), at_most: 0.8, measured: Err(missing) }.verdict();
        assert!(!verdict(Missing::Peer("oha is not installed".into())).is_failure());
        assert!(verdict(Missing::Ours("it crashed".into())).is_failure());
    }
}
