//! What the summaries of all experiments begin with.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::Nanos;
use serde::Serialize;

use crate::generator::GeneratorSummary;

/// What was run, and how. Times in ns.
#[derive(Debug, Serialize)]
pub(crate) struct Head {
    schema: u32,
    command: &'static str,
    pub(crate) scenario: String,
    /// Seconds since 1970.
    started: f64,
    pub(crate) duration_ns: Nanos,
    /// Of one phase, as it was asked for.
    pub(crate) phase_ns: Nanos,
    pub(crate) seed: u64,
    #[serde(flatten)]
    pub(crate) generator: GeneratorSummary,
}

impl Head {
    /// Of a command that began at `started` and took so long.
    pub(crate) fn new(
        command: &'static str,
        scenario: &str,
        (started, duration_ns): (SystemTime, Nanos),
        (phase_ns, seed): (Nanos, u64),
        generator: GeneratorSummary,
    ) -> Self {
        Self {
            schema: 1,
            command,
            scenario: scenario.into(),
            started: started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            duration_ns,
            phase_ns,
            seed,
            generator,
        }
    }
}

#[cfg(test)]
impl Head {
    /// Of nova, on a machine of two cores.
    pub(crate) fn example(command: &'static str, phase_ns: Nanos) -> Self {
        Self::new(command, "nova", (UNIX_EPOCH, 0), (phase_ns, 1), GeneratorSummary::example())
    }
}
