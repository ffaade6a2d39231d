//! How much load there is when: k6's executors.

use std::sync::Arc;

use thiserror::Error;

/// Nanoseconds on the run's own monotonic clock.
pub type Nanos = u64;

/// A second in nanoseconds.
pub const SECOND: Nanos = 1_000_000_000;
/// A millisecond in nanoseconds.
pub const MILLISECOND: Nanos = 1_000_000;

/// Arrivals a second that no load may ask for more of: one a nanosecond.
pub const RATE_MAX: f64 = 1e9;
/// Virtual users that no load may ask for more of.
pub const VUS_MAX: u32 = 1_000_000;
/// The longest stretch of load, all stages together, in ns: ten years.
pub const DURATION_MAX_NS: Nanos = 3650 * 24 * 3600 * SECOND;

/// One straight piece of a ramp, from where the last one ended to `target`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// How long it takes, in ns; 0 is a jump.
    pub duration_ns: Nanos,
    /// Virtual users (a whole number), or iterations a second, at its end.
    pub target: f64,
}

/// The load on one target: k6's executors, with their names and their meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// Closed loop: so many virtual users, each waiting for its reply and then a think time.
    ConstantVus {
        /// How many virtual users, over all workers.
        vus: u32,
        /// For how long they begin iterations, in ns.
        duration_ns: Nanos,
    },
    /// Closed loop whose number of virtual users follows a line: a user starts when the line comes
    /// up to its number (the first is 1), and goes when the line comes down to the number before.
    RampingVus {
        /// How many there are at the beginning.
        start_vus: u32,
        /// The line's pieces.
        stages: Arc<[Stage]>,
        /// How long a user that is to go may take for its iteration, in ns; then it is interrupted.
        graceful_ramp_down_ns: Nanos,
    },
    /// Closed loop: each virtual user does so many iterations.
    PerVuIterations {
        /// How many virtual users, over all workers.
        vus: u32,
        /// How many iterations each of them does.
        iterations: u64,
        /// After this they begin no more, in ns.
        max_duration_ns: Nanos,
    },
    /// Closed loop: the virtual users do so many iterations together. Each worker gets the part
    /// that falls to its users (iteration n is for user n modulo `vus`); within a worker, whoever
    /// is free takes the next.
    SharedIterations {
        /// How many virtual users, over all workers.
        vus: u32,
        /// How many iterations all of them do.
        iterations: u64,
        /// After this they begin no more, in ns.
        max_duration_ns: Nanos,
    },
    /// Open loop: arrivals at a rate, whatever the replies do.
    ConstantArrivalRate {
        /// Arrivals a second, over all workers.
        rate: f64,
        /// How they are spaced.
        gaps: Gaps,
        /// For how long, in ns.
        duration_ns: Nanos,
        /// Connections that are open before the start.
        pre_allocated_vus: u32,
        /// As many requests may be in flight at once (at least one a worker).
        max_vus: u32,
    },
    /// Open loop whose rate follows a line, integrated exactly: arrival n (the first is 0) is due
    /// where the integral of the rate passes n.
    RampingArrivalRate {
        /// Arrivals a second at the beginning, over all workers.
        start_rate: f64,
        /// The line's pieces.
        stages: Arc<[Stage]>,
        /// How arrivals are spaced.
        gaps: Gaps,
        /// Connections that are open before the start.
        pre_allocated_vus: u32,
        /// As many requests may be in flight at once (at least one a worker).
        max_vus: u32,
    },
}

/// How an open loop's arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// As even as the rate allows: where its integral passes a whole number.
    Uniform,
    /// Exponential, as of many independent users: a Poisson process of this rate.
    Poisson,
}

