//! What the surface says to set.

use engine::SECOND;
use serde::Serialize;

use super::cell::{Cell, half_interval};
use super::configuration::Configuration;
use super::fairness::jain;
use super::grid::{Mode, WireProtocol};

/// An answer, with its interval and what to set for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Advice {
    pub(crate) question: &'static str,
    /// The settings that it is about.
    pub(crate) about: String,
    pub(crate) value: Option<f64>,
    /// The truth lies between these; null where the grid has no bound.
    pub(crate) interval: [Option<f64>; 2],
    pub(crate) unit: &'static str,
    /// Lines for pgbouncer.ini.
    pub(crate) settings: Vec<String>,
    /// What Little's law says, and how it is now.
    pub(crate) remarks: Vec<String>,
}

/// A pool that does this share of the best is as good.
const AS_GOOD: f64 = 0.95;
/// Queueing begins where so many clients wait on average.
const QUEUE_BEGINS: f64 = 0.5;
/// Connections that come and go beside the clients: a tenth of them.
const SPARE_SHARE: f64 = 1.1;

/// All answers that the cells have.
pub(super) fn advise(cells: &[Cell], now: Option<&Configuration>) -> Vec<Advice> {
    let mut all = Vec::new();
    let measured: Vec<_> = cells.iter().filter(|cell| cell.is_measured()).collect();
    let mut groups: Vec<(Mode, WireProtocol, Option<u64>)> = measured
        .iter()
        .filter_map(|cell| {
            let rate = cell.setting.rate.map(f64::to_bits);
            Some((cell.setting.pool_mode?, cell.setting.protocol, rate))
        })
        .collect();
    groups.sort_unstable();
    groups.dedup();
    for (mode, protocol, rate) in groups {
        if measured.iter().any(|cell| cell.setting.poolers.is_some()) {
            all.extend(scaling(&measured, protocol));
            continue;
        }
        let is_of = |cell: &&&Cell| {
            cell.setting.protocol == protocol && cell.setting.rate.map(f64::to_bits) == rate
        };
        let of: Vec<_> = measured.iter().filter(is_of).copied().collect();
        let pooled = of.iter().filter(|cell| cell.setting.pool_mode == Some(mode));
        let group = Group {
            about: format!("{} mode, {} protocol", mode.name(), protocol.name()),
            pooled: pooled.copied().collect(),
            direct: of.iter().filter(|cell| cell.setting.pool_mode.is_none()).copied().collect(),
            now,
        };
        match rate.map(f64::from_bits) {
            Some(rate) => all.extend(group.smallest_for_rate(rate)),
            None => {
                let best = group.smallest_as_good();
                let size = best.as_ref().and_then(|best| best.value).map(|value| value as u32);
                all.extend(best);
                if let Some(size) = size {
                    all.extend(group.queueing_begins(size));
                    all.extend(group.cost_of_a_client(size));
                    all.extend(group.break_even(size));
                    all.extend(group.starvation(size));
                }
            }
        }
    }
    all
}

/// How much more several processes behind one port do than the fewest of them.
fn scaling(measured: &[&Cell], protocol: WireProtocol) -> Option<Advice> {
    let of = || {
        let is_it =
            |cell: &&&Cell| cell.setting.protocol == protocol && cell.setting.poolers.is_some();
        measured.iter().filter(is_it)
    };
    let clients = of().map(|cell| cell.setting.clients).max()?;
    let mut cells: Vec<_> = of().filter(|cell| cell.setting.clients == clients).collect();
    cells.sort_by_key(|cell| cell.setting.poolers);
    let (first, last) = (cells.first()?, cells.last()?);
    let [low, high] = first.throughput_ci;
    let processes = |cell: &Cell| cell.setting.poolers.unwrap_or(1);
    let budget = last.setting.pool_size.unwrap_or_default();
    Some(Advice {
        question: "how much more several pooler processes do under one budget of server connections",
        about: format!(
            "{} against {} processes, {budget} server connections, {clients} clients, {} protocol",
            processes(last),
            processes(first),
            protocol.name()
        ),
        value: Some(last.throughput / first.throughput),
        interval: [Some(last.throughput_ci[0] / high), Some(last.throughput_ci[1] / low)],
        unit: "times",
        settings: vec![
            "so_reuseport = 1".into(),
            format!("default_pool_size = {}", budget / processes(last).max(1)),
        ],
        remarks: cells
            .iter()
            .map(|cell| {
                let ci = cell.throughput_ci;
                let rate = cell.throughput;
                format!("{} processes: {rate:.0}/s [{:.0}, {:.0}]", processes(cell), ci[0], ci[1])
            })
            .collect(),
    })
}

