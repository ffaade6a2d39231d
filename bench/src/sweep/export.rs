//! The cells as CSV: a line each, in the order in which they were measured.

use std::io;

use super::Summary;
use super::cell::Cell;
use super::grid::Mode;

const HEADER: [&str; 23] = [
    "number",
    "is_reference",
    "clients",
    "pool_size",
    "pool_mode",
    "protocol",
    "planned_rate",
    "throughput",
    "throughput_low",
    "throughput_high",
    "requests",
    "errors",
    "p50_ns",
    "p95_ns",
    "p99_ns",
    "wait_ns",
    "cl_waiting",
    "servers",
    "multiplexing_ratio",
    "transactions_per_server",
    "cpu_ns_postgres",
    "problem",
    "valid",
];

/// The whole file. What is not known is empty.
pub(crate) fn csv(summary: &Summary) -> io::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for cell in &summary.cells {
        writer.write_record(record(cell))?;
    }
    let bytes = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn record(cell: &Cell) -> [String; 23] {
    let text = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let pool = cell.pool.as_ref();
    let setting = cell.setting;
    [
        cell.number.to_string(),
        cell.is_reference.to_string(),
        setting.clients.to_string(),
        setting.pool_size.map(|size| size.to_string()).unwrap_or_default(),
        setting.pool_mode.map_or("direct", Mode::name).into(),
        setting.protocol.name().into(),
        text(setting.rate),
        cell.throughput.to_string(),
        cell.throughput_ci[0].to_string(),
        cell.throughput_ci[1].to_string(),
        cell.requests.to_string(),
        cell.errors.values().sum::<u64>().to_string(),
        cell.response_ns.p50.to_string(),
        cell.response_ns.p95.to_string(),
        cell.response_ns.p99.to_string(),
        text(pool.and_then(|pool| pool.wait_ns)),
        text(pool.and_then(|pool| pool.cl_waiting)),
        text(pool.and_then(|pool| pool.servers)),
        text(pool.and_then(|pool| pool.multiplexing_ratio)),
        text(pool.and_then(|pool| pool.transactions_per_server)),
        text(cell.cpu_ns_per_request.get("postgres").copied()),
        cell.problem.clone().unwrap_or_default(),
        cell.validity.valid.name().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::summary::tests::example;

    #[test]
    fn every_cell_is_a_line_as_wide_as_the_header() {
        let text = csv(&example()).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap(), &HEADER[..]);
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), example().cells.len());
        assert!(records.iter().any(|record| &record[4] == "direct" && record[3].is_empty()));
    }
}
