//! Whether a pool's clients share its server connections.

use serde::{Deserialize, Serialize};

use super::Validity;
use crate::arm::Arm;
use crate::observe::{Observations, PoolerSample, Pools, Reading};

/// What a pooler had on average: clients, and server connections.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sharing {
    pub(crate) clients: f64,
    pub(crate) servers: f64,
}

impl Sharing {
    /// Of a way to the pooler itself, or through a gateway to it.
    pub(crate) fn on_the_way(arm: &Arm, observations: &Observations) -> Option<Self> {
        let target = if arm.kind.has("pooler") { "pooler" } else { &*arm.kind.target };
        Self::new(target, observations)
    }

    /// As the console of a target showed it, if it did.
    fn new(target: &str, observations: &Observations) -> Option<Self> {
        let observed = observations.sources.iter().find(|observed| observed.name == target)?;
        let looks = observed.looks.iter().filter_map(|look| match &look.reading {
            Reading::Pooler(PoolerSample { pools, .. }) => *pools,
            _ => None,
        });
        let known = looks.filter_map(|pools: Pools| Some((pools.clients()?, pools.servers()?)));
        let known: Vec<_> = known.collect();
        let mean = |figure: fn(&(u64, u64)) -> u64| {
            known.iter().map(figure).sum::<u64>() as f64 / known.len() as f64
        };
        (!known.is_empty()).then(|| Self { clients: mean(|one| one.0), servers: mean(|one| one.1) })
    }

    /// Whether several clients had a server connection each.
    fn is_none(self) -> bool {
        self.clients >= 2.0 && self.servers >= self.clients
    }
}

impl Validity {
    /// Whether the clients of an arm's pooler had fewer server connections than they are.
    pub(crate) fn judge_sharing(&mut self, arm: &str, sharing: Sharing) {
        if sharing.is_none() {
            self.suspect(format!(
                "{arm}: {:.0} server connections for {:.0} clients: nothing is multiplexed; lower \
                 default_pool_size, or have more clients",
                sharing.servers, sharing.clients
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ArmKind;
    use crate::observe::{Look, Observed, Subject};

    fn judged(target: &str, cl_active: u64, servers: Option<u64>) -> Vec<String> {
        let mut observed = Observed::new("pooler", Subject::Pooler);
        let pools = Pools {
            cl_active: Some(cl_active),
            cl_waiting: Some(0),
            sv_active: Some(1),
            sv_idle: servers.map(|servers| servers - 1),
            ..Pools::default()
        };
        let sample = PoolerSample { pools: Some(pools), ..PoolerSample::default() };
        observed.looks = vec![Look { at_ns: 0, reading: Reading::Pooler(sample) }];
        let observations = Observations { sources: vec![observed], ..Observations::default() };
        let mut validity = Validity::default();
        let arm = Arm::new(&ArmKind::of(target), None);
        let sharing = Sharing::on_the_way(&arm, &observations);
        sharing.into_iter().for_each(|sharing| validity.judge_sharing(&arm.label(), sharing));
        validity.reasons
    }

    #[test]
    fn a_server_connection_for_each_client_is_no_multiplexing() {
        assert_eq!(
            judged("pooler", 10, Some(20)),
            ["pooler: 20 server connections for 10 clients: nothing is multiplexed; lower \
              default_pool_size, or have more clients"]
        );
        assert_eq!(judged("gateway", 10, Some(20)).len(), 1, "by way of the gateway");
        assert_eq!(judged("pooler", 40, Some(20)), [] as [&str; 0]);
        assert_eq!(judged("pooler", 1, Some(20)), [] as [&str; 0], "one has nobody to share with");
        assert_eq!(judged("pooler", 10, None), [] as [&str; 0], "unknown");
        assert_eq!(judged("postgres", 10, Some(20)), [] as [&str; 0], "not on the way");
    }
}
