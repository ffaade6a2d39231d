//! Limits that the number of connections runs into.

use super::facts::{Facts, PoolerFacts, ServerFacts};
use super::{Finding, connections};
use crate::scenario::Scenario;

/// Files that a run needs beside its connections: rings, results, observers' connections.
const OTHER_FILES: u64 = 32;

/// What the scenario's connections exceed.
pub(super) fn findings(scenario: &Scenario, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(open_files(scenario, facts));
    for (name, target) in &facts.targets {
        let wanted = connections(scenario, name);
        if wanted == 0 {
            continue;
        }
        if let Some(Ok(pooler)) = &target.pooler {
            findings.extend(client_connections(name, wanted, pooler));
        }
        if let Some(Ok(server)) = &target.server {
            findings.extend(backends(name, wanted, server));
        }
        findings.extend(backlog(name, wanted, facts));
    }
    findings
}

fn open_files(scenario: &Scenario, facts: &Facts) -> Option<Finding> {
    let max = facts.machine.open_files_max?;
    let loads = scenario.loads.iter();
    let vus: u64 = loads.map(|load| u64::from(load.load.vus_max())).sum();
    let needed = vus + OTHER_FILES + facts.machine.files_in_use.unwrap_or(0);
    (vus > 0 && needed > max).then(|| {
        Finding::problem(
            "open-files",
            format!("{vus} VUs need about {needed} open files, and the hard limit is {max}"),
            "each connection is an open file: those beyond the limit fail, and the run with them",
            format!(
                "lower the VUs, or raise the limit (ulimit -Hn) to {needed}: LimitNOFILE= of a \
                 service, --ulimit nofile= of a container, or /etc/security/limits.conf"
            ),
        )
    })
}

fn client_connections(name: &str, wanted: u64, pooler: &PoolerFacts) -> Option<Finding> {
    let max = pooler.number("max_client_conn")?;
    let present = pooler.clients_in_all.unwrap_or(0);
    (wanted + present > max).then(|| {
        let total = wanted + present;
        Finding::problem(
            "max-client-conn",
            format!(
                "{wanted} VUs on {name}, {present} clients there already, and max_client_conn is \
                 {max}"
            ),
            "PgBouncer refuses clients beyond it: \"no more connections allowed\"",
            format!("set max_client_conn to at least {total} in pgbouncer.ini, or lower the VUs"),
        )
    })
}

fn backends(name: &str, wanted: u64, server: &ServerFacts) -> Option<Finding> {
    let max = server.connections_max()?;
    let present = server.backends.as_ref().map(|all| all.values().map(|(n, _)| n).sum::<u64>());
    // It is too many whatever is there.
    let (least, there) = match present {
        Some(present) => (present, format!("{present} backends there already")),
        None => (0, "an unknown number of backends there already".into()),
    };
    (wanted + least > max).then(|| {
        Finding::problem(
            "max-connections",
            format!(
                "{wanted} VUs on {name}, {there}, and {max} connections \
                 are left to users who are no superusers"
            ),
            "Postgres refuses clients beyond it: \"too many clients already\"",
            "raise max_connections, lower the VUs, or lead the load through the pooler",
        )
    })
}

