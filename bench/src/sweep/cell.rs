//! What was measured with one set of settings.

use std::collections::BTreeMap;

use engine::{Nanos, OperationRecording, PhaseReport, Recording, SECOND};
use serde::{Deserialize, Serialize};

use super::configuration::Configuration;
use super::grid::{Place, Setting};
use crate::arm::Quantiles;
use crate::limit::{Goal, GoalResult};
use crate::observe::Row;
use crate::statistics::half_interval;
use crate::validity::Validity;

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
    /// How much of its time the generator worked, 0 to 1.
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
    /// Clients that waited for a server connection at its end; `None` where that is not known.
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

/// What a pooler's console told of a cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PoolFigures {
    /// On average over what SHOW POOLS showed.
    pub(crate) cl_active: f64,
    pub(crate) cl_waiting: f64,
    pub(crate) servers: f64,
    pub(crate) servers_max: u64,
    /// The longest wait that was seen.
    pub(crate) maxwait_ns: Nanos,
    /// Clients for each server connection.
    pub(crate) multiplexing_ratio: Option<f64>,
    /// Transactions by the second for each server connection (SHOW STATS_TOTALS).
    pub(crate) transactions_per_server: Option<f64>,
    /// How long a query waited for a server connection, on average.
    pub(crate) wait_ns: Option<f64>,
    /// How long a server worked on a query, on average.
    pub(crate) query_ns: Option<f64>,
    /// Clients that waited all the time: none of the others let its server connection go.
    pub(crate) clients_stuck: u64,
}

/// The pools of a pooler at one instant.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    cl_active: u64,
    pub(super) cl_waiting: u64,
    servers: u64,
    maxwait_ns: Nanos,
}

/// What a pooler has counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    transactions: u64,
    queries: u64,
    wait_us: u64,
    query_us: u64,
}

/// Waiting for this share of a cell is waiting all the time.
const STUCK_SHARE: f64 = 0.8;

fn is_pool(row: &&Row) -> bool {
    row.get("database").is_none_or(|name| name != "pgbouncer")
}

fn number(row: &Row, name: &str) -> u64 {
    row.get(name).and_then(|cell| cell.parse().ok()).unwrap_or(0)
}

impl Look {
    /// From the rows of SHOW POOLS.
    pub(super) fn new(rows: &[Row]) -> Self {
        let pools = || rows.iter().filter(is_pool);
        let sum = |name: &str| pools().map(|row| number(row, name)).sum::<u64>();
        let waits =
            pools().map(|row| number(row, "maxwait") * SECOND + number(row, "maxwait_us") * 1000);
        Self {
            cl_active: sum("cl_active"),
            cl_waiting: sum("cl_waiting"),
            servers: sum("sv_active") + sum("sv_idle") + sum("sv_used"),
            maxwait_ns: waits.max().unwrap_or(0),
        }
    }
}

impl Totals {
    /// From the rows of SHOW STATS_TOTALS.
    pub(super) fn new(rows: &[Row]) -> Self {
        let sum =
            |name: &str| rows.iter().filter(is_pool).map(|row| number(row, name)).sum::<u64>();
        Self {
            transactions: sum("xact_count"),
            queries: sum("query_count"),
            wait_us: sum("wait_time"),
            query_us: sum("query_time"),
        }
    }
}

impl PoolFigures {
    pub(super) fn new(
        setting: &Setting,
        looks: &[Look],
        (before, after): (Totals, Totals),
        length_ns: Nanos,
    ) -> Self {
        let count = looks.len().max(1) as f64;
        let mean = |of: fn(&Look) -> u64| looks.iter().map(of).sum::<u64>() as f64 / count;
        let servers = mean(|look| look.servers);
        let maxwait_ns = looks.iter().map(|look| look.maxwait_ns).max().unwrap_or(0);
        let counted = |of: fn(&Totals) -> u64| of(&after).saturating_sub(of(&before)) as f64;
        let queries = counted(|totals| totals.queries);
        let each_ns = |us: f64| (queries > 0.0).then(|| us * 1000.0 / queries);
        let seconds = length_ns as f64 / SECOND as f64;
        let is_stuck = maxwait_ns as f64 >= STUCK_SHARE * length_ns as f64;
        let waiting_min = looks.iter().map(|look| look.cl_waiting).min().unwrap_or(0);
        Self {
            cl_active: mean(|look| look.cl_active),
            cl_waiting: mean(|look| look.cl_waiting),
            servers,
            servers_max: looks.iter().map(|look| look.servers).max().unwrap_or(0),
            maxwait_ns,
            multiplexing_ratio: (servers > 0.0).then(|| f64::from(setting.clients) / servers),
            transactions_per_server: (servers > 0.0)
                .then(|| counted(|totals| totals.transactions) / seconds / servers),
            wait_ns: each_ns(counted(|totals| totals.wait_us)),
            // PgBouncer counts a query's time from when its client sent it, its wait included.
            query_ns: each_ns(
                (counted(|totals| totals.query_us) - counted(|totals| totals.wait_us)).max(0.0),
            ),
            clients_stuck: if is_stuck { waiting_min.min(setting.clients.into()) } else { 0 },
        }
    }
}

impl Piece {
    /// From what was recorded in it.
    pub(super) fn new(recording: &Recording, names: &[String], cl_waiting: Option<u64>) -> Self {
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
            cl_waiting,
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
        workers: usize,
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
        let each = |ns: Nanos| ns as f64 / self.requests.max(1) as f64;
        self.cpu_ns_per_request.insert("generator".into(), each(report.cpu_ns));
        let busy_ns = report.cpu_ns.saturating_sub(report.spun_ns) as f64;
        self.generator_share = busy_ns / (length_ns as f64 * workers.max(1) as f64);
    }

    /// Widens the interval by how much the same cell differs from one time to the next: a standard
    /// deviation of this share.
    pub(super) fn widen(&mut self, deviation: f64) {
        let own = (self.throughput_ci[1] - self.throughput_ci[0]) / 2.0;
        let spread = own.hypot(2.0 * deviation * self.throughput);
        self.throughput_ci = [(self.throughput - spread).max(0.0), self.throughput + spread];
    }

    /// Whether it was measured, and is no reference point.
    pub(crate) fn is_measured(&self) -> bool {
        self.problem.is_none() && !self.is_reference
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::grid::{Mode, WireProtocol};

    fn rows(waiting: u64, seconds: u64) -> Vec<Row> {
        let row = |cells: &[(&str, u64)]| -> Row {
            let cells = cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.to_string()));
            cells.chain([("database".to_owned(), "nova".to_owned())]).collect()
        };
        vec![row(&[
            ("cl_active", 2),
            ("cl_waiting", waiting),
            ("sv_active", 2),
            ("sv_idle", 0),
            ("maxwait", seconds),
            ("maxwait_us", 900_000),
        ])]
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
        let figures = |seconds| {
            let looks: Vec<_> = (0..=seconds).map(|s| Look::new(&rows(6, s))).collect();
            let before = Totals { transactions: 10, queries: 10, wait_us: 0, query_us: 100 };
            let after = Totals { transactions: 210, queries: 210, wait_us: 400, query_us: 700 };
            PoolFigures::new(&setting(), &looks, (before, after), 5 * SECOND)
        };
        assert_eq!((figures(4).clients_stuck, figures(1).clients_stuck), (6, 0));
        let figures = figures(4);
        assert_eq!(figures.multiplexing_ratio, Some(4.0));
        assert_eq!(figures.transactions_per_server, Some(20.0));
        assert_eq!((figures.wait_ns, figures.query_ns), (Some(2000.0), Some(1000.0)));
    }
}
