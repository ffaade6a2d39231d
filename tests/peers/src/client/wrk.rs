//! wrk: a closed loop, whole seconds.

use std::path::Path;

use super::{Load, Quantiles, Report, number, write};
use crate::payload::{ACCEPT, body};

pub(super) fn arguments(load: &Load<'_>, folder: &Path) -> Result<Vec<String>, String> {
    load.only_closed()?;
    let close = if load.reconnect { "wrk.headers[\"Connection\"] = \"close\"\n" } else { "" };
    let script = format!(
        "wrk.method = \"POST\"\n\
         wrk.body = [[{}]]\n\
         wrk.headers[\"Content-Type\"] = \"application/json\"\n\
         wrk.headers[\"Accept\"] = \"{ACCEPT}\"\n{close}",
        body()
    );
    let script = write(folder, "wrk.lua", &script)?;
    Ok(vec![
        "--threads=1".into(),
        format!("--connections={}", load.connections),
        format!("--duration={}s", load.seconds.ceil()),
        "--latency".into(),
        format!("--script={script}"),
        load.url()?,
    ])
}

pub(super) fn parse(stdout: &str) -> Result<Report, String> {
    let total = stdout.lines().find(|line| line.contains(" requests in ")).unwrap_or_default();
    let total: u64 = number(total, "")?;
    // Absent where there was none.
    let status: u64 = number(stdout, "Non-2xx or 3xx responses:").unwrap_or(0);
    let failed = status + socket_errors(stdout);
    let quantile = |name: &str| {
        let line = stdout.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.and_then(|text| microseconds(text.trim()))
    };
    Ok(Report {
        requests: total.saturating_sub(failed),
        errors: failed,
        rate: number(stdout, "Requests/sec:")?,
        latency: Some(Quantiles {
            p50: quantile("50%"),
            p90: quantile("90%"),
            p99: quantile("99%"),
            ..Quantiles::default()
        }),
        ..Report::default()
    })
}

/// `Socket errors: connect 0, read 1, write 2, timeout 3`
fn socket_errors(stdout: &str) -> u64 {
    let line = stdout.lines().find_map(|line| line.trim_start().strip_prefix("Socket errors:"));
    let words = line.unwrap_or_default().split([' ', ',']);
    words.filter_map(|word| word.parse::<u64>().ok()).sum()
}

/// `441.00us`, `2.74ms` or `1.00s`.
fn microseconds(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let value: f64 = text[..unit].parse().ok()?;
    let scale = match &text[unit..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    Some(value * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_report_is_read() {
        let report = parse(include_str!("recorded/wrk.txt")).unwrap();
        assert_eq!((report.requests, report.errors, report.rate), (34931, 0, 34145.88));
        let latency = report.latency.unwrap();
        assert_eq!((latency.p50, latency.p99), (Some(441.0), Some(17520.0)));
        assert_eq!(latency.p99_9, None);
    }

    #[test]
    fn failures_are_counted_and_no_report_is_an_error() {
        let report = parse(include_str!("recorded/wrk-failing.txt")).unwrap();
        assert_eq!((report.requests, report.errors > 0), (0, true));
        assert_eq!(socket_errors("  Socket errors: connect 1, read 2, write 0, timeout 4\n"), 7);
        assert!(parse("unable to connect to 127.0.0.1:1 Connection refused\n").is_err());
    }
}
