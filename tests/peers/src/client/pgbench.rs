//! pgbench with one thread: whole seconds or a number of transactions; `-R` is its open loop.

use std::fs;
use std::path::Path;

use super::{Load, Quantiles, Report, Script, Target, number, write};

/// Its files of transactions begin so.
const LOG: &str = "pgbench_lag";

/// Those of `poolbench pgbench`, which takes the same, behind the subcommand.
pub(super) fn arguments_of_ours(load: &Load<'_>, folder: &Path) -> Result<Vec<String>, String> {
    let mut arguments = arguments(load, folder)?;
    arguments.push("--json=-".into());
    Ok(arguments)
}

pub(super) fn arguments(load: &Load<'_>, folder: &Path) -> Result<Vec<String>, String> {
    let Target::Postgres { port, user, database, script, protocol } = load.target else {
        return Err("it does not speak HTTP".into());
    };
    let amount = match load.whole_seconds() {
        Some(seconds) => format!("--time={seconds}"),
        None => {
            let each = load.requests.div_ceil(u64::from(load.connections));
            format!("--transactions={each}")
        }
    };
    let mut arguments = vec![
        "--host=127.0.0.1".into(),
        format!("--port={port}"),
        format!("--username={user}"),
        "--no-vacuum".into(),
        format!("--client={}", load.connections),
        "--jobs=1".into(),
        amount,
        format!("--protocol={protocol}"),
        match script {
            Script::SelectOne => format!("--file={}", write(folder, "one.sql", "SELECT 1;\n")?),
            Script::SelectOnly => "--builtin=select-only".into(),
            Script::SimpleUpdate => "--builtin=simple-update".into(),
            Script::TpcbLike => "--builtin=tpcb-like".into(),
        },
    ];
    if load.reconnect {
        arguments.push("--connect".into());
    }
    if let Some(rate) = load.rate {
        let log = folder.join(LOG).display().to_string();
        arguments.extend([format!("--rate={rate}"), "--log".into(), format!("--log-prefix={log}")]);
    }
    arguments.push((*database).to_owned());
    Ok(arguments)
}

/// With the transactions' file in `folder`, which is removed.
pub(super) fn read(stdout: &str, folder: &Path) -> Result<Report, String> {
    let mut report = parse(stdout)?;
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_log = |path: &std::path::PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(LOG))
    };
    for file in files.filter(is_log) {
        let fault = |error| format!("cannot read {}: {error}", file.display());
        report.lateness = Some(lateness(&fs::read_to_string(&file).map_err(fault)?)?);
        fs::remove_file(&file).map_err(fault)?;
    }
    Ok(report)
}

fn parse(stdout: &str) -> Result<Report, String> {
    let processed: String = number(stdout, "number of transactions actually processed:")?;
    // 8000, or 8000/8000 where a number was asked for.
    let processed = processed.split('/').next().and_then(|text| text.parse().ok());
    Ok(Report {
        requests: processed.ok_or("its report has no number of transactions")?,
        errors: number(stdout, "number of failed transactions:")?,
        rate: number(stdout, "tps =")?,
        ..Report::default()
    })
}

/// The seventh field of each line is how late the transaction began, in microseconds (manual of
/// pgbench, "Per-Transaction Logging").
fn lateness(log: &str) -> Result<Quantiles, String> {
    let lag = |line: &str| line.split(' ').nth(6)?.parse::<f64>().ok();
    let lags: Option<Vec<f64>> = log.lines().map(lag).collect();
    Ok(Quantiles::of(lags.ok_or("its file of transactions has lines without a schedule lag")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_report_is_read_by_time_and_by_number() {
        let report = parse(include_str!("recorded/pgbench.txt")).unwrap();
        assert_eq!((report.requests, report.errors), (13751, 0));
        assert_eq!(report.rate, 19119.855395);
        let report = parse(include_str!("recorded/pgbench-transactions.txt")).unwrap();
        assert_eq!((report.requests, report.errors), (8000, 0));
        assert!(parse("pgbench: error: could not create connection for setup\n").is_err());
    }

    #[test]
    fn its_lateness_comes_from_its_file_of_transactions() {
        let lateness = lateness(include_str!("recorded/pgbench-log.txt")).unwrap();
        assert_eq!((lateness.p50, lateness.max), (Some(600.0), Some(915.0)));
        assert!(super::lateness("0 1 12787 0 1795598965 715566\n").is_err());
    }
}
