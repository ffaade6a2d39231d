//! What the surface says to set.

mod group;
mod scaling;
mod settings;

use serde::Serialize;

use self::group::Group;
use self::scaling::scaling;
use super::cell::Cell;
use super::configuration::Configuration;
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

/// All answers that the cells have. The same cell differs from one time to the next by a standard
/// deviation of `deviation`, a share of it; `now` is how the pooler was set before.
pub(super) fn advise(cells: &[Cell], deviation: f64, now: Option<&Configuration>) -> Vec<Advice> {
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
            deviation,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::GoalResult;
    use crate::sweep::cell::CellGoal;
    use crate::sweep::summary::tests::surface;

    fn find<'a>(advice: &'a [Advice], question: &str) -> &'a Advice {
        advice.iter().find(|advice| advice.question.contains(question)).expect("it is answered")
    }

    #[test]
    fn a_machine_of_four_cores_gets_a_pool_of_four() {
        let (cells, now) = surface();
        let advice = advise(&cells, 0.0, Some(&now));
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
            let result = GoalResult {
                goal: "pg_response_time p(95)<100".into(),
                is_met,
                value: Some(if is_met { 80.0 } else { 120.0 }),
                is_met_by_service: is_met,
            };
            // A pool of two is just enough, if it is.
            let may_be = cell.setting.pool_size == Some(2);
            cell.goals = vec![CellGoal {
                result,
                value_ci: Some([70.0, 130.0]),
                is_surely_met: is_met && !may_be,
                may_be_met: is_met,
            }];
        }
        let advice = advise(&cells, 0.0, Some(&now));
        let smallest = find(&advice, "at a rate");
        assert_eq!((smallest.value, smallest.interval), (Some(2.0), [Some(2.0), Some(4.0)]));
        assert!(smallest.remarks[3].contains("80.000 [70.000, 130.000]"), "{smallest:?}");
        assert!(smallest.remarks[0].contains("keep 1.50 server connections"), "{smallest:?}");
    }
}
