//! The result as it is written to summary.json: everything that the table shows.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::Nanos;
use serde::Serialize;

use super::Plan;
use super::advice::{Advice, advise};
use super::cell::Cell;
use super::configuration::Configuration;
use super::published::Compared;
use crate::arm::Arm;
use crate::scenario::Scenario;
use crate::statistics::relative_deviation;
use crate::validity::Validity;

/// The result of `sweep`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    schema: u32,
    command: &'static str,
    pub(super) scenario: String,
    /// Seconds since 1970.
    started: f64,
    /// Of a cell.
    pub(super) phase_ns: Nanos,
    pub(super) seed: u64,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    /// As it was before, and is again; null where several poolers were measured.
    pub(super) configuration: Option<Configuration>,
    /// In the order in which they were measured.
    pub(crate) cells: Vec<Cell>,
    pub(super) drift: Option<Drift>,
    pub(super) advice: Vec<Advice>,
    /// A published table's figures beside ours.
    pub(super) published: Option<Compared>,
}

/// How the reference point's throughput changed over the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Drift {
    pub(super) throughputs: Vec<f64>,
    /// The last against the first, as a share of it.
    pub(super) change: f64,
    /// From the least to the most, as a share of the least.
    pub(super) spread: f64,
}

/// More of a spread, and differences between cells are not the settings' alone.
const SPREAD_MAX: f64 = 0.1;

impl Drift {
    fn new(cells: &[Cell]) -> Option<Self> {
        let references = cells.iter().filter(|cell| cell.is_reference);
        let references = references.filter(|cell| cell.problem.is_none() && !cell.is_invalid());
        let throughputs: Vec<_> = references.map(|cell| cell.throughput).collect();
        let (first, last) = (*throughputs.first()?, *throughputs.last()?);
        let least = throughputs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = throughputs.iter().copied().fold(0.0, f64::max);
        (least > 0.0).then(|| Self {
            change: last / first - 1.0,
            spread: most / least - 1.0,
            throughputs,
        })
    }
}

impl Summary {
    /// `sessions` are the pooler's and Postgres' own, as their connections were told.
    pub(super) fn new(
        scenario: &Scenario,
        plan: &Plan,
        started: SystemTime,
        configuration: Configuration,
        cells: Vec<Cell>,
        sessions: &[Arm],
    ) -> Self {
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut summary = Self::of(&scenario.name, plan, Some(configuration), cells);
        summary.validity.compare_sessions(sessions);
        Self { started, ..summary }
    }

    /// Of cells that were measured on several poolers, one after the other.
    pub(crate) fn of_poolers(
        scenario: &str,
        plan: &Plan,
        started: SystemTime,
        cells: Vec<Cell>,
    ) -> Self {
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { started, ..Self::of(scenario, plan, None, cells) }
    }

    fn of(
        scenario: &str,
        plan: &Plan,
        configuration: Option<Configuration>,
        mut cells: Vec<Cell>,
    ) -> Self {
        let drift = Drift::new(&cells);
        let deviation = drift.as_ref().map_or(0.0, |drift| relative_deviation(&drift.throughputs));
        cells.iter_mut().for_each(|cell| cell.widen(deviation));
        let mut validity = Validity::default();
        if let Some(drift) = drift.as_ref().filter(|drift| drift.spread > SPREAD_MAX) {
            validity.suspect(format!(
                "the reference point varied by {:.0} % over the run: differences between cells are not \
                 all of their settings",
                drift.spread * 100.0
            ));
        }
        validity.merge_parts(cells.iter().map(|cell| &cell.validity), "cells");
        let problems = cells.iter().filter(|cell| cell.problem.is_some()).count();
        if problems > 0 {
            validity.suspect(format!("{problems} cells could not be measured"));
        }
        Self {
            schema: 1,
            command: "sweep",
            scenario: scenario.into(),
            started: 0.0,
            phase_ns: plan.cell_ns,
            seed: plan.seed,
            validity,
            advice: advise(&cells, deviation, configuration.as_ref()),
            published: plan.published.as_ref().map(|published| published.compare(&cells)),
            configuration,
            drift,
            cells,
        }
    }
}

