//! Everything that is open during the comparison, and what is done with it.

use std::time::SystemTime;

use engine::{MILLISECOND, Nanos};
use serde::Serialize;

use super::accounting::Assignments;
use super::amplification::Amplification;
use super::arms::{self, Pair};
use super::hops::{Hop, Places, hops};
use super::level::{Level, PoolBlock};
use super::schedule::{self, Turn, is_observed, is_watched};
use super::watcher::Watcher;
use super::{Plan, Summary, cost};
use crate::arm::{Block, differing_names};
use crate::check::Checks;
use crate::interrupt;
use crate::observe::{
    self, CpuMeter, Observations, ObserveError, Observer, Poolers, Server, Sockets, Source, Totals,
};
use crate::rig::{Rig, RigError};
use crate::scenario::{Processes, Scenario};
use crate::series::LoadSecond;
use crate::statistics::{Estimate, FixedWidth};
use crate::validity::compare_settings;

/// Before the first round, on each arm; not counted.
const WARM_UP_NS: Nanos = 500 * MILLISECOND;

/// Everything that is open during the comparison.
pub(super) struct Experiment<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) plan: &'a Plan,
    pub(super) rig: Rig,
    pub(super) pairs: Vec<Pair>,
    /// One for each rate.
    pub(super) levels: Vec<Level>,
    /// When the first block began, on the workers' clock.
    start_ns: Nanos,
    processes: Processes,
    pub(super) server: Option<Server>,
    /// If all of its processes can be asked.
    pub(super) poolers: Option<Poolers>,
    watcher: Option<Watcher>,
    /// In what sessions differ with the pool and without, if they do.
    pub(super) settings: Vec<String>,
    /// Why the pooler is watched no more.
    pub(super) watcher_error: Option<String>,
}

/// What the measuring as a whole came to.
pub(super) struct Measured {
    pub(super) started: SystemTime,
    pub(super) duration_ns: Nanos,
    /// Queries in the pooler, the warm-up's included.
    pub(super) pooler_queries: Option<u64>,
    /// How it ended, if it was to end once enough was known.
    pub(super) ended: Option<Ended>,
    pub(super) assignments: Assignments,
    pub(super) amplification: Vec<Amplification>,
    /// For each arm, the shortest round trip to its target, in ns, where that is TCP.
    pub(super) round_trips: Vec<Option<Nanos>>,
    pub(super) hops: Vec<Hop>,
    /// What was seen beside the blocks.
    pub(super) observations: Observations,
}

/// How a comparison ended that was to end once enough was known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Ended {
    pub(super) by: EndedBy,
    /// The most rounds that the time had room for.
    pub(super) rounds_max: u64,
    pub(super) quantile: f64,
    /// What was asked for.
    pub(super) width_ns: u64,
    /// The widest interval of a cost in the end, in ns.
    pub(super) widest_ns: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EndedBy {
    /// Every interval had become narrow enough.
    Width,
    /// The time was up.
    Time,
}

impl<'a> Experiment<'a> {
    pub(super) fn prepare(
        scenario: &'a Scenario,
        plan: &'a Plan,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, RigError> {
        let kinds = arms::choose(&plan.arms, |target| scenario.targets.contains_key(target));
        let kinds = kinds.map_err(RigError::Target)?;
        let processes = scenario.processes()?;
        for (target, family) in &processes {
            if family.cpu().is_none() {
                let (name, place) = (target.clone(), scenario.processes[target].join(", "));
                return Err(ObserveError::NoProcess { name, place }.into());
            }
        }
        let connections = vec![(plan.connections, plan.connections); kinds.len()];
        // A comparison has no checks: what they cost would be in it.
        let checks = Checks::default();
        let rig = Rig::open(scenario, &kinds, &connections, &plan.generator, &checks, say)?;
        let (mut poolers, server) = observe::connect(scenario)?;
        if let Some(one) = &mut poolers
            && one.is_one_of_several()?
        {
            say(
                "so_reuseport is on, and the console shows one pooler process of several: nothing \
                 is counted there (list the socket of each in `console`)",
            );
            poolers = None;
        }
        let watched = poolers.as_ref().map(|_| Poolers::connect(scenario)).transpose()?.flatten();
        Ok(Self {
            scenario,
            plan,
            settings: compare_settings(scenario, &kinds, &differing_names(&rig.arms)),
            rig,
            pairs: arms::pairs(&kinds),
            levels: Vec::new(),
            start_ns: 0,
            processes,
            server,
            poolers,
            watcher: watched.map(Watcher::start),
            watcher_error: None,
        })
    }

