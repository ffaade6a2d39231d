//! In which order the blocks of a round run, and what is in them.

use std::time::Duration;

use engine::{Load, Nanos, Random};

use super::Plan;

/// One block of a round: which rate and which arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) rate: usize,
    pub(crate) arm: usize,
}

/// All arms at all rates, in an order of their own for each round (Fisher and Yates).
pub(crate) fn shuffled(rates: usize, arms: usize, seed: u64, round: u64) -> Vec<Turn> {
    let mut order: Vec<_> =
        (0..rates).flat_map(|rate| (0..arms).map(move |arm| Turn { rate, arm })).collect();
    let mut random = Random::new(!seed, round);
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order
}

impl Plan {
    /// A block's load on one arm.
    pub(super) fn load(&self, rate: f64, duration_ns: Nanos) -> Load {
        let Self { connections, gaps, .. } = *self;
        Load::ConstantArrivalRate {
            rate,
            gaps,
            duration_ns,
            pre_allocated_vus: connections,
            max_vus: connections,
        }
    }

    /// A block's requests and arrivals depend on its round alone: they are the same in each arm.
    pub(super) fn block_seed(&self, round: u64) -> u64 {
        Random::new(self.seed, round).draw()
    }
}

/// Whether the pooler is watched while this round's blocks run. In every fourth it is not, so that
/// the difference shows what the watching costs.
pub(super) fn is_watched(round: u64) -> bool {
    round % 4 != 3
}

/// How often it is looked at then. A look costs us 170 us and PgBouncer 50: of a second an eighth of a
/// percent.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_millis(150);

/// So many looks fall into a block; the first comes half an interval after its beginning.
pub(super) fn looks_within(block_ns: Nanos) -> u64 {
    let interval_ns = WATCH_INTERVAL.as_nanos() as Nanos;
    (block_ns + interval_ns / 2) / interval_ns
}

/// Whether everything else is observed too while this round's blocks run, by two looks in each. That
/// costs a look at every process: in one round of ten it is less than a run's look a second.
pub(super) fn is_observed(round: u64) -> bool {
    round.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_every_arm_at_every_rate_once_and_orders_differ() {
        let orders: Vec<_> = (0..50).map(|round| shuffled(2, 4, 1, round)).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            let all: Vec<_> = (0..8).map(|n| Turn { rate: n / 4, arm: n % 4 }).collect();
            assert_eq!(sorted, all);
        }
        let first = |arm| orders.iter().filter(|order| order[0].arm == arm).count();
        assert!((0..4).all(|arm| first(arm) >= 5), "each arm is first now and then");
    }

    #[test]
    fn three_of_four_rounds_are_watched_and_one_of_ten_observed() {
        assert_eq!((0..40).filter(|round| is_watched(*round)).count(), 30);
        assert_eq!((0..40).filter(|round| is_observed(*round)).count(), 4);
        assert!((0..40).all(|round| is_watched(round) || !is_observed(round)));
        assert!(is_observed(0), "the shortest comparison has two rounds");
        // Four arms in 30 s, the default: so many are needed to tell what that costs.
        assert_eq!((0..23).filter(|round| is_observed(*round)).count(), 3);
    }

    #[test]
    fn short_blocks_are_looked_at_too() {
        let looks = [300, 100, 75, 74].map(|ms| looks_within(ms * engine::MILLISECOND));
        assert_eq!(looks, [2, 1, 1, 0]);
    }

    #[test]
    fn looking_is_rare() {
        const ROUNDS: u64 = 80;
        let block_ns = Plan::example().block_ns;
        let seconds = (ROUNDS * block_ns) as f64 / engine::SECOND as f64;
        let rounds =
            |is_so: fn(u64) -> bool| (0..ROUNDS).filter(|round| is_so(*round)).count() as f64;
        let each = 2.0 * rounds(is_observed) / seconds;
        assert!(each <= 1.0, "{each} looks a second at every process");
        let pool = looks_within(block_ns) as f64 * rounds(is_watched) / seconds;
        assert!(pool <= 15.0, "{pool} looks a second at the pool");
    }
}
