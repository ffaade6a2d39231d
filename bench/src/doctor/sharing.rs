//! What clients of one pooler share with each other, and what they should have in common.

use std::collections::BTreeSet;

use super::Finding;
use super::facts::{Facts, Isolation, PoolerFacts, TargetFacts};

/// Clients that differ, processes that do not know of each other, sessions that leak.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let each = facts.targets.iter().flat_map(|(name, target)| {
        let pooler = target.pooler.as_ref().and_then(|pooler| pooler.as_ref().ok());
        let isolation = target.isolation.as_ref();
        [
            pooler.and_then(|pooler| application_names(name, target, pooler)),
            pooler.and_then(|pooler| several_processes(name, target, pooler)),
            isolation.and_then(|isolation| leaks(name, pooler, isolation.as_ref().ok()?)),
            isolation.and_then(|isolation| Some(untried(name, isolation.as_ref().err()?))),
        ]
    });
    each.flatten().collect()
}

/// PgBouncer keeps five parameters of each client (PgBouncer manual, "track_extra_parameters"); the
/// name is the one that its console shows.
fn application_names(name: &str, target: &TargetFacts, pooler: &PoolerFacts) -> Option<Finding> {
    let mut names: BTreeSet<_> = pooler.application_names.iter().flatten().collect();
    names.extend(&target.application_name);
    if names.len() < 2 || pooler.pool_mode.as_deref() == Some("session") {
        return None;
    }
    let names: Vec<_> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    Some(Finding::warning(
        "application-names-differ",
        format!("clients of {name} call themselves {}", names.join(", ")),
        "where a server connection passes between clients that differ in application_name, \
         TimeZone, DateStyle, client_encoding or standard_conforming_strings, PgBouncer sends a \
         SET before the query and does not count it: its cost would be the pool's",
        format!(
            "give all of them one application_name, the load in targets.{name}.conninfo and the \
             gateway in its own settings"
        ),
    ))
}

/// PgBouncer manual, "so_reuseport" and "peer_id".
fn several_processes(name: &str, target: &TargetFacts, pooler: &PoolerFacts) -> Option<Finding> {
    if pooler.setting("so_reuseport") != Some("1") {
        return None;
    }
    let has_peers = pooler.number("peer_id").is_some_and(|id| id > 0);
    let peers = (
        "a cancel that the kernel hands to another process than its client's is lost",
        "give each process a peer_id, and name the others in [peers] (PgBouncer 1.19)".to_owned(),
    );
    let consoles = (
        "its console answers for one of them, whichever took the connection: pools and counts are \
         not those of all",
        format!("list the socket of each in targets.{name}.console"),
    );
    let consoles = (target.consoles < 2).then_some(consoles);
    let (reasons, remedies): (Vec<_>, Vec<_>) =
        consoles.into_iter().chain((!has_peers).then_some(peers)).unzip();
    (!reasons.is_empty()).then(|| {
        Finding::warning(
            "several-processes",
            format!("{name} shares its port among processes (so_reuseport = 1)"),
            reasons.join("; "),
            remedies.join("; "),
        )
    })
}

fn leaks(name: &str, pooler: Option<&PoolerFacts>, isolation: &Isolation) -> Option<Finding> {
    let broken: Vec<_> =
        isolation.states.iter().filter(|state| state.is_broken).map(|state| state.what).collect();
    if broken.is_empty() {
        return None;
    }
    let mode = pooler.and_then(|pooler| pooler.pool_mode.as_deref());
    let seen = format!("what one client of {name} leaves another one finds: {}", broken.join(", "));
    let reason = "a client's session is not its own: it may work with another's settings, tables \
                  and locks";
    Some(match mode {
        Some(mode @ ("transaction" | "statement")) => Finding::warning(
            "isolation-broken",
            format!("{seen} ({name} pools by {mode})"),
            reason,
            "SET LOCAL, transaction locks and unnamed statements stay with their transaction; or \
             set pool_mode = session, or server_reset_query_always = 1",
        ),
        _ => Finding::problem(
            "isolation-broken",
            seen,
            reason,
            "set server_reset_query = DISCARD ALL, PgBouncer's default",
        ),
    })
}

fn untried(name: &str, problem: &str) -> Finding {
    Finding::warning(
        "isolation-not-tried",
        format!("target {name}: {problem}"),
        "whether its clients' sessions are their own is unknown",
        format!("is targets.{name}.conninfo right, and does a run on it work?"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::examples::{facts, pooler};
    use super::super::facts::StateFacts;
    use super::*;

    #[test]
    fn clients_with_one_name_and_one_process_are_well() {
        let mut facts = facts();
        assert_eq!(findings(&facts), []);
        pooler(&mut facts).application_names = None;
        assert_eq!(findings(&facts), [], "unknown");
    }

    #[test]
    fn clients_that_differ_are_named() {
        let mut facts = facts();
        facts.targets.get_mut("pooler").unwrap().application_name = Some("poolbench".into());
        let found = findings(&facts);
        assert_eq!((found[0].name, found[0].level), ("application-names-differ", Level::Warning));
        assert!(found[0].seen.contains("\"nova\", \"poolbench\""), "{}", found[0].seen);
        pooler(&mut facts).pool_mode = Some("session".into());
        assert_eq!(findings(&facts), [], "a server connection stays with its client");
    }

    #[test]
    fn one_of_several_processes_does_not_speak_for_all() {
        let mut facts = facts();
        pooler(&mut facts).settings.insert("so_reuseport".into(), "1".into());
        let found = findings(&facts);
        assert_eq!((found[0].name, found[0].level), ("several-processes", Level::Warning));
        let says = |facts: &Facts, part: &str| findings(facts)[0].reason.contains(part);
        assert!(says(&facts, "its console answers for one") && says(&facts, "is lost"));
        facts.targets.get_mut("pooler").unwrap().consoles = 2;
        assert!(!says(&facts, "console") && says(&facts, "is lost"));
        pooler(&mut facts).settings.insert("peer_id".into(), "2".into());
        assert_eq!(findings(&facts), []);
    }

    #[test]
    fn a_leak_is_in_the_nature_of_some_pool_modes_and_a_mistake_in_another() {
        let mut facts = facts();
        let state =
            |what, is_broken| StateFacts { what, is_broken, is_shared: true, problem: None };
        let states = vec![state("SET", true), state("temporary tables", false)];
        facts.targets.get_mut("pooler").unwrap().isolation = Some(Ok(Isolation { states }));
        let found = findings(&facts);
        assert_eq!((found[0].name, found[0].level), ("isolation-broken", Level::Warning));
        assert!(found[0].seen.ends_with("finds: SET (pooler pools by transaction)"));
        pooler(&mut facts).pool_mode = Some("session".into());
        assert_eq!(findings(&facts)[0].level, Level::Problem);
        facts.targets.get_mut("pooler").unwrap().isolation = Some(Err("no".into()));
        assert_eq!(findings(&facts)[0].name, "isolation-not-tried");
    }
}