/// The cells of one mode, protocol and rate.
struct Group<'a> {
    about: String,
    pooled: Vec<&'a Cell>,
    /// The same without a pool.
    direct: Vec<&'a Cell>,
    /// As it was before.
    now: Option<&'a Configuration>,
}

impl Group<'_> {
    /// The cells with the most clients, in the order of their pools' sizes.
    fn at_most_clients(&self) -> Vec<&Cell> {
        let most = self.pooled.iter().map(|cell| cell.setting.clients).max();
        let mut cells: Vec<_> =
            self.pooled.iter().copied().filter(|c| Some(c.setting.clients) == most).collect();
        cells.sort_by_key(|cell| cell.setting.pool_size);
        cells
    }

    /// The cells with this pool, in the order of their clients.
    fn of_size(&self, size: u32) -> Vec<&Cell> {
        let mut cells: Vec<_> =
            self.pooled.iter().copied().filter(|c| c.setting.pool_size == Some(size)).collect();
        cells.sort_by_key(|cell| cell.setting.clients);
        cells
    }

    fn smallest_as_good(&self) -> Option<Advice> {
        let cells = self.at_most_clients();
        let best = cells.iter().max_by(|a, b| a.throughput.total_cmp(&b.throughput))?;
        let size = |is_it: &dyn Fn(&Cell) -> bool| {
            let found = cells.iter().find(|cell| is_it(cell))?;
            found.setting.pool_size.map(f64::from)
        };
        let value = size(&|cell| cell.throughput >= AS_GOOD * best.throughput)?;
        let low = size(&|cell| cell.throughput_ci[1] >= AS_GOOD * best.throughput_ci[0]);
        let high = size(&|cell| cell.throughput_ci[0] >= AS_GOOD * best.throughput_ci[1])
            .or(best.setting.pool_size.map(f64::from));
        let cell = cells.iter().find(|cell| cell.setting.pool_size == Some(value as u32))?;
        Some(Advice {
            question: "the smallest pool within 5 % of the best throughput",
            about: format!("{}, {} clients", self.about, cell.setting.clients),
            value: Some(value),
            interval: [low, high],
            unit: "server connections",
            settings: self.settings(cell),
            remarks: self.remarks(cell, cell.throughput),
        })
    }

    fn smallest_for_rate(&self, rate: f64) -> Option<Advice> {
        let cells = self.at_most_clients();
        let is_met = |cell: &Cell| cell.goals.iter().all(|goal| goal.is_met);
        let first = cells.iter().position(|cell| is_met(cell));
        let cell = first.map(|place| cells[place]);
        let below = match first {
            Some(place) => place.checked_sub(1).map(|place| cells[place]),
            None => cells.last().copied(),
        };
        let size = |cell: Option<&Cell>| cell?.setting.pool_size.map(f64::from);
        let any = cell.or(below)?;
        Some(Advice {
            question: "the smallest pool that meets the goals at a rate",
            about: format!("{}, {rate} requests a second", self.about),
            value: size(cell),
            // The one below is known not to do.
            interval: [size(below).map(|size| size + 1.0), size(cell)],
            unit: "server connections",
            settings: cell.map(|cell| self.settings(cell)).unwrap_or_default(),
            remarks: self.remarks(any, rate),
        })
    }

    fn queueing_begins(&self, size: u32) -> Option<Advice> {
        let cells = self.of_size(size);
        let queues =
            |cell: &&&Cell| cell.pool.as_ref().is_some_and(|pool| pool.cl_waiting >= QUEUE_BEGINS);
        let first = cells.iter().find(queues).map(|cell| f64::from(cell.setting.clients));
        let quiet = |cell: &&&Cell| first.is_none_or(|f| f64::from(cell.setting.clients) < f);
        let last = cells.iter().rfind(quiet).map(|c| f64::from(c.setting.clients));
        Some(Advice {
            question: "where queueing begins",
            about: format!("{}, a pool of {size}", self.about),
            value: first,
            interval: [last, first],
            unit: "clients",
            settings: Vec::new(),
            remarks: Vec::new(),
        })
    }

    /// Of the mean response time over clients, from where they queue: a least-squares line.
    fn cost_of_a_client(&self, size: u32) -> Option<Advice> {
        let cells = self.of_size(size);
        let queued = cells.iter().filter(|cell| cell.setting.clients >= size);
        let points: Vec<_> = queued
            .filter(|cell| cell.response_ns.count > 0)
            .map(|cell| (f64::from(cell.setting.clients), cell.response_ns.mean))
            .collect();
        let slopes: Vec<_> = points
            .windows(2)
            .map(|pair| (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0))
            .collect();
        let (first, last) = (points.first()?, points.last()?);
        if slopes.is_empty() {
            return None;
        }
        let slope = (last.1 - first.1) / (last.0 - first.0);
        let spread = half_interval(&slopes);
        let interval = if slopes.len() < 2 {
            [None, None]
        } else {
            [Some(slope - spread), Some(slope + spread)]
        };
        Some(Advice {
            question: "what a client more costs every request",
            about: format!("{}, a pool of {size}, {} to {} clients", self.about, first.0, last.0),
            value: Some(slope),
            interval,
            unit: "ns",
            settings: Vec::new(),
            remarks: Vec::new(),
        })
    }

    fn break_even(&self, size: u32) -> Option<Advice> {
        let mut pairs: Vec<_> = self
            .of_size(size)
            .into_iter()
            .filter_map(|cell| {
                let same = |other: &&&Cell| other.setting.clients == cell.setting.clients;
                Some((cell, *self.direct.iter().find(same)?))
            })
            .collect();
        // Where Postgres lets no more connections in, the pool wins.
        let most = pairs.last().map(|(cell, _)| cell.setting.clients)?;
        // From there on, and not once by chance.
        let clients = |is_it: &dyn Fn(&Cell, &Cell) -> bool| {
            let from = pairs.iter().rev().take_while(|(pooled, direct)| is_it(pooled, direct));
            Some(f64::from(from.last()?.0.setting.clients))
        };
        let value = clients(&|pooled, direct| pooled.throughput > direct.throughput);
        let low = clients(&|pooled, direct| pooled.throughput_ci[1] >= direct.throughput_ci[0]);
        let high = clients(&|pooled, direct| pooled.throughput_ci[0] > direct.throughput_ci[1]);
        let (last, direct) = pairs.pop()?;
        Some(Advice {
            question: "from how many clients on the pool beats direct connections",
            about: format!("{}, a pool of {size}, up to {most} clients", self.about),
            value,
            interval: [low, high],
            unit: "clients",
            settings: Vec::new(),
            remarks: vec![format!(
                "at {most} clients: {:.0}/s through the pool, {:.0}/s without it",
                last.throughput, direct.throughput
            )],
        })
    }

    /// How alike operations were slowed, against the cell with the fewest clients.
    fn starvation(&self, size: u32) -> Option<Advice> {
        let cells = self.of_size(size);
        let (light, full) = (cells.first()?, cells.last()?);
        let speeds: Vec<_> = full
            .operations
            .iter()
            .filter_map(|(name, times)| {
                let alone = light.operations.get(name)?;
                (times.count > 0 && alone.count > 0).then(|| (name, alone.mean / times.mean, times))
            })
            .collect();
        if speeds.len() < 2 || light.setting.clients == full.setting.clients {
            return None;
        }
        let index = jain(&speeds.iter().map(|(_, speed, _)| *speed).collect::<Vec<_>>())?;
        let slowest = speeds.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(Advice {
            question: "whether some operations starve others (Jain's index of their speeds)",
            about: format!("{}, a pool of {size}, {} clients", self.about, full.setting.clients),
            value: Some(index),
            // The measured cells say nothing of how sure it is.
            interval: [None; 2],
            unit: "of 1",
            settings: Vec::new(),
            remarks: vec![format!(
                "{} suffers most: {:.2} of its speed with {} clients, p95 {}",
                slowest.0,
                slowest.1,
                light.setting.clients,
                crate::duration::show(slowest.2.p95 as f64)
            )],
        })
    }

    /// What to write into pgbouncer.ini for this cell.
    fn settings(&self, cell: &Cell) -> Vec<String> {
        let size = cell.setting.pool_size.unwrap_or_default();
        let clients = (f64::from(cell.setting.clients) * SPARE_SHARE).ceil() as u32;
        vec![
            format!("default_pool_size = {size}"),
            format!("max_db_connections = {size}"),
            "reserve_pool_size = 0".into(),
            format!(
                "max_client_conn = {}",
                clients.max(self.now.map_or(0, |now| now.max_client_conn))
            ),
        ]
    }

    fn remarks(&self, cell: &Cell, rate: f64) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(query_ns) = cell.pool.as_ref().and_then(|pool| pool.query_ns) {
            let busy = rate * query_ns / SECOND as f64;
            remarks.push(format!(
                "Little's law: {rate:.0}/s of {} each keep {busy:.2} server connections busy",
                crate::duration::show(query_ns)
            ));
        }
        remarks.extend(self.now.map(|now| {
            format!(
                "now: default_pool_size = {}, max_db_connections = {}, reserve_pool_size = {}, \
                 max_client_conn = {}",
                now.pool_size, now.max_db_connections, now.reserve_pool_size, now.max_client_conn
            )
        }));
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::summary::tests::surface;

    fn find<'a>(advice: &'a [Advice], question: &str) -> &'a Advice {
        advice.iter().find(|advice| advice.question.contains(question)).expect("it is answered")
    }

    #[test]
    fn a_machine_of_four_cores_gets_a_pool_of_four() {
        let (cells, now) = surface();
        let advice = advise(&cells, Some(&now));
        let smallest = find(&advice, "within 5 %");
        assert_eq!((smallest.value, smallest.interval), (Some(4.0), [Some(4.0), Some(4.0)]));
        assert_eq!(smallest.settings[..2], ["default_pool_size = 4", "max_db_connections = 4"]);
        assert!(smallest.remarks[0].contains("keep 4.00 server connections"), "{smallest:?}");
        let begins = find(&advice, "queueing begins");
        assert_eq!((begins.value, begins.interval[0]), (Some(16.0), Some(4.0)));
        // Each of n clients waits for the others: a client more is a quarter of a query.
        let cost = find(&advice, "a client more");
        assert!((cost.value.unwrap() - 250_000.0).abs() < 1.0, "{cost:?}");
        let even = find(&advice, "beats direct");
        assert_eq!((even.value, even.interval), (Some(64.0), [Some(64.0), Some(64.0)]));
    }

    #[test]
    fn a_rate_gets_the_smallest_pool_that_meets_its_goals() {
        let (mut cells, now) = surface();
        for cell in &mut cells {
            cell.setting.rate = Some(1500.0);
            let is_met = cell.setting.pool_size.is_some_and(|size| size >= 2);
            cell.goals = vec![crate::limit::GoalResult {
                goal: "pg_response_time p(95)<100".into(),
                is_met,
                value: None,
                is_met_by_service: is_met,
            }];
        }
        let advice = advise(&cells, Some(&now));
        let smallest = find(&advice, "at a rate");
        assert_eq!((smallest.value, smallest.interval), (Some(2.0), [Some(2.0), Some(2.0)]));
        assert!(smallest.remarks[0].contains("keep 1.50 server connections"), "{smallest:?}");
    }
}
