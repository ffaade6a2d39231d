//! Where a curve of latencies reaches a value.

/// Where a curve reaches a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reached {
    /// Before its first point.
    Before,
    At(f64),
    /// After its last point.
    After,
}

/// The rate at which a latency is reached that rises with the rate: `points` are rates (in rising
/// order) with the latencies measured there. Where noise has it fall, neighbours share their mean
/// (isotonic regression by pooling adjacent violators); between points it is a straight line. `None`
/// where there are fewer than two points.
pub(crate) fn rate_at(points: &[(f64, f64)], latency: f64) -> Option<Reached> {
    let rising = rising(points.iter().map(|(_, latency)| *latency));
    let curve: Vec<_> = points.iter().map(|(rate, _)| *rate).zip(rising).collect();
    let [(_, lowest), .., (_, highest)] = curve[..] else { return None };
    if latency < lowest {
        return Some(Reached::Before);
    }
    if latency > highest {
        return Some(Reached::After);
    }
    // From above: where the curve is flat, its end is the rate that is still possible.
    let segment = curve.windows(2).rev().find(|ends| (ends[0].1..=ends[1].1).contains(&latency))?;
    let [(from, low), (to, high)] = [segment[0], segment[1]];
    let share = if high > low { (latency - low) / (high - low) } else { 1.0 };
    Some(Reached::At(from + share * (to - from)))
}

fn rising(values: impl Iterator<Item = f64>) -> Vec<f64> {
    // Means of neighbours that were pooled, each with how many they are.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for value in values {
        let mut pool = (value, 1);
        while let Some((mean, count)) = pools.pop_if(|(mean, _)| *mean > pool.0) {
            let all = count + pool.1;
            pool = ((mean * count as f64 + pool.0 * pool.1 as f64) / all as f64, all);
        }
        pools.push(pool);
    }
    pools.iter().flat_map(|(mean, count)| std::iter::repeat_n(*mean, *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_rates_the_curve_is_a_line_and_outside_unknown() {
        let points = [(500.0, 1.0), (1000.0, 2.0), (2000.0, 6.0)];
        assert_eq!(rate_at(&points, 4.0), Some(Reached::At(1500.0)));
        assert_eq!(rate_at(&points, 1.0), Some(Reached::At(500.0)));
        assert_eq!(rate_at(&points, 6.0), Some(Reached::At(2000.0)));
        assert_eq!(rate_at(&points, 0.9), Some(Reached::Before));
        assert_eq!(rate_at(&points, 6.1), Some(Reached::After));
        // Levelled it is 3 everywhere.
        assert_eq!(rate_at(&[(1.0, 5.0), (2.0, 1.0)], 4.0), Some(Reached::After));
        assert_eq!(rate_at(&points[..1], 1.0), None);
    }

    #[test]
    fn noise_that_falls_is_levelled_and_its_end_counts() {
        assert_eq!(rising([3.0, 1.0, 2.0, 5.0].into_iter()), [2.0, 2.0, 2.0, 5.0]);
        assert_eq!(rising([1.0, 4.0, 2.0].into_iter()), [1.0, 3.0, 3.0]);
        assert_eq!(
            rate_at(&[(1.0, 3.0), (2.0, 1.0), (3.0, 2.0), (4.0, 5.0)], 2.0),
            Some(Reached::At(3.0))
        );
    }
}
