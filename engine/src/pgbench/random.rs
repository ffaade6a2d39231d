//! pgbench's random numbers: with the same seed, the same numbers.
//!
//! Postgres 15 draws them from xoroshiro128** (D. Blackman, S. Vigna, "Scrambled linear pseudorandom
//! number generators", ACM TOMS 47, 2021), seeded by SplitMix64.

/// A generator whose numbers are those of Postgres' own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xoroshiro([u64; 2]);

impl Xoroshiro {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let value = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            value ^ (value >> 31)
        };
        let [first, second] = [next(), next()];
        // From 0 it would give 0 for ever; no seed leads there.
        debug_assert!(first != 0 || second != 0);
        Self([first, second])
    }

    /// 64 random bits.
    pub fn draw(&mut self) -> u64 {
        let [first, second] = self.0;
        let mixed = second ^ first;
        let value = first.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        self.0 = [first.rotate_left(24) ^ mixed ^ (mixed << 16), mixed.rotate_left(37)];
        value
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 12) as f64 / (1_u64 << 52) as f64
    }

    /// Uniform from 0 to `most`, both included, by rejecting what is above.
    pub fn up_to(&mut self, most: u64) -> u64 {
        if most == 0 {
            return 0;
        }
        let shift = most.leading_zeros();
        loop {
            let value = self.draw() >> shift;
            if value <= most {
                return value;
            }
        }
    }

    /// Uniform from `low` to `high`, both included.
    pub fn uniform(&mut self, low: i64, high: i64) -> i64 {
        low.wrapping_add(self.up_to(high.wrapping_sub(low) as u64) as i64)
    }

    /// pgbench's `random_exponential`: the nearer to `low`, the likelier.
    pub fn exponential(&mut self, low: i64, high: i64, parameter: f64) -> i64 {
        let cut = (-parameter).exp();
        let uniform = 1.0 - self.unit();
        let place = -(cut + (1.0 - cut) * uniform).ln() / parameter;
        at(low, high, place)
    }

    /// pgbench's `random_gaussian`: a bell from `low` to `high`, cut at `parameter` standard
    /// deviations (Box and Muller's method).
    pub fn gaussian(&mut self, low: i64, high: i64, parameter: f64) -> i64 {
        loop {
            let (first, second) = (1.0 - self.unit(), 1.0 - self.unit());
            let deviation =
                (-2.0 * first.ln()).sqrt() * (2.0 * std::f64::consts::PI * second).sin();
            if (-parameter..parameter).contains(&deviation) {
                return at(low, high, (deviation + parameter) / (parameter * 2.0));
            }
        }
    }

    /// pgbench's `random_zipfian` (L. Devroye, "Non-Uniform Random Variate Generation", 1986, page
    /// 551).
    pub fn zipfian(&mut self, low: i64, high: i64, exponent: f64) -> i64 {
        let ranks = high.wrapping_sub(low).wrapping_add(1);
        if ranks <= 1 {
            return low;
        }
        let b = 2_f64.powf(exponent - 1.0);
        loop {
            let (u, v) = (self.unit(), self.unit());
            let x = u.powf(-1.0 / (exponent - 1.0)).floor();
            let t = (1.0 + 1.0 / x).powf(exponent - 1.0);
            if v * x * (t - 1.0) / (b - 1.0) <= t / b && x <= ranks as f64 {
                return low.wrapping_sub(1).wrapping_add(x as i64);
            }
        }
    }
}

fn at(low: i64, high: i64, place: f64) -> i64 {
    let span = high.wrapping_sub(low).wrapping_add(1) as f64;
    low.wrapping_add((span * place) as i64)
}

/// pgbench's `permute`: where `value` stands in the permutation of 0 to `size` - 1 that has this
/// `seed`.
pub(super) fn permute(value: i64, size: i64, seed: i64) -> i64 {
    const ROUNDS: usize = 6;
    if size < 2 {
        return 0;
    }
    let mut random = Xoroshiro::new(seed as u64);
    let size = size as u64;
    let mut place = value as u64 % size;
    let mask_bits = size.ilog2();
    let mask = (1_u64 << mask_bits) - 1;
    let shuffle = |place: u64, random: &mut Xoroshiro| {
        let factor = (random.draw() & mask) | 1;
        let offset = random.draw() & mask;
        move || {
            let mixed = (place.wrapping_mul(factor) ^ offset) & mask;
            ((mixed << 1) & mask) | (mixed >> (mask_bits - 1))
        }
    };
    for _ in 0..ROUNDS {
        let lower = shuffle(place, &mut random);
        if place <= mask {
            place = lower();
        }
        let from_the_end = size - 1 - place;
        let upper = shuffle(from_the_end, &mut random);
        if from_the_end <= mask {
            place = size - 1 - upper();
        }
        place = (place.wrapping_add(random.up_to(size - 1))) % size;
    }
    place as i64
}

/// pgbench's `hash_fnv1a`.
pub(super) fn fnv1a(value: i64, seed: i64) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed as u64;
    for octet in value.to_le_bytes() {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }
    hash as i64
}

/// pgbench's `hash_murmur2`.
pub(super) fn murmur2(value: i64, seed: i64) -> i64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const FACTOR_TIMES_8: u64 = FACTOR.wrapping_mul(8);
    let mix = |value: u64| value ^ (value >> 47);
    let key = mix((value as u64).wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    let hash = (seed as u64 ^ FACTOR_TIMES_8 ^ key).wrapping_mul(FACTOR);
    mix(mix(hash).wrapping_mul(FACTOR)) as i64
}
