//! How the pooler spread its clients over server connections during a run.

use engine::Nanos;
use serde::Serialize;

use crate::observe::{Observations, PoolerSample, Pools, Reading};

/// The pooler's connections over the run, as its console showed them once a second. What it did not
/// show is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PoolSummary {
    pub(crate) cl_active: Option<Extent>,
    pub(crate) cl_waiting: Option<Extent>,
    pub(crate) sv_active: Option<Extent>,
    pub(crate) sv_idle: Option<Extent>,
    /// The longest that a client was seen to wait for a server connection, in ns.
    pub(crate) maxwait_ns: Option<Nanos>,
    /// Client connections for each server connection.
    pub(crate) multiplexing_ratio: Option<Extent>,
}

/// What one figure was over the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Extent {
    pub(crate) mean: f64,
    pub(crate) max: f64,
}

impl Extent {
    fn new(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut sum, mut count, mut max) = (0.0, 0_u32, f64::MIN);
        for value in values {
            sum += value;
            count += 1;
            max = max.max(value);
        }
        (count > 0).then(|| Self { mean: sum / f64::from(count), max })
    }
}

impl PoolSummary {
    /// What the pooler of this name showed until the load ended; none where it showed nothing.
    pub(super) fn new(observations: &Observations, name: &str, end_ns: Nanos) -> Option<Self> {
        let sources = observations.sources.iter().filter(|source| source.name == name);
        let looks = sources.flat_map(|source| &source.looks);
        let pools =
            looks.filter(|look| look.at_ns <= end_ns).filter_map(|look| match look.reading {
                Reading::Pooler(PoolerSample { pools, .. }) => pools,
                _ => None,
            });
        let pools: Vec<Pools> = pools.collect();
        if pools.is_empty() {
            return None;
        }
        let extent = |figure: fn(&Pools) -> Option<u64>| {
            Extent::new(pools.iter().filter_map(figure).map(|value| value as f64))
        };
        Some(Self {
            cl_active: extent(|pools| pools.cl_active),
            cl_waiting: extent(|pools| pools.cl_waiting),
            sv_active: extent(|pools| pools.sv_active),
            sv_idle: extent(|pools| pools.sv_idle),
            maxwait_ns: pools.iter().filter_map(|pools| pools.maxwait_ns).max(),
            multiplexing_ratio: Extent::new(pools.iter().filter_map(Pools::multiplexing_ratio)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Look, Observed, Subject};

    fn seen(cl_waiting: Option<u64>, sv_idle: u64) -> Look {
        let pools = Pools {
            cl_active: Some(40),
            cl_waiting,
            sv_active: Some(6),
            sv_idle: Some(sv_idle),
            ..Pools::default()
        };
        let sample = PoolerSample { pools: Some(pools), ..PoolerSample::default() };
        Look { at_ns: 0, reading: Reading::Pooler(sample) }
    }

    #[test]
    fn the_mean_and_the_most_over_what_was_seen() {
        let of = |looks: Vec<Look>| {
            let observed =
                |name: &str, looks| Observed { looks, ..Observed::new(name, Subject::Pooler) };
            // Another pooler has the same clients and more of them waiting.
            let sources =
                vec![observed("other", vec![seen(Some(90), 1)]), observed("pooler", looks)];
            PoolSummary::new(&Observations { sources, ..Observations::default() }, "pooler", 10)
        };
        let blind = Look { at_ns: 0, reading: Reading::Pooler(PoolerSample::default()) };
        assert_eq!(of(vec![blind.clone()]), None);
        let after = Look { at_ns: 11, ..seen(Some(70), 3) };
        let pool = of(vec![blind, seen(Some(0), 2), seen(Some(20), 4), after]).unwrap();
        assert_eq!(pool.cl_waiting, Some(Extent { mean: 10.0, max: 20.0 }));
        assert_eq!(pool.multiplexing_ratio, Some(Extent { mean: 5.5, max: 6.0 }));
        assert_eq!(pool.maxwait_ns, None);
        let pool = of(vec![seen(None, 2)]).unwrap();
        assert_eq!((pool.cl_waiting, pool.multiplexing_ratio), (None, None));
    }
}
