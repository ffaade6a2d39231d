//! Means, how far values lie from them, and how sure a mean is.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Half of the 95 % interval of the mean of independent `values`, by Student's t ("The probable
/// error of a mean", Biometrika 6, 1908); 0 of fewer than two. Of means of equal stretches of time
/// it is the interval by the method of batch means (Law, "Simulation Modeling and Analysis", section
/// 9.5.3).
pub(crate) fn half_interval(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    if count < 2.0 {
        return 0.0;
    }
    let t = StudentsT::new(0.0, 1.0, count - 1.0).map_or(f64::NAN, |t| t.inverse_cdf(0.975));
    t * (variance(values) / count).sqrt()
}

/// The standard deviation of `values` as a share of their mean (the coefficient of variation); 0 of
/// fewer than two.
pub(crate) fn relative_deviation(values: &[f64]) -> f64 {
    if values.len() < 2 { 0.0 } else { variance(values).sqrt() / mean(values) }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of a sample: one value less counts, since the mean is of the same values (Bessel's correction).
fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_equal_values_is_certain() {
        assert_eq!(half_interval(&[5.0; 4]), 0.0);
        assert_eq!(half_interval(&[5.0]), 0.0);
        // t(1) = 12.706, and the standard error of 0 and 2 is 1.
        assert!((half_interval(&[0.0, 2.0]) - 12.706).abs() < 1e-3);
    }

    #[test]
    fn a_deviation_is_a_share_of_the_mean() {
        // The variance of 8, 10 and 12 is 4.
        assert_eq!(relative_deviation(&[8.0, 10.0, 12.0]), 0.2);
        assert_eq!(relative_deviation(&[8.0]), 0.0);
        assert_eq!(relative_deviation(&[]), 0.0);
    }
}
