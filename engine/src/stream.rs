//! One scenario of a run: a load on one target.

use crate::{Cancel, DURATION_MAX_NS, Load, LoadError, Nanos, Script};

/// A load on one target; several may run at the same time (k6's `scenarios`).
#[derive(Clone, Debug)]
pub struct Stream {
    /// Which of the fleet's targets.
    pub target: usize,
    /// What its iterations do.
    pub script: Script,
    /// When iterations start.
    pub load: Load,
    /// In a closed loop: the least and the most time between a virtual user's iterations in ns,
    /// uniform between; equal for a constant one. Drawn from (seed, user, iteration).
    pub think_time_ns: (Nanos, Nanos),
    /// When it starts, in ns after the phase's start (k6's `startTime`).
    pub start_ns: Nanos,
    /// How long requests in flight at its end are waited for, in ns; then they are interrupted,
    /// and counted as such (k6's `gracefulStop`).
    pub graceful_stop_ns: Nanos,
    /// Whether each iteration opens a connection of its own, logs in, sends its request and closes:
    /// what an application without a pool does. Its response time, and the time limit of its
    /// opening, begin with the connection.
    pub reconnect: bool,
    /// Whether its requests are cancelled, each over a connection of its own. The next request on
    /// a connection waits until the server has closed that one.
    pub cancel: Option<Cancel>,
    /// With a request's number, decides what it holds; with an arrival's, when it is due.
    pub seed: u64,
}

impl Stream {
    /// When its iterations stop to begin, in ns after the phase's start.
    pub fn end_ns(&self) -> Nanos {
        self.start_ns.saturating_add(self.load.duration_ns())
    }

    /// Whether it can be run.
    pub fn check(&self) -> Result<(), LoadError> {
        let (least, most) = self.think_time_ns;
        if least > most {
            return Err(LoadError::ThinkTime(least, most));
        }
        self.load.check()?;
        let end_ns = self.end_ns();
        (end_ns <= DURATION_MAX_NS).then_some(()).ok_or(LoadError::Duration(end_ns))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Mix, MixEntry, Phase, SECOND};

    #[test]
    fn a_phase_refuses_streams_that_cannot_be_run() {
        let mix = Mix::new(vec![MixEntry { weight: 1, generators: vec![] }]).unwrap();
        let good = Stream {
            target: 0,
            script: Script::Mix(Arc::new(mix)),
            load: Load::ConstantVus { vus: 1, duration_ns: SECOND },
            think_time_ns: (1, 2),
            start_ns: SECOND,
            graceful_stop_ns: Nanos::MAX,
            reconnect: false,
            cancel: None,
            seed: 1,
        };
        let refusal = |stream: Stream| Phase::new(vec![good.clone(), stream]).unwrap_err();
        assert_eq!(Phase::new(vec![good.clone()]).unwrap().duration_ns(), 2 * SECOND);
        assert_eq!(Phase::new(vec![]).unwrap_err(), LoadError::NoStreams);
        let stream = Stream { think_time_ns: (2, 1), ..good.clone() };
        assert_eq!(refusal(stream), LoadError::ThinkTime(2, 1));
        let stream = Stream { start_ns: Nanos::MAX, ..good.clone() };
        assert_eq!(refusal(stream), LoadError::Duration(Nanos::MAX));
        let load = Load::ConstantVus { vus: 0, duration_ns: SECOND };
        assert_eq!(refusal(Stream { load, ..good.clone() }), LoadError::Vus(0));
    }
}
