//! Whether a pool's clients share its server connections.

use serde::{Deserialize, Serialize};

use super::Validity;
use crate::arm::Arm;
use crate::observe::{Observations, PoolerSample, Pools, Reading};

/// What a pooler had for an arm on average: the arm's own clients, and server connections.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sharing {
    pub(crate) clients: f64,
    pub(crate) servers: f64,
}

impl Sharing {
    /// Of the pooler on an arm's way, as its console showed it beside the load, if it did. Clients that
    /// are connected for another of these `arms`, or for somebody else, stand idle meanwhile, and share
    /// nothing.
    pub(crate) fn on_the_way(arm: &Arm, arms: &[Arm], observations: &Observations) -> Option<Self> {
        let pooler = arm.pooler.as_deref()?;
        let observed = observations.sources.iter().find(|observed| observed.name == pooler)?;
        // The first one is from before the load, which has yet to make the pool open its connections.
        let looks = match &observed.looks[..] {
            [_, later @ ..] if !later.is_empty() => later,
            only => only,
        };
        let looks = looks.iter().filter_map(|look| match &look.reading {
            Reading::Pooler(PoolerSample { pools, .. }) => *pools,
            _ => None,
        });
        Self::new(arm, arms, looks)
    }

    /// The same, as these looks at it show it.
    pub(crate) fn new(arm: &Arm, arms: &[Arm], looks: impl Iterator<Item = Pools>) -> Option<Self> {
        let known = looks.filter_map(|pools| Some((pools.clients()?, pools.servers()?)));
        let known: Vec<_> = known.map(|(all, servers)| (own(arm, arms, all), servers)).collect();
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

/// How many of all clients of a pooler are an arm's: ours, or those that are not ours, behind a gateway.
fn own(arm: &Arm, arms: &[Arm], all: u64) -> u64 {
    let is_direct = |arm: &Arm| arm.pooler.as_deref() == Some(&*arm.kind.target);
    if is_direct(arm) {
        return all.min(arm.connections.1.into());
    }
    let ours = arms.iter().filter(|other| other.pooler == arm.pooler && is_direct(other));
    all.saturating_sub(ours.map(|other| u64::from(other.connections.0)).sum())
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

    /// Arms by target, each with so many connections to it, and what is said of each where the pooler has
    /// 60 clients and so many server connections.
    fn judged(arms: &[(&str, u32)], pooler: &str, servers: Option<u64>) -> Vec<String> {
        let mut observed = Observed::new("bouncer", Subject::Pooler);
        let pools = Pools {
            cl_active: Some(55),
            cl_waiting: Some(5),
            sv_active: Some(1),
            sv_idle: servers.map(|servers| servers - 1),
            ..Pools::default()
        };
        let sample = PoolerSample { pools: Some(pools), ..PoolerSample::default() };
        let unused = PoolerSample {
            pools: Some(Pools { sv_active: Some(0), sv_idle: Some(0), ..pools }),
            ..PoolerSample::default()
        };
        let look = |(at_ns, sample)| Look { at_ns, reading: Reading::Pooler(sample) };
        observed.looks = [(0, unused), (1, sample)].map(look).into();
        let observations = Observations { sources: vec![observed], ..Observations::default() };
        let arm = |(target, connections): &(&str, u32)| {
            let mut arm = Arm::new(&ArmKind::of(target), None);
            (arm.pooler, arm.connections) = (Some(pooler.into()), (*connections, *connections));
            arm
        };
        let arms: Vec<_> = arms.iter().map(arm).collect();
        let mut validity = Validity::default();
        for arm in &arms {
            let sharing = Sharing::on_the_way(arm, &arms, &observations);
            sharing.into_iter().for_each(|sharing| validity.judge_sharing(&arm.label(), sharing));
        }
        validity.reasons
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_server_connection_for_each_client_is_no_multiplexing() {
        assert_eq!(
            judged(&[("bouncer", 60)], "bouncer", Some(60)),
            ["bouncer: 60 server connections for 60 clients: nothing is multiplexed; lower \
              default_pool_size, or have more clients"]
        );
        assert_eq!(judged(&[("bouncer", 60)], "bouncer", Some(20)), NONE);
        assert_eq!(judged(&[("bouncer", 1)], "bouncer", Some(20)), NONE, "nobody to share with");
        assert_eq!(judged(&[("bouncer", 60)], "bouncer", None), NONE, "unknown");
        assert_eq!(judged(&[("bouncer", 60)], "other", Some(60)), NONE, "not seen");
    }

    #[test]
    fn clients_that_stand_idle_share_nothing() {
        let others_are_connected = judged(&[("bouncer", 8)], "bouncer", Some(8));
        assert!(others_are_connected[0].starts_with("bouncer: 8 server connections for 8 clients"));
        // The gateway has 10 clients, and we have 50.
        let both = [("gateway", 4), ("bouncer", 50)];
        let told = judged(&both, "bouncer", Some(20));
        assert!(
            told[0].starts_with("gateway+pooler: 20 server connections for 10 clients"),
            "{told:?}"
        );
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(judged(&both[..1], "bouncer", Some(20)), NONE, "all of them are its");
        // Not yet open at the start, or not all of them ever.
        assert_eq!(judged(&[("bouncer", 1000)], "bouncer", Some(59)), NONE);
    }
}
