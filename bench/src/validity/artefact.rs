//! Latencies that are not the target's work: what timers and the network stack leave behind.

use engine::{MILLISECOND, Nanos};
use hdrhistogram::Histogram;

/// Linux delays an ACK by 40 ms (TCP_DELACK_MIN), to the next tick of its clock; a busy machine adds
/// a little.
const DELAYED_ACK_NS: (u64, u64) = (38 * MILLISECOND, 50 * MILLISECOND);
/// A range as wide below it, where a server that is merely slow would show too.
const BELOW_DELAYED_ACK_NS: (u64, u64) = (24 * MILLISECOND, 36 * MILLISECOND);
/// A share of replies as large as this, and hardly any just below, is no accident.
const DELAYED_ACK_SHARE: f64 = 0.05;

pub(super) fn looks_like_delayed_ack(service: &Histogram<u64>) -> bool {
    let count = |(low, high)| service.count_between(low, high);
    let inside = count(DELAYED_ACK_NS);
    inside as f64 > DELAYED_ACK_SHARE * service.len() as f64
        && inside > 4 * count(BELOW_DELAYED_ACK_NS)
}

/// The periods of timers that servers and runtimes wait with.
const PERIODS_NS: [Nanos; 2] = [10 * MILLISECOND, MILLISECOND];
/// So many parts of a period are told apart.
const PARTS: usize = 10;
/// This share of the values lies within a fifth of the period, where an even spread has 0.2.
const COMB_SHARE: f64 = 0.6;
/// A tooth that counts holds such a share of the values, and there are so many of them: one alone
/// is a server that takes that long.
const TOOTH_SHARE: f64 = 0.05;
const TEETH_MIN: usize = 3;

/// The period of the timer whose ticks the replies wait for, if they do, in ns.
pub(super) fn comb(service: &Histogram<u64>) -> Option<Nanos> {
    PERIODS_NS.into_iter().find(|period| is_comb(service, *period))
}

fn is_comb(service: &Histogram<u64>, period: Nanos) -> bool {
    // Below the first tick there is no comb to see, and far above a bucket is as wide as a part.
    let range = period / 2..50 * period;
    let mut parts = [0; PARTS];
    let mut teeth = std::collections::BTreeMap::<Nanos, u64>::new();
    for step in service.iter_recorded() {
        let (value, count) = (step.value_iterated_to(), step.count_at_value());
        if range.contains(&value) {
            parts[(value % period) as usize * PARTS / period as usize] += count;
            // The middle of a tooth is wherever values gather.
            *teeth.entry(value / period).or_default() += count;
        }
    }
    let inside: u64 = parts.iter().sum();
    let gathered = (0..PARTS).map(|part| parts[part] + parts[(part + 1) % PARTS]).max();
    let large = |count: &&u64| **count as f64 >= TOOTH_SHARE * inside as f64;
    inside > service.len() / 2
        && gathered.unwrap_or_default() as f64 > COMB_SHARE * inside as f64
        && teeth.values().filter(large).count() >= TEETH_MIN
}

/// Medians that differ by less, of arms with different layers, are one wait that all of them have.
const SAME_SHARE: f64 = 0.02;

/// Whether arms of different layers all have the same median: `medians` in ns.
pub(super) fn is_shared_stall(medians: &[u64]) -> bool {
    let (Some(least), Some(most)) = (medians.iter().min(), medians.iter().max()) else {
        return false;
    };
    medians.len() > 2 && (most - least) as f64 <= SAME_SHARE * *most as f64
}

#[cfg(test)]
mod tests {
    use engine::Random;

    use super::*;

    fn histogram(values_ms: impl IntoIterator<Item = f64>) -> Histogram<u64> {
        let mut histogram = engine::histogram();
        values_ms.into_iter().for_each(|ms| histogram.record((ms * 1e6) as u64).unwrap());
        histogram
    }

    #[test]
    fn mass_at_forty_milliseconds_is_a_delayed_ack_and_a_slow_server_is_not() {
        let delayed = (0..100).map(|n| if n % 10 == 0 { 40.0 + f64::from(n) / 50.0 } else { 1.0 });
        assert!(looks_like_delayed_ack(&histogram(delayed)));
        assert!(!looks_like_delayed_ack(&histogram((0..1000).map(|n| f64::from(n) / 10.0))));
        assert!(!looks_like_delayed_ack(&histogram((0..100).map(|_| 1.0))));
        assert!(!looks_like_delayed_ack(&histogram([])));
    }

    /// Latencies as of a server that takes 5 times `period_ms` on average, answers at a timer's
    /// ticks only, and is then late by a little.
    fn ticking(period_ms: f64) -> Histogram<u64> {
        histogram((0..2000).map(|number| {
            let mut random = Random::new(1, number);
            let ticks = (random.exponential() * 5.0).ceil();
            (ticks + random.unit() * 0.08) * period_ms
        }))
    }

    #[test]
    fn replies_at_a_timers_ticks_are_a_comb_and_the_period_is_told() {
        assert_eq!(comb(&ticking(1.0)), Some(MILLISECOND));
        assert_eq!(comb(&ticking(10.0)), Some(10 * MILLISECOND));
    }

    #[test]
    fn smooth_latencies_and_one_constant_time_are_no_comb() {
        let smooth = |mean: f64| {
            histogram((0..2000).map(move |n| 0.05 + mean * Random::new(2, n).exponential()))
        };
        for mean in [0.3, 2.0, 5.0, 30.0] {
            assert_eq!(comb(&smooth(mean)), None, "{mean}");
        }
        // pg_sleep(0.005), and what the way there takes.
        let asleep = histogram((0..2000).map(|n| 5.1 + 0.02 * Random::new(3, n).exponential()));
        assert_eq!(comb(&asleep), None);
        assert_eq!(comb(&histogram([])), None);
    }

    #[test]
    fn the_same_median_in_every_arm_is_a_stall_and_different_ones_are_not() {
        assert!(is_shared_stall(&[40_100_000, 40_300_000, 40_050_000, 40_200_000]));
        assert!(!is_shared_stall(&[403_000, 425_000, 162_000, 189_000]));
        assert!(!is_shared_stall(&[162_000, 162_100]), "two may well be equal");
        assert!(!is_shared_stall(&[]));
    }
}
