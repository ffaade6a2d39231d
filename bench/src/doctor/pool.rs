//! The pooler's pool: against what Postgres has room for, and against its clients.

use super::facts::{Facts, PoolerFacts, ServerFacts};
use super::{Finding, connections};
use crate::scenario::Scenario;

/// What is wrong with the size of the pool.
pub(super) fn findings(scenario: &Scenario, facts: &Facts) -> Vec<Finding> {
    let Some((name, pooler)) = facts.pooler() else { return Vec::new() };
    let mut findings = Vec::new();
    if let Some((_, server)) = facts.server() {
        findings.extend(over_max_connections(scenario, name, pooler, server));
    }
    let clients = clients(scenario, name, pooler);
    findings.extend(session_pool(name, pooler, clients));
    if findings.iter().all(|finding| finding.name != "session-pool") {
        findings.extend(nothing_multiplexed(name, pooler, clients));
    }
    findings
}

/// The clients that will ask at once through the pool: users that are on it themselves, and
/// those behind a gateway, of whom no more can ask than the gateway has connections.
fn clients(scenario: &Scenario, name: &str, pooler: &PoolerFacts) -> Option<u64> {
    let own = connections(scenario, name);
    let is_pooled = |other: &&String| {
        let backends = |target: &str| scenario.targets.get(target)?.backends.as_deref();
        let gateway = scenario.targets.get(*other).is_some_and(|target| target.url.is_some());
        gateway && backends(other).is_some() && backends(other) == backends(name)
    };
    let gateways = scenario.targets.keys().filter(is_pooled);
    let behind: u64 = gateways.map(|gateway| connections(scenario, gateway)).sum();
    let clients = match behind {
        0 => own,
        behind => own + behind.min(pooler.clients?),
    };
    (clients > 0).then_some(clients)
}

fn over_max_connections(
    scenario: &Scenario,
    name: &str,
    pooler: &PoolerFacts,
    server: &ServerFacts,
) -> Option<Finding> {
    let (pool, max) = (pooler.pool_size? + pooler.reserve.unwrap_or(0), server.connections_max()?);
    let own = scenario.targets.get(name).and_then(|target| target.backends.as_deref());
    let others = server.backends.as_ref().zip(own).map_or(0, |(all, own)| {
        all.iter().filter(|(name, _)| *name != own).map(|(_, (count, _))| count).sum()
    });
    let reason = "once the pool is full, Postgres refuses further connections: \"too many clients \
                  already\", and the pooler's clients wait or fail";
    let room = max.saturating_sub(others);
    let remedy = format!("lower default_pool_size to {room} at most, or raise max_connections");
    if pool > max {
        let seen = format!(
            "the pool of {name} may grow to {pool} connections, and Postgres has {max} for users \
             who are no superusers"
        );
        return Some(Finding::problem("pool-over-max-connections", seen, reason, remedy));
    }
    (pool > room).then(|| {
        let seen = format!(
            "the pool of {name} may grow to {pool} connections, {others} backends of others are \
             there, and Postgres has {max} for users who are no superusers"
        );
        Finding::warning("pool-over-max-connections", seen, reason, remedy)
    })
}

fn nothing_multiplexed(name: &str, pooler: &PoolerFacts, clients: Option<u64>) -> Option<Finding> {
    let (pool, clients) = (pooler.pool_size?, clients?);
    (pool >= clients).then(|| {
        Finding::warning(
            "nothing-multiplexed",
            format!("the pool of {name} has {pool} connections for {clients} clients"),
            "each client can have a server connection of its own: nothing is multiplexed, and the \
             run does not show what the pool is for",
            format!(
                "lower default_pool_size well below {clients} (a fifth is {}), or raise the VUs",
                (clients / 5).max(1)
            ),
        )
    })
}

