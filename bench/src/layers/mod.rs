//! What each layer costs: the same load on four arms, in short blocks side by side.

mod cost;
mod summary;
mod table;

use engine::{Gaps, Load, MILLISECOND, Nanos, Random, Stream};

pub(crate) use self::summary::Summary;
pub(crate) use self::table::text;
use crate::arm::{ARMS, ArmKind, Block};
use crate::check::Checks;
use crate::generator::GeneratorOptions;
use crate::interrupt;
use crate::observe::{self, CpuSample, ObserveError, Pooler, Server};
use crate::rig::{Rig, RigError};
use crate::scenario::{Processes, Scenario};

/// How the comparison is run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Arrivals a second in each block.
    pub(crate) rate: f64,
    pub(crate) gaps: Gaps,
    /// Of all blocks together, in ns.
    pub(crate) duration_ns: Nanos,
    /// Of one block, in ns.
    pub(crate) block_ns: Nanos,
    /// To each target.
    pub(crate) connections: u32,
    pub(crate) generator: GeneratorOptions,
    pub(crate) seed: u64,
}

/// The pause between blocks that sampling takes, about; it only decides how many blocks fit.
const PAUSE_NS: Nanos = 15 * MILLISECOND;
/// Before the first round, on each arm; not counted.
const WARM_UP_NS: Nanos = 500 * MILLISECOND;
impl Plan {
    /// How many times each arm has its turn.
    pub(crate) fn rounds(&self, arms: usize) -> u64 {
        let round_ns = arms as u64 * (self.block_ns + PAUSE_NS);
        (self.duration_ns / round_ns).max(2)
    }
}

/// Runs the comparison; `say` gets a line of progress now and then.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    say: &mut dyn FnMut(&str),
) -> Result<Summary, RigError> {
    Experiment::prepare(scenario, plan, say)?.measure(say)
}

/// Everything that is open during the comparison.
struct Experiment<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    rig: Rig,
    processes: Processes,
    server: Option<Server>,
    /// Its processes, if all of them can be asked.
    poolers: Vec<Pooler>,
}

impl<'a> Experiment<'a> {
    fn prepare(
        scenario: &'a Scenario,
        plan: &'a Plan,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, RigError> {
        let has_target = |kind: &ArmKind| scenario.targets.contains_key(&*kind.target);
        let kinds: Vec<_> = ARMS.into_iter().filter(has_target).collect();
        if kinds.len() < 2 {
            let names = ARMS.map(|kind| kind.target);
            return Err(RigError::Target(format!(
                "a comparison needs at least two of the targets {}; the scenario file has {}",
                names.join(", "),
                kinds.len()
            )));
        }
        let processes = scenario.processes()?;
        for (target, pid) in &processes {
            if CpuSample::read(*pid).is_empty() {
                let (target, pid) = (target.clone(), *pid);
                return Err(ObserveError::Process { target, pid }.into());
            }
        }
        let connections = vec![(plan.connections, plan.connections); kinds.len()];
        // A comparison has no checks: what they cost would be in it.
        let checks = Checks::default();
        let rig = Rig::open(scenario, &kinds, &connections, &plan.generator, &checks, say)?;
        let (mut poolers, server) = observe::connect(scenario)?;
        if let [pooler] = &mut poolers[..]
            && pooler.shares_port()?
        {
            say(
                "so_reuseport is on, and the console shows one pooler process of several: nothing \
                 is counted there (list the socket of each in `console`)",
            );
            poolers.clear();
        }
        Ok(Self { scenario, plan, rig, processes, server, poolers })
    }

