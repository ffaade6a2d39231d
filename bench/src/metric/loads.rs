//! What a run's loads are tagged with.

use engine::Nanos;
use hdrhistogram::Histogram;

use super::{Gauges, Layer, Measured, Metrics, Tally};

/// A run's loads: what makes tallies of them metrics.
#[derive(Debug, Clone)]
pub(crate) struct Loads {
    pub(crate) loads: Vec<Load>,
    /// The operations' names, in the order of recordings.
    pub(crate) operations: Vec<String>,
    /// The checks' names, by their places in recordings.
    pub(crate) checks: Vec<String>,
}

/// One load.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Its name.
    pub(crate) scenario: String,
    pub(crate) target: String,
    pub(crate) layer: Layer,
    /// From the first packet to the end of the login, of the target's connections.
    pub(crate) connect: Option<Histogram<u64>>,
}

impl Loads {
    /// The metrics of these loads with these tallies, `elapsed_ns` after the measured phase began.
    pub(crate) fn metrics<'a>(
        &'a self,
        elapsed_ns: Nanos,
        tallies: &'a [Tally],
        gauges: &'a Gauges,
    ) -> Metrics<'a> {
        let measured = self.loads.iter().zip(tallies).map(|(load, tally)| Measured {
            scenario: &load.scenario,
            target: &load.target,
            layer: load.layer,
            operations: &self.operations,
            checks: &self.checks,
            tally,
            connect: load.connect.as_ref(),
        });
        Metrics { elapsed_ns, measured: measured.collect(), gauges }
    }
}
