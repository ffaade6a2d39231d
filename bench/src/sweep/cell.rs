//! What was measured with one set of settings.

use std::collections::BTreeMap;

use engine::{Nanos, OperationRecording, PhaseReport, Recording, SECOND};
use serde::{Deserialize, Serialize};

use super::configuration::Configuration;
use super::grid::{Place, Setting};
use crate::arm::Quantiles;
use crate::limit::{Goal, GoalResult};
use crate::observe::{Pools, Totals};
use crate::statistics::half_interval;
use crate::validity::{Level, Validity};

/// One cell: a line of the log. Times in ns, rates in 1/s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Its place in the order.
    pub(crate) number: usize,
    #[serde(flatten)]
    pub(crate) setting: Setting,
    pub(crate) is_reference: bool,
    /// What SHOW CONFIG and SHOW DATABASES had when it was measured.
    pub(crate) configuration: Option<Configuration>,
    /// Why it could not be measured.
    pub(crate) problem: Option<String>,
    pub(crate) requests: u64,
    /// Requests that succeeded by the second, with its 95 % interval.
    pub(crate) throughput: f64,
    pub(crate) throughput_ci: [f64; 2],
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) response_ns: Quantiles,
    /// By operation.
    pub(crate) operations: BTreeMap<String, Quantiles>,
    /// Equal parts of it, one after the other: how sure its figures are shows in how these differ.
    pub(crate) pieces: Vec<Piece>,
    /// What the pooler counted and showed.
    pub(crate) pool: Option<PoolFigures>,
    pub(crate) cpu_ns_per_request: BTreeMap<String, f64>,
    /// How much of its time the generator's busiest worker worked, 0 to 1.
    pub(crate) generator_share: f64,
    pub(crate) goals: Vec<CellGoal>,
    /// Whether its figures can be trusted.
    #[serde(default)]
    pub(crate) validity: Validity,
}

/// A part of a cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// Requests that succeeded, by operation.
    pub(crate) operations: BTreeMap<String, Times>,
    /// Clients that waited for a server connection in it; `None` where that is not known.
    pub(crate) cl_waiting: Option<u64>,
}

/// Requests that succeeded, and their response times together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) count: u64,
    /// In ns.
    pub(crate) sum_ns: f64,
}

/// What became of a goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CellGoal {
    #[serde(flatten)]
    pub(crate) result: GoalResult,
    /// The value's 95 % interval by the method of batch means, the pieces being the batches; `None`
    /// with too few of them.
    pub(crate) value_ci: Option<[f64; 2]>,
    /// Whether it is met at both ends of the interval, and at either of them.
    pub(crate) is_surely_met: bool,
    pub(crate) may_be_met: bool,
}

/// What a pooler's console told of a cell. What it did not show is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PoolFigures {
    /// On average over what SHOW POOLS showed.
    pub(crate) cl_active: Option<f64>,
    pub(crate) cl_waiting: Option<f64>,
    pub(crate) servers: Option<f64>,
    pub(crate) servers_max: Option<u64>,
    /// The longest wait that was seen.
    pub(crate) maxwait_ns: Option<Nanos>,
    /// Clients for each server connection.
    pub(crate) multiplexing_ratio: Option<f64>,
    /// Transactions by the second for each server connection (SHOW STATS).
    pub(crate) transactions_per_server: Option<f64>,
    /// How long a query waited for a server connection, on average.
    pub(crate) wait_ns: Option<f64>,
    /// How long a server worked on a query, on average.
    pub(crate) query_ns: Option<f64>,
    /// Clients that waited all the time: none of the others let its server connection go.
    pub(crate) clients_stuck: Option<u64>,
}

/// Waiting for this share of a cell is waiting all the time.
const STUCK_SHARE: f64 = 0.8;