fn backlog(name: &str, wanted: u64, facts: &Facts) -> Option<Finding> {
    let target = facts.targets.get(name)?;
    let pooler = target.pooler.as_ref().and_then(|pooler| pooler.as_ref().ok());
    let own = pooler.and_then(|pooler| pooler.number("listen_backlog"));
    // The kernel cuts a larger backlog to somaxconn; of another machine we know none.
    let kernel = target.listener.as_ref().and(facts.machine.somaxconn).map(u64::from);
    let (limit, setting) = match (own, kernel) {
        (Some(own), Some(kernel)) if kernel < own => (kernel, "net.core.somaxconn"),
        (Some(own), _) => (own, "listen_backlog of PgBouncer"),
        (None, kernel) => (kernel?, "net.core.somaxconn"),
    };
    (wanted > limit).then(|| {
        Finding::warning(
            "listen-backlog",
            format!("{wanted} VUs on {name}, and {setting} is {limit}"),
            "where all of them reconnect at once, after a restart say, the kernel drops those that \
             do not fit, and their connects take a second or more",
            match setting {
                "net.core.somaxconn" => format!(
                    "sysctl net.core.somaxconn={} before the server is started",
                    wanted.next_power_of_two()
                ),
                _ => format!(
                    "set listen_backlog = {} in pgbouncer.ini and restart it",
                    wanted.next_power_of_two()
                ),
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::examples::{closed, facts, pooler, scenario, server};
    use super::*;

    fn named(vus: u32, target: &str, facts: &Facts) -> Vec<&'static str> {
        let mut load = closed(vus, (0, 0));
        load.target = Some(target.into());
        let all = findings(&scenario(vec![load]), facts);
        all.iter().map(|finding| finding.name).collect()
    }

    fn first(vus: u32, target: &str, facts: &Facts) -> Finding {
        let mut load = closed(vus, (0, 0));
        load.target = Some(target.into());
        findings(&scenario(vec![load]), facts).remove(0)
    }

    #[test]
    fn connections_within_all_limits_are_well() {
        for target in ["gateway", "pooler", "postgres"] {
            assert_eq!(named(50, target, &facts()), [""; 0], "{target}");
        }
        // 1000 clients, of whom 50 are there.
        assert_eq!(named(950, "pooler", &facts()), [""; 0]);
    }

    #[test]
    fn more_users_than_open_files_are_a_problem_with_what_helps() {
        let mut facts = facts();
        facts.machine.open_files_max = Some(1024);
        facts.machine.files_in_use = Some(8);
        assert_eq!(named(984, "gateway", &facts), [""; 0]);
        let finding = first(985, "gateway", &facts);
        assert_eq!((finding.name, finding.level), ("open-files", Level::Problem));
        assert!(finding.seen.contains("985 VUs need about 1025"), "{}", finding.seen);
        assert!(finding.seen.contains("limit is 1024"), "{}", finding.seen);
        assert!(finding.remedy.contains("(ulimit -Hn) to 1025"), "{}", finding.remedy);
        facts.machine.open_files_max = None;
        assert_eq!(named(985, "gateway", &facts), [""; 0]);
    }

    #[test]
    fn more_users_than_the_pooler_takes_are_a_problem() {
        let finding = first(951, "pooler", &facts());
        assert_eq!((finding.name, finding.level), ("max-client-conn", Level::Problem));
        assert!(finding.seen.contains("951 VUs on pooler, 50 clients"), "{}", finding.seen);
        assert!(finding.remedy.contains("at least 1001"), "{}", finding.remedy);
        // The gateway's users are not the pooler's clients.
        assert_eq!(named(951, "gateway", &facts()), [""; 0]);
        let mut facts = facts();
        pooler(&mut facts).settings.remove("max_client_conn");
        assert_eq!(named(951, "pooler", &facts), [""; 0]);
    }

    #[test]
    fn more_users_than_postgres_takes_are_a_problem() {
        // 200 less 3 reserved, less 30 that are there: 167.
        assert_eq!(named(167, "postgres", &facts()), [""; 0]);
        let finding = first(168, "postgres", &facts());
        assert_eq!((finding.name, finding.level), ("max-connections", Level::Problem));
        assert!(finding.seen.contains("30 backends there already"), "{}", finding.seen);
        let mut facts = facts();
        server(&mut facts).backends = None;
        assert_eq!(named(197, "postgres", &facts), [""; 0]);
        let finding = first(198, "postgres", &facts);
        assert!(finding.seen.contains("an unknown number of backends there"), "{}", finding.seen);
        server(&mut facts).settings.remove("superuser_reserved_connections");
        assert_eq!(named(168, "postgres", &facts), [""; 0]);
    }

    #[test]
    fn a_backlog_shorter_than_the_users_is_a_warning_that_names_the_setting() {
        let mut facts = facts();
        pooler(&mut facts).settings.insert("listen_backlog".into(), "128".into());
        assert_eq!(named(128, "pooler", &facts), [""; 0]);
        let finding = first(129, "pooler", &facts);
        assert_eq!((finding.name, finding.level), ("listen-backlog", Level::Warning));
        assert!(finding.seen.contains("listen_backlog of PgBouncer is 128"), "{}", finding.seen);
        assert!(finding.remedy.contains("listen_backlog = 256"), "{}", finding.remedy);
        facts.machine.somaxconn = Some(100);
        let finding = first(101, "pooler", &facts);
        assert!(finding.seen.contains("net.core.somaxconn is 100"), "{}", finding.seen);
        assert_eq!(named(101, "gateway", &facts), ["listen-backlog"]);
        // On another machine, our own somaxconn says nothing.
        facts.targets.get_mut("gateway").unwrap().listener = None;
        assert_eq!(named(101, "gateway", &facts), [""; 0]);
    }
}
