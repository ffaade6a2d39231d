//! The Universal Scalability Law: how throughput grows with concurrency, and why it stops to.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// `X(n) = λn / (1 + σ(n - 1) + κn(n - 1))` (Gunther, "Guerrilla Capacity Planning", 2007, section
/// 4.4), with the 95 % intervals of its coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Usl {
    /// The throughput of one, in 1/s.
    pub(crate) lambda: f64,
    /// Contention: the share that can't be done side by side.
    pub(crate) sigma: f64,
    /// Coherence: what each pair of them costs.
    pub(crate) kappa: f64,
    pub(crate) lambda_ci: [f64; 2],
    pub(crate) sigma_ci: [f64; 2],
    pub(crate) kappa_ci: [f64; 2],
    /// The concurrency of the highest throughput; `None` where it is never reached.
    pub(crate) peak: Option<f64>,
}

/// More have not been needed; fewer points than this determine nothing.
const POINTS_MIN: usize = 4;
const STEPS: usize = 100;

impl Usl {
    /// Fits it to `points` (concurrency, throughput) by least squares of the relative errors
    /// (Levenberg and Marquardt). Where the best fit has a negative coefficient that one is 0:
    /// neither contention nor coherence can make work. `None` with too few different points.
    pub(crate) fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let points: Vec<_> =
            points.iter().copied().filter(|(n, x)| *n >= 1.0 && *x > 0.0).collect();
        let mut loads: Vec<_> = points.iter().map(|(n, _)| *n).collect();
        loads.sort_by(f64::total_cmp);
        loads.dedup();
        if loads.len() < POINTS_MIN {
            return None;
        }
        let free =
            [[true, true, true], [true, true, false], [true, false, true], [true, false, false]];
        let fits = free.iter().filter_map(|free| Fit::new(&points, *free));
        let best = fits
            .filter(|fit| fit.coefficients[1..].iter().all(|coefficient| *coefficient >= 0.0))
            .min_by(|one, other| one.squares.total_cmp(&other.squares))?;
        let [lambda, sigma, kappa] = best.coefficients;
        let [lambda_ci, sigma_ci, kappa_ci] = best.intervals(points.len());
        // At its maximum the derivative is 0 (Gunther, equation 4.33).
        let peak = (kappa > 0.0 && sigma < 1.0).then(|| ((1.0 - sigma) / kappa).sqrt());
        Some(Self { lambda, sigma, kappa, lambda_ci, sigma_ci, kappa_ci, peak })
    }

    /// At this concurrency, in 1/s.
    pub(crate) fn throughput(&self, n: f64) -> f64 {
        self.lambda * n / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }
}

/// A least-squares fit of some of the coefficients; the others are 0.
struct Fit {
    coefficients: [f64; 3],
    free: [bool; 3],
    /// Of the relative errors.
    squares: f64,
    /// The inverse of the normal equations' matrix.
    inverse: [[f64; 3]; 3],
}

/// The relative error of a point, and its derivatives by λ, σ and κ.
fn error(&(n, x): &(f64, f64), [lambda, sigma, kappa]: [f64; 3]) -> (f64, [f64; 3]) {
    let below = 1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0);
    let expected = lambda * n / below;
    let by = [expected / lambda, -expected * (n - 1.0) / below, -expected * n * (n - 1.0) / below];
    (expected / x - 1.0, by.map(|derivative| derivative / x))
}

impl Fit {
    fn new(points: &[(f64, f64)], free: [bool; 3]) -> Option<Self> {
        let squares = |at| points.iter().map(|point| error(point, at).0.powi(2)).sum::<f64>();
        let one = points.iter().map(|(n, x)| x / n).fold(0.0, f64::max);
        let most = points.iter().map(|(_, x)| *x).fold(0.0, f64::max);
        // Contention alone levels off at λ/σ.
        let start = [one, (one / most).min(1.0), 1e-4];
        let mut at: [f64; 3] = std::array::from_fn(|i| if free[i] { start[i] } else { 0.0 });
        let (mut damping, mut best) = (1e-3, squares(at));
        for _ in 0..STEPS {
            let (matrix, gradient) = normal(points, at, free);
            let mut damped = matrix;
            (0..3).for_each(|i| damped[i][i] *= 1.0 + damping);
            let step = multiply(&inverse(damped)?, gradient);
            let next: [f64; 3] = std::array::from_fn(|i| at[i] - step[i]);
            let found = squares(next);
            if found.is_finite() && found <= best && next[0] > 0.0 {
                let gain = best - found;
                (at, best, damping) = (next, found, damping / 10.0);
                if gain <= 1e-14 * best {
                    break;
                }
            } else {
                damping *= 10.0;
                if damping > 1e12 {
                    break;
                }
            }
        }
        let inverse = inverse(normal(points, at, free).0)?;
        Some(Self { coefficients: at, free, squares: best, inverse })
    }

