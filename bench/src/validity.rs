//! Whether a run's numbers can be trusted.

use engine::{MILLISECOND, OperationRecording};
use hdrhistogram::Histogram;
use serde::Serialize;
use wire::Class;

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

/// Intervals over fewer blocks are too narrow: the bootstrap cannot see what it has not drawn.
pub(crate) const BLOCKS_MIN: usize = 20;
/// A generator that sends later than this at the 99th percentile measures itself.
const LATENESS_P99_MAX_NS: u64 = MILLISECOND;

/// Of the requests that were asked for, so many may stay unsent in a run that is worth something.
const UNSENT_SHARE_MAX: f64 = 0.01;

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
        let name = &arm.kind.name;
        let seconds = arm.measured_ns.max(1) as f64 / engine::SECOND as f64;
        self.judge_unsent(
            name,
            arm.dropped + arm.unserved,
            arm.planned,
            arm.requests() as f64 / seconds,
        );
        if let Some(whole) = &arm.whole {
            self.judge_recording(name, &whole.whole());
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
    }
}

/// Linux delays an ACK by 40 ms (TCP_DELACK_MIN), to the next tick of its clock; a busy machine adds
/// a little.
const DELAYED_ACK_NS: (u64, u64) = (38 * MILLISECOND, 50 * MILLISECOND);
/// A range as wide below it, where a server that is merely slow would show too.
const BELOW_DELAYED_ACK_NS: (u64, u64) = (24 * MILLISECOND, 36 * MILLISECOND);
/// A share of replies as large as this, and hardly any just below, is no accident.
const DELAYED_ACK_SHARE: f64 = 0.05;

fn looks_like_delayed_ack(service: &Histogram<u64>) -> bool {
    let count = |(low, high)| service.count_between(low, high);
    let inside = count(DELAYED_ACK_NS);
    inside as f64 > DELAYED_ACK_SHARE * service.len() as f64
        && inside > 4 * count(BELOW_DELAYED_ACK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values_ms: impl IntoIterator<Item = f64>) -> Histogram<u64> {
        let mut histogram = engine::histogram();
        values_ms.into_iter().for_each(|ms| histogram.record((ms * 1e6) as u64).unwrap());
        histogram
    }

    #[test]
    fn mass_at_forty_milliseconds_is_a_delayed_ack_and_a_slow_server_is_not() {
        let delayed = (0..100).map(|n| if n % 10 == 0 { 40.0 + f64::from(n) / 50.0 } else { 1.0 });
        assert!(looks_like_delayed_ack(&histogram(delayed)));
        assert!(!looks_like_delayed_ack(&histogram((0..1000).map(|n| f64::from(n) / 10.0))));
        assert!(!looks_like_delayed_ack(&histogram((0..100).map(|_| 1.0))));
        assert!(!looks_like_delayed_ack(&histogram([])));
    }

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
    fn the_worst_reason_decides() {
        let mut validity = Validity::default();
        assert_eq!(validity.valid, Level::Valid);
        validity.invalid("a".into());
        validity.suspect("b".into());
        assert_eq!((validity.valid, validity.reasons.len()), (Level::Invalid, 2));
    }
}
