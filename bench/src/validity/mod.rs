//! Whether a run's numbers can be trusted.

mod artefact;
mod comparison;
mod evidence;
mod machine;
mod multiplexing;
mod observers;
mod sessions;
mod steadiness;
#[cfg(test)]
mod tests;

use engine::{MILLISECOND, Recording};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use wire::Class;

use self::artefact::{comb, looks_like_delayed_ack};
pub(crate) use self::evidence::{Blocks, Comparison, Evidence, Offered, Purpose};
pub(crate) use self::machine::{Machine, MachineWatch};
pub(crate) use self::multiplexing::Sharing;
pub(crate) use self::sessions::{Sessions, compare_sessions};
pub(crate) use self::steadiness::Steady;
use crate::arm::Arm;
use crate::generator::Busiest;

/// The verdict, with its reasons.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Validity {
    pub(crate) valid: Level,
    pub(crate) reasons: Vec<String>,
}

/// How far a run's numbers can be trusted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    #[default]
    Valid,
    /// Read the reasons before you use them.
    Suspect,
    /// The numbers are not about the target.
    Invalid,
}

impl Level {
    /// As in summary.json.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Suspect => "suspect",
            Self::Invalid => "invalid",
        }
    }
}

/// A generator that sends later than this at the 99th percentile measures itself.
const LATENESS_P99_MAX_NS: u64 = MILLISECOND;

/// One that sends half of its requests so late follows no schedule at all.
pub(crate) const LATENESS_P50_MAX_NS: u64 = 5 * MILLISECOND;

/// Where more arrivals than this find every connection in use, the 99th percentile of lateness is
/// their wait.
pub(crate) const LATE_SHARE_MAX: f64 = 0.01;

/// A worker of it that works more than this of its time has none left when many replies come at once.
pub(crate) const GENERATOR_SHARE_MAX: f64 = 0.9;

/// Of the requests that were asked for, so many may stay unsent in a run that is worth something.
const UNSENT_SHARE_MAX: f64 = 0.01;

/// What is unsent after a longer outage says nothing of how much the target takes.
const OUTAGE_MAX_NS: u64 = 500 * MILLISECOND;

impl Validity {
    pub(crate) fn suspect(&mut self, reason: String) {
        self.add(Level::Suspect, reason);
    }

    pub(crate) fn invalid(&mut self, reason: String) {
        self.add(Level::Invalid, reason);
    }

    /// What holds for several arms or rates is told once.
    pub(crate) fn add(&mut self, level: Level, reason: String) {
        self.valid = self.valid.max(level);
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// Whether the load was offered to an arm.
    fn judge_sending(&mut self, arm: &Arm) {
        let name = &arm.label();
        let seconds = arm.measured_ns.max(1) as f64 / engine::SECOND as f64;
        let unsent = arm.dropped + arm.unserved;
        if unsent > 0 && arm.outage_ns > OUTAGE_MAX_NS {
            self.invalid(format!(
                "{name}: {unsent} of {} requests were never sent: for {} after a failure of its \
                 connections nothing succeeded",
                arm.planned,
                crate::duration::show(arm.outage_ns as f64)
            ));
        } else {
            self.judge_unsent(name, unsent, arm.planned, arm.requests() as f64 / seconds);
        }
    }

    /// Whether the generator had CPU time left.
    fn judge_busiest(&mut self, Busiest { share, at }: &Busiest) {
        if *share > GENERATOR_SHARE_MAX {
            let at = at.as_ref().map_or(String::new(), |at| format!("{at}: "));
            self.invalid(format!(
                "{at}a worker of the generator worked {:.0} % of its time: the latencies are its own; \
                 give it more --workers, or ask for less",
                share * 100.0
            ));
        }
    }

    /// What this machine did meanwhile.
    pub(crate) fn judge_machine(&mut self, machine: &Machine) {
        machine.reasons().into_iter().for_each(|reason| self.suspect(reason));
        if let Some(ns) = machine.suspended_ns() {
            let slept = crate::duration::show(ns);
            self.invalid(format!("the machine slept for {slept} meanwhile: measure again"));
        }
    }

    /// What was served while connections ran out is what the generator could send, not what the
    /// target can take.
    fn judge_unsent(&mut self, arm: &str, unsent: u64, planned: u64, served_per_second: f64) {
        if unsent == 0 {
            return;
        }
        let reason = format!(
            "{arm}: {unsent} of {planned} requests were never sent, since every connection was busy"
        );
        if unsent as f64 > UNSENT_SHARE_MAX * planned as f64 {
            self.invalid(format!(
                "{reason}: the target takes at least {served_per_second:.0}/s; raise max_vus or \
                 --connections"
            ));
        } else {
            self.suspect(reason);
        }
    }

    /// Whether requests left when they were due; of these `late` is the share that found no free
    /// connection, 0 to 1.
    fn judge_lateness(&mut self, arm: &str, lateness: &Histogram<u64>, late: f64) {
        let [p50, p99] = [0.5, 0.99].map(|quantile| lateness.value_at_quantile(quantile));
        if p99 <= LATENESS_P99_MAX_NS {
            return;
        }
        let [at_p50, at_p99] = [p50, p99].map(|ns| crate::duration::show(ns as f64));
        if late > LATE_SHARE_MAX {
            self.suspect(format!(
                "{arm}: requests left {at_p99} late at the 99th percentile, since {:.0} % of them found \
                 every connection in use: they waited here and not in the target; raise --connections",
                late * 100.0
            ));
        } else if p50 > LATENESS_P50_MAX_NS {
            self.invalid(format!(
                "{arm}: half of the requests left {at_p50} late or more though connections were free: \
                 the latencies are the generator's own; give it cores of its own, or ask for less"
            ));
        } else {
            self.suspect(format!(
                "{arm}: requests left {at_p99} late at the 99th percentile: the machine is too busy"
            ));
        }
    }

    /// Whether replies were those that were asked for.
    fn judge_replies(&mut self, arm: &Arm) {
        let Some(whole) = arm.whole.as_ref().map(Recording::whole) else { return };
        for (class, count, first) in whole.failures() {
            if class == Class::WrongReply {
                let words = first.map(|first| first.message.as_str()).unwrap_or_default();
                self.invalid(format!(
                    "{}: {count} replies belonged to another request ({words})",
                    arm.label()
                ));
            }
        }
    }

    /// Whether the times of an arm's requests are the target's own: none was sent too late, and
    /// nothing on the way held the replies up.
    fn judge_times(&mut self, arm: &Arm) {
        let Some(whole) = arm.whole.as_ref().map(Recording::whole) else { return };
        let name = &arm.label();
        let late = arm.late as f64 / arm.planned.max(1) as f64;
        self.judge_lateness(name, &whole.lateness, late);
        self.judge_artefacts(name, &whole.service);
    }

    fn judge_artefacts(&mut self, arm: &str, service: &Histogram<u64>) {
        if looks_like_delayed_ack(service) {
            self.suspect(format!(
                "{arm}: many replies took 40 ms: it looks like a delayed ACK; the server writes a \
                 reply in two pieces with Nagle's algorithm on (set TCP_NODELAY there)"
            ));
        }
        if let Some(period_ns) = comb(service) {
            self.suspect(format!(
                "{arm}: replies come in steps of {}: somebody on the way waits for a timer's ticks",
                crate::duration::show(period_ns as f64)
            ));
        }
    }
}