    /// From the curvature at the minimum, by Student's t.
    fn intervals(&self, points: usize) -> [[f64; 2]; 3] {
        let fitted = self.free.iter().filter(|free| **free).count();
        let freedom = points.saturating_sub(fitted).max(1) as f64;
        let t = StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.inverse_cdf(0.975));
        std::array::from_fn(|i| {
            let value = self.coefficients[i];
            let spread = if self.free[i] {
                t * (self.squares / freedom * self.inverse[i][i]).sqrt()
            } else {
                0.0
            };
            [value - spread, value + spread]
        })
    }
}

/// The matrix and the right side of the normal equations; a coefficient that is not free stays.
fn normal(points: &[(f64, f64)], at: [f64; 3], free: [bool; 3]) -> ([[f64; 3]; 3], [f64; 3]) {
    let (mut matrix, mut gradient) = ([[0.0; 3]; 3], [0.0; 3]);
    for point in points {
        let (error, by) = error(point, at);
        for i in (0..3).filter(|i| free[*i]) {
            gradient[i] += by[i] * error;
            (0..3).filter(|j| free[*j]).for_each(|j| matrix[i][j] += by[i] * by[j]);
        }
    }
    (0..3).filter(|i| !free[*i]).for_each(|i| matrix[i][i] = 1.0);
    (matrix, gradient)
}

fn multiply(matrix: &[[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(cell, value)| cell * value).sum())
}

/// By cofactors, after the rows and columns are scaled: the coefficients differ by orders of
/// magnitude.
fn inverse(matrix: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let scale: [f64; 3] = std::array::from_fn(|i| matrix[i][i].sqrt());
    let m: [[f64; 3]; 3] =
        std::array::from_fn(|i| std::array::from_fn(|j| matrix[i][j] / (scale[i] * scale[j])));
    let cofactor = |i: usize, j: usize| {
        let (a, b, c, d) = ((i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f64 = (0..3).map(|j| m[0][j] * cofactor(0, j)).sum();
    (determinant.abs() > 1e-13).then(|| {
        std::array::from_fn(|i| {
            std::array::from_fn(|j| cofactor(j, i) / determinant / (scale[i] * scale[j]))
        })
    })
}

#[cfg(test)]
mod tests {
    use engine::Random;

    use super::*;

    fn points(lambda: f64, sigma: f64, kappa: f64, noise: f64, seed: u64) -> Vec<(f64, f64)> {
        let mut random = Random::new(seed, 5);
        let loads = [1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0];
        loads
            .into_iter()
            .map(|n| {
                let x = lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0));
                let sum: f64 = (0..12).map(|_| random.unit()).sum();
                (n, x * (1.0 + noise * (sum - 6.0)))
            })
            .collect()
    }

    #[test]
    fn known_coefficients_are_found_again() {
        for (lambda, sigma, kappa) in
            [(1000.0, 0.02, 0.0005), (50.0, 0.1, 0.002), (2e4, 0.0, 0.001), (300.0, 0.3, 0.0)]
        {
            let fit = Usl::fit(&points(lambda, sigma, kappa, 0.0, 1)).unwrap();
            assert!((fit.lambda / lambda - 1.0).abs() < 1e-4, "{fit:?}");
            assert!(
                (fit.sigma - sigma).abs() < 1e-5 && (fit.kappa - kappa).abs() < 1e-6,
                "{fit:?}"
            );
        }
        let peak = Usl::fit(&points(1000.0, 0.02, 0.0005, 0.0, 1)).unwrap().peak.unwrap();
        assert!((peak - (0.98_f64 / 0.0005).sqrt()).abs() < 0.01, "{peak}");
    }

    #[test]
    fn the_intervals_hold_the_truth_about_as_often_as_they_say() {
        let within = |[low, high]: [f64; 2], truth| low <= truth && truth <= high;
        let mut covered = [0; 3];
        for seed in 0..200 {
            let fit = Usl::fit(&points(1000.0, 0.05, 0.002, 0.02, seed)).unwrap();
            covered[0] += i32::from(within(fit.lambda_ci, 1000.0));
            covered[1] += i32::from(within(fit.sigma_ci, 0.05));
            covered[2] += i32::from(within(fit.kappa_ci, 0.002));
        }
        assert!(covered.iter().all(|count| (182..=198).contains(count)), "{covered:?} of 200");
    }

    #[test]
    fn too_few_points_determine_nothing() {
        let same = [(1.0, 10.0), (1.0, 11.0), (2.0, 19.0), (2.0, 20.0), (4.0, 30.0)];
        assert_eq!(Usl::fit(&same), None);
    }
}
