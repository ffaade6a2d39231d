//! What several processes behind one port do.

use super::Advice;
use crate::sweep::cell::Cell;
use crate::sweep::grid::WireProtocol;

/// How much more several processes behind one port do than the fewest of them.
pub(super) fn scaling(measured: &[&Cell], protocol: WireProtocol) -> Option<Advice> {
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
