//! Means, how far values lie from them, and how sure a mean is.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Estimate;

/// Half of the 95 % interval of the mean of independent `values`, by Student's t ("The probable
/// error of a mean", Biometrika 6, 1908); 0 of fewer than two. Of means of equal stretches of time
/// it is the interval by the method of batch means (Law, "Simulation Modeling and Analysis", section
/// 9.5.3).
pub(crate) fn half_interval(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    if count < 2.0 {
        return 0.0;
    }
    student(count - 1.0) * (variance(values) / count).sqrt()
}

/// By how much the mean of some values is above that of others, with its 95 % interval, where both are
/// independent, and vary each in its own way. Student's t has the degrees of freedom of the smaller side,
/// which is never too few (Mickey and Brown, "Bounds on the distribution functions of the
/// Behrens-Fisher statistic", Annals of Mathematical Statistics 37, 1966); Welch's approximation holds
/// the truth in 91 of 100 where three are compared with twenty. `None` of fewer than two.
pub(crate) fn difference(values: &[f64], others: &[f64]) -> Option<Estimate> {
    let smaller = values.len().min(others.len());
    if smaller < 2 {
        return None;
    }
    let value = mean(values) - mean(others);
    let squared = |values: &[f64]| variance(values) / values.len() as f64;
    let half = student(smaller as f64 - 1.0) * (squared(values) + squared(others)).sqrt();
    Some(Estimate { value, low: value - half, high: value + half })
}

/// What 97.5 % of Student's distribution with so many degrees of freedom do not exceed.
fn student(degrees: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees).map_or(f64::NAN, |t| t.inverse_cdf(0.975))
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
    use engine::Random;

    use super::*;

    #[test]
    fn a_mean_of_equal_values_is_certain() {
        assert_eq!(half_interval(&[5.0; 4]), 0.0);
        assert_eq!(half_interval(&[5.0]), 0.0);
        // t(1) = 12.706, and the standard error of 0 and 2 is 1.
        assert!((half_interval(&[0.0, 2.0]) - 12.706).abs() < 1e-3);
    }

    #[test]
    fn a_difference_has_the_freedom_that_its_sides_have() {
        let Estimate { value, low, high } = difference(&[4.0, 6.0], &[0.0, 1.0, 2.0]).unwrap();
        assert_eq!(value, 4.0);
        // t(1) = 12.706, and the squared standard errors are 1 and 1/3.
        let half = 12.706 * (4.0f64 / 3.0).sqrt();
        assert!((high - 4.0 - half).abs() < 1e-3 && (4.0 - low - half).abs() < 1e-3);
        assert!(difference(&[1.0], &[1.0, 2.0]).is_none());
        let equal = difference(&[3.0; 2], &[1.0; 3]).unwrap();
        assert_eq!((equal.value, equal.low, equal.high), (2.0, 2.0, 2.0));
    }

    #[test]
    fn a_difference_of_few_and_many_holds_the_truth_as_often_as_it_says() {
        let normal = |random: &mut Random| {
            let (radius, angle) = (2.0 * random.exponential(), random.unit());
            radius.sqrt() * (std::f64::consts::TAU * angle).cos()
        };
        for (few, many) in [(3, 20), (4, 36), (5, 18)] {
            let runs = 2000;
            let holding = (0..runs).filter(|run| {
                let mut random = Random::new(11, *run);
                let mut draw = |count| (0..count).map(|_| normal(&mut random)).collect::<Vec<_>>();
                difference(&draw(few), &draw(many)).unwrap().holds(0.0)
            });
            let share = holding.count() as f64 / runs as f64;
            assert!((0.945..=0.99).contains(&share), "{few} and {many}: {share}");
        }
    }

    #[test]
    fn a_deviation_is_a_share_of_the_mean() {
        // The variance of 8, 10 and 12 is 4.
        assert_eq!(relative_deviation(&[8.0, 10.0, 12.0]), 0.2);
        assert_eq!(relative_deviation(&[8.0]), 0.0);
        assert_eq!(relative_deviation(&[]), 0.0);
    }
}
