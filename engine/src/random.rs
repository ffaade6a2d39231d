//! Random numbers that are a function of (seed, number), so that a run can be repeated and split
//! over workers.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014;
/// constants as in Vigna's public-domain reference).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The generator for request `number` of the run with this `seed`.
    pub fn new(seed: u64, number: u64) -> Self {
        Self { state: mix(seed ^ mix(number.wrapping_add(1).wrapping_mul(GOLDEN_GAMMA))) }
    }

    /// 64 random bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        mix(self.state)
    }

    /// Uniform in 0..`bound`; 0 for a bound of 0. By multiplication (Lemire, "Fast random integer
    /// generation in an interval", 2019); its bias is below bound / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with mean 1: the gaps of a Poisson process of rate 1.
    pub fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_draws_the_same_and_another_draws_otherwise() {
        let draw = |seed, number| Random::new(seed, number).draw();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
        assert_ne!(draw(1, 2), draw(2, 1));
    }

    #[test]
    fn every_value_below_the_bound_is_drawn_about_equally_often() {
        let mut counts = [0_u32; 10];
        for number in 0..100_000 {
            counts[Random::new(7, number).below(10) as usize] += 1;
        }
        // Five standard deviations of a binomial(100000, 0.1).
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 475), "{counts:?}");
    }

    #[test]
    fn exponential_gaps_have_mean_one() {
        let sum: f64 = (0..100_000).map(|number| Random::new(3, number).exponential()).sum();
        assert!((sum / 100_000.0 - 1.0).abs() < 0.016, "five standard errors: {sum}");
    }
}
