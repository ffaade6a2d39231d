//! The search for the highest load that meets a goal: a state machine that does no I/O and reads no
//! clock.

mod bracket;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

use engine::Nanos;

use self::bracket::Bracket;

/// What is searched, and how closely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// The load of the first trial.
    pub(crate) start: f64,
    /// Loads below are not tried.
    pub(crate) min: f64,
    /// Loads above are not tried.
    pub(crate) max: f64,
    /// How far apart the two bounds may be in the end, as a share of the lower one.
    pub(crate) width: f64,
    /// Whether loads are whole numbers, as those of virtual users.
    pub(crate) is_whole: bool,
    /// How long a trial is, in ns.
    pub(crate) trial_ns: Nanos,
    /// How long the trial is that verifies the limit, in ns.
    pub(crate) hold_ns: Nanos,
}

/// A trial that is to be made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trial {
    pub(crate) load: f64,
    /// In ns.
    pub(crate) duration_ns: Nanos,
    /// Whether it is to verify a limit.
    pub(crate) is_hold: bool,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Whether each goal was met.
    Judged(Vec<bool>),
    /// The generator spoilt it: it says nothing about the target.
    Spoilt,
    /// The generator can't offer more than this.
    GeneratorLimit,
}

/// Where a goal's limit is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// The highest load that met the goal.
    pub(crate) value: Option<f64>,
    /// The limit lies between these with 95 % confidence; `None` where there is no bound.
    pub(crate) interval: (Option<f64>, Option<f64>),
    /// Whether a long trial at the limit met the goal.
    pub(crate) is_held: bool,
    /// Whether both bounds have been as close as was asked for, and confirmed.
    pub(crate) is_close: bool,
}

/// Searches the limits of several goals with trials that they share, as MLRsearch does
/// (draft-ietf-bmwg-mlrsearch): each trial counts for every goal.
///
/// Call [`Search::next`], make that trial, tell [`Search::report`] what came of it; until there is
/// no next one.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    settings: Settings,
    goals: Vec<Bracket>,
    /// How often in a row the generator spoilt the trial.
    spoilt: u32,
    generator_limit: Option<f64>,
}

/// A load at which the generator spoils so many trials in a row is more than it can offer.
const SPOILT_MAX: u32 = 3;

impl Search {
    /// Of so many goals.
    pub(crate) fn new(settings: Settings, goals: usize) -> Self {
        let goals = vec![Bracket::new(settings); goals];
        Self { settings, goals, spoilt: 0, generator_limit: None }
    }

    /// The next trial, if there is one and `left_ns` is enough for it. Where only a hold has room
    /// the limit as it is known is held.
    pub(crate) fn next(&self, left_ns: Option<Nanos>) -> Option<Trial> {
        let Settings { trial_ns, hold_ns, .. } = self.settings;
        let left_ns = left_ns.unwrap_or(Nanos::MAX);
        if self.generator_limit.is_some() || left_ns < trial_ns {
            return None;
        }
        if left_ns < trial_ns.saturating_add(hold_ns) {
            let unheld = self.goals.iter().filter(|goal| !goal.is_held());
            let load = unheld.filter_map(Bracket::low).fold(None, |least: Option<f64>, low| {
                Some(least.map_or(low, |least| least.min(low)))
            })?;
            return Some(Trial { load, duration_ns: hold_ns.min(left_ns), is_hold: true });
        }
        // The goal that breaks first goes first: what it learns below is a lower bound for others.
        let mut open: Vec<_> = self.goals.iter().filter_map(|goal| goal.next()).collect();
        open.sort_by(|one, other| {
            (one.is_hold, one.load)
                .partial_cmp(&(other.is_hold, other.load))
                .expect("loads are numbers")
        });
        open.first().copied()
    }

    /// What came of the trial that [`Self::next`] asked for.
    pub(crate) fn report(&mut self, trial: &Trial, verdict: &Verdict) {
        match verdict {
            Verdict::Judged(met) => {
                self.spoilt = 0;
                for (goal, is_met) in self.goals.iter_mut().zip(met) {
                    goal.add(trial, *is_met);
                }
            }
            Verdict::Spoilt => {
                self.spoilt += 1;
                if self.spoilt == SPOILT_MAX {
                    self.generator_limit = Some(trial.load);
                }
            }
            Verdict::GeneratorLimit => self.generator_limit = Some(trial.load),
        }
    }

    /// The load that the generator could not offer, where that ended the search.
    pub(crate) fn generator_limit(&self) -> Option<f64> {
        self.generator_limit
    }

    /// Where each goal's limit is, as far as is known.
    pub(crate) fn found(&self) -> Vec<Found> {
        self.goals.iter().map(Bracket::found).collect()
    }
}
