//! h2load over HTTP/1.1: a closed loop, by time.

use std::path::Path;

use super::{Load, Report, number, write};
use crate::payload::{ACCEPT, body};

pub(super) fn arguments(load: &Load<'_>, folder: &Path) -> Result<Vec<String>, String> {
    load.only_closed()?;
    load.only_kept()?;
    Ok(vec![
        "--h1".into(),
        "--threads=1".into(),
        format!("--clients={}", load.connections),
        format!("--duration={}ms", (load.seconds * 1e3).round()),
        format!("--data={}", write(folder, "body.json", &body())?),
        "--header=Content-Type: application/json".into(),
        format!("--header=Accept: {ACCEPT}"),
        load.url()?,
    ])
}

pub(super) fn parse(stdout: &str) -> Result<Report, String> {
    // requests: 26591 total, 26655 started, 26591 done, 26591 succeeded, 0 failed, 0 errored, ..
    let line = stdout.lines().find_map(|line| line.strip_prefix("requests: "));
    let line = line.ok_or("its report has no \"requests:\"")?;
    let count = |name: &str| {
        let field = line.split(", ").find_map(|field| field.strip_suffix(name));
        let number = field.and_then(|field| field.trim().parse::<u64>().ok());
        number.ok_or_else(|| format!("its report has no number of requests that {name}"))
    };
    // finished in 1.01s, 26591.00 req/s, 4.74MB/s
    let rate = stdout.lines().find_map(|line| line.strip_prefix("finished in "));
    let rate = rate.and_then(|line| line.split(", ").nth(1)).unwrap_or_default();
    Ok(Report {
        requests: count("succeeded")?,
        // What failed, errored and timed out.
        errors: count("failed")?,
        rate: number(rate, "")?,
        ..Report::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_report_is_read() {
        let report = parse(include_str!("recorded/h2load.txt")).unwrap();
        assert_eq!((report.requests, report.errors, report.rate), (26591, 0, 26591.0));
    }

    #[test]
    fn failures_are_counted_and_no_report_is_an_error() {
        let report = parse(include_str!("recorded/h2load-failing.txt")).unwrap();
        assert_eq!((report.requests, report.errors), (0, 100));
        assert!(parse("starting benchmark...\n").is_err());
    }
}
