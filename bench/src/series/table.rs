//! Seconds for a person, a row each, or one for many.

use std::collections::BTreeSet;

use engine::{Nanos, SECOND};

use super::{PoolerSecond, Second, ServerSecond};
use crate::duration::show;
use crate::observe::ProcessUse;
use crate::table::Columns;

/// What was not seen.
const GAP: &str = "-";

/// Every second that is given: load, pools, servers and the CPU time of processes beside each other.
pub(crate) fn table(seconds: &[Second]) -> String {
    let sights = Sights::of(seconds);
    let mut table = sights.columns(&["second", "rate/s", "errors", "p50", "p99"]);
    for second in seconds {
        let mut cells = load(second);
        cells.extend(sights.cells(std::slice::from_ref(second)));
        table.row(cells);
    }
    table.to_string()
}

/// What was seen beside each arm's load, a row of means for an arm; nothing where none was observed.
pub(crate) fn means(arms: &[(String, &[Second])]) -> Option<String> {
    let sights = Sights::of(arms.iter().flat_map(|(_, seconds)| *seconds));
    let mut table = sights.columns(&["seen beside it, mean"]);
    let observed = || arms.iter().filter(|(_, seconds)| !seconds.is_empty());
    for (name, seconds) in observed() {
        let mut cells = vec![name.clone()];
        cells.extend(sights.cells(seconds));
        table.row(cells);
    }
    observed().next().is_some().then(|| table.to_string())
}

/// What there is to be seen beside the load.
struct Sights<'a> {
    poolers: BTreeSet<&'a String>,
    servers: BTreeSet<&'a String>,
    processes: BTreeSet<&'a String>,
}

impl<'a> Sights<'a> {
    fn of(seconds: impl IntoIterator<Item = &'a Second> + Clone) -> Self {
        let used = seconds.clone().into_iter().flat_map(|second| &second.processes);
        // What did nothing is left out.
        let used = used.filter(|(_, used)| used.as_ref().is_some_and(|one| one.cpu_cores >= 0.005));
        let poolers = seconds.clone().into_iter().flat_map(|second| second.poolers.keys());
        let servers = seconds.into_iter().flat_map(|second| second.servers.keys());
        Self {
            poolers: poolers.collect(),
            servers: servers.collect(),
            processes: used.map(|(name, _)| name).collect(),
        }
    }

    /// A table with these columns before them.
    fn columns(&self, first: &[&str]) -> Columns {
        let mut header: Vec<String> = first.iter().copied().map(Into::into).collect();
        for pooler in &self.poolers {
            header.extend([format!("{pooler} waiting"), "in use".to_owned()]);
        }
        header.extend(self.servers.iter().map(|server| format!("{server} active")));
        header.extend(self.processes.iter().map(|process| format!("{process} cores")));
        header.push("idle".into());
        Columns::new(&header.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Means over the seconds in which each was seen.
    fn cells(&self, seconds: &[Second]) -> Vec<String> {
        let mean = |figure: &dyn Fn(&Second) -> Option<f64>| {
            let figures: Vec<_> = seconds.iter().filter_map(figure).collect();
            (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
        };
        let count = |number: Option<f64>| cell(number.map(|number| (number * 10.0).round() / 10.0));
        let mut cells = Vec::new();
        for name in &self.poolers {
            let pools = |second: &Second| {
                let seen: Option<&PoolerSecond> = second.poolers.get(*name)?.as_ref();
                seen.map(|seen| seen.pools)
            };
            cells.push(count(mean(&|second| Some(pools(second)?.cl_waiting? as f64))));
            cells.push(count(mean(&|second| Some(pools(second)?.sv_active? as f64))));
        }
        for name in &self.servers {
            cells.push(count(mean(&|second| {
                let seen: &ServerSecond = second.servers.get(*name)?.as_ref()?;
                Some(seen.waits.as_ref()?.values().sum::<u64>() as f64)
            })));
        }
        for name in &self.processes {
            let cores = mean(&|second| {
                let used: &ProcessUse = second.processes.get(*name)?.as_ref()?;
                Some(used.cpu_cores)
            });
            cells.push(cell(cores.map(|cores| format!("{cores:.2}"))));
        }
        let idle = mean(&|second| Some(second.machine.as_ref()?.idle));
        cells.push(cell(idle.map(|idle| format!("{:.0} %", idle * 100.0))));
        cells
    }
}

fn load(second: &Second) -> Vec<String> {
    let load = &second.load;
    let seconds = (load.end_ns - load.start_ns).max(1) as f64 / SECOND as f64;
    let time = |ns: Option<Nanos>| cell(ns.map(|ns| show(ns as f64)));
    vec![
        format!("{}", load.start_ns / SECOND),
        format!("{:.0}", load.requests as f64 / seconds),
        load.errors.to_string(),
        time(load.response_ns.map(|spread| spread.p50)),
        time(load.response_ns.map(|spread| spread.p99)),
    ]
}

fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(|| GAP.into(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_a_row_and_so_are_many_of_an_arm_without_those_in_which_nothing_was_seen() {
        let mut seconds: Vec<_> = (0..3).map(Second::at_ease).collect();
        let pooler = seconds[1].poolers.get_mut("pooler").unwrap();
        pooler.as_mut().unwrap().pools.cl_waiting = Some(5);
        *seconds[2].poolers.get_mut("pooler").unwrap() = None;
        seconds[2].machine = None;
        insta::assert_snapshot!("seconds", table(&seconds));
        let arms = [("pooler".to_owned(), &seconds[..]), ("direct".to_owned(), &seconds[2..])];
        insta::assert_snapshot!("means", means(&arms).unwrap());
        assert_eq!(means(&[("pooler".to_owned(), &[])]), None);
    }
}
