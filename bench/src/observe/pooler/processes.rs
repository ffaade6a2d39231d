//! The processes of one pooler behind one port (PgBouncer manual, "so_reuseport").

use super::{ClientTls, Counters, Pooler, Pools};
use crate::arm::ArmKind;
use crate::observe::ObserveError;
use crate::scenario::Scenario;

/// A connection to the console of each of a pooler's processes; there is one at least.
pub(crate) struct Poolers(Vec<Pooler>);

impl Poolers {
    /// The consoles of the pooler on the way of an arm, if the scenario has one.
    pub(crate) fn consoles<'a>(scenario: &'a Scenario, kind: &ArmKind) -> Option<&'a [String]> {
        Some(&scenario.targets.get(kind.pooler(scenario)?)?.consoles)
    }

    /// Logs in to the console of each process; there is one at least.
    pub(crate) fn open(consoles: &[String]) -> Result<Self, ObserveError> {
        let each = consoles.iter().map(|console| Pooler::connect(console));
        Ok(Self(each.collect::<Result<_, _>>()?))
    }

    /// Whether others share the port of the only one that is known: what that one shows is not all.
    pub(crate) fn is_one_of_several(&mut self) -> Result<bool, ObserveError> {
        match &mut self.0[..] {
            [pooler] => pooler.shares_port(),
            _ => Ok(false),
        }
    }

    /// What each of them has counted.
    pub(crate) fn counters(&mut self) -> Result<Counters, ObserveError> {
        let each = self.0.iter_mut().map(Pooler::totals).collect::<Result<_, _>>()?;
        Ok(Counters::of_each(each))
    }

    /// Their connections at this instant, together.
    pub(crate) fn pools(&mut self) -> Result<Pools, ObserveError> {
        let each = self.0.iter_mut().map(Pooler::pools).collect::<Result<Vec<_>, _>>()?;
        Ok(Pools::sum(&each))
    }

    /// Whether each transaction has a server connection assigned to it, in all of them.
    pub(crate) fn assign_by_transaction(&mut self) -> Result<bool, ObserveError> {
        let mut each = self.0.iter_mut().map(Pooler::assigns_by_transaction);
        each.try_fold(true, |all, one| Ok(all && one?))
    }

    /// What secures the clients of a database now, together; `None` where a console does not show it.
    pub(crate) fn client_tls(&mut self, database: &str) -> Result<Option<ClientTls>, ObserveError> {
        let mut all = ClientTls::new();
        for pooler in &mut self.0 {
            let Some(own) = pooler.client_tls(database)? else { return Ok(None) };
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
