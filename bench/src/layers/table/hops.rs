//! The network's part of each arm.

use super::super::hops::{Hop, Over};
use super::super::summary::Summary;
use crate::duration::show;
use crate::table::Columns;

/// The shortest round trips on the way through each arm.
pub(super) fn table(summary: &Summary) -> Option<String> {
    let callers = [&["generator"][..], &["gateway", "gateway-direct"], &["pooler"]];
    let mut table = Columns::new(&[
        "shortest round trip",
        "generator to target",
        "gateway onward",
        "pooler onward",
    ]);
    for arm in summary.arms.iter().take(summary.arms.len() / summary.rates.len().max(1)) {
        let mut row = vec![arm.name.clone()];
        row.extend(callers.map(|callers| {
            let mut hops = summary.hops.iter().filter(|hop| hop.arms.contains(&arm.name));
            let hop = hops.find(|hop| callers.contains(&&*hop.from));
            hop.map_or(String::new(), cell)
        }));
        table.row(row);
    }
    (!summary.hops.is_empty()).then(|| table.to_string())
}

fn cell(hop: &Hop) -> String {
    match &hop.over {
        Over::Tcp { round_trip_ns } => show(*round_trip_ns as f64),
        Over::Unix => "unix socket".into(),
        Over::Unknown { .. } => "-".into(),
    }
}

/// Why some are not known.
pub(super) fn gaps(summary: &Summary) -> Vec<String> {
    let gap = |hop: &Hop| match &hop.over {
        Over::Unknown { problem } => {
            Some(format!("round trip from {} to {}: {problem}", hop.from, hop.to))
        }
        _ => None,
    };
    summary.hops.iter().filter_map(gap).collect()
}
