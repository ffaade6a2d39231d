//! The pooler, which is asked between blocks what it has counted, and watched while they run.

use engine::driver::Clock;

use super::schedule::WATCH_INTERVAL;
use crate::arm::ArmKind;
use crate::observe::{Aside, Counters, ObserveError, ObserverThread, PoolLook, Poolers, Watch};
use crate::scenario::Scenario;

/// Its consoles, if all of its processes can be asked. What is not answered is missing, and disturbs
/// nothing.
pub(super) struct Beside {
    pooler: Option<Aside<Poolers>>,
    clock: Clock,
}

impl Beside {
    /// Opens what the scenario gives to look through.
    pub(super) fn open(
        thread: &ObserverThread,
        scenario: &Scenario,
        clock: Clock,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, ObserveError> {
        // All arms with a pooler go through one.
        let ways = ["pooler", "gateway"].map(ArmKind::of).into_iter();
        let opened = ways.map(|kind| Aside::<Poolers>::connect(thread, scenario, &kind));
        let opened = opened.filter_map(Result::transpose).next().transpose()?;
        let Some(mut pooler) = opened else { return Ok(Self { pooler: None, clock }) };
        if pooler.must_know(Poolers::is_one_of_several)? {
            say(
                "so_reuseport is on, and the console shows one pooler process of several: nothing is \
                 counted there (list the socket of each in `console`)",
            );
            return Ok(Self { pooler: None, clock });
        }
        Ok(Self { pooler: Some(pooler), clock })
    }

    /// Whether there is a console of the whole pooler.
    pub(super) fn has_pooler(&self) -> bool {
        self.pooler.is_some()
    }

    /// What the pooler has counted.
    pub(super) fn counters(&mut self) -> Option<Counters> {
        self.pooler.as_mut()?.ask(Poolers::counters)
    }

    /// Whether each transaction has a server connection assigned to it, in all pools.
    pub(super) fn assigns_by_transaction(&mut self) -> Option<bool> {
        self.pooler.as_mut()?.ask(Poolers::assign_by_transaction)
    }

    /// Watches the pooler's connections from now on.
    pub(super) fn watch(&mut self) -> Option<Watch<PoolLook>> {
        let clock = self.clock;
        self.pooler.as_mut()?.watch_pools(WATCH_INTERVAL, clock)
    }

    /// What was seen there.
    pub(super) fn seen(&mut self, watch: Option<Watch<PoolLook>>) -> Vec<PoolLook> {
        let pooler = self.pooler.as_mut().zip(watch);
        pooler.map(|(pooler, watch)| pooler.seen(watch)).unwrap_or_default()
    }

    /// What is missing, in a sentence.
    pub(super) fn gaps(&self) -> Option<String> {
        self.pooler.as_ref()?.gaps.told("beside the blocks")
    }
}
