//! What comes past the limit.

use engine::Nanos;
use serde::Serialize;

use super::trial::{Judgement, Trial};

/// How a target behaves under more than it can bear.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Beyond {
    pub(crate) behaviour: Behaviour,
    /// The most that it was given.
    pub(crate) load: f64,
    /// Requests that succeeded there, by the second.
    pub(crate) throughput: f64,
    /// The most that succeeded anywhere, by the second.
    pub(crate) throughput_max: f64,
    /// The longest that any trial past the limit was recovered from; `None` where it never was.
    pub(crate) recovery_ns: Option<Nanos>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Behaviour {
    /// It does as much as it can, and no less when more is asked for.
    Graceful,
    /// It does less when more is asked for, and comes back when the load goes.
    Collapse,
    /// It does not come back by itself when the load goes (Bronson, Aghayev, Charapko and Zhu,
    /// "Metastable failures in distributed systems", HotOS 2021).
    Metastable,
}

/// Doing less than this share of the most is a collapse.
const GRACEFUL_SHARE: f64 = 0.8;

impl Beyond {
    /// From the trials of one target; `None` where none missed its goals.
    pub(super) fn new(trials: &[Trial]) -> Option<Self> {
        // Clients that were not let in put no load on it.
        let is_missed = |trial: &&Trial| trial.judgement == Judgement::Missed && trial.planned > 0;
        let missed: Vec<_> = trials.iter().filter(is_missed).collect();
        let most = missed.iter().max_by(|one, other| one.load.total_cmp(&other.load))?;
        let throughput_max = trials.iter().map(|trial| trial.throughput).fold(0.0, f64::max);
        let recovery_ns: Option<Vec<_>> = missed.iter().map(|trial| trial.recovery_ns).collect();
        let recovery_ns = recovery_ns.and_then(|all| all.into_iter().max());
        let behaviour = match recovery_ns {
            None => Behaviour::Metastable,
            _ if most.throughput < GRACEFUL_SHARE * throughput_max => Behaviour::Collapse,
            _ => Behaviour::Graceful,
        };
        let (load, throughput) = (most.load, most.throughput);
        Some(Self { behaviour, load, throughput, throughput_max, recovery_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_does_with_more_and_whether_it_comes_back_tell_its_behaviour() {
        let within = Trial::example(100.0, 100.0, 20);
        let behaviour =
            |trial: Trial| Beyond::new(&[within.clone(), trial]).map(|beyond| beyond.behaviour);
        assert_eq!(behaviour(Trial::example(110.0, 110.0, 50)), None);
        let graceful = Trial::example(200.0, 99.0, 900);
        assert_eq!(behaviour(graceful.clone()), Some(Behaviour::Graceful));
        let collapse = Trial::example(200.0, 30.0, 900);
        assert_eq!(behaviour(collapse), Some(Behaviour::Collapse));
        let stuck = Trial { recovery_ns: None, ..graceful };
        assert_eq!(behaviour(stuck), Some(Behaviour::Metastable));
    }
}
