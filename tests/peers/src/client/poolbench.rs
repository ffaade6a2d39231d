//! poolbench itself, with one worker and all of its checks.

use std::path::Path;

use serde::Deserialize;

use super::{Load, Quantiles, Report, Script, Target, write};
use crate::payload::{ID, PATH, QUERY};
use crate::server::postgres::ACCOUNTS;

pub(super) fn arguments(load: &Load<'_>, folder: &Path) -> Result<Vec<String>, String> {
    let scenario = write(folder, "scenario.toml", &scenario(load.target)?)?;
    let load_arguments = match load.rate {
        None => vec![format!("--vus={}", load.connections)],
        Some(rate) => {
            vec![format!("--rate={rate}"), format!("--connections={}", load.connections)]
        }
    };
    let command = if load.reconnect { "churn" } else { "run" };
    let mut arguments = vec![command.into(), scenario];
    arguments.extend(load_arguments);
    arguments.push(format!("--duration={}ms", (load.seconds * 1e3).round()));
    // No other client has a warm-up either, and the CPU time is that of the whole process.
    arguments.extend(["--warm-up=0s", "--workers=1", "--json=-"].map(str::to_owned));
    Ok(arguments)
}

fn scenario(target: &Target) -> Result<String, String> {
    Ok(match target {
        Target::Http { port } => format!(
            "name = \"peers\"\n\
             [targets.http]\n\
             url = \"http://127.0.0.1:{port}{PATH}\"\n\
             [[operations]]\n\
             name = \"getUser\"\n\
             graphql = '{QUERY}'\n\
             variables = {{ id = {ID} }}\n\
             expect = {{ id = \"data.user.id\" }}\n"
        ),
        Target::Postgres { port, user, database, script, protocol } => {
            format!(
                "name = \"peers\"\n\
                 [targets.sql]\n\
                 conninfo = \"host=127.0.0.1 port={port} dbname={database} user={user}\"\n\
                 protocol = \"{protocol}\"\n\
                 [[operations]]\n\
                 {}",
                operation(*script)?
            )
        }
    })
}

fn operation(script: Script) -> Result<String, String> {
    Ok(match script {
        Script::SelectOne => "name = \"selectOne\"\nsql = \"SELECT 1\"\n".into(),
        Script::SelectOnly => format!(
            "name = \"selectOnly\"\n\
             sql = \"SELECT abalance FROM pgbench_accounts WHERE aid = $1\"\n\
             variables = {{ aid = {{ uniform = [1, {ACCOUNTS}] }} }}\n\
             params = [\"aid:int4\"]\n"
        ),
        Script::SimpleUpdate | Script::TpcbLike => {
            return Err("it runs that script as `poolbench pgbench`".into());
        }
    })
}

/// What is read of summary.json.
#[derive(Debug, Deserialize)]
struct Summary {
    arms: Vec<Arm>,
}

#[derive(Debug, Deserialize)]
struct Arm {
    requests: u64,
    rate: f64,
    errors: std::collections::BTreeMap<String, u64>,
    response_ns: Times,
    lateness_ns: Times,
}

#[derive(Debug, Deserialize)]
struct Times {
    p50: f64,
    p90: f64,
    p95: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

impl From<Times> for Quantiles {
    fn from(times: Times) -> Self {
        let us = |ns: f64| Some(ns / 1e3);
        Self {
            p50: us(times.p50),
            p90: us(times.p90),
            p95: us(times.p95),
            p99: us(times.p99),
            p99_9: us(times.p99_9),
            max: us(times.max),
        }
    }
}

pub(super) fn parse(stdout: &str) -> Result<Report, String> {
    let summary: Summary = serde_json::from_str(stdout)
        .map_err(|error| format!("its summary can't be read: {error}"))?;
    let arm = summary.arms.into_iter().next().ok_or("its summary has no arm")?;
    let errors = arm.errors.values().sum();
    Ok(Report {
        requests: arm.requests.saturating_sub(errors),
        errors,
        rate: arm.rate,
        latency: Some(arm.response_ns.into()),
        lateness: Some(arm.lateness_ns.into()),
        ..Report::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Protocol;
    use super::*;

    #[test]
    fn its_summary_is_read() {
        let report = parse(include_str!("recorded/poolbench.json")).unwrap();
        assert!(report.requests > 1000 && report.errors == 0, "{report:?}");
        assert!(report.lateness.unwrap().p50 < report.latency.unwrap().p50, "{report:?}");
        assert!(parse("").is_err());
    }

    #[test]
    fn scenarios_are_toml() {
        let postgres = |script, protocol| Target::Postgres {
            port: 5432,
            user: "bench",
            database: "bench",
            script,
            protocol,
        };
        for target in [
            Target::Http { port: 80 },
            postgres(Script::SelectOne, Protocol::Simple),
            postgres(Script::SelectOnly, Protocol::Prepared),
        ] {
            let scenario: toml::Table = toml::from_str(&scenario(&target).unwrap()).unwrap();
            assert_eq!(scenario["operations"].as_array().map(Vec::len), Some(1));
        }
    }
}
