//! Whether a run's numbers can be trusted.

mod artefact;
mod comparison;
mod machine;
mod settings;

use engine::{MILLISECOND, OperationRecording};
use serde::Serialize;
use wire::Class;

use self::artefact::{comb, looks_like_delayed_ack};
pub(crate) use self::machine::{Machine, MachineWatch};
pub(crate) use self::settings::compare_settings;
use crate::arm::Arm;

/// The verdict, with its reasons.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Validity {
    pub(crate) valid: Level,
    pub(crate) reasons: Vec<String>,
}

/// How far a run's numbers can be trusted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    #[default]
    Valid,
    /// Read the reasons before you use them.
    Suspect,
    /// The numbers are not about the target.
    Invalid,
}

/// A generator that sends later than this at the 99th percentile measures itself.
const LATENESS_P99_MAX_NS: u64 = MILLISECOND;

/// A generator that works more than this of its time has none left when many replies come at once.
const GENERATOR_SHARE_MAX: f64 = 0.9;

/// Of the requests that were asked for, so many may stay unsent in a run that is worth something.
const UNSENT_SHARE_MAX: f64 = 0.01;

/// What is unsent after a longer outage says nothing of how much the target takes.
const OUTAGE_MAX_NS: u64 = 500 * MILLISECOND;

impl Validity {
    pub(crate) fn suspect(&mut self, reason: String) {
        self.valid = self.valid.max(Level::Suspect);
        self.reasons.push(reason);
    }

    pub(crate) fn invalid(&mut self, reason: String) {
        self.valid = Level::Invalid;
        self.reasons.push(reason);
    }

    /// Looks through the measurements of `arm`.
    pub(crate) fn judge(&mut self, arm: &Arm) {
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
        if let Some(whole) = &arm.whole {
            self.judge_recording(name, &whole.whole());
        }
    }

    /// Whether the generator had CPU time left: `share` is what its workers used of theirs, 0 to 1.
    pub(crate) fn judge_generator(&mut self, share: f64) {
        if share > GENERATOR_SHARE_MAX {
            self.invalid(format!(
                "the generator worked {:.0} % of its time: the latencies are its own; give it more \
                 --workers, or ask for less",
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

    /// Whether who watches the pool kept up: so many looks of those that were due.
    pub(crate) fn judge_watching(&mut self, looks: usize, due: usize) {
        if looks * 2 < due {
            self.suspect(format!(
                "the pooler's console answered {looks} of {due} looks: what is shown of its queue \
                 is from a few instants"
            ));
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

    fn judge_recording(&mut self, arm: &str, whole: &OperationRecording) {
        for (class, count, first) in whole.failures() {
            if class == Class::WrongReply {
                let words = first.map(|first| first.message.as_str()).unwrap_or_default();
                self.invalid(format!(
                    "{arm}: {count} replies belonged to another request ({words})"
                ));
            }
        }
        let lateness = whole.lateness.value_at_quantile(0.99);
        if lateness > LATENESS_P99_MAX_NS {
            self.suspect(format!(
                "{arm}: requests left {} late at the 99th percentile: the machine is too busy, or \
                 every connection was in use",
                crate::duration::show(lateness as f64)
            ));
        }
        if looks_like_delayed_ack(&whole.service) {
            self.suspect(format!(
                "{arm}: many replies took 40 ms: it looks like a delayed ACK; the server writes a \
                 reply in two pieces with Nagle's algorithm on (set TCP_NODELAY there)"
            ));
        }
        if let Some(period_ns) = comb(&whole.service) {
            self.suspect(format!(
                "{arm}: replies come in steps of {}: somebody on the way waits for a timer's ticks",
                crate::duration::show(period_ns as f64)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_arrivals_unsent_is_invalid_and_says_at_least() {
        let level = |unsent| {
            let mut validity = Validity::default();
            validity.judge_unsent("gateway", unsent, 1000, 800.0);
            validity
        };
        assert_eq!(level(0).valid, Level::Valid);
        assert_eq!(level(10).valid, Level::Suspect);
        let ceiling = level(200);
        assert_eq!(ceiling.valid, Level::Invalid);
        assert_eq!(
            ceiling.reasons,
            [
                "gateway: 200 of 1000 requests were never sent, since every connection was busy: the \
              target takes at least 800/s; raise max_vus or --connections"
            ]
        );
    }

    #[test]
    fn a_generator_without_time_to_spare_is_invalid() {
        let level = |share| {
            let mut validity = Validity::default();
            validity.judge_generator(share);
            validity.valid
        };
        assert_eq!((level(0.89), level(0.91)), (Level::Valid, Level::Invalid));
    }

    #[test]
    fn a_console_that_answers_too_seldom_is_suspect() {
        let level = |looks| {
            let mut validity = Validity::default();
            validity.judge_watching(looks, 100);
            validity.valid
        };
        assert_eq!(
            (level(100), level(50), level(49)),
            (Level::Valid, Level::Valid, Level::Suspect)
        );
    }

    #[test]
    fn the_worst_reason_decides() {
        let mut validity = Validity::default();
        assert_eq!(validity.valid, Level::Valid);
        validity.invalid("a".into());
        validity.suspect("b".into());
        assert_eq!((validity.valid, validity.reasons.len()), (Level::Invalid, 2));
    }
}