impl PoolFigures {
    /// From its connections at several instants, and what was counted, if that is known.
    pub(super) fn new(
        setting: &Setting,
        looks: &[Pools],
        counted: Option<&Totals>,
        length_ns: Nanos,
    ) -> Self {
        let seen = |figure: fn(&Pools) -> Option<u64>| looks.iter().filter_map(figure);
        let mean = |figure: fn(&Pools) -> Option<u64>| {
            let count = seen(figure).count();
            (count > 0).then(|| seen(figure).sum::<u64>() as f64 / count as f64)
        };
        let servers = mean(Pools::servers);
        let maxwait_ns = seen(|pools| pools.maxwait_ns).max();
        let is_stuck = maxwait_ns.map(|ns| ns as f64 >= STUCK_SHARE * length_ns as f64);
        let stuck = seen(|pools| pools.cl_waiting).min().zip(is_stuck);
        let queries = counted.and_then(Totals::queries).filter(|queries| *queries > 0);
        let each = |ns: Option<Nanos>| Some(ns? as f64 / queries? as f64);
        let wait_ns = each(counted.and_then(Totals::wait_ns));
        let seconds = length_ns as f64 / SECOND as f64;
        let some = servers.filter(|servers| *servers > 0.0);
        let transactions = counted.and_then(|totals| totals.get("xact_count"));
        Self {
            cl_active: mean(|pools| pools.cl_active),
            cl_waiting: mean(|pools| pools.cl_waiting),
            servers,
            servers_max: seen(Pools::servers).max(),
            maxwait_ns,
            multiplexing_ratio: some.map(|servers| f64::from(setting.clients) / servers),
            transactions_per_server: transactions
                .zip(some)
                .map(|(count, servers)| count as f64 / seconds / servers),
            wait_ns,
            // PgBouncer counts a query's time from when its client sent it, its wait included.
            query_ns: each(counted.and_then(Totals::query_ns))
                .zip(wait_ns)
                .map(|(query_ns, wait_ns)| (query_ns - wait_ns).max(0.0)),
            clients_stuck: stuck.map(|(waiting, is_stuck)| match is_stuck {
                true => waiting.min(setting.clients.into()),
                false => 0,
            }),
        }
    }
}

impl Piece {
    /// From what was recorded in it, without what the pool showed.
    pub(super) fn new(recording: &Recording, names: &[String]) -> Self {
        let times = |recording: &OperationRecording| Times {
            count: recording.response.len(),
            sum_ns: match recording.response.len() {
                0 => 0.0,
                count => recording.response.mean() * count as f64,
            },
        };
        let operations = names.iter().zip(&recording.operations);
        Self {
            operations: operations
                .map(|(name, recording)| (name.clone(), times(recording)))
                .collect(),
            cl_waiting: None,
        }
    }

    /// Requests of all operations that succeeded.
    pub(super) fn succeeded(&self) -> u64 {
        self.operations.values().map(|times| times.count).sum()
    }
}

impl CellGoal {
    /// From the value in the whole cell and in its pieces.
    pub(super) fn new(goal: &Goal, result: GoalResult, pieces: &[Option<f64>]) -> Self {
        let pieces: Vec<_> = pieces.iter().copied().flatten().collect();
        let value_ci = result.value.filter(|_| pieces.len() >= 2).map(|value| {
            let spread = half_interval(&pieces);
            [value - spread, value + spread]
        });
        let ends = value_ci.map(|ends| ends.map(|value| goal.holds(value)));
        let [low, high] = ends.unwrap_or([result.is_met; 2]);
        Self { value_ci, is_surely_met: low && high, may_be_met: low || high, result }
    }
}

impl Cell {
    /// One that is still to be measured.
    pub(super) fn new(number: usize, place: &Place) -> Self {
        Self {
            number,
            setting: place.setting,
            is_reference: place.is_reference,
            configuration: None,
            problem: None,
            requests: 0,
            throughput: 0.0,
            throughput_ci: [0.0; 2],
            errors: BTreeMap::new(),
            response_ns: Quantiles::default(),
            operations: BTreeMap::new(),
            pieces: Vec::new(),
            pool: None,
            cpu_ns_per_request: BTreeMap::new(),
            generator_share: 0.0,
            goals: Vec::new(),
            validity: Validity::default(),
        }
    }