    pub(super) fn measure(mut self, say: &mut dyn FnMut(&str)) -> Result<Summary, RigError> {
        let before = self.totals()?;
        self.warm_up(say)?;
        self.levels = self.empty_levels();
        let arms = self.rig.arms.len();
        let rounds = self.plan.rounds(arms);
        let rates: Vec<_> = self.plan.rates.iter().map(ToString::to_string).collect();
        say(&format!(
            "measuring: {arms} arms, {rounds} blocks of {} ms each, {} requests a second",
            self.plan.block_ns / MILLISECOND,
            rates.join(", ")
        ));
        let started = SystemTime::now();
        let sources = Source::all(self.scenario)?;
        let mut observer = Observer::open(sources, self.rig.fleet.clock(), self.rig.cores());
        self.start_ns = self.rig.fleet.clock().now();
        let mut ended = None;
        for round in 0..rounds {
            for turn in schedule::shuffled(self.levels.len(), arms, self.plan.seed, round) {
                self.block(turn, round, &mut observer)?;
            }
            if let Some(goal) = self.plan.until
                && (FixedWidth::looks_after(round + 1) || round + 1 == rounds)
            {
                let known = self.known(goal);
                // A look that is not due may end nothing: it would be one chance more.
                let is_met = FixedWidth::looks_after(round + 1) && goal.is_met(&known);
                ended = Some(Ended {
                    by: if is_met { EndedBy::Width } else { EndedBy::Time },
                    rounds_max: rounds,
                    quantile: goal.quantile,
                    width_ns: goal.width_ns,
                    widest_ns: goal.widest(&known),
                });
                if is_met {
                    break;
                }
            }
        }
        interrupt::check()?;
        let duration_ns = self.rig.fleet.clock().now() - self.start_ns;
        let observations = observer.finish();
        self.levels.iter_mut().for_each(|level| level.lay(&observations, self.start_ns));
        let assignments = self.assignments()?;
        let amplification = self.amplify(assignments)?;
        let after = self.totals()?;
        let pooler_queries =
            after.zip(before).and_then(|(after, before)| after.since(&before)?.queries());
        let round_trips = self.rig.round_trips()?;
        let kinds: Vec<_> = self.rig.arms.iter().map(|arm| arm.kind.clone()).collect();
        let places = Places { scenario: self.scenario, processes: &self.processes };
        let hops = hops(&kinds, &round_trips, &places, Sockets::read);
        self.summary(Measured {
            started,
            duration_ns,
            pooler_queries,
            ended,
            assignments,
            amplification,
            round_trips,
            hops,
            observations,
        })
    }

    fn warm_up(&mut self, say: &mut dyn FnMut(&str)) -> Result<(), RigError> {
        say("warming up");
        // At the highest rate: it needs the most connections, the pool's too.
        let rate = self.plan.rates.iter().copied().fold(0.0, f64::max);
        for arm in 0..self.rig.arms.len() {
            let load = self.plan.load(rate, WARM_UP_NS);
            let stream = self.rig.stream(arm, load, (0, 0), self.plan.block_seed(u64::MAX));
            self.rig.warm_up(stream)?;
        }
        Ok(())
    }

