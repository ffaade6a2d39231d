//! One load for a while, and whether its goals were met.

use std::collections::BTreeMap;

use engine::{Nanos, PhaseReport, SECOND};
use serde::{Deserialize, Serialize};

use super::goal::{Goal, GoalResult};
use super::search::{self, Verdict};
use crate::arm::Quantiles;
use crate::limiter::Limiter;
use crate::metric::{Gauges, Loads, Tally};
use crate::observe::GENERATOR;
use crate::validity::{GENERATOR_SHARE_MAX, Sharing, Validity};

/// What was measured in a trial: a line of the trial log. Times in ns, rates in 1/s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trial {
    pub(crate) target: String,
    /// Arrivals a second, virtual users or connections.
    pub(crate) load: f64,
    pub(crate) kind: Kind,
    pub(crate) duration_ns: Nanos,
    /// Connections that there were at most.
    pub(crate) connections: u32,
    pub(crate) planned: u64,
    pub(crate) sent: u64,
    /// Arrivals that found no free connection.
    pub(crate) late: u64,
    /// Requests that succeeded, by the second until the last reply.
    pub(crate) throughput: f64,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) response_ns: Quantiles,
    pub(crate) service_ns: Quantiles,
    /// How much of its time the generator's busiest worker worked, 0 to 1.
    pub(crate) generator_share: f64,
    pub(crate) goals: Vec<GoalResult>,
    pub(crate) judgement: Judgement,
    /// The resource that ran out, if one was seen to.
    pub(crate) limiter: Option<Limiter>,
    /// From the end of the load until latency was back at its light-load level and no client waited
    /// in the pool; `None` where that took longer than was waited for.
    pub(crate) recovery_ns: Option<Nanos>,
    /// What it took altogether, with what came before and after it.
    pub(crate) elapsed_ns: Nanos,
    /// Whether it can be trusted. Of one that missed its goals what its load brings about is no fault.
    #[serde(default)]
    pub(crate) validity: Validity,
    /// The pooler's clients and server connections, where it is on the way and shows them.
    #[serde(default)]
    pub(crate) sharing: Option<Sharing>,
}

/// What a trial is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Search,
    /// It verifies a limit.
    Hold,
    /// It shows what comes past the limit.
    Beyond,
}

/// What a trial says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Judgement {
    /// Every goal was met.
    Met,
    /// One was not, and the target is the cause.
    Missed,
    /// Requests left late though connections were free: the generator, or its machine, was too slow.
    Spoilt,
    /// Every connection was in use: more of them might have helped.
    Ceiling,
    /// The generator worked all the time.
    Saturated,
}

/// Less of what was planned than this was sent: the load was not offered.
const SENT_SHARE_MIN: f64 = 0.99;

impl Trial {
    /// From what a phase of one stream came to.
    pub(super) fn new(
        asked: &search::Trial,
        kind: Kind,
        report: &PhaseReport,
        generator_share: f64,
        (loads, goals): (&Loads, &[Goal]),
        connections: u32,
    ) -> Self {
        let stream = &report.streams[0];
        let length_ns = asked.duration_ns.max(report.end.saturating_sub(report.start));
        let whole = stream.recording.whole();
        let errors: BTreeMap<_, _> =
            whole.failures().map(|(class, count, _)| (class.name().to_owned(), count)).collect();
        let failed: u64 = errors.values().sum();
        let tallies = [Tally {
            recording: stream.recording.clone(),
            iterations: stream.iterations,
            dropped: stream.dropped + stream.unserved,
            data_sent: stream.data_sent,
            data_received: stream.data_received,
        }];
        let gauges = Gauges::default();
        let metrics = loads.metrics(length_ns, &tallies, &gauges);
        let mut trial = Self {
            target: loads.loads[0].target.clone(),
            load: asked.load,
            kind,
            duration_ns: asked.duration_ns,
            connections,
            planned: stream.planned,
            sent: stream.sent - stream.resent,
            late: stream.late,
            throughput: (whole.completed() - failed) as f64 * SECOND as f64 / length_ns as f64,
            errors,
            response_ns: Quantiles::new(&whole.response),
            service_ns: Quantiles::new(&whole.service),
            generator_share,
            goals: goals.iter().map(|goal| goal.judge(&metrics)).collect(),
            judgement: Judgement::Met,
            limiter: None,
            recovery_ns: None,
            elapsed_ns: 0,
            validity: Validity::default(),
            sharing: None,
        };
        trial.judgement = trial.judged();
        trial
    }

    /// Of the planned requests, the share that was sent.
    pub(super) fn sent_share(&self) -> f64 {
        self.sent as f64 / self.planned.max(1) as f64
    }

