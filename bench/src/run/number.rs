//! Numbers as k6's summary writes them.

use crate::metric::{Aggregation, Kind, Metric, Unit};

/// One number of a metric; times are in ms.
pub(super) fn show(metric: Metric, aggregation: Aggregation, value: f64) -> String {
    match (metric.kind(), metric.unit(), aggregation) {
        (Kind::Rate, ..) => percent(value),
        (Kind::Counter, Unit::Data, Aggregation::Rate) => format!("{}/s", bytes(value)),
        (Kind::Counter, _, Aggregation::Rate) => format!("{}/s", decimal(value, 6)),
        (Kind::Trend, _, Aggregation::Count) => decimal(value, 0),
        (_, Unit::Time, _) => time(value),
        (_, Unit::Data, _) => bytes(value),
        (Kind::Gauge, Unit::None, _) => decimal(value, 2),
        (_, Unit::None, _) => decimal(value, 6),
    }
}

/// A share of 1, cut and not rounded: 99.999 % is not all.
pub(super) fn percent(share: f64) -> String {
    // Within what a share of two counts can be off in binary.
    format!("{:.2}%", ((share * 10_000.0) + 1e-9).trunc() / 100.0)
}

/// Milliseconds with a unit that suits them.
pub(super) fn time(ms: f64) -> String {
    match ms {
        0.0 => "0s".into(),
        _ if ms < 0.001 => format!("{}ns", decimal(ms * 1e6, 0)),
        _ if ms < 0.999_995 => format!("{}µs", decimal(ms * 1e3, 2)),
        _ if ms < 999.995 => format!("{}ms", decimal(ms, 2)),
        _ if ms < 59_995.0 => format!("{}s", decimal(ms / 1e3, 2)),
        _ => {
            let seconds = (ms / 1e3).round() as u64;
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let hours = if hours > 0 { format!("{hours}h") } else { String::new() };
            format!("{hours}{minutes}m{seconds}s")
        }
    }
}

/// Decimal multiples, as k6 has them.
pub(super) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut size = bytes;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && size < 9.95);
    format!("{size:.decimals$} {}", UNITS[unit])
}

/// At most so many decimals, without zeros at the end.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_k6() {
        let times = [0.0, 0.000_5, 0.063_44, 0.9999, 1.0, 140.364, 999.999, 1234.5, 59_999.0];
        assert_eq!(
            times.map(time),
            ["0s", "500ns", "63.44µs", "999.9µs", "1ms", "140.36ms", "1s", "1.23s", "1m0s"]
        );
        assert_eq!([3_723_000.0].map(time), ["1h2m3s"]);
        let sizes = [0.0, 999.0, 1000.0, 31_400.0, 1_273_455.0, 2e12];
        assert_eq!(sizes.map(bytes), ["0 B", "999 B", "1.0 kB", "31 kB", "1.3 MB", "2.0 TB"]);
        let shares = [0.0, 0.999_999, 1.0, 0.07, 0.29, 1.0 / 3.0];
        assert_eq!(
            shares.map(percent),
            ["0.00%", "99.99%", "100.00%", "7.00%", "29.00%", "33.33%"]
        );
        assert_eq!([1.5, 4.369_380, 100.0].map(|n| decimal(n, 6)), ["1.5", "4.36938", "100"]);
    }
}
