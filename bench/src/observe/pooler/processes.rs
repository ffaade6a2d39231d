//! The processes of one pooler behind one port (PgBouncer manual, "so_reuseport").

use super::{ClientTls, Counters, Pooler, Pools};
use crate::arm::ArmKind;
use crate::observe::{Login, ObserveError};
use crate::scenario::Scenario;

/// A connection to the console of each of a pooler's processes; there is one at least.
pub(crate) struct Poolers(Vec<Pooler>);

impl Poolers {
    /// The consoles of the pooler on the way of an arm, if the scenario has one.
    pub(crate) fn consoles<'a>(scenario: &'a Scenario, kind: &ArmKind) -> Option<&'a [String]> {
        Some(&scenario.targets.get(kind.pooler(scenario)?)?.consoles)
    }

    /// Logs in to the console of each process; there is one at least.
    pub(crate) async fn open(consoles: &[String]) -> Result<Self, ObserveError> {
        let mut all = Vec::with_capacity(consoles.len());
        for console in consoles {
            all.push(Pooler::open(console).await?);
        }
        Ok(Self(all))
    }

    /// The same, for whoever waits for answers himself.
    pub(crate) fn connect(consoles: &[String]) -> Result<Login<Self>, ObserveError> {
        Login::open(async || Self::open(consoles).await)
    }

    /// Whether others share the port of the only one that is known: what that one shows is not all.
    pub(crate) async fn is_one_of_several(&mut self) -> Result<bool, ObserveError> {
        match &mut self.0[..] {
            [pooler] => pooler.shares_port().await,
            _ => Ok(false),
        }
    }

    /// What each of them has counted.
    pub(crate) async fn counters(&mut self) -> Result<Counters, ObserveError> {
        let mut each = Vec::with_capacity(self.0.len());
        for pooler in &mut self.0 {
            each.push(pooler.totals().await?);
        }
        Ok(Counters::of_each(each))
    }

    /// Their connections at this instant, together.
    pub(crate) async fn pools(&mut self) -> Result<Pools, ObserveError> {
        let mut each = Vec::with_capacity(self.0.len());
        for pooler in &mut self.0 {
            each.push(pooler.pools().await?);
        }
        Ok(Pools::sum(&each))
    }

    /// Whether each transaction has a server connection assigned to it, in all of them.
    pub(crate) async fn assign_by_transaction(&mut self) -> Result<bool, ObserveError> {
        for pooler in &mut self.0 {
            if !pooler.assigns_by_transaction().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What secures the clients of a database now, together; `None` where a console does not show it.
    pub(crate) async fn client_tls(
        &mut self,
        database: &str,
    ) -> Result<Option<ClientTls>, ObserveError> {
        let mut all = ClientTls::new();
        for pooler in &mut self.0 {
            let Some(own) = pooler.client_tls(database).await? else { return Ok(None) };
            for (name, kinds) in own {
                let of_name = all.entry(name).or_default();
                kinds
                    .into_iter()
                    .for_each(|(kind, count)| *of_name.entry(kind).or_default() += count);
            }
        }
        Ok(Some(all))
    }
}