    fn measure(mut self, say: &mut dyn FnMut(&str)) -> Result<Summary, RigError> {
        let queries_before = self.pooler_queries()?;
        self.warm_up(say)?;
        let rounds = self.plan.rounds(self.rig.arms.len());
        say(&format!(
            "measuring: {} arms, {rounds} blocks of {} ms each, {} requests a second",
            self.rig.arms.len(),
            self.plan.block_ns / MILLISECOND,
            self.plan.rate
        ));
        let started = std::time::SystemTime::now();
        let start = self.rig.fleet.clock().now();
        for round in 0..rounds {
            for arm in shuffled(self.rig.arms.len(), self.plan.seed, round) {
                self.block(arm, round)?;
            }
        }
        interrupt::check()?;
        let duration_ns = self.rig.fleet.clock().now() - start;
        let queries = self.pooler_queries()?.zip(queries_before);
        let queries = queries.map(|(after, before)| after - before);
        self.summary(started, duration_ns, queries)
    }

    /// Of all processes together.
    fn pooler_queries(&mut self) -> Result<Option<u64>, ObserveError> {
        let each: Vec<_> =
            self.poolers.iter_mut().map(Pooler::queries).collect::<Result<_, _>>()?;
        Ok((!each.is_empty()).then(|| each.iter().sum()))
    }

    fn warm_up(&mut self, say: &mut dyn FnMut(&str)) -> Result<(), RigError> {
        say("warming up");
        for arm in 0..self.rig.arms.len() {
            let stream = self.stream(arm, WARM_UP_NS, u64::MAX);
            self.rig.warm_up(stream)?;
        }
        Ok(())
    }

    fn block(&mut self, arm: usize, round: u64) -> Result<(), RigError> {
        let before = self.cpu();
        let stream = self.stream(arm, self.plan.block_ns, round);
        let report = self.rig.phase(vec![stream])?;
        let used = self.cpu_since(&before);
        let backends = self.server.as_mut().map(Server::backends).transpose()?;
        let block = Block::new(report, self.plan.block_ns, used);
        self.rig.arms[arm].push(block);
        self.rig.arms[arm].saw(backends.as_ref());
        Ok(())
    }

    /// A block's load on one arm.
    fn stream(&self, arm: usize, duration_ns: Nanos, round: u64) -> Stream {
        let Plan { rate, gaps, connections, .. } = *self.plan;
        let load = Load::ConstantArrivalRate {
            rate,
            gaps,
            duration_ns,
            pre_allocated_vus: connections,
            max_vus: connections,
        };
        self.rig.stream(arm, load, (0, 0), self.seed(round))
    }

    /// A block's requests and arrivals depend on its round alone: they are the same in each arm.
    fn seed(&self, round: u64) -> u64 {
        Random::new(self.plan.seed, round).draw()
    }

    fn cpu(&self) -> Vec<(String, CpuSample)> {
        let processes = self.processes.iter();
        processes.map(|(target, pid)| (target.clone(), CpuSample::read(*pid))).collect()
    }

    fn cpu_since(&self, before: &[(String, CpuSample)]) -> Vec<(String, u64)> {
        let after = self.cpu();
        let pairs = after.into_iter().zip(before);
        pairs.map(|((target, after), (_, before))| (target, after.since(before))).collect()
    }
}

/// The arms in an order of their own for each round (Fisher and Yates).
fn shuffled(arms: usize, seed: u64, round: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..arms).collect();
    let mut random = Random::new(!seed, round);
    for last in (1..arms).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_every_arm_once_and_orders_differ() {
        let orders: Vec<_> = (0..50).map(|round| shuffled(4, 1, round)).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
        }
        let first = |arm| orders.iter().filter(|order| order[0] == arm).count();
        assert!((0..4).all(|arm| first(arm) >= 5), "each arm is first now and then");
    }

    #[test]
    fn thirty_seconds_hold_at_least_twenty_blocks_an_arm() {
        let plan = Plan {
            rate: 2000.0,
            gaps: Gaps::Poisson,
            duration_ns: 30 * engine::SECOND,
            block_ns: 300 * MILLISECOND,
            connections: 50,
            generator: GeneratorOptions::default(),
            seed: 1,
        };
        assert!(plan.rounds(4) >= 20, "{}", plan.rounds(4));
    }
}
