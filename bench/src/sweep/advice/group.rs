//! The answers of one mode, protocol and rate.

use super::Advice;
use crate::duration::show;
use crate::scenario::counted;
use crate::statistics::{Estimate, jain};
use crate::sweep::cell::{Cell, CellGoal};
use crate::sweep::configuration::Configuration;
use crate::sweep::resample::{Drawn, estimate};

/// A pool that does this share of the best is as good.
pub(super) const AS_GOOD: f64 = 0.95;
/// Queueing begins where so many clients wait on average.
const QUEUE_BEGINS: f64 = 0.5;
/// The cells of one mode, protocol and rate.
pub(super) struct Group<'a> {
    pub(super) about: String,
    pub(super) pooled: Vec<&'a Cell>,
    /// The same without a pool.
    pub(super) direct: Vec<&'a Cell>,
    /// How much the same cell differs from one time to the next: a standard deviation, as a share.
    pub(super) deviation: f64,
    /// As it was before.
    pub(super) now: Option<&'a Configuration>,
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

    pub(super) fn smallest_as_good(&self) -> Option<Advice> {
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

    pub(super) fn smallest_for_rate(&self, rate: f64) -> Option<Advice> {
        let cells = self.at_most_clients();
        let first = |is_it: &dyn Fn(&CellGoal) -> bool| {
            cells.iter().position(|cell| cell.goals.iter().all(is_it))
        };
        let size = |place: usize| cells.get(place)?.setting.pool_size;
        let found = first(&|goal| goal.result.is_met);
        let cell = found.map(|place| cells[place]);
        // What lies below the first that may do is known not to.
        let low = match first(&|goal| goal.may_be_met) {
            Some(0) => Some(1),
            Some(place) => size(place - 1).map(|size| size + 1),
            None => size(cells.len().checked_sub(1)?).map(|size| size + 1),
        };
        let high = first(&|goal| goal.is_surely_met).and_then(size);
        let any = cell.or(cells.last().copied())?;
        let goals = any.goals.iter().filter_map(|goal| {
            let ([low, high], value) = (goal.value_ci?, goal.result.value?);
            let size = any.setting.pool_size?;
            Some(format!(
                "a pool of {size}, {}: {value:.3} [{low:.3}, {high:.3}]",
                goal.result.goal
            ))
        });
        Some(Advice {
            question: "the smallest pool that meets the goals at a rate",
            about: format!("{}, {rate} requests a second", self.about),
            value: cell.and_then(|cell| cell.setting.pool_size).map(f64::from),
            interval: [low, high].map(|bound| bound.map(f64::from)),
            unit: "server connections",
            settings: cell.map(|cell| self.settings(cell)).unwrap_or_default(),
            remarks: self.remarks(any, rate).into_iter().chain(goals).collect(),
        })
    }

    pub(super) fn queueing_begins(&self, size: u32) -> Option<Advice> {
        let cells = self.of_size(size);
        let begins = |drawn: &[Drawn<'_>]| {
            for one in drawn {
                if one.waiting()? >= QUEUE_BEGINS {
                    return Some(f64::from(one.cell.setting.clients));
                }
            }
            Some(f64::INFINITY)
        };
        let Estimate { value, low, high } = estimate(&cells, begins)?;
        // Between the last that surely has none and the first that surely has one.
        let quiet = cells.iter().map(|cell| f64::from(cell.setting.clients)).rfind(|n| *n < low);
        Some(Advice {
            question: "where queueing begins",
            about: format!("{}, a pool of {size}", self.about),
            value: Some(value).filter(|value| value.is_finite()),
            interval: [quiet, Some(high).filter(|high| high.is_finite())],
            unit: "clients",
            settings: Vec::new(),
            remarks: Vec::new(),
        })
    }

    /// Of the mean response time over clients, from where they queue: a least-squares line.
    pub(super) fn cost_of_a_client(&self, size: u32) -> Option<Advice> {
        let cells = self.of_size(size);
        let queued: Vec<_> =
            cells.into_iter().filter(|cell| cell.setting.clients >= size).collect();
        let [first, .., last] = &queued[..] else { return None };
        let clients: Vec<_> = queued.iter().map(|cell| f64::from(cell.setting.clients)).collect();
        let weights = slope_weights(&clients);
        let slope = |drawn: &[Drawn<'_>]| {
            let means =
                drawn.iter().map(|drawn| drawn.mean_ns(None)).collect::<Option<Vec<_>>>()?;
            Some(means.iter().zip(&weights).map(|(mean, weight)| mean * weight).sum())
        };
        let Estimate { value, low, high } = estimate(&queued, slope)?;
        // Each mean would be another one on another day.
        let terms = queued
            .iter()
            .zip(&weights)
            .map(|(cell, weight)| (1.96 * self.deviation * cell.response_ns.mean * weight).powi(2));
        let days = terms.sum::<f64>().sqrt();
        let (below, above) = ((value - low).hypot(days), (high - value).hypot(days));
        Some(Advice {
            question: "what a client more costs every request",
            about: format!(
                "{}, a pool of {size}, {} to {} clients",
                self.about, first.setting.clients, last.setting.clients
            ),
            value: Some(value),
            interval: [Some(value - below), Some(value + above)],
            unit: "ns",
            settings: Vec::new(),
            remarks: Vec::new(),
        })
    }

    pub(super) fn break_even(&self, size: u32) -> Option<Advice> {
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
    pub(super) fn starvation(&self, size: u32) -> Option<Advice> {
        let cells = self.of_size(size);
        let (light, full) = (cells.first()?, cells.last()?);
        if light.setting.clients == full.setting.clients {
            return None;
        }
        let both = [*light, *full];
        let operations = || full.operations.iter().filter(|(_, times)| times.count > 0);
        let speed = |drawn: &[Drawn<'_>], name: &str| {
            Some(drawn[0].mean_ns(Some(name))? / drawn[1].mean_ns(Some(name))?)
        };
        let speeds: Vec<_> = operations()
            .filter_map(|(name, times)| {
                Some((name, estimate(&both, |drawn| speed(drawn, name))?, times))
            })
            .collect();
        if speeds.len() < 2 {
            return None;
        }
        let index = |drawn: &[Drawn<'_>]| {
            jain(&operations().filter_map(|(name, _)| speed(drawn, name)).collect::<Vec<_>>())
        };
        let index = estimate(&both, index)?;
        let slowest = speeds.iter().min_by(|a, b| a.1.value.total_cmp(&b.1.value))?;
        Some(Advice {
            question: "whether some operations starve others (Jain's index of their speeds)",
            about: format!("{}, a pool of {size}, {} clients", self.about, full.setting.clients),
            value: Some(index.value),
            interval: [Some(index.low), Some(index.high)],
            unit: "of 1",
            settings: Vec::new(),
            remarks: vec![format!(
                "{} suffers most: {:.2} [{:.2}, {:.2}] of its speed with {}, p95 {}",
                slowest.0,
                slowest.1.value,
                slowest.1.low,
                slowest.1.high,
                counted(light.setting.clients as usize, "client"),
                show(slowest.2.p95 as f64)
            )],
        })
    }
}

/// What each value is multiplied by in the slope of their least-squares line over `places`.
fn slope_weights(places: &[f64]) -> Vec<f64> {
    let mean = places.iter().sum::<f64>() / places.len() as f64;
    let squares: f64 = places.iter().map(|place| (place - mean).powi(2)).sum();
    places.iter().map(|place| (place - mean) / squares).collect()
}
