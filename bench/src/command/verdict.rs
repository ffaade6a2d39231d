//! What each command ends with.

use super::exit;
use crate::limit::step;
use crate::validity::{Level, Validity};
use crate::{cancel, churn, layers, limit, pgbench, run, sweep};

/// The result of an experiment.
pub(super) trait Judged {
    /// Whether it can be trusted.
    fn validity(&self) -> &Validity;

    /// What the process ends with where it can.
    fn trusted(&self) -> u8 {
        exit::OK
    }

    /// What it ends with in any case, where the experiment did not come to its end.
    fn cut_short(&self) -> Option<u8> {
        None
    }

    /// What the process ends with. What can't be trusted decides nothing: whether the numbers are
    /// valid comes before what they say.
    fn code(&self) -> u8 {
        match (self.cut_short(), self.validity().valid) {
            (Some(code), _) => code,
            (None, Level::Invalid) => exit::INVALID_RUN,
            (None, Level::Valid | Level::Suspect) => self.trusted(),
        }
    }
}

impl Judged for run::Summary {
    fn validity(&self) -> &Validity {
        &self.validity
    }

    fn trusted(&self) -> u8 {
        if self.verdicts.aborted_by.is_some() {
            exit::ABORTED
        } else if !self.verdicts.are_thresholds_ok() {
            exit::THRESHOLDS
        } else {
            exit::OK
        }
    }
}

impl Judged for limit::Summary {
    fn validity(&self) -> &Validity {
        &self.validity
    }

    fn trusted(&self) -> u8 {
        if self.is_missed_throughout() { exit::THRESHOLDS } else { exit::OK }
    }
}

impl Judged for pgbench::Summary {
    fn validity(&self) -> &Validity {
        &self.validity
    }

    fn cut_short(&self) -> Option<u8> {
        match (&self.script_error, self.is_interrupted) {
            (Some(_), _) => Some(exit::ABORTED_CLIENTS),
            (None, true) => Some(exit::INTERRUPTED),
            (None, false) => None,
        }
    }
}

/// Those that are trusted or not, and say nothing else.
macro_rules! judged {
    ($($summary:ty),+) => {
        $(impl Judged for $summary {
            fn validity(&self) -> &Validity {
                &self.validity
            }
        })+
    };
}

judged!(layers::Summary, step::Summary, sweep::Summary, churn::Summary, cancel::Summary);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Pace;

    /// The exit codes of a result that is valid, suspect and invalid.
    fn codes<T: Judged>(mut result: T, validity: fn(&mut T) -> &mut Validity) -> [u8; 3] {
        [Level::Valid, Level::Suspect, Level::Invalid].map(|valid| {
            *validity(&mut result) = Validity { valid, reasons: vec!["as it is".into()] };
            result.code()
        })
    }

    #[test]
    fn every_command_ends_an_invalid_run_with_its_own_code() {
        let expected = [exit::OK, exit::OK, exit::INVALID_RUN];
        // demo shows what layers does.
        assert_eq!(codes(layers::Summary::example(), |one| &mut one.validity), expected);
        assert_eq!(codes(limit::Summary::example(), |one| &mut one.validity), expected);
        assert_eq!(codes(step::Summary::example(), |one| &mut one.validity), expected);
        assert_eq!(codes(sweep::Summary::example(), |one| &mut one.validity), expected);
        let pace = Pace::Clients(8);
        assert_eq!(codes(churn::Summary::example(pace), |one| &mut one.validity), expected);
        assert_eq!(codes(cancel::Summary::example(pace), |one| &mut one.validity), expected);
        let pgbench = pgbench::Summary::example(&["a"]);
        assert_eq!(codes(pgbench, |one| &mut one.validity), expected);
    }

    struct Result(Validity, u8, Option<u8>);

    impl Judged for Result {
        fn validity(&self) -> &Validity {
            &self.0
        }

        fn trusted(&self) -> u8 {
            self.1
        }

        fn cut_short(&self) -> Option<u8> {
            self.2
        }
    }

    #[test]
    fn whether_numbers_are_valid_comes_before_what_they_say() {
        let code = |trusted, cut_short| {
            codes(Result(Validity::default(), trusted, cut_short), |one| &mut one.0)
        };
        assert_eq!(code(exit::THRESHOLDS, None), [99, 99, 111]);
        assert_eq!(code(exit::ABORTED, None), [108, 108, 111]);
        assert_eq!(code(exit::OK, Some(exit::SCRIPT)), [107; 3]);
    }
}
