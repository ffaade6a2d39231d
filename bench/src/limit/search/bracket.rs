//! One goal's limit between two loads.

use super::{Found, Settings, Trial};
use crate::statistics::Posterior;

/// All trials of one goal, and the two loads that they put its limit between.
#[derive(Debug, Clone)]
pub(super) struct Bracket {
    settings: Settings,
    /// In the order in which they were made: loads, and whether the goal was met.
    outcomes: Vec<(f64, bool)>,
    /// In rising order.
    loads: Vec<Load>,
    /// How many of the trials this goal asked for.
    asked: u32,
    /// The loads of holds that missed the goal.
    failed_holds: Vec<f64>,
    /// Whether the two loads have been as close as was asked for, and confirmed: from then on all
    /// trials together say where the limit is, since each for itself may be wrong.
    has_been_narrow: bool,
    /// What all trials together say.
    posterior: Posterior,
}

/// What is known of one load.
#[derive(Debug, Clone)]
struct Load {
    load: f64,
    /// Whether the goal was met, the last trial last.
    outcomes: Vec<bool>,
    is_held: bool,
}

/// Of each load the last trials count, so that what a target could do long ago is forgotten.
const VOTES: usize = 3;
/// So many of them decide.
const MAJORITY: usize = 2;
/// Before the first failure loads grow by this.
const GROWTH: f64 = 2.0;
/// Once the bracket is narrow, trials go on until the 95 % interval is no wider than so many of it,
const DOUBT_WIDTHS: i32 = 2;
/// or so many times the trials of plain bisection were made.
const TRIALS_OF_BISECTION: f64 = 2.0;
/// After so many holds that failed the search ends.
const HOLDS_MAX: usize = 6;

impl Load {
    /// How many of the last trials met the goal, and how many did not.
    fn votes(&self) -> (usize, usize) {
        let last = self.outcomes.iter().rev().take(VOTES);
        let met = last.clone().filter(|met| **met).count();
        (met, last.count() - met)
    }

    /// Whether the goal is met, as far as is known; `None` where trials contradict each other.
    fn is_met(&self) -> Option<bool> {
        let (met, missed) = self.votes();
        (met != missed).then_some(met > missed)
    }

    fn is_confirmed(&self) -> bool {
        let (met, missed) = self.votes();
        met.max(missed) >= MAJORITY && met != missed
    }
}

