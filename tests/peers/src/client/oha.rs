//! oha: closed, or open with `-q`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Load, Quantiles, Report};
use crate::payload::{ACCEPT, body};

pub(super) fn arguments(load: &Load<'_>) -> Result<Vec<String>, String> {
    let mut arguments: Vec<String> = vec![
        "--no-tui".into(),
        "--output-format=json".into(),
        "--disable-compression".into(),
        "--method=POST".into(),
        "-d".into(),
        body(),
        "-T".into(),
        "application/json".into(),
        "-H".into(),
        format!("Accept: {ACCEPT}"),
        "-c".into(),
        load.connections.to_string(),
    ];
    if load.reconnect {
        arguments.push("--disable-keepalive".into());
    }
    match load.rate {
        None => arguments.extend(["-z".into(), format!("{}ms", (load.seconds * 1e3).round())]),
        // By number, so that the last requests are waited for.
        Some(rate) => arguments.extend([
            "-q".into(),
            rate.to_string(),
            "-n".into(),
            ((rate * load.seconds).round() as u64).to_string(),
        ]),
    }
    arguments.push(load.url()?);
    Ok(arguments)
}

/// What is read of its JSON. Times in seconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    summary: Summary,
    latency_percentiles: BTreeMap<String, Option<f64>>,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    requests_per_sec: f64,
    slowest: Option<f64>,
}

/// It cuts off the requests that are under way when the time is up; nothing is wrong with them.
const CUT_OFF: &str = "aborted due to deadline";

pub(super) fn parse(stdout: &str) -> Result<Report, String> {
    let output: Output = serde_json::from_str(stdout)
        .map_err(|error| format!("its report can't be read: {error}"))?;
    let statuses = &output.status_code_distribution;
    let good: u64 = statuses.iter().filter(|(code, _)| code.starts_with('2')).map(|(_, n)| n).sum();
    let cut_off = output.error_distribution.get(CUT_OFF).copied().unwrap_or(0);
    let errors: u64 = output.error_distribution.values().sum();
    let quantile = |name: &str| Some(output.latency_percentiles.get(name).copied()?? * 1e6);
    Ok(Report {
        requests: good,
        errors: statuses.values().sum::<u64>() - good + errors - cut_off,
        rate: output.summary.requests_per_sec,
        latency: Some(Quantiles {
            p50: quantile("p50"),
            p90: quantile("p90"),
            p95: quantile("p95"),
            p99: quantile("p99"),
            p99_9: quantile("p99.9"),
            max: output.summary.slowest.map(|seconds| seconds * 1e6),
        }),
        ..Report::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_report_is_read() {
        let report = parse(include_str!("recorded/oha.json")).unwrap();
        assert!(report.requests > 1000, "{report:?}");
        assert_eq!(report.errors, 0, "what it cut off is no error");
        let latency = report.latency.unwrap();
        assert!(latency.p50 < latency.p99_9 && latency.p99_9 <= latency.max, "{latency:?}");
    }

    #[test]
    fn failures_are_counted_and_no_report_is_an_error() {
        let report = parse(include_str!("recorded/oha-failing.json")).unwrap();
        assert_eq!((report.requests, report.errors), (0, 100));
        assert!(parse("").is_err());
    }
}
