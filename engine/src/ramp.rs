//! A rate that follows a line: its integral, and where the integral passes a number.

use crate::{Nanos, SECOND, Stage};

/// A rate over time, in straight pieces.
#[derive(Clone, Debug)]
pub(crate) struct Ramp {
    /// Those of 0 s are left out: they only change where the next one begins.
    pieces: Box<[Piece]>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// When it begins, in ns after the ramp's start.
    start_ns: Nanos,
    duration_ns: Nanos,
    /// Arrivals a second at its beginning.
    rate: f64,
    /// By how much the rate grows, in arrivals a second, each second.
    slope: f64,
    /// The integral of the rate where it begins and where it ends, in arrivals.
    before: f64,
    after: f64,
}

/// An integral this near a whole number of arrivals is that number: 20 a minute for three minutes
/// are 60, though 20/60 has no exact floating-point number.
const WHOLE_WITHIN: f64 = 1e-6;

impl Ramp {
    /// From `start_rate` through all stages, in arrivals a second.
    pub(crate) fn new(start_rate: f64, stages: &[Stage]) -> Self {
        let mut pieces = Vec::with_capacity(stages.len());
        let (mut start_ns, mut rate, mut before) = (0, start_rate, 0.0);
        for stage in stages {
            let seconds = stage.duration_ns as f64 / SECOND as f64;
            if stage.duration_ns > 0 {
                let after = whole_if_near(before + (rate + stage.target) / 2.0 * seconds);
                let slope = (stage.target - rate) / seconds;
                let duration_ns = stage.duration_ns;
                pieces.push(Piece { start_ns, duration_ns, rate, slope, before, after });
                before = after;
            }
            start_ns += stage.duration_ns;
            rate = stage.target;
        }
        Self { pieces: pieces.into() }
    }

    /// Where the integral goes above `number`, in ns after the start; `None` where it never does.
    /// `piece` holds where to look from: start with 0, and ask for numbers in ascending order.
    pub(crate) fn passes(&self, number: f64, piece: &mut usize) -> Option<Nanos> {
        while self.pieces.get(*piece)?.after <= number {
            *piece += 1;
        }
        let Piece { start_ns, duration_ns, rate, slope, before, .. } = self.pieces[*piece];
        let arrivals = number - before;
        // slope/2 t^2 + rate t = arrivals, solved for t. This form of the quadratic formula has no
        // difference of nearly equal numbers in it (Numerical Recipes, 5.6), and is arrivals / rate
        // where the slope is 0. The discriminant is the square of the rate at t.
        let rate_then = (rate * rate + 2.0 * slope * arrivals).max(0.0).sqrt();
        let seconds = if arrivals > 0.0 { 2.0 * arrivals / (rate + rate_then) } else { 0.0 };
        let ns = (seconds * SECOND as f64).round() as Nanos;
        Some(start_ns + ns.min(duration_ns - 1))
    }
}

fn whole_if_near(arrivals: f64) -> f64 {
    let whole = arrivals.round();
    if (arrivals - whole).abs() < WHOLE_WITHIN { whole } else { arrivals }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stages(stages: &[(f64, f64)]) -> Vec<Stage> {
        let stage = |(seconds, target): &(f64, f64)| Stage {
            duration_ns: (seconds * SECOND as f64) as Nanos,
            target: *target,
        };
        stages.iter().map(stage).collect()
    }

    fn all(start_rate: f64, pieces: &[(f64, f64)]) -> Vec<Nanos> {
        let ramp = Ramp::new(start_rate, &stages(pieces));
        let mut piece = 0;
        (0..).map_while(|number| ramp.passes(f64::from(number), &mut piece)).collect()
    }

    #[test]
    fn a_ramp_from_nothing_to_a_thousand_in_ten_seconds_sends_five_thousand_on_time() {
        let due = all(0.0, &[(10.0, 1000.0)]);
        assert_eq!(due.len(), 5000);
        for (number, at) in due.iter().enumerate() {
            // 50 t^2 = n.
            let exact = (number as f64 / 50.0).sqrt() * 1e9;
            assert!((*at as f64 - exact).abs() <= 1.0, "{number} at {at}, not {exact}");
        }
    }

    #[test]
    fn a_ramp_to_nothing_ends_and_what_follows_a_pause_waits_for_its_end() {
        let due = all(100.0, &[(1.0, 0.0), (5.0, 0.0), (0.0, 10.0), (1.0, 10.0)]);
        assert_eq!(due.len(), 50 + 10);
        assert!(due[49] < SECOND);
        assert_eq!(due[50], 6 * SECOND, "arrival 50 is not due in the pause");
        assert_eq!(due[59], 6_900_000_000);
        assert!(all(0.0, &[(5.0, 0.0)]).is_empty());
    }

    #[test]
    fn a_stage_of_no_time_is_a_jump() {
        let due = all(10.0, &[(1.0, 10.0), (0.0, 1000.0), (1.0, 1000.0)]);
        assert_eq!(due.len(), 1010);
        assert_eq!(due[9..12], [900_000_000, SECOND, 1_001_000_000]);
    }

    #[test]
    fn rates_without_an_exact_number_send_exactly_what_was_asked_for() {
        for (rate, seconds) in [(20.0 / 60.0, 180.0), (0.1, 30.0), (1.1, 300.0), (0.7, 10.0)] {
            let due = all(rate, &[(seconds, rate)]);
            assert_eq!(due.len() as f64, (rate * seconds).round());
        }
    }

    proptest! {
        #[test]
        fn as_many_are_due_as_the_integral_says_in_order_and_where_it_says(
            start_rate in 0.0_f64..300.0,
            pieces in prop::collection::vec((0.0_f64..5.0, 0.0_f64..300.0), 1..6),
        ) {
            let due = all(start_rate, &pieces);
            let (mut from, mut total, mut at) = (start_rate, 0.0, 0.0);
            let mut ends = Vec::new();
            for (seconds, to) in &pieces {
                let area = (from + to) / 2.0 * seconds;
                ends.push((at, *seconds, from, *to, total));
                (from, total, at) = (*to, total + area, at + seconds);
            }
            prop_assert!((due.len() as f64 - total.ceil()).abs() <= f64::from(u8::from((total - total.round()).abs() < 1e-5)));
            prop_assert!(due.is_sorted());
            for (number, due) in due.iter().enumerate() {
                let seconds = *due as f64 / 1e9;
                let (start, length, from, to, before) =
                    *ends.iter().rfind(|(start, ..)| *start <= seconds).unwrap();
                let into = seconds - start;
                let integral = before + from * into + (to - from) / length.max(1e-12) * into * into / 2.0;
                // Two nanoseconds of the highest rate, and the rounding of the sums.
                prop_assert!((integral - number as f64).abs() < 1e-5, "{number}: {integral}");
            }
        }
    }
}