/// Why a load makes no sense.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum LoadError {
    /// A rate that is negative, not a number, or too high.
    #[error("a rate of {0}/s: it must be a number from 0 to {RATE_MAX}")]
    Rate(f64),
    /// A constant rate of 0.
    #[error("a constant rate of 0 sends nothing: it must be above 0")]
    RateZero,
    /// A stage's number of virtual users that is negative, broken, not a number, or too high.
    #[error("a stage of {0} VUs: it must be a whole number from 0 to {VUS_MAX}")]
    StageVus(f64),
    /// No virtual users, or too many.
    #[error("{0} VUs: there must be 1 to {VUS_MAX}")]
    Vus(u32),
    /// More connections before the start than ever.
    #[error("{pre_allocated_vus} VUs pre-allocated, but at most {max_vus}: raise max_vus")]
    PreAllocated {
        /// What was asked for before the start.
        pre_allocated_vus: u32,
        /// The limit.
        max_vus: u32,
    },
    /// A ramp without a stage.
    #[error("a ramp without stages: it needs at least one")]
    NoStages,
    /// Iterations that are none.
    #[error("0 iterations: there must be at least 1")]
    NoIterations,
    /// Longer than [`DURATION_MAX_NS`].
    #[error("a load of {} years: at most 10 are possible", .0 / (365 * 24 * 3600 * SECOND))]
    Duration(Nanos),
    /// A phase without a stream.
    #[error("nothing to run: a phase needs at least one load")]
    NoStreams,
    /// The least think time is above the most.
    #[error("think time from {0} to {1} ns: the first must not be above the second")]
    ThinkTime(Nanos, Nanos),
}

impl Load {
    /// For how long iterations may begin, in ns from the load's start.
    pub fn duration_ns(&self) -> Nanos {
        match self {
            Load::ConstantVus { duration_ns, .. }
            | Load::ConstantArrivalRate { duration_ns, .. } => *duration_ns,
            Load::PerVuIterations { max_duration_ns, .. }
            | Load::SharedIterations { max_duration_ns, .. } => *max_duration_ns,
            Load::RampingVus { stages, .. } | Load::RampingArrivalRate { stages, .. } => {
                stages.iter().fold(0, |sum: Nanos, stage| sum.saturating_add(stage.duration_ns))
            }
        }
    }

    /// The most virtual users there are at once, over all workers: as many connections are used at
    /// most.
    pub fn vus_max(&self) -> u32 {
        match self {
            Load::ConstantVus { vus, .. }
            | Load::PerVuIterations { vus, .. }
            | Load::SharedIterations { vus, .. } => *vus,
            Load::RampingVus { start_vus, stages, .. } => {
                stages.iter().map(|stage| stage.target as u32).fold(*start_vus, u32::max)
            }
            Load::ConstantArrivalRate { max_vus, .. }
            | Load::RampingArrivalRate { max_vus, .. } => *max_vus,
        }
    }

    /// The connections that should be open before the start, over all workers: an open loop's
    /// pre-allocated ones, all of a closed loop's (those of users that come later too, so that no
    /// login is in a user's first latency).
    pub fn pre_allocated_vus(&self) -> u32 {
        match self {
            Load::ConstantArrivalRate { pre_allocated_vus, .. }
            | Load::RampingArrivalRate { pre_allocated_vus, .. } => *pre_allocated_vus,
            closed => closed.vus_max(),
        }
    }

    /// A steady load of the same kind for the time before this one, to fill caches and pools. Where
    /// this one is a ramp, it is what the ramp begins with, and at least 1.
    pub fn warm_up(&self, duration_ns: Nanos) -> Self {
        let vus = match self {
            Load::RampingVus { start_vus, .. } => (*start_vus).max(1),
            load => load.vus_max(),
        };
        let (rate, gaps) = match self {
            Load::ConstantArrivalRate { rate, gaps, .. } => (*rate, *gaps),
            Load::RampingArrivalRate { start_rate, gaps, .. } => (start_rate.max(1.0), *gaps),
            _ => return Load::ConstantVus { vus, duration_ns },
        };
        let pre_allocated_vus = self.pre_allocated_vus();
        Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus, max_vus: vus }
    }

    /// Whether iterations start on schedule, whatever the replies do.
    pub fn is_open_loop(&self) -> bool {
        matches!(self, Load::ConstantArrivalRate { .. } | Load::RampingArrivalRate { .. })
    }

    /// Whether it makes sense.
    pub fn check(&self) -> Result<(), LoadError> {
        let duration_ns = self.duration_ns();
        if duration_ns > DURATION_MAX_NS {
            return Err(LoadError::Duration(duration_ns));
        }
        match self {
            Load::RampingVus { stages, .. } | Load::RampingArrivalRate { stages, .. }
                if stages.is_empty() =>
            {
                return Err(LoadError::NoStages);
            }
            Load::ConstantArrivalRate { rate, .. } => {
                check_rate(*rate)?;
                if *rate == 0.0 {
                    return Err(LoadError::RateZero);
                }
            }
            Load::RampingArrivalRate { start_rate, stages, .. } => {
                check_rate(*start_rate)?;
                stages.iter().try_for_each(|stage| check_rate(stage.target))?;
            }
            Load::RampingVus { stages, .. } => {
                stages.iter().try_for_each(|stage| check_stage_vus(stage.target))?;
            }
            Load::PerVuIterations { iterations: 0, .. }
            | Load::SharedIterations { iterations: 0, .. } => return Err(LoadError::NoIterations),
            _ => {}
        }
        let (pre_allocated_vus, max_vus) = (self.pre_allocated_vus(), self.vus_max());
        if !(1..=VUS_MAX).contains(&max_vus) {
            return Err(LoadError::Vus(max_vus));
        }
        if pre_allocated_vus > max_vus {
            return Err(LoadError::PreAllocated { pre_allocated_vus, max_vus });
        }
        Ok(())
    }
}

