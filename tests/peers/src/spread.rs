//! A figure of several rounds.

use std::fmt;

use serde::{Serialize, Serializer};

/// What the rounds gave, sorted. At least one value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// Of `values`; `None` of none. NaN is no value.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// The quartiles: of five rounds, the second and the fourth. One bad round moves neither.
    pub(crate) fn quartiles(&self) -> [f64; 2] {
        [self.at(0.25), self.at(0.75)]
    }

    /// Linear between the closest ranks (Hyndman and Fan 1996, type 7).
    fn at(&self, quantile: f64) -> f64 {
        let rank = quantile * (self.0.len() - 1) as f64;
        let (low, high) = (self.0[rank.floor() as usize], self.0[rank.ceil() as usize]);
        low + (high - low) * rank.fract()
    }
}

/// `0.73 [0.71, 0.78]`: the median and the quartiles.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.quartiles();
        write!(f, "{} [{}, {}]", number(self.median()), number(low), number(high))
    }
}

/// Every round's value: what a reader can work with.
impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Form<'a> {
            median: f64,
            quartiles: [f64; 2],
            rounds: &'a [f64],
        }
        let form = Form { median: self.median(), quartiles: self.quartiles(), rounds: &self.0 };
        form.serialize(serializer)
    }
}

/// Three digits, and no decimals from 100 up.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size < 0.9995 => format!("{value:.3}"),
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_round_of_five_moves_neither_the_median_nor_the_quartiles() {
        let calm = Spread::new([1.0, 3.0, 2.0, 5.0, 4.0]).unwrap();
        let disturbed = Spread::new([1.0, 3.0, 2.0, 500.0, 4.0]).unwrap();
        assert_eq!((calm.median(), calm.quartiles()), (3.0, [2.0, 4.0]));
        assert_eq!(disturbed.to_string(), calm.to_string());
        assert_eq!(calm.to_string(), "3.00 [2.00, 4.00]");
    }

    #[test]
    fn few_rounds_have_quartiles_too() {
        assert_eq!(Spread::new([]), None);
        assert_eq!(Spread::new([f64::NAN]), None);
        assert_eq!(Spread::new([7.0]).unwrap().quartiles(), [7.0, 7.0]);
        assert_eq!(Spread::new([1.0, 2.0, 4.0]).unwrap().quartiles(), [1.5, 3.0]);
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.6543, 0.9996, 9.994, 9.996, 99.94, 123.4].map(number);
        assert_eq!(shown, ["0.000", "0.654", "1.00", "9.99", "10.0", "99.9", "123"]);
    }
}
