//! Targets whose capacity is known, in virtual time.

use engine::{Nanos, Random, SECOND};

/// A target.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// A pool of `servers` connections, each serving `rate` requests a second with exponential
    /// times, behind a Poisson process of arrivals (M/M/c).
    Pool { servers: u64, rate: f64 },
    /// Response times grow as 1/(1 - load/capacity); past it nothing is answered in time. Each
    /// trial is disturbed by `noise` (the standard deviation of its logarithm), and as a share of
    /// `outliers` by something that makes it slow altogether. The capacity changes by `drift`, a
    /// share of it, with each trial.
    Curve { capacity: f64, noise: f64, outliers: f64, drift: f64 },
}

/// The response time that 95 % must be below, in s.
const GOAL: f64 = 0.1;
/// Where [`Target::Curve`] begins, in s.
const LIGHT: f64 = 0.02;

impl Target {
    /// The load at which the goal is just met, after so many trials.
    pub(super) fn limit(self, trials: u32) -> f64 {
        match self {
            Self::Curve { capacity, drift, .. } => {
                capacity * (1.0 + drift * f64::from(trials)) * (1.0 - LIGHT / GOAL)
            }
            Self::Pool { servers, rate } => {
                let capacity = servers as f64 * rate;
                let (mut low, mut high) = (0.0, capacity);
                for _ in 0..60 {
                    let middle = (low + high) / 2.0;
                    let late = late(servers, rate, middle, GOAL);
                    *if late < 0.05 { &mut low } else { &mut high } = middle;
                }
                low
            }
        }
    }

    /// Whether trial number `trial` meets the goal.
    pub(super) fn is_met(self, load: f64, duration_ns: Nanos, trial: u32, seed: u64) -> bool {
        let mut random = Random::new(seed, trial.into());
        match self {
            Self::Pool { servers, rate } => {
                let seconds = duration_ns as f64 / SECOND as f64;
                queue(servers, rate, load, seconds, &mut random) < GOAL
            }
            Self::Curve { capacity, noise, outliers, drift } => {
                let used = load / (capacity * (1.0 + drift * f64::from(trial)));
                let normal = (-2.0 * random.unit().ln()).sqrt()
                    * (std::f64::consts::TAU * random.unit()).cos();
                let is_outlier = random.unit() < outliers;
                let disturbance = (noise * normal).exp() * if is_outlier { 10.0 } else { 1.0 };
                used < 1.0 && LIGHT / (1.0 - used) * disturbance < GOAL
            }
        }
    }
}

/// The share of responses that take longer than `time` (s) in an M/M/c queue at rest (Gross,
/// Shortle, Thompson and Harris, "Fundamentals of Queueing Theory", section 3.3).
fn late(servers: u64, rate: f64, load: f64, time: f64) -> f64 {
    let (c, offered) = (servers as f64, load / rate);
    let (mut term, mut sum) = (1.0, 0.0);
    for n in 0..servers {
        sum += term;
        term *= offered / (n + 1) as f64;
    }
    let waiting = term / (1.0 - offered / c);
    let waiting = waiting / (sum + waiting);
    // Service is exponential with `rate`, and the wait of those who wait with what is left over.
    let left = c * rate - load;
    let service = (-rate * time).exp();
    // The sum of both; where their rates are equal the formula is 0/0, and its limit is taken.
    let both = match rate - left {
        more if more.abs() < 1e-9 * rate => (1.0 + rate * time) * service,
        more => (rate * (-left * time).exp() - left * service) / more,
    };
    (1.0 - waiting) * service + waiting * both
}

/// The 95th percentile of response times in a trial, those included that come after its end.
fn queue(servers: u64, rate: f64, load: f64, seconds: f64, random: &mut Random) -> f64 {
    let mut free = vec![0.0_f64; servers as usize];
    let mut times = Vec::new();
    let mut now = 0.0;
    loop {
        now += random.exponential() / load;
        if now > seconds {
            break;
        }
        let first = free.iter_mut().min_by(|one, other| one.total_cmp(other)).expect("a server");
        *first = first.max(now) + random.exponential() / rate;
        times.push(*first - now);
    }
    if times.is_empty() {
        return 0.0;
    }
    times.sort_by(f64::total_cmp);
    times[((times.len() as f64 * 0.95).ceil() as usize).max(1) - 1]
}

#[test]
fn a_long_trial_agrees_with_the_formula() {
    let target = Target::Pool { servers: 4, rate: 50.0 };
    let limit = target.limit(0);
    let p95 = queue(4, 50.0, limit, 20_000.0, &mut Random::new(1, 1));
    assert!((p95 / GOAL - 1.0).abs() < 0.05, "{limit}: {p95}");
}
