//! Whether what was looked at from outside was seen.

use super::Validity;
use crate::observe::{Gaps, Observations, Observed};

/// Of the looks that are due at a source, so many must come to something: the others are gaps.
const ANSWERED_SHARE_MIN: f64 = 0.8;
/// So many may be late by half of the time to the next one.
const LATE_SHARE_MAX: f64 = 0.1;

impl Validity {
    /// What was seen is shown second by second; what was not is a gap there.
    pub(crate) fn judge_observations(&mut self, observations: &Observations) {
        for observed in &observations.sources {
            let Observed { name, looks, failures, late, .. } = observed;
            let looks = looks.len() as u64;
            observed.about.notes.iter().for_each(|note| self.suspect(format!("{name}: {note}")));
            if let Some(error) = &observed.error {
                let all = failures + looks;
                self.suspect(format!(
                    "{error}: {failures} of {all} looks at it are missing from the series"
                ));
            } else if (looks as f64) < ANSWERED_SHARE_MIN * observations.due as f64 {
                self.suspect(format!(
                    "{name} answered {looks} of {} looks: what is shown of it is from a few instants",
                    observations.due
                ));
            }
            if *late as f64 > LATE_SHARE_MAX * looks as f64 {
                self.suspect(format!(
                    "{late} of {looks} looks at {name} took up to {}: what is shown of it may be of \
                     a later second",
                    crate::duration::show(observed.delay_ns_max as f64)
                ));
            }
            let restarts = observed.restarts();
            if restarts > 0 {
                self.suspect(format!(
                    "what {name} counts began anew {restarts} times meanwhile (a restart, or a reset \
                     of its statistics): its counts of those seconds are missing"
                ));
            }
        }
    }

    /// Whether what was asked of `name` at other times was answered: a gap has its reason told, and late
    /// answers where they are many.
    pub(crate) fn judge_gaps(&mut self, name: &str, gaps: &Gaps) {
        match gaps.told("at it") {
            Some(gaps) => self.suspect(gaps),
            None => self.judge_looks(name, gaps.questions - gaps.failures, gaps.questions),
        }
    }

    /// Whether samples that were to be taken so often are enough for their mean.
    pub(crate) fn judge_looks(&mut self, name: &str, looks: u64, due: u64) {
        if (looks as f64) < ANSWERED_SHARE_MIN * due as f64 {
            self.suspect(format!(
                "{name} answered {looks} of {due} looks: what is shown of it is from a few instants"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::observe::{Counters, Look, PoolerSample, Reading, Subject};

    /// Looks of a pooler's console, of ten that were due.
    fn judged(looks: usize, change: impl FnOnce(&mut Observed)) -> Validity {
        let mut observed = Observed::new("pooler", Subject::Pooler);
        let look = Look { at_ns: 0, reading: Reading::Pooler(PoolerSample::default()) };
        observed.looks = vec![look; looks];
        change(&mut observed);
        let mut validity = Validity::default();
        validity.judge_observations(&Observations {
            sources: vec![observed],
            due: 10,
            ..Observations::default()
        });
        validity
    }

    #[test]
    fn an_observer_that_lags_fails_or_sees_a_part_is_suspect() {
        assert_eq!(judged(12, |_| {}).valid, Level::Valid);
        assert_eq!(judged(8, |_| {}).valid, Level::Valid, "a few turns may be missed");
        let lagging = judged(7, |_| {});
        assert_eq!(lagging.valid, Level::Suspect);
        assert_eq!(
            lagging.reasons,
            ["pooler answered 7 of 10 looks: what is shown of it is from a few instants"]
        );
        let failing = judged(7, |observed| {
            (observed.failures, observed.error) = (3, Some("it does not answer".into()));
        });
        assert_eq!(failing.valid, Level::Suspect);
        assert_eq!(
            failing.reasons,
            ["it does not answer: 3 of 10 looks at it are missing from the series"]
        );
        let partial = judged(12, |observed| observed.about.notes.push("one of several".into()));
        assert_eq!(partial.reasons, ["pooler: one of several"]);
        let late = |late| {
            judged(12, |observed| (observed.late, observed.delay_ns_max) = (late, 700_000_000))
        };
        assert_eq!(late(1).valid, Level::Valid);
        assert_eq!(
            late(2).reasons,
            [
                "2 of 12 looks at pooler took up to 700 ms: what is shown of it may be of a later second"
            ]
        );
    }

    #[test]
    fn samples_of_which_a_fifth_is_missing_are_of_a_few_instants() {
        let judged = |looks| {
            let mut validity = Validity::default();
            validity.judge_looks("the console", looks, 100);
            validity.reasons
        };
        assert_eq!(judged(80), [] as [&str; 0]);
        assert_eq!(
            judged(79),
            ["the console answered 79 of 100 looks: what is shown of it is from a few instants"]
        );
    }

    #[test]
    fn counters_that_begin_anew_are_told() {
        let counted = |counts: &[u64]| {
            judged(12, |observed| {
                for (look, count) in observed.looks.iter_mut().zip(counts) {
                    let counters = Some(Counters::of(&[("query_count", *count)]));
                    let sample = PoolerSample { counters, ..PoolerSample::default() };
                    look.reading = Reading::Pooler(sample);
                }
            })
        };
        assert_eq!(counted(&[5, 9, 9, 30]).valid, Level::Valid);
        let reset = counted(&[5, 9, 2, 30, 4]);
        assert_eq!(reset.valid, Level::Suspect);
        assert_eq!(
            reset.reasons,
            ["what pooler counts began anew 2 times meanwhile (a restart, or a reset of its \
              statistics): its counts of those seconds are missing"]
        );
    }

    #[test]
    fn looks_that_are_missing_are_counted_with_their_reason_and_late_ones_where_they_are_many() {
        let told = |failures, error: Option<&str>| {
            let mut validity = Validity::default();
            let gaps = Gaps { questions: 40, failures, error: error.map(str::to_owned) };
            validity.judge_gaps("the console", &gaps);
            validity.reasons
        };
        assert_eq!(told(1, Some("it is gone")), ["it is gone: 1 of 40 looks at it are missing"]);
        let few = "the console answered 10 of 40 looks: what is shown of it is from a few instants";
        assert_eq!(told(30, None), [few]);
        assert!(told(4, None).is_empty());
    }
}