impl Bracket {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            outcomes: Vec::new(),
            loads: Vec::new(),
            asked: 0,
            failed_holds: Vec::new(),
            has_been_narrow: false,
            posterior: Posterior::new(&[], settings.width),
        }
    }

    pub(super) fn add(&mut self, trial: &Trial, is_met: bool) {
        self.asked += u32::from(self.next().is_some_and(|next| next.load == trial.load));
        self.outcomes.push((trial.load, is_met));
        self.posterior = Posterior::new(&self.outcomes, self.settings.width);
        let place = self.loads.partition_point(|load| load.load < trial.load);
        if self.loads.get(place).is_none_or(|load| load.load > trial.load) {
            let load = Load { load: trial.load, outcomes: Vec::new(), is_held: false };
            self.loads.insert(place, load);
        }
        let load = &mut self.loads[place];
        // A hold that fails goes before the short trials that it was to verify.
        let votes = if trial.is_hold && !is_met { MAJORITY } else { 1 };
        load.outcomes.extend(std::iter::repeat_n(is_met, votes));
        if trial.is_hold {
            load.is_held = is_met;
            self.failed_holds.extend((!is_met).then_some(trial.load));
        }
        if let (Some(low), Some(high)) = (self.low_load(), self.high_load()) {
            let is_narrow = self.is_narrow(low.load, high.load);
            self.has_been_narrow |= is_narrow && low.is_confirmed() && high.is_confirmed();
        }
    }

    /// The lowest load that misses the goal. It goes before loads above that met it.
    fn high_load(&self) -> Option<&Load> {
        let misses = |load: &&Load| load.is_met() == Some(false);
        if !self.has_been_narrow {
            return self.loads.iter().find(misses);
        }
        let above = || self.loads.iter().filter(|load| load.load > self.posterior.median);
        above().find(misses).or_else(|| above().next())
    }

    fn low_load(&self) -> Option<&Load> {
        let high = match self.has_been_narrow {
            true => self.posterior.median.next_up(),
            false => self.high_load().map_or(f64::INFINITY, |high| high.load),
        };
        let is_below = |load: &&Load| load.load < high || self.has_been_narrow && load.is_held;
        // Once a hold has failed, short trials prove little.
        let has_held = self.loads.iter().filter(is_below).any(|load| load.is_held);
        let is_known = |load: &&Load| load.is_held || self.failed_holds.is_empty() || !has_held;
        let mut below = self.loads.iter().rev().filter(is_below).filter(is_known);
        below.find(|load| load.is_met() == Some(true))
    }

    /// The highest load that meets the goal, as far as is known.
    pub(super) fn low(&self) -> Option<f64> {
        self.low_load().map(|load| load.load)
    }

    pub(super) fn is_held(&self) -> bool {
        self.low_load().is_some_and(|load| load.is_held)
    }

    /// The next trial; `None` where all is known.
    pub(super) fn next(&self) -> Option<Trial> {
        let Settings { start, min, max, width, trial_ns, hold_ns, .. } = self.settings;
        let trial = |load| Some(Trial { load, duration_ns: trial_ns, is_hold: false });
        let hold =
            |load| (hold_ns > 0).then_some(Trial { load, duration_ns: hold_ns, is_hold: true });
        let (low, high) = (self.low_load(), self.high_load());
        let (lowest, highest) =
            (low.map_or(0.0, |low| low.load), high.map_or(f64::INFINITY, |high| high.load));
        let between = |load: &&Load| load.load > lowest && load.load < highest;
        if let Some(last) = self.failed_holds.last() {
            let is_over = self.is_held() || self.failed_holds.len() >= HOLDS_MAX || *last <= min;
            let step = (1.0 + width).powi(1 << (self.failed_holds.len() - 1));
            let most = if self.settings.is_whole { last - 1.0 } else { *last };
            let load = self.rounded(last / step).min(most).max(min);
            return hold(load).filter(|_| !is_over);
        }
        if self.has_been_narrow && self.is_doubtful() && !self.is_exhausted() {
            return trial(self.rounded(self.doubt(low, high)).clamp(min, max));
        }
        if let Some(low) = low
            && (self.has_been_narrow || high.is_some() && self.is_exhausted())
        {
            return hold(low.load).filter(|_| !low.is_held);
        }
        if let Some(tied) = self.loads.iter().find(between) {
            return trial(tied.load);
        }
        // Once both sides were seen the limit is near.
        let has_turned =
            self.outcomes.iter().any(|(_, met)| *met) && self.outcomes.iter().any(|(_, met)| !met);
        let growth = if has_turned { (1.0 + width).powi(2) } else { GROWTH };
        // What ends the growth is looked at twice: one disturbed trial would set the search on a
        // wrong way.
        if let [only] =
            self.loads.iter().filter(|load| load.is_met() == Some(false)).collect::<Vec<_>>()[..]
            && !only.is_confirmed()
        {
            return trial(only.load);
        }
        match (low, high) {
            (None, None) => trial(start),
            (Some(low), None) if low.load < max => trial(self.rounded(low.load * growth).min(max)),
            (None, Some(high)) if high.load > min => {
                trial(self.rounded(high.load / growth).max(min))
            }
            (Some(low), Some(high)) if !self.is_narrow(low.load, high.load) => {
                trial(self.middle(low.load, high.load))
            }
            (_, Some(high)) if !high.is_confirmed() => trial(high.load),
            (Some(low), _) if !low.is_confirmed() => trial(low.load),
            (Some(low), _) if !low.is_held => hold(low.load),
            _ => None,
        }
    }

    /// Where it might be as well, below and above in turn; but no further than a width past the
    /// bracket, since far away a trial says little of a limit that is sharp.
    fn doubt(&self, low: Option<&Load>, high: Option<&Load>) -> f64 {
        let [below, above] = self.posterior.doubt;
        let width = 1.0 + self.settings.width;
        match self.outcomes.len() % 2 {
            0 => below.max(low.map_or(0.0, |low| low.load / width)),
            _ => above.min(high.map_or(f64::INFINITY, |high| high.load * width)),
        }
    }

    /// Whether trials leave more doubt than they should.
    fn is_doubtful(&self) -> bool {
        let (low, high) = self.posterior.interval;
        let is_next = self.settings.is_whole && high - low <= 1.0;
        high > low * (1.0 + self.settings.width).powi(DOUBT_WIDTHS) && !is_next
    }

    /// Whether as many trials were made as the search may take.
    fn is_exhausted(&self) -> bool {
        let Settings { start, width, .. } = self.settings;
        let growth = (self.low().unwrap_or(start) / start).ln().abs() / GROWTH.ln();
        let halvings = (GROWTH.ln() / (1.0 + width).ln()).log2();
        let bisection = growth.ceil() + 1.0 + halvings.ceil();
        // One is for the hold, and one for what the growth may overshoot.
        f64::from(self.asked) >= TRIALS_OF_BISECTION * bisection - 2.0
    }

    fn is_narrow(&self, low: f64, high: f64) -> bool {
        let is_next = self.settings.is_whole && high - low <= 1.0;
        is_next || high <= low * (1.0 + self.settings.width)
    }

    /// On the log scale.
    fn middle(&self, low: f64, high: f64) -> f64 {
        let middle = (low * high).sqrt();
        if self.settings.is_whole {
            return middle.round().clamp(low + 1.0, high - 1.0);
        }
        let rounded = self.rounded(middle);
        if low < rounded && rounded < high { rounded } else { middle }
    }

    /// Four digits are enough.
    fn rounded(&self, load: f64) -> f64 {
        if self.settings.is_whole {
            return load.round().max(1.0);
        }
        let scale = 10_f64.powf(load.log10().floor() - 3.0);
        (load / scale).round() * scale
    }

    pub(super) fn found(&self) -> Found {
        let (low, high) = (self.low_load(), self.high_load());
        let likely = self.posterior.interval;
        let low_value = self.low();
        // Once the bracket was narrow all trials say more than the next load that missed the goal.
        let high_value = high.map(|high| if self.has_been_narrow { likely.1 } else { high.load });
        let has_both = low.is_some() && high.is_some();
        // With one side only, nothing says how sharp the limit is.
        let outer = |bound: Option<f64>, likely: f64, wider: fn(f64, f64) -> f64| {
            let bound = bound?;
            let likely = if has_both { likely } else { bound };
            let likely = match self.settings.is_whole {
                true => wider(likely.floor(), likely.ceil()),
                false => likely,
            };
            Some(wider(bound, likely).clamp(self.settings.min, self.settings.max))
        };
        Found {
            value: low_value,
            interval: (outer(low_value, likely.0, f64::min), outer(high_value, likely.1, f64::max)),
            is_held: self.is_held(),
            is_close: self.has_been_narrow,
        }
    }
}
