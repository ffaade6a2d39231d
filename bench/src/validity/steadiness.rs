//! Whether a load that stays the same was answered the same all the time.

use engine::Nanos;

use super::Validity;
use crate::series::Second;
use crate::statistics::change_point;

/// A change that chance brings about less often is one, where it is as large as this too.
const CHANGE_P_MAX: f64 = 0.001;
const CHANGE_SHARE_MIN: f64 = 0.2;

/// A change of the level of medians, in ns.
pub(super) struct Change {
    /// How many come before it.
    pub(super) at: usize,
    pub(super) before: f64,
    pub(super) after: f64,
}

/// Where medians begin to keep to another level, if they do.
pub(super) fn change(medians: &[f64]) -> Option<Change> {
    let change = change_point(medians, 1)?;
    let is_large = (change.after / change.before - 1.0).abs() > CHANGE_SHARE_MIN;
    (change.p <= CHANGE_P_MAX && is_large).then_some(Change {
        at: change.at,
        before: change.before,
        after: change.after,
    })
}

/// What came of a load that stays the same, second by second.
#[derive(Debug, Clone)]
pub(crate) struct Steady {
    /// What it was on.
    pub(crate) name: String,
    /// Since its start, in ns, and the median response time, in ns.
    pub(crate) medians: Vec<(Nanos, Nanos)>,
}

impl Steady {
    pub(crate) fn new(name: String, seconds: &[Second]) -> Self {
        let seen = seconds.iter().map(|second| &second.load);
        let medians = seen.filter_map(|load| Some((load.start_ns, load.response_ns?.p50)));
        Self { name, medians: medians.collect() }
    }
}

impl Validity {
    /// Looks for a change-point in what was measured; in less than a dozen seconds chance could be
    /// all of it.
    pub(super) fn judge_steady(&mut self, Steady { name, medians }: &Steady) {
        let levels: Vec<_> = medians.iter().map(|(_, median)| *median as f64).collect();
        if let Some(Change { at, before, after }) = change(&levels) {
            self.suspect(format!(
                "{name}: from {} on the median was {} instead of {}: it was not warm before, or \
                 something else began then",
                crate::duration::show(medians[at].0 as f64),
                crate::duration::show(after),
                crate::duration::show(before)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(count: u64, p50_us: impl Fn(u64) -> u64) -> Vec<String> {
        let second = |number: u64| {
            let mut second = Second::at_ease(number);
            let spread = second.load.response_ns.as_mut().unwrap();
            // No two seconds are alike.
            spread.p50 = p50_us(number) * 1000 + number % 7 * 900;
            second
        };
        let mut validity = Validity::default();
        let seconds: Vec<_> = (0..count).map(second).collect();
        validity.judge_steady(&Steady::new("pooler".into(), &seconds));
        validity.reasons
    }

    #[test]
    fn a_load_that_is_answered_faster_later_was_not_warm() {
        let warming = |number| if number < 12 { 300 } else { 150 };
        assert_eq!(
            judged(30, warming),
            ["pooler: from 12.0 s on the median was 153 us instead of 303 us: it was not warm \
              before, or something else began then"]
        );
        assert_eq!(judged(30, |_| 300), [] as [&str; 0]);
        assert_eq!(judged(30, |number| 300 + number % 3 * 50), [] as [&str; 0]);
        assert_eq!(judged(8, |number| if number < 4 { 300 } else { 150 }), [] as [&str; 0]);
        assert_eq!(judged(0, |_| 300), [] as [&str; 0]);
    }
}
