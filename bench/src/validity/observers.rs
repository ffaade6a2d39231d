//! Whether what was looked at from outside was seen.

use super::Validity;
use crate::observe::{Observations, Observed};

impl Validity {
    /// What was seen is shown second by second; what was not is a gap there.
    pub(crate) fn judge_observations(&mut self, observations: &Observations) {
        for observed in &observations.sources {
            observed.note.iter().for_each(|note| self.suspect(note.clone()));
            let Observed { name, looks, failures, .. } = observed;
            if let Some(error) = &observed.error {
                let all = failures + looks.len() as u64;
                self.suspect(format!(
                    "{error}: {failures} of {all} looks at it are missing from the series"
                ));
            } else {
                self.judge_looks(name, looks.len() as u64, observations.due);
            }
        }
    }

    /// Whether what was to be looked at so often kept up.
    pub(crate) fn judge_looks(&mut self, name: &str, looks: u64, due: u64) {
        if looks * 2 < due {
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
    use crate::observe::{Look, PoolerSample, Reading, Subject};

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
        assert_eq!(judged(5, |_| {}).valid, Level::Valid, "a few turns may be missed");
        let lagging = judged(4, |_| {});
        assert_eq!(lagging.valid, Level::Suspect);
        assert_eq!(
            lagging.reasons,
            ["pooler answered 4 of 10 looks: what is shown of it is from a few instants"]
        );
        let failing = judged(7, |observed| {
            (observed.failures, observed.error) = (3, Some("it does not answer".into()));
        });
        assert_eq!(failing.valid, Level::Suspect);
        assert_eq!(
            failing.reasons,
            ["it does not answer: 3 of 10 looks at it are missing from the series"]
        );
        let partial = judged(12, |observed| observed.note = Some("one of several".into()));
        assert_eq!(partial.reasons, ["one of several"]);
    }
}
