//! Little's law.

/// How many are in a system on average that `rate` (1/s) enter and each leave after `time_ns` on
/// average: L = λW, whatever the system is.
pub(crate) fn in_system(rate: f64, time_ns: f64) -> f64 {
    rate * time_ns / engine::SECOND as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_thousand_a_second_of_half_a_millisecond_are_one_at_a_time() {
        assert_eq!(in_system(2000.0, 500_000.0), 1.0);
        assert_eq!(in_system(0.0, 500_000.0), 0.0);
    }
}
