//! ApacheBench: a closed loop with HTTP/1.0, whole seconds or a number of requests.

use std::path::Path;

use super::{Load, Report, number, write};
use crate::payload::{ACCEPT, body};

/// It makes room for every request of its limit before it starts; no client does more a second.
const REQUESTS_PER_SECOND_MAX: u64 = 500_000;

pub(super) fn arguments(load: &Load<'_>, folder: &Path) -> Result<Vec<String>, String> {
    load.only_closed()?;
    let mut arguments = Vec::new();
    // A time limit sets a limit of 50,000 requests too, unless the larger one comes after it.
    let requests = match load.whole_seconds() {
        Some(seconds) => {
            arguments.extend(["-t".into(), seconds.to_string()]);
            seconds * REQUESTS_PER_SECOND_MAX
        }
        None => load.requests.max(u64::from(load.connections)),
    };
    arguments.extend(["-n".into(), requests.to_string()]);
    arguments.extend(["-c".into(), load.connections.to_string()]);
    arguments.extend(["-p".into(), write(folder, "body.json", &body())?]);
    arguments.extend(["-T".into(), "application/json".into()]);
    arguments.extend(["-H".into(), format!("Accept: {ACCEPT}")]);
    if !load.reconnect {
        arguments.push("-k".into());
    }
    arguments.extend(["-q".into(), load.url()?]);
    Ok(arguments)
}

pub(super) fn parse(stdout: &str) -> Result<Report, String> {
    let complete: u64 = number(stdout, "Complete requests:")?;
    let failed: u64 = number(stdout, "Failed requests:")?;
    // Absent where there was none.
    let status: u64 = number(stdout, "Non-2xx responses:").unwrap_or(0);
    let errors = failed.max(status);
    Ok(Report {
        requests: complete.saturating_sub(errors),
        errors,
        rate: number(stdout, "Requests per second:")?,
        ..Report::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_report_is_read() {
        let report = parse(include_str!("recorded/ab.txt")).unwrap();
        assert_eq!((report.requests, report.errors, report.rate), (32971, 0, 32711.24));
    }

    #[test]
    fn failures_are_counted_and_no_report_is_an_error() {
        let report = parse(include_str!("recorded/ab-failing.txt")).unwrap();
        assert_eq!((report.requests, report.errors), (0, 100));
        let error = parse("This is ApacheBench, Version 2.3\n").unwrap_err();
        assert_eq!(error, "its report has no \"Complete requests:\"");
    }
}