fn check_rate(rate: f64) -> Result<(), LoadError> {
    let is_possible = (0.0..=RATE_MAX).contains(&rate);
    is_possible.then_some(()).ok_or(LoadError::Rate(rate))
}

fn check_stage_vus(vus: f64) -> Result<(), LoadError> {
    let is_possible = (0.0..=f64::from(VUS_MAX)).contains(&vus) && vus.fract() == 0.0;
    is_possible.then_some(()).ok_or(LoadError::StageVus(vus))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(start_rate: f64, targets: &[f64]) -> Load {
        let stage = |target: &f64| Stage { duration_ns: SECOND, target: *target };
        Load::RampingArrivalRate {
            start_rate,
            stages: targets.iter().map(stage).collect(),
            gaps: Gaps::Uniform,
            pre_allocated_vus: 1,
            max_vus: 2,
        }
    }

    fn message(load: &Load) -> String {
        load.check().unwrap_err().to_string()
    }

    #[test]
    fn what_can_be_run_is_accepted() {
        assert_eq!(ramp(0.0, &[1000.0, 0.5, 0.0]).check(), Ok(()));
        assert_eq!(Load::ConstantVus { vus: 1, duration_ns: 0 }.check(), Ok(()));
    }

    #[test]
    fn a_ramp_warms_up_at_the_level_that_it_begins_with() {
        let rate = |load: Load| match load.warm_up(5) {
            Load::ConstantArrivalRate { rate, duration_ns: 5, .. } => rate,
            other => panic!("a constant rate for 5 ns, not {other:?}"),
        };
        assert_eq!(rate(ramp(0.0, &[1000.0])), 1.0);
        assert_eq!(rate(ramp(30.0, &[1000.0])), 30.0);
        let iterations = Load::PerVuIterations { vus: 7, iterations: 1, max_duration_ns: 1 };
        assert_eq!(iterations.warm_up(5), Load::ConstantVus { vus: 7, duration_ns: 5 });
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        assert_eq!(message(&ramp(0.0, &[])), "a ramp without stages: it needs at least one");
        assert_eq!(
            message(&ramp(0.0, &[10.0, -1.0])),
            "a rate of -1/s: it must be a number from 0 to 1000000000"
        );
        assert!(message(&ramp(f64::NAN, &[1.0])).starts_with("a rate of NaN/s"));
        assert!(message(&ramp(f64::INFINITY, &[1.0])).starts_with("a rate of inf/s"));
        let constant = |rate, pre_allocated_vus| Load::ConstantArrivalRate {
            rate,
            gaps: Gaps::Poisson,
            duration_ns: SECOND,
            pre_allocated_vus,
            max_vus: 10,
        };
        assert!(message(&constant(0.0, 1)).contains("above 0"));
        assert!(message(&constant(1.0, 11)).contains("raise max_vus"));
        let vus = |target| Load::RampingVus {
            start_vus: 1,
            stages: [Stage { duration_ns: SECOND, target }].into(),
            graceful_ramp_down_ns: 0,
        };
        assert!(message(&vus(-1.0)).starts_with("a stage of -1 VUs"));
        assert!(message(&vus(1.5)).contains("whole number"));
        assert!(message(&vus(1e12)).contains("whole number"));
        assert!(message(&Load::ConstantVus { vus: 0, duration_ns: 1 }).starts_with("0 VUs"));
        let years = Load::ConstantVus { vus: 1, duration_ns: Nanos::MAX };
        assert_eq!(message(&years), "a load of 584 years: at most 10 are possible");
    }
}
