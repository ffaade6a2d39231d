//! What a pooler's console shows once a second.

use std::collections::BTreeMap;

use super::dialect::Dialect;
use super::{FullPool, Pools, REMEDY, Totals, WHAT, settings, version};
use crate::observe::ObserveError;
use crate::observe::session::Session;
use crate::observe::table::{Row, number};

/// A pooler at one instant: all of its processes together. What its console does not show is
/// unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PoolerSample {
    pub(crate) pools: Option<Pools>,
    /// Those that have no connection left for the clients that wait.
    pub(crate) full: Vec<FullPool>,
    pub(crate) counters: Option<Totals>,
    /// How many clients, servers, and so on there are (PgBouncer manual, "SHOW LISTS").
    pub(crate) lists: BTreeMap<String, u64>,
    /// How many clients it takes.
    pub(crate) clients_max: Option<u64>,
}

/// A pooler's console, or those of several processes behind one port (so_reuseport), each by a
/// socket of its own.
pub(crate) struct PoolerSource {
    consoles: Vec<Console>,
}

struct Console {
    session: Session,
    /// Commands that it refused: it is not asked again.
    refused: Vec<&'static str>,
    settings: Row,
    version: Option<String>,
    dialect: Dialect,
}

impl PoolerSource {
    /// Nothing is opened yet.
    pub(crate) fn new(conninfos: &[String]) -> Result<Self, ObserveError> {
        let console = |conninfo: &String| {
            let session = Session::new(WHAT, conninfo, REMEDY)?;
            let (settings, dialect) = (Row::new(), Dialect::default());
            Ok(Console { session, refused: Vec::new(), settings, version: None, dialect })
        };
        Ok(Self { consoles: conninfos.iter().map(console).collect::<Result<_, _>>()? })
    }

    /// Looks once. Where one of several processes does not answer, the sum is unknown.
    pub(crate) async fn look(&mut self) -> Result<PoolerSample, ObserveError> {
        let mut all = Vec::with_capacity(self.consoles.len());
        for console in &mut self.consoles {
            all.push(console.look().await?);
        }
        Ok(PoolerSample::sum(all))
    }

    /// Its version, as it says it, once it was looked at.
    pub(crate) fn version(&self) -> Option<&str> {
        self.consoles.first()?.version.as_deref()
    }

    /// Whether its figures are those of one process out of several that share a port.
    pub(crate) fn is_one_of_several(&self) -> bool {
        let [console] = &self.consoles[..] else { return false };
        console.settings.get("so_reuseport").is_some_and(|on| on == "1")
    }
}

impl Console {
    async fn look(&mut self) -> Result<PoolerSample, ObserveError> {
        if self.session.open().await? {
            self.refused.clear();
            self.settings = settings(&self.show("SHOW CONFIG").await?);
            self.version = version(&self.show("SHOW VERSION").await?);
            self.dialect = self.version.as_deref().map(Dialect::of).unwrap_or_default();
        }
        let pools = self.show("SHOW POOLS").await?;
        let databases = self.show("SHOW DATABASES").await?;
        let counters = self.show("SHOW STATS").await?;
        // How many clients and servers there are; SHOW CLIENTS would be a row for each of them.
        let lists = self.show("SHOW LISTS").await?;
        Ok(PoolerSample {
            pools: (!pools.is_empty()).then(|| Pools::new(&pools)),
            full: FullPool::find(&pools, &databases),
            counters: (!counters.is_empty()).then(|| Totals::new(&counters)),
            lists: lists.iter().flat_map(lengths).collect(),
            clients_max: number(&self.settings, "max_client_conn"),
        })
    }

    /// The rows that a command gives; none where this console does not know it.
    async fn show(&mut self, command: &'static str) -> Result<Vec<Row>, ObserveError> {
        if self.refused.contains(&command) {
            return Ok(Vec::new());
        }
        let Some(tables) = self.session.ask(command).await? else {
            self.refused.push(command);
            return Ok(Vec::new());
        };
        let rows = tables.into_iter().next().unwrap_or_default();
        Ok(rows.into_iter().map(|row| self.dialect.translate(row)).collect())
    }
}

/// Lengths by their lists' names, from a row of SHOW LISTS: one in each, or all in one (PgDog).
fn lengths(row: &Row) -> Vec<(String, u64)> {
    match row.get("list") {
        Some(name) => {
            number(row, "items").map(|length| (name.clone(), length)).into_iter().collect()
        }
        None => row.keys().filter_map(|name| Some((name.clone(), number(row, name)?))).collect(),
    }
}

impl PoolerSample {
    /// Several processes together.
    fn sum(mut all: Vec<Self>) -> Self {
        if all.len() == 1
            && let Some(only) = all.pop()
        {
            return only;
        }
        let pools: Option<Vec<_>> = all.iter().map(|one| one.pools).collect();
        let counters: Option<Vec<_>> = all.iter().map(|one| one.counters.clone()).collect();
        let mut lists = BTreeMap::new();
        for (name, items) in all.iter().flat_map(|one| &one.lists) {
            *lists.entry(name.clone()).or_default() += items;
        }
        Self {
            pools: pools.map(|pools| Pools::sum(&pools)),
            full: all.iter().flat_map(|one| one.full.clone()).collect(),
            counters: counters.map(|counters| Totals::sum(&counters)),
            lists,
            clients_max: all.iter().map(|one| one.clients_max).sum(),
        }
    }
}
