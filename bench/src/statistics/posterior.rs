//! How far the limit may be from where the trials say.

/// Steps of the threshold's grid for each width of the bracket.
const STEPS_A_WIDTH: f64 = 8.0;
/// The grid goes so many widths past the highest load that met the goal and the lowest that missed.
const REACH: f64 = 16.0;
/// But no further than this (on the log scale): they were found by doublings.
const REACH_MAX: f64 = 0.8;
/// The curve's spread, in widths, from a step to one that is much wider than the bracket; each with
/// how likely it is beforehand.
const SPREADS: [(f64, f64); 6] =
    [(0.05, 8.0), (0.15, 5.0), (0.4, 3.0), (0.8, 2.5), (1.6, 2.0), (3.2, 0.6)];
/// A trial says anything for reasons of its own so often: the machine had something else to do.
const LAPSE: f64 = 0.04;
/// What is left out on each side. Less than 2.5 %, since a real curve is not quite a logistic one:
/// with this, 95 of 100 simulated searches are right.
const OUTSIDE: f64 = 0.0125;
/// A trial counts less by this with each one after it: the target may have changed.
const FORGETTING: f64 = 0.97;

/// Below and above these lies the limit with this probability: where trials are to go next. Trials at
/// the bracket's own bounds say little of how sharp the limit is: with them the interval of the
/// noisiest simulated target was 31 % wide, with these it is 26 %.
const DOUBT: f64 = 0.1;

/// Where the limit is, as far as trials say: the load at which half of all trials meet the goal. Not
/// a number where all did, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posterior {
    /// With 95 % confidence.
    pub(crate) interval: (f64, f64),
    /// As likely above as below.
    pub(crate) median: f64,
    /// Where it might be as well.
    pub(crate) doubt: [f64; 2],
}

impl Posterior {
    /// From loads and whether each met the goal, and the width of the bracket.
    pub(crate) fn new(outcomes: &[(f64, bool)], width: f64) -> Self {
        let shares = [OUTSIDE, DOUBT, 0.5, 1.0 - DOUBT, 1.0 - OUTSIDE];
        let [low, below, median, above, high] = quantiles(outcomes, width, shares);
        Self { interval: (low, high), median, doubt: [below, above] }
    }
}

/// The loads below which it lies with these probabilities.
///
/// A Bayesian estimate of a psychometric function, as in Kontsevich and Tyler, "Bayesian adaptive
/// estimation of psychometric slope and threshold", Vision Research 39, 1999: threshold (on the log
/// scale) and spread are unknown, a trial meets the goal with logistic probability.
fn quantiles<const N: usize>(outcomes: &[(f64, bool)], width: f64, shares: [f64; N]) -> [f64; N] {
    let width = (1.0 + width).ln();
    let outcomes: Vec<_> = outcomes.iter().map(|(load, is_met)| (load.ln(), *is_met)).collect();
    let loads = |wanted: bool| {
        outcomes.iter().filter(move |(_, is_met)| *is_met == wanted).map(|(load, _)| *load)
    };
    let (met, missed) =
        (loads(true).fold(f64::NEG_INFINITY, f64::max), loads(false).fold(f64::INFINITY, f64::min));
    let reach = (REACH * width).min(REACH_MAX);
    let (first, last) = (met.min(missed) - reach, met.max(missed) + reach);
    if !first.is_finite() || !last.is_finite() {
        return [f64::NAN; N];
    }
    let step = width / STEPS_A_WIDTH;
    let count = ((last - first) / step).ceil() as usize + 1;
    let threshold = |place: usize| first + step * place as f64;
    let likelihood = |place: usize, spread: f64| {
        let mut log = 0.0;
        let mut weight = 1.0;
        for (load, is_met) in outcomes.iter().rev() {
            let met = 1.0 / (1.0 + ((load - threshold(place)) / (spread * width)).exp());
            let met = LAPSE + (1.0 - 2.0 * LAPSE) * met;
            log += weight * if *is_met { met } else { 1.0 - met }.ln();
            weight *= FORGETTING;
        }
        log
    };
    let table: Vec<Vec<f64>> = (0..count)
        .map(|place| {
            SPREADS.iter().map(|(spread, prior)| likelihood(place, *spread) + prior.ln()).collect()
        })
        .collect();
    let most = table.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let mass: Vec<f64> =
        table.iter().map(|row| row.iter().map(|log| (log - most).exp()).sum()).collect();
    let total: f64 = mass.iter().sum();
    let quantile = |share: f64| {
        let mut sum = 0.0;
        let place = mass.iter().position(|mass| {
            sum += mass;
            sum >= share * total
        });
        threshold(place.unwrap_or(count - 1)).exp()
    };
    shares.map(quantile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreeing_trials_leave_little_doubt_and_a_contradiction_leaves_more() {
        let steps = [(100.0, true), (200.0, false), (141.0, true), (168.0, false)];
        let near = [(154.0, true), (161.0, false), (154.0, true), (161.0, false)];
        let agreeing = [steps, near].concat();
        let (low, high) = Posterior::new(&agreeing, 0.05).interval;
        assert!(135.0 < low && low < 158.0 && 157.0 < high && high < 175.0, "{low} {high}");
        let contradicting = [agreeing, vec![(154.0, false), (154.0, true)]].concat();
        let (lower, higher) = Posterior::new(&contradicting, 0.05).interval;
        assert!(lower < low && higher / lower > high / low, "{lower} {higher}");
    }
}
