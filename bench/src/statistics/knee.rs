//! Where a latency curve bends.

/// The load at which the curve of `points` (load, latency), which rises ever faster, bends most:
/// Kneedle (Satopaa, Albrecht, Irwin and Raghavan, "Finding a 'Kneedle' in a haystack: detecting
/// knee points in system behavior", ICDCS workshops 2011), offline, without smoothing. Both axes
/// are scaled to 0..1, and the knee is where the curve is farthest below the diagonal. `None` with
/// fewer than four points, or where it does not bend.
pub(crate) fn knee(points: &[(f64, f64)]) -> Option<f64> {
    let mut points = points.to_vec();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (first, last) = (points.first()?, points.last()?);
    let least = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let most = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    let (width, height) = (last.0 - first.0, most - least);
    if points.len() < 4 || width <= 0.0 || height <= 0.0 {
        return None;
    }
    let below = |point: &(f64, f64)| (point.0 - first.0) / width - (point.1 - least) / height;
    let farthest = points.iter().max_by(|one, other| below(one).total_cmp(&below(other)))?;
    // A straight line has none, whatever its noise.
    (below(farthest) > MIN_BEND).then_some(farthest.0)
}

/// How far below the diagonal the knee must be, as a share of the diagonal's height.
const MIN_BEND: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_of_a_queue_is_where_the_formula_puts_it() {
        // 1/(1 - x) from 0 to b is farthest below its chord where its slope is the chord's:
        // x = 1 - sqrt(1 - b).
        for b in [0.8, 0.9, 0.96] {
            let points: Vec<_> = (0..=1000)
                .map(|n| f64::from(n) / 1000.0 * b)
                .map(|x| (x, 1.0 / (1.0 - x)))
                .collect();
            let found = knee(&points).unwrap();
            assert!((found - (1.0 - (1.0 - b).sqrt())).abs() < 0.001, "{b}: {found}");
        }
    }

    #[test]
    fn what_does_not_bend_has_none() {
        let line: Vec<_> = (0..20).map(|n| (f64::from(n), 5.0 + f64::from(n))).collect();
        assert_eq!(knee(&line), None);
        assert_eq!(knee(&[(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 1.0)]), None);
        assert_eq!(knee(&[(1.0, 1.0), (2.0, 1.0), (3.0, 9.0)]), None, "too few");
        assert_eq!(knee(&[]), None);
    }
}