    /// Takes what a phase of one stream came to, and equal parts of it.
    pub(super) fn measure(
        &mut self,
        report: &PhaseReport,
        length_ns: Nanos,
        pieces: Vec<Piece>,
        names: &[String],
    ) {
        let recording = &report.streams[0].recording;
        let whole = recording.whole();
        let good = |recording: &OperationRecording| recording.completed() - recording.failed.len();
        let piece_s = length_ns as f64 / SECOND as f64 / pieces.len().max(1) as f64;
        let rates: Vec<_> = pieces.iter().map(|piece| piece.succeeded() as f64 / piece_s).collect();
        self.pieces = pieces;
        self.requests = whole.completed();
        self.throughput = good(&whole) as f64 * SECOND as f64 / length_ns as f64;
        let spread = half_interval(&rates);
        self.throughput_ci = [(self.throughput - spread).max(0.0), self.throughput + spread];
        self.errors =
            whole.failures().map(|(class, count, _)| (class.name().to_owned(), count)).collect();
        self.response_ns = Quantiles::new(&whole.response);
        let operations = names.iter().zip(&recording.operations);
        self.operations = operations
            .map(|(name, recording)| (name.clone(), Quantiles::new(&recording.response)))
            .collect();
        if self.requests > 0 {
            let each = report.cpu_ns as f64 / self.requests as f64;
            self.cpu_ns_per_request.insert("generator".into(), each);
        }
    }

    /// Widens the interval by how much the same cell differs from one time to the next: a standard
    /// deviation of this share.
    pub(super) fn widen(&mut self, deviation: f64) {
        let own = (self.throughput_ci[1] - self.throughput_ci[0]) / 2.0;
        let spread = own.hypot(2.0 * deviation * self.throughput);
        self.throughput_ci = [(self.throughput - spread).max(0.0), self.throughput + spread];
    }

    /// Whether it was measured, can be trusted, and is no reference point.
    pub(crate) fn is_measured(&self) -> bool {
        self.problem.is_none() && !self.is_invalid() && !self.is_reference
    }

    /// Whether its figures are not about its settings.
    pub(crate) fn is_invalid(&self) -> bool {
        self.validity.valid == Level::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::grid::{Mode, WireProtocol};

    fn pools(waiting: u64, seconds: u64) -> Pools {
        Pools {
            cl_active: Some(2),
            cl_waiting: Some(waiting),
            sv_active: Some(2),
            sv_idle: Some(0),
            sv_used: None,
            maxwait_ns: Some(seconds * SECOND + 900_000_000),
        }
    }

    fn setting() -> Setting {
        Setting {
            clients: 8,
            pool_size: Some(2),
            pool_mode: Some(Mode::Session),
            protocol: WireProtocol::Simple,
            rate: None,
            poolers: None,
        }
    }

    #[test]
    fn clients_that_wait_all_the_time_are_told_from_those_that_take_turns() {
        let counted = Totals::of(&[
            ("xact_count", 200),
            ("query_count", 200),
            ("wait_time", 400),
            ("query_time", 600),
        ]);
        let figures = |seconds| {
            let looks: Vec<_> = (0..=seconds).map(|s| pools(6, s)).collect();
            PoolFigures::new(&setting(), &looks, Some(&counted), 5 * SECOND)
        };
        assert_eq!((figures(4).clients_stuck, figures(1).clients_stuck), (Some(6), Some(0)));
        let figures = figures(4);
        assert_eq!(figures.multiplexing_ratio, Some(4.0));
        assert_eq!(figures.transactions_per_server, Some(20.0));
        assert_eq!((figures.wait_ns, figures.query_ns), (Some(2000.0), Some(1000.0)));
    }

    #[test]
    fn what_a_console_does_not_show_is_unknown_and_no_zero() {
        let nothing = PoolFigures::new(&setting(), &[], None, 5 * SECOND);
        assert_eq!(nothing, PoolFigures::default());
        // No maxwait, as in PgBouncer before 1.8, and no wait among the counters.
        let looks = [Pools { maxwait_ns: None, ..pools(6, 4) }, Pools::default()];
        let counted = Totals::of(&[("query_count", 200), ("query_time", 600)]);
        let some = PoolFigures::new(&setting(), &looks, Some(&counted), 5 * SECOND);
        assert_eq!((some.cl_waiting, some.servers), (Some(6.0), Some(2.0)));
        assert_eq!((some.maxwait_ns, some.clients_stuck), (None, None));
        assert_eq!((some.wait_ns, some.query_ns, some.transactions_per_server), (None, None, None));
    }
}
