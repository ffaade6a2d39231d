//! Which resource ran out first, if any did.
//!
//! A function of what was seen in each second of a run. It names what ended to scale, not who is to
//! blame: a pool that is full while Postgres has CPU left is too small, and one that is full since
//! Postgres has none is not.

mod resource;
#[cfg(test)]
mod tests;

use std::fmt;

use engine::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

use self::resource::Resource;
use crate::duration::show;
use crate::series::Second;

/// The resource that ran out first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limiter {
    /// As in `pooler CPU` or `pool of pooler`.
    pub(crate) name: String,
    /// What was seen, a sentence each.
    pub(crate) evidence: Vec<String>,
    /// From then on, in ns after the beginning of the measured phase.
    pub(crate) since_ns: Nanos,
    /// Until then.
    pub(crate) until_ns: Nanos,
}

/// For a person, in one line.
impl fmt::Display for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, evidence, since_ns, until_ns } = self;
        let since = if *since_ns == 0 { "the beginning".into() } else { show(*since_ns as f64) };
        let until = show(*until_ns as f64);
        write!(f, "{name}, from {since} to {until}: {}", evidence.join("; "))
    }
}

/// What is over sooner is a fluctuation, unless the run is hardly longer.
const LEAST_NS: Nanos = 3 * SECOND;
/// Looks are a second apart: what ran out within so much is the same event, and the cause comes first
/// in the order of [`Resource`].
const SAME_NS: Nanos = 2 * SECOND;

impl Limiter {
    /// Looks for it in the seconds of a run. `None` where nothing of what was seen ran out.
    pub(crate) fn find(seconds: &[Second]) -> Option<Self> {
        let mut found: Vec<_> = Resource::all(seconds)
            .into_iter()
            .filter_map(|resource| Some((stretch(&resource, seconds)?, resource)))
            .collect();
        let start_ns =
            |stretch: &[Second]| stretch.first().map_or(0, |second| second.load.start_ns);
        let first_ns = found.iter().map(|(stretch, _)| start_ns(stretch)).min()?;
        found.retain(|(stretch, _)| start_ns(stretch) < first_ns + SAME_NS);
        let (stretch, resource) =
            found.into_iter().min_by(|(_, one), (_, other)| one.cmp(other))?;
        Some(Self {
            name: resource.to_string(),
            evidence: resource.evidence(stretch),
            since_ns: start_ns(stretch),
            until_ns: stretch.last()?.load.end_ns,
        })
    }
}

/// The first seconds in a row in which the resource had run out. A second in which it was not seen
/// is no end of them, and no beginning; nor is a single one in which some was left.
fn stretch<'a>(resource: &Resource, seconds: &'a [Second]) -> Option<&'a [Second]> {
    let length_ns = |seconds: &[Second]| match seconds {
        [first, .., last] => last.load.end_ns - first.load.start_ns,
        [only] => only.load.end_ns - only.load.start_ns,
        [] => 0,
    };
    let least_ns = LEAST_NS.min(length_ns(seconds) / 2);
    let states: Vec<_> = seconds.iter().map(|second| resource.has_run_out(second)).collect();
    let is_dip = |at: usize| {
        states[at] == Some(false)
            && at.checked_sub(1).is_some_and(|before| states[before] == Some(true))
            && states.get(at + 1) == Some(&Some(true))
    };
    let states: Vec<_> =
        states.iter().enumerate().map(|(at, state)| state.filter(|_| !is_dip(at))).collect();
    let mut from = 0;
    while let Some(begin) = states[from..].iter().position(|state| *state == Some(true)) {
        let begin = from + begin;
        let end = states[begin..].iter().position(|state| *state == Some(false));
        let end = end.map_or(states.len(), |end| begin + end);
        // Gaps at the end are not of it.
        let last = states[begin..end].iter().rposition(|state| *state == Some(true))?;
        let found = &seconds[begin..=begin + last];
        if length_ns(found) >= least_ns {
            return Some(found);
        }
        from = end;
    }
    None
}
