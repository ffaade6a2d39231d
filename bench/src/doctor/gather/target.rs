//! The targets: whether they can be reached, what listens there, and what their servers say.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockAddr;

use super::super::facts::{Isolation, PoolerFacts, Process, ServerFacts, TargetFacts};
use super::{isolation, listener};
use crate::address;
use crate::conninfo::Conninfo;
use crate::observe::{ObserveError, Pooler, Row, Server, pool_mode};
use crate::scenario::{Endpoint, Scenario, TargetFile};

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What can be seen of each.
pub(super) fn look(scenario: &Scenario) -> BTreeMap<String, TargetFacts> {
    // What a pid is worth is the run's business; here, no pid is no process to look at.
    let processes = scenario.processes().unwrap_or_default();
    let look = |(name, target): (&String, &TargetFile)| {
        let mut facts = one(target);
        if let Some(process) =
            processes.get(name).and_then(|family| listener::by_pid(*family.leaders().first()?))
        {
            facts.listener = Some(process);
        }
        (name.clone(), facts)
    };
    scenario.targets.iter().map(look).collect()
}

fn one(target: &TargetFile) -> TargetFacts {
    let mut facts = TargetFacts::default();
    let address = match (&target.url, &target.conninfo) {
        (Some(url), _) => {
            facts.place = url.clone();
            endpoint(url)
        }
        (None, conninfo) => {
            let conninfo = Conninfo::parse(conninfo.as_deref().unwrap_or_default());
            let conninfo = conninfo.map_err(|error| error.to_string());
            if let Ok(conninfo) = &conninfo {
                facts.place = conninfo.place();
                facts.application_name = Some(conninfo.application_name().to_owned());
            }
            let reached = conninfo.and_then(|one| one.reached().map_err(|error| error.to_string()));
            reached.and_then(|one| one.address().map_err(|error| error.to_string()))
        }
    };
    let reached = address.and_then(|address| match address.as_socket() {
        Some(address) => reach(address).map(Some),
        // A Unix socket: the login will tell.
        None => Ok(None),
    });
    facts.reached = Some(reached.clone().map(|_| ()));
    let Ok(reached) = reached else { return facts };
    facts.listener = reached.flatten();
    let Some(conninfo) = &target.conninfo else { return facts };
    facts.consoles = target.consoles.len();
    match target.consoles.first() {
        Some(console) => {
            let asked = pooler(console, conninfo).map_err(|error| error.to_string());
            facts.pooler = Some(asked);
        }
        None => {
            let observer = target.observer.as_ref().unwrap_or(conninfo);
            facts.server = Some(server(observer).map_err(|error| error.to_string()));
        }
    }
    facts
}

/// Tries whether sessions leak from client to client, where statements are taken and a connection can
/// be had.
pub(super) fn isolation(
    target: &TargetFile,
    facts: &TargetFacts,
) -> Option<Result<Isolation, String>> {
    let conninfo = target.conninfo.as_deref().filter(|_| facts.reached == Some(Ok(())))?;
    let pooler = facts.pooler.as_ref().and_then(|pooler| pooler.as_ref().ok());
    Some(isolation::probe(conninfo, pooler.and_then(|pooler| pooler.pool_mode.as_deref())))
}

/// Connects once, and sees what listens there where that is on this machine.
fn reach(address: SocketAddr) -> Result<Option<Process>, String> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT);
    stream.map_err(|error| error.to_string())?;
    Ok(listener::listener(address))
}

fn pooler(console: &str, conninfo: &str) -> Result<PoolerFacts, ObserveError> {
    let conninfo = Conninfo::parse(conninfo).ok();
    Pooler::connect(console)?.ask(async |pooler| {
        Ok(describe(
            pooler.settings().await?.unwrap_or_default(),
            &pooler.table("SHOW DATABASES").await?,
            &pooler.pool_rows().await?,
            &pooler.table("SHOW CLIENTS").await?,
            conninfo.as_ref().map(Conninfo::database),
        ))
    })
}