#[cfg(test)]
impl Summary {
    /// Of a surface that is known.
    pub(crate) fn example() -> Self {
        tests::example()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::arm::Quantiles;
    use crate::generator::GeneratorOptions;
    use crate::sweep::cell::{Piece, PoolFigures, Times};
    use crate::sweep::configuration::ModeChange;
    use crate::sweep::grid::{Grid, Mode, WireProtocol};

    fn grid() -> Grid {
        Grid {
            clients: vec![1, 4, 16, 64],
            pool_sizes: vec![1, 2, 4, 8],
            modes: vec![Mode::Transaction],
            protocols: vec![WireProtocol::Simple],
            rates: Vec::new(),
            has_direct: true,
        }
    }

    /// Four cores, on which a query takes 1 ms, and which do less with 64 connections.
    pub(in crate::sweep) fn surface() -> (Vec<Cell>, Configuration) {
        let order = grid().order(6, 1);
        let cells = order.iter().enumerate().map(|(number, place)| {
            let clients = place.setting.clients;
            let busy = place.setting.pool_size.unwrap_or(64).min(clients).min(4);
            let throughput = match place.setting.pool_size {
                Some(_) => f64::from(busy) * 1000.0,
                None if clients > 16 => 3000.0,
                None => f64::from(busy) * 1050.0,
            };
            let mean = f64::from(clients) / throughput * 1e9;
            let ns = mean as u64;
            let times = Quantiles {
                count: 1000,
                mean,
                p50: ns,
                p90: ns,
                p95: ns * 2,
                p99: ns * 3,
                p99_9: ns * 4,
                max: ns * 5,
            };
            let mut cell = Cell::new(number, place);
            cell.requests = (throughput * 5.0) as u64;
            cell.throughput = throughput;
            cell.throughput_ci = [throughput * 0.99, throughput * 1.01];
            cell.response_ns = times.clone();
            let piece = |operation: &str| {
                let times = Times { count: 100, sum_ns: 100.0 * mean };
                (operation.to_owned(), times)
            };
            cell.operations =
                [("getUser".to_owned(), times.clone()), ("getFeed".to_owned(), times)].into();
            cell.pieces = (0..10)
                .map(|_| Piece {
                    operations: [piece("getUser"), piece("getFeed")].into(),
                    cl_waiting: place
                        .setting
                        .pool_size
                        .map(|size| clients.saturating_sub(size).into()),
                })
                .collect();
            cell.pool = place.setting.pool_size.map(|size| PoolFigures {
                cl_active: Some(f64::from(size.min(clients))),
                cl_waiting: Some(f64::from(clients.saturating_sub(size))),
                servers: Some(f64::from(size)),
                servers_max: Some(size.into()),
                maxwait_ns: Some(0),
                multiplexing_ratio: Some(f64::from(clients) / f64::from(size)),
                transactions_per_server: Some(throughput / f64::from(size)),
                query_ns: Some(1e6),
                wait_ns: Some(0.0),
                ..PoolFigures::default()
            });
            cell.configuration = place.setting.pool_size.map(|pool_size| Configuration {
                pool_mode: "transaction".into(),
                pool_size,
                ..now()
            });
            cell
        });
        (cells.collect(), now())
    }

    fn now() -> Configuration {
        Configuration {
            pool_mode: "transaction".into(),
            pool_size: 25,
            max_db_connections: 50,
            reserve_pool_size: 0,
            reserve_pool_timeout_ns: 5 * engine::SECOND,
            max_client_conn: 1000,
        }
    }

    fn plan() -> Plan {
        Plan {
            grid: grid(),
            pooler: "pooler".into(),
            direct: Some("postgres".into()),
            goals: Vec::new(),
            cell_ns: 5 * engine::SECOND,
            reference_every: 6,
            mode_change: ModeChange::Console,
            published: None,
            generator: GeneratorOptions::default(),
            seed: 1,
        }
    }

    pub(in crate::sweep) fn example() -> Summary {
        let (cells, configuration) = surface();
        Summary::of("nova", &plan(), Some(configuration), cells)
    }

    #[test]
    fn drift_of_the_reference_point_makes_the_run_suspect() {
        assert_eq!(example().validity.reasons, [] as [&str; 0]);
        let (mut cells, _) = surface();
        let last = cells.last_mut().unwrap();
        assert!(last.is_reference);
        last.throughput *= 0.8;
        let drift = Drift::new(&cells).unwrap();
        assert!((drift.change + 0.2).abs() < 1e-9 && drift.spread > SPREAD_MAX, "{drift:?}");
    }

    #[test]
    fn what_spoils_cells_spoils_the_sweep() {
        let (mut cells, now) = surface();
        cells[1].validity.suspect("the machine was busy".into());
        cells[4].validity.suspect("it still was".into());
        cells[5].validity.invalid("the machine slept".into());
        let Validity { valid, reasons } = Summary::of("nova", &plan(), Some(now), cells).validity;
        assert_eq!(valid, crate::validity::Level::Invalid);
        let [slept, busy] = &reasons[..] else { panic!("two: {reasons:?}") };
        assert_eq!(slept, "in 1 cells, first: the machine slept");
        assert_eq!(busy, "in 2 cells, first: the machine was busy");
    }

    #[test]
    fn an_invalid_cell_is_no_reference_and_advises_nothing() {
        let (mut cells, now) = surface();
        let advised = |cells: &[Cell]| {
            let advice = advise(cells, 0.0, Some(&now));
            advice.iter().find(|advice| advice.question.contains("within 5 %")).unwrap().value
        };
        assert_eq!(advised(&cells), Some(4.0));
        let spoilt = |cell: &mut Cell| cell.validity.invalid("the generator was late".into());
        let is_of = |cell: &&mut Cell| cell.setting.pool_size == Some(4) && !cell.is_reference;
        cells.iter_mut().filter(is_of).for_each(spoilt);
        assert_eq!(advised(&cells), Some(8.0));
        let last = cells.last_mut().unwrap();
        assert!(last.is_reference);
        last.throughput *= 0.5;
        spoilt(last);
        assert!(Drift::new(&cells).unwrap().spread < SPREAD_MAX);
    }

    #[test]
    fn a_cell_is_its_settings_and_its_figures() {
        let json = serde_json::to_value(example()).unwrap();
        let cells = json["cells"].as_array().unwrap();
        for key in ["clients", "pool_size", "pool_mode", "protocol", "throughput", "response_ns"] {
            assert!(cells[0].get(key).is_some(), "{key}: {}", cells[0]);
        }
        assert_eq!(cells[0]["pool_mode"], "transaction");
        assert!(json["advice"].as_array().is_some_and(|advice| advice.len() >= 4));
    }
}