    /// The arms as they are after the warm-up, once for each rate.
    fn empty_levels(&self) -> Vec<Level> {
        let has_several = self.plan.rates.len() > 1;
        let level = |(number, rate): (usize, &f64)| {
            let mut arms = self.rig.arms.clone();
            for arm in &mut arms {
                arm.offered_rate = has_several.then_some(*rate);
                // The warm-up's requests are counted once.
                arm.completed *= u64::from(number == 0);
                arm.queries *= u64::from(number == 0);
            }
            Level::new(*rate, arms)
        };
        self.plan.rates.iter().enumerate().map(level).collect()
    }

    fn block(&mut self, turn: Turn, round: u64, observer: &mut Observer) -> Result<(), RigError> {
        let Turn { rate, arm } = turn;
        let load = self.plan.load(self.levels[rate].rate, self.plan.block_ns);
        let stream = self.rig.stream(arm, load, (0, 0), self.plan.block_seed(round));
        let is_pooled = self.rig.arms[arm].kind.has("pooler");
        let totals = if is_pooled { self.totals()? } else { None };
        let is_watched = is_pooled && is_watched(round) && self.watcher.is_some();
        let cpu = CpuMeter::begin(&self.processes);
        if is_watched {
            self.watcher.iter().for_each(Watcher::begin);
        }
        if is_observed(round) {
            observer.look_within(self.plan.block_ns);
        }
        let report = self.rig.phase(vec![stream])?;
        if is_observed(round) {
            let times = (report.start - self.start_ns, report.end - self.start_ns);
            let load = LoadSecond::of(times, &report.streams);
            self.levels[rate].observed[arm].push((load, self.rig.spun_share(&report)));
        }
        let looks = if is_watched { self.looks() } else { Vec::new() };
        let used = cpu.used();
        if let Some(before) = totals
            && let Some(after) = self.totals()?
        {
            let totals = after.since(&before);
            self.levels[rate].pool[arm].push(PoolBlock { totals, looks, is_watched });
        }
        let backends = self.server.as_mut().map(Server::backends).transpose()?;
        let arm = &mut self.levels[rate].arms[arm];
        arm.push(Block::new(report, self.plan.block_ns, used));
        arm.saw(backends.as_ref());
        Ok(())
    }

    /// What the watcher saw. One that fails is done without: the load goes on.
    fn looks(&mut self) -> Vec<observe::Pools> {
        match self.watcher.as_ref().map(Watcher::end) {
            Some(Ok(looks)) => looks,
            Some(Err(error)) => {
                self.watcher = None;
                self.watcher_error = Some(error);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// The costs at the quantile that is to be known well, at all rates.
    fn known(&self, goal: FixedWidth) -> Vec<Estimate> {
        let of = |level: &Level| {
            let (arms, drawn) = (&level.arms, (self.plan.confidence(), self.plan.seed));
            let (costs, _) = cost::latencies(arms, &self.pairs, None, &[goal.quantile], drawn);
            costs.into_iter().flatten().flatten().collect::<Vec<_>>()
        };
        self.levels.iter().flat_map(of).collect()
    }

    pub(super) fn totals(&mut self) -> Result<Option<Totals>, RigError> {
        Ok(self.poolers.as_mut().map(Poolers::totals).transpose()?)
    }

    /// Whether operations send a statement before the reply to the one before: PgBouncer counts what
    /// comes before the first reply as one query.
    pub(super) fn has_pipelines(&self) -> bool {
        let mut statements = self.scenario.operations.iter().filter_map(|one| one.sql.as_ref());
        statements.any(|statements| statements.is_pipelined())
    }

    /// What is known of server assignments, once there were transactions.
    fn assignments(&mut self) -> Result<Assignments, RigError> {
        let has_pipelines = self.has_pipelines();
        let Some(poolers) = &mut self.poolers else { return Ok(Assignments::Unknown) };
        let by_transaction = poolers.assign_by_transaction()?;
        Ok(Assignments::new(&poolers.totals()?, by_transaction, has_pipelines))
    }
}
