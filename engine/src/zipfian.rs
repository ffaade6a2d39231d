//! Zipf's distribution: rank k is drawn with a probability in proportion to 1 / k^s.

use crate::Random;

/// Draws numbers of which the first are the most popular, without a table and without allocating.
///
/// Rejection-inversion (W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from
/// monotone discrete distributions", ACM TOMACS 6, 1996): about 1.1 tries a draw, whatever the
/// number of ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct Zipfian {
    low: i64,
    ranks: f64,
    exponent: f64,
    area_start: f64,
    area_end: f64,
    /// A rank nearer than this to where it was found needs no further test.
    sure: f64,
}

impl Zipfian {
    /// The most ranks: above, a double can't tell neighbours apart.
    pub const RANKS_MAX: u64 = 1 << 53;

    /// Numbers from `low`, the most popular, to `high`, both included, with the exponent `s`.
    /// `None` where there is no number, or more than [`Self::RANKS_MAX`], or `s` is not above 0.
    pub fn new(low: i64, high: i64, s: f64) -> Option<Self> {
        let ranks = high.checked_sub(low)?.checked_add(1)?;
        if !(1..=Self::RANKS_MAX as i64).contains(&ranks) || !s.is_finite() || s <= 0.0 {
            return None;
        }
        let mut zipfian = Self {
            low,
            ranks: ranks as f64,
            exponent: s,
            area_start: 0.0,
            area_end: 0.0,
            sure: 0.0,
        };
        zipfian.area_start = zipfian.area(1.5) - 1.0;
        zipfian.area_end = zipfian.area(zipfian.ranks + 0.5);
        zipfian.sure = 2.0 - zipfian.place(zipfian.area(2.5) - zipfian.height(2.0));
        Some(zipfian)
    }

    /// The least number, which is the most popular, and the greatest.
    pub fn bounds(&self) -> (i64, i64) {
        (self.low, self.low + (self.ranks as i64 - 1))
    }

    /// One number.
    pub fn draw(&self, random: &mut Random) -> i64 {
        loop {
            let area = self.area_end + random.unit() * (self.area_start - self.area_end);
            let place = self.place(area);
            let rank = (place + 0.5).floor().clamp(1.0, self.ranks);
            let is_inside =
                rank - place <= self.sure || area >= self.area(rank + 0.5) - self.height(rank);
            if is_inside {
                return self.low + (rank as i64 - 1);
            }
        }
    }

    /// 1 / x^s.
    fn height(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The integral of the height up to x, less a constant: (x^(1-s) - 1) / (1-s), ln x for s = 1.
    fn area(&self, x: f64) -> f64 {
        let log = x.ln();
        let power = (1.0 - self.exponent) * log;
        let ratio = if power.abs() > NEAR_0 { power.exp_m1() / power } else { 1.0 + power / 2.0 };
        ratio * log
    }

    /// Where the integral has this value.
    fn place(&self, area: f64) -> f64 {
        let power = (area * (1.0 - self.exponent)).max(-1.0);
        let ratio = if power.abs() > NEAR_0 { power.ln_1p() / power } else { 1.0 - power / 2.0 };
        (ratio * area).exp()
    }
}

/// Below, the first two terms of the series are exact in a double, and the quotient is not.
const NEAR_0: f64 = 1e-8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_comes_as_often_as_the_distribution_says() {
        const DRAWS: u64 = 200_000;
        for s in [0.5, 0.99, 1.0, 1.2, 3.0] {
            let zipfian = Zipfian::new(11, 20, s).unwrap();
            let mut counts = [0_u32; 10];
            for number in 0..DRAWS {
                counts[(zipfian.draw(&mut Random::new(9, number)) - 11) as usize] += 1;
            }
            let weights: Vec<f64> = (1..=10).map(|rank| f64::from(rank).powf(-s)).collect();
            let total: f64 = weights.iter().sum();
            let chi_square: f64 = counts
                .iter()
                .zip(&weights)
                .map(|(count, weight)| {
                    let expected = weight / total * DRAWS as f64;
                    (f64::from(*count) - expected).powi(2) / expected
                })
                .sum();
            // One in a million with 9 degrees of freedom.
            assert!(chi_square < 45.1, "s {s}: {chi_square} {counts:?}");
        }
    }

    #[test]
    fn one_rank_and_very_many_ranks_work() {
        let mut random = Random::new(1, 1);
        assert_eq!(Zipfian::new(7, 7, 1.0).unwrap().draw(&mut random), 7);
        let widest = Zipfian::new(1, Zipfian::RANKS_MAX as i64, 0.1).unwrap();
        for _ in 0..1000 {
            assert!((1..=Zipfian::RANKS_MAX as i64).contains(&widest.draw(&mut random)));
        }
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        for (low, high, s) in [
            (2, 1, 1.0),
            (1, 10, 0.0),
            (1, 10, -1.0),
            (1, 10, f64::NAN),
            (1, 10, f64::INFINITY),
            (i64::MIN, i64::MAX, 1.0),
            (0, Zipfian::RANKS_MAX as i64, 1.0),
        ] {
            assert_eq!(Zipfian::new(low, high, s), None, "{low} {high} {s}");
        }
    }
}