fn session_pool(name: &str, pooler: &PoolerFacts, clients: Option<u64>) -> Option<Finding> {
    let (pool, clients) = (pooler.pool_size?, clients?);
    (pooler.pool_mode.as_deref() == Some("session") && clients > pool).then(|| {
        Finding::problem(
            "session-pool",
            format!("{name} pools by session: {pool} connections for {clients} clients"),
            format!(
                "a client keeps its server connection until it disconnects, and users stay: {} of \
                 them wait for the whole run",
                clients - pool
            ),
            format!("set pool_mode = transaction, or default_pool_size to {clients}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::examples::{closed, facts, pooler, scenario, server};
    use super::*;

    fn on(target: &str, vus: u32, facts: &Facts) -> Vec<Finding> {
        let mut load = closed(vus, (0, 0));
        load.target = Some(target.into());
        findings(&scenario(vec![load]), facts)
    }

    #[test]
    fn a_pool_of_twenty_five_for_fifty_clients_is_well() {
        assert_eq!(on("pooler", 50, &facts()), []);
        assert_eq!(on("gateway", 50, &facts()), []);
        assert_eq!(on("gateway-direct", 5, &facts()), [], "it goes around the pool");
    }

    #[test]
    fn a_pool_larger_than_what_postgres_has_is_a_problem() {
        let mut facts = facts();
        pooler(&mut facts).pool_size = Some(190);
        pooler(&mut facts).reserve = Some(7);
        // 200 less 3 reserved are 197; 5 of the 30 backends are not the pool's.
        let finding = on("pooler", 500, &facts).remove(0);
        assert_eq!((finding.name, finding.level), ("pool-over-max-connections", Level::Warning));
        assert!(finding.seen.contains("grow to 197 connections, 5 backends"), "{}", finding.seen);
        assert!(finding.remedy.contains("to 192 at most"), "{}", finding.remedy);
        pooler(&mut facts).reserve = Some(8);
        let finding = on("pooler", 500, &facts).remove(0);
        assert_eq!(finding.level, Level::Problem);
        assert!(finding.seen.contains("198 connections, and Postgres has 197"), "{}", finding.seen);
        pooler(&mut facts).reserve = Some(2);
        assert_eq!(on("pooler", 500, &facts), []);
        server(&mut facts).settings.clear();
        pooler(&mut facts).pool_size = Some(400);
        assert_eq!(on("pooler", 500, &facts), []);
    }

    #[test]
    fn a_pool_as_large_as_its_clients_multiplexes_nothing() {
        let mut facts = facts();
        pooler(&mut facts).pool_size = Some(100);
        let finding = on("pooler", 100, &facts).remove(0);
        assert_eq!((finding.name, finding.level), ("nothing-multiplexed", Level::Warning));
        assert!(finding.seen.contains("100 connections for 100 clients"), "{}", finding.seen);
        assert!(finding.remedy.contains("a fifth is 20"), "{}", finding.remedy);
        assert_eq!(on("pooler", 101, &facts), []);
        // A gateway asks with no more than its own connections, 50 here.
        assert!(on("gateway", 500, &facts)[0].seen.contains("100 connections for 50 clients"));
        pooler(&mut facts).clients = None;
        assert_eq!(on("gateway", 500, &facts), []);
    }

    #[test]
    fn a_session_pool_smaller_than_its_clients_lets_the_rest_wait() {
        let mut facts = facts();
        pooler(&mut facts).pool_mode = Some("session".into());
        pooler(&mut facts).pool_size = Some(2);
        let found = on("pooler", 8, &facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].name, found[0].level), ("session-pool", Level::Problem));
        assert!(found[0].reason.contains("6 of them wait"), "{}", found[0].reason);
        assert_eq!(on("pooler", 2, &facts)[0].name, "nothing-multiplexed");
    }

    #[test]
    fn without_a_console_nothing_is_found() {
        let mut facts = facts();
        facts.targets.get_mut("pooler").unwrap().pooler = Some(Err("no".into()));
        assert_eq!(on("pooler", 1, &facts), []);
    }
}
