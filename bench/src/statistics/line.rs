//! A straight line through points.

/// The slope of the least-squares line through `points` (x, y): the covariance by the variance of x
/// (Draper and Smith, "Applied Regression Analysis", 1998, section 1.2). 0 where x does not vary.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (x / count, y / count);
    let (cross, square) = points.iter().fold((0.0, 0.0), |(cross, square), point| {
        (cross + (point.0 - x) * (point.1 - y), square + (point.0 - x).powi(2))
    });
    if square == 0.0 { 0.0 } else { cross / square }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_line_that_the_points_lie_around() {
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0);
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 4.0), (2.0, 1.0)]), 0.0);
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 4.0)]), 0.0);
        assert_eq!(slope(&[]), 0.0);
    }
}
