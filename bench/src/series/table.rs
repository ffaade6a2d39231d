//! The seconds of a run for a person, a row each.

use std::collections::BTreeSet;

use engine::{Nanos, SECOND};

use super::Second;
use crate::duration::show;
use crate::table::Columns;

/// What was not seen.
const GAP: &str = "-";

/// Every second that is given: load, pools, servers and the CPU time of processes beside each other.
pub(crate) fn table(seconds: &[Second]) -> String {
    let poolers: BTreeSet<_> = seconds.iter().flat_map(|second| second.poolers.keys()).collect();
    let servers: BTreeSet<_> = seconds.iter().flat_map(|second| second.servers.keys()).collect();
    let used = seconds.iter().flat_map(|second| &second.processes);
    // What did nothing is left out.
    let used = used.filter(|(_, used)| used.as_ref().is_some_and(|used| used.cpu_cores >= 0.005));
    let processes: BTreeSet<_> = used.map(|(name, _)| name).collect();
    let mut header: Vec<String> =
        ["second", "rate/s", "errors", "p50", "p99"].map(Into::into).into();
    for pooler in &poolers {
        header.extend([format!("{pooler} waiting"), "in use".to_owned()]);
    }
    header.extend(servers.iter().map(|server| format!("{server} active")));
    header.extend(processes.iter().map(|process| format!("{process} cores")));
    header.push("idle".into());
    let mut table = Columns::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for second in seconds {
        let mut cells = load(second);
        for pooler in &poolers {
            let pools = second.poolers.get(*pooler).and_then(Option::as_ref).map(|seen| seen.pools);
            cells.push(cell(pools.and_then(|pools| pools.cl_waiting)));
            cells.push(cell(pools.and_then(|pools| pools.sv_active)));
        }
        for server in &servers {
            let seen = second.servers.get(*server).and_then(Option::as_ref);
            cells.push(cell(seen.map(|seen| seen.waits.values().sum::<u64>())));
        }
        for process in &processes {
            let used = second.processes.get(*process).and_then(Option::as_ref);
            cells.push(cell(used.map(|used| format!("{:.2}", used.cpu_cores))));
        }
        let idle = second.machine.as_ref().map(|machine| machine.idle);
        cells.push(cell(idle.map(|idle| format!("{:.0} %", idle * 100.0))));
        table.row(cells);
    }
    table.to_string()
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
