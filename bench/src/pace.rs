//! How fast an experiment goes on, on one target after the other.

use engine::{Gaps, Load, Nanos};
use serde::Serialize;

use crate::validity::Offered;

/// When connections are opened, or statements sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many a second, whatever becomes of them; at most so many at once.
    Rate { rate: f64, gaps: Gaps, connections: u32 },
    /// By so many clients, each beginning its next when its last is over.
    Clients(u32),
}

/// A pace as it is written to summary.json; what does not apply is null.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct PaceSummary {
    /// So many a second were asked for, and spaced so.
    pub(crate) rate: Option<f64>,
    pub(crate) gaps: Option<&'static str>,
    /// So many went on one after the other.
    pub(crate) clients: Option<u32>,
}

impl Pace {
    /// The most connections at once, over all workers.
    pub(crate) fn places(self) -> u32 {
        match self {
            Self::Rate { connections, .. } => connections,
            Self::Clients(clients) => clients,
        }
    }

    /// The load that keeps this pace for so long, in ns.
    pub(crate) fn load(self, duration_ns: Nanos) -> Load {
        match self {
            Self::Rate { rate, gaps, connections } => Load::ConstantArrivalRate {
                rate,
                gaps,
                duration_ns,
                pre_allocated_vus: 1,
                max_vus: connections,
            },
            Self::Clients(vus) => Load::ConstantVus { vus, duration_ns },
        }
    }

    /// What each target is asked for in so many ns, of an open loop.
    pub(crate) fn offered(self, duration_ns: Nanos) -> Option<Offered> {
        match self {
            Self::Rate { rate, gaps, .. } => Some(Offered::new(rate, gaps, duration_ns)),
            Self::Clients(_) => None,
        }
    }

    pub(crate) fn summary(self) -> PaceSummary {
        match self {
            Self::Rate { rate, gaps, .. } => {
                PaceSummary { rate: Some(rate), gaps: Some(gaps_name(gaps)), clients: None }
            }
            Self::Clients(clients) => {
                PaceSummary { rate: None, gaps: None, clients: Some(clients) }
            }
        }
    }
}

/// As on the command line.
pub(crate) fn gaps_name(gaps: Gaps) -> &'static str {
    match gaps {
        Gaps::Uniform => "uniform",
        Gaps::Poisson => "poisson",
    }
}
