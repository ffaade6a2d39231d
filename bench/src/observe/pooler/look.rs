//! A pooler's consoles, looked at beside a load.

use std::ops::Range;
use std::time::Duration;

use engine::Nanos;
use engine::driver::Clock;

use super::{Poolers, Pools, WHAT};
use crate::arm::ArmKind;
use crate::observe::{Aside, ObserveError, ObserverThread, Watch};
use crate::scenario::Scenario;

/// A pooler's connections at one instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLook {
    /// On the workers' clock.
    pub(crate) at_ns: Nanos,
    pub(crate) pools: Pools,
}

impl PoolLook {
    /// The last of them in a stretch of time, if there is one.
    pub(crate) fn last_within(looks: &[Self], times: Range<Nanos>) -> Option<Pools> {
        let mut within = looks.iter().filter(|look| times.contains(&look.at_ns));
        within.next_back().map(|look| look.pools)
    }
}

impl Aside<Poolers> {
    /// Logs in to the pooler on the way of an arm; nothing where the scenario gives no console of it.
    pub(crate) fn connect(
        thread: &ObserverThread,
        scenario: &Scenario,
        kind: &ArmKind,
    ) -> Result<Option<Self>, ObserveError> {
        let Some(consoles) = Poolers::consoles(scenario, kind) else { return Ok(None) };
        let mut aside = Self::of(thread, consoles.to_vec());
        aside.must_know(async |_| Ok(()))?;
        Ok(Some(aside))
    }

    /// To these consoles, which are opened with the first question.
    pub(crate) fn of(thread: &ObserverThread, consoles: Vec<String>) -> Self {
        let open = move || {
            let consoles = consoles.clone();
            async move { Poolers::open(&consoles).await }
        };
        Self::start(thread, WHAT, open)
    }

    /// Watches the pooler's connections from now on.
    pub(crate) fn watch_pools(&mut self, every: Duration, clock: Clock) -> Option<Watch<PoolLook>> {
        self.watch(every, async move |poolers: &mut Poolers| {
            let pools = poolers.pools().await?;
            Ok(PoolLook { at_ns: clock.now(), pools })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_of_the_stretch_of_time_that_it_falls_into() {
        let look = |(at_ns, waiting)| PoolLook {
            at_ns,
            pools: Pools { cl_waiting: Some(waiting), ..Pools::default() },
        };
        let looks = [(10, 1), (15, 2), (20, 3)].map(look);
        let waiting = |times| PoolLook::last_within(&looks, times)?.cl_waiting;
        assert_eq!([10..20, 20..30, 30..40].map(waiting), [Some(2), Some(3), None]);
    }
}