fn describe(
    settings: BTreeMap<String, String>,
    databases: &[Row],
    pools: &[Row],
    clients: &[Row],
    database: Option<&str>,
) -> PoolerFacts {
    let number = |row: &Row, name: &str| row.get(name)?.parse::<u64>().ok();
    let setting = |name: &str| settings.get(name)?.parse::<u64>().ok();
    // An entry for all databases, `*`, shows each under its own name once it was asked for.
    let row = databases.iter().find(|row| row.get("name").map(String::as_str) == database);
    let of_row = |name| row.and_then(|row| number(row, name));
    // 0 is no limit.
    let max = of_row("max_connections").or_else(|| setting("max_db_connections"));
    let max = max.filter(|max| *max > 0).unwrap_or(u64::MAX);
    let size = of_row("pool_size").or_else(|| setting("default_pool_size"));
    let reserve = of_row("reserve_pool_size").or_else(|| of_row("reserve_pool"));
    let reserve = reserve.or_else(|| setting("reserve_pool_size"));
    let own = clients.iter().filter(|row| row.get("database").map(String::as_str) == database);
    // Not every version shows the name; a client may have none.
    let application_names = own.map(|row| row.get("application_name").cloned()).collect();
    let clients = |of: &dyn Fn(Option<&str>) -> bool| {
        let rows = pools.iter().filter(|row| of(row.get("database").map(String::as_str)));
        rows.map(|row| Some(number(row, "cl_active")? + number(row, "cl_waiting")?)).sum()
    };
    PoolerFacts {
        pool_size: size.map(|size| size.min(max)),
        reserve: size.and_then(|size| Some(reserve?.min(max.saturating_sub(size.min(max))))),
        pool_mode: pool_mode(row, &settings),
        clients: clients(&|name| name == database),
        clients_in_all: clients(&|name| name != Some("pgbouncer")),
        application_names,
        settings,
    }
}

fn server(conninfo: &str) -> Result<ServerFacts, ObserveError> {
    let mut server = Server::connect(conninfo)?;
    Ok(ServerFacts { settings: server.settings()?, backends: server.encrypted().ok().flatten() })
}

/// Where a URL leads.
fn endpoint(url: &str) -> Result<SockAddr, String> {
    let endpoint = Endpoint::parse(url)?;
    address::reach(&endpoint.host, endpoint.port, CONNECT_TIMEOUT)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, &str)]) -> Row {
        cells.iter().map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned())).collect()
    }

    #[test]
    fn a_pool_is_described_by_its_database_then_by_the_settings() {
        let settings = || {
            row(&[
                ("default_pool_size", "20"),
                ("max_db_connections", "0"),
                ("reserve_pool_size", "3"),
                ("pool_mode", "session"),
            ])
        };
        let databases = [
            row(&[("name", "pgbouncer"), ("pool_size", "2"), ("pool_mode", "statement")]),
            row(&[
                ("name", "nova"),
                ("pool_size", "60"),
                ("reserve_pool", "5"),
                ("max_connections", "50"),
                ("pool_mode", "transaction"),
            ]),
        ];
        let pools = [
            row(&[("database", "nova"), ("cl_active", "40"), ("cl_waiting", "2")]),
            row(&[("database", "nova"), ("cl_active", "8"), ("cl_waiting", "0")]),
            row(&[("database", "other"), ("cl_active", "5"), ("cl_waiting", "0")]),
            row(&[("database", "pgbouncer"), ("cl_active", "1"), ("cl_waiting", "0")]),
        ];
        let client =
            |database: &str, name: &str| row(&[("database", database), ("application_name", name)]);
        let clients = [
            client("nova", "nova"),
            client("nova", "psql"),
            client("nova", "nova"),
            client("pgbouncer", "doctor"),
        ];
        let nova = describe(settings(), &databases, &pools, &clients, Some("nova"));
        assert_eq!(nova.application_names, Some(["nova", "psql"].map(str::to_owned).into()));
        assert_eq!((nova.pool_size, nova.reserve), (Some(50), Some(0)), "max_connections holds");
        assert_eq!(nova.pool_mode.as_deref(), Some("transaction"));
        assert_eq!((nova.clients, nova.clients_in_all), (Some(50), Some(55)));
        let other = describe(settings(), &databases, &pools, &[], Some("unlisted"));
        assert_eq!((other.pool_size, other.reserve), (Some(20), Some(3)));
        assert_eq!((other.pool_mode.as_deref(), other.clients), (Some("session"), Some(0)));
    }

    #[test]
    fn what_a_console_does_not_show_is_unknown() {
        let pools = [row(&[("database", "nova"), ("cl_active", "40")])];
        let clients = [row(&[("database", "nova")])];
        let facts = describe(Row::new(), &[], &pools, &clients, Some("nova"));
        assert_eq!(facts.application_names, None);
        assert_eq!((facts.pool_size, facts.reserve, facts.clients), (None, None, None));
        assert_eq!(facts.pool_mode, None);
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_not_reached() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(reach(address).unwrap().is_some());
        drop(listener);
        assert!(reach(address).unwrap_err().contains("refused"));
    }
}