    /// What was waited for before a request was sent is not the target's doing, unless the target
    /// is too slow for its goals with what was sent.
    fn judged(&self) -> Judgement {
        let are_met = self.goals.iter().all(|goal| goal.is_met);
        let is_offered = self.sent_share() >= SENT_SHARE_MIN;
        if are_met && is_offered {
            return Judgement::Met;
        }
        if self.generator_share > GENERATOR_SHARE_MAX {
            return Judgement::Saturated;
        }
        match self.goals.iter().all(|goal| goal.is_met_by_service) {
            false => Judgement::Missed,
            true if self.late > 0 => Judgement::Ceiling,
            true => Judgement::Spoilt,
        }
    }

    /// Where it was the generator that ran out, or its core, the target is not to blame.
    pub(super) fn excuse(&mut self) {
        let is_ours = self.limiter.as_ref().is_some_and(|limiter| limiter.name == GENERATOR);
        if is_ours && self.judgement == Judgement::Missed {
            self.judgement = Judgement::Saturated;
        }
    }

    /// What the search is told.
    pub(super) fn verdict(&self) -> Verdict {
        match self.judgement {
            Judgement::Met | Judgement::Missed => {
                Verdict::Judged(self.goals.iter().map(|goal| goal.is_met).collect())
            }
            Judgement::Spoilt => Verdict::Spoilt,
            Judgement::Ceiling | Judgement::Saturated => Verdict::GeneratorLimit,
        }
    }
}

#[cfg(test)]
impl Trial {
    /// At `load`, of which `throughput` came back with p95 `p95_ms`, against a goal of 100 ms.
    pub(super) fn example(load: f64, throughput: f64, p95_ms: u64) -> Self {
        let ns = p95_ms * engine::MILLISECOND;
        let quantiles = Quantiles {
            count: (load * 5.0) as u64,
            mean: ns as f64 / 2.0,
            p50: ns / 2,
            p90: ns,
            p95: ns,
            p99: ns * 2,
            p99_9: ns * 3,
            max: ns * 4,
        };
        let goal = GoalResult {
            goal: "pg_response_time p(95)<100".into(),
            is_met: p95_ms < 100,
            value: Some(p95_ms as f64),
            is_met_by_service: p95_ms < 100,
        };
        let mut trial = Self {
            target: "pooler".into(),
            load,
            kind: Kind::Search,
            duration_ns: 5 * SECOND,
            connections: 100,
            planned: (load * 5.0) as u64,
            sent: (load * 5.0) as u64,
            late: 0,
            throughput,
            errors: BTreeMap::new(),
            response_ns: quantiles.clone(),
            service_ns: quantiles,
            generator_share: 0.1,
            goals: vec![goal],
            judgement: Judgement::Met,
            limiter: None,
            recovery_ns: Some(300 * engine::MILLISECOND),
            elapsed_ns: 6 * SECOND,
            validity: Validity::default(),
            sharing: None,
        };
        trial.judgement = trial.judged();
        trial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(change: impl FnOnce(&mut Trial)) -> Judgement {
        let mut trial = Trial::example(100.0, 100.0, 50);
        change(&mut trial);
        trial.judged()
    }

    fn miss(trial: &mut Trial, is_met_by_service: bool) {
        trial.goals[0].is_met = false;
        trial.goals[0].is_met_by_service = is_met_by_service;
    }

    #[test]
    fn only_what_the_target_is_the_cause_of_counts_as_its_failure() {
        assert_eq!(judged(|_| {}), Judgement::Met);
        assert_eq!(judged(|trial| miss(trial, false)), Judgement::Missed);
        // Late though a connection was free.
        assert_eq!(judged(|trial| miss(trial, true)), Judgement::Spoilt);
        let waiting = |trial: &mut Trial| trial.late = 9;
        assert_eq!(judged(|trial| (waiting(trial), miss(trial, true)).1), Judgement::Ceiling);
        // A fifth was never sent, and the rest is fast: at least so much.
        let unsent = |trial: &mut Trial| (trial.sent, trial.late) = (400, 100);
        assert_eq!(judged(unsent), Judgement::Ceiling);
        // What was sent is too slow as it is.
        assert_eq!(judged(|trial| (unsent(trial), miss(trial, false)).1), Judgement::Missed);
        let busy = |trial: &mut Trial| trial.generator_share = 0.91;
        assert_eq!(judged(|trial| (busy(trial), miss(trial, false)).1), Judgement::Saturated);
        assert_eq!(judged(busy), Judgement::Met);
        // The observers saw that our worker waited for its core.
        let mut excused = Trial::example(100.0, 60.0, 500);
        excused.excuse();
        assert_eq!(excused.judgement, Judgement::Missed);
        let (name, evidence) = (GENERATOR.to_owned(), Vec::new());
        excused.limiter = Some(Limiter { name, evidence, since_ns: 0, until_ns: 1 });
        excused.excuse();
        assert_eq!(excused.judgement, Judgement::Saturated);
    }
}
