//! Everything that is open during the comparison, and what is done with it.

use std::time::SystemTime;

use engine::{MILLISECOND, Nanos};

use super::accounting::Assignments;
use super::amplification::Amplification;
use super::arms::{self, Pair};
use super::beside::Beside;
use super::counts::{Counts, Tally};
use super::hops::{Hop, Places, hops};
use super::level::{Level, PoolBlock};
use super::schedule::{self, Turn, is_observed, is_watched};
use super::stopping::{Ended, EndedBy};
use super::{Plan, Summary};
use crate::arm::{Block, differing_names};
use crate::check::Checks;
use crate::interrupt;
use crate::observe::{
    Counters, CpuMeter, Look, Observations, ObserveError, Observer, ObserverThread, Sockets, Source,
};
use crate::rig::{Rig, RigError};
use crate::scenario::{Processes, Scenario};
use crate::series::LoadSecond;
use crate::validity::{Sessions, compare_sessions};

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
    pub(super) beside: Beside,
    tally: Tally,
    /// Away while it reads.
    meter: Option<CpuMeter>,
    thread: ObserverThread,
}

/// What the measuring as a whole came to.
pub(super) struct Measured {
    pub(super) started: SystemTime,
    pub(super) duration_ns: Nanos,
    /// If the pooler was asked, and its figures can be compared with ours.
    pub(super) counts: Option<Counts>,
    /// How it ended, if it was to end once enough was known.
    pub(super) ended: Option<Ended>,
    pub(super) assignments: Assignments,
    /// Whether the pooler assigns a server connection to each transaction anew.
    pub(super) by_transaction: bool,
    pub(super) amplification: Vec<Amplification>,
    pub(super) hops: Vec<Hop>,
    /// In what sessions differ on the ways that are compared.
    pub(super) sessions: Sessions,
    /// What was seen beside the blocks.
    pub(super) observations: Observations,
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
        let thread = ObserverThread::start(rig.cores());
        let beside = Beside::open(&thread, scenario, rig.fleet.clock(), say)?;
        Ok(Self {
            scenario,
            plan,
            rig,
            pairs: arms::pairs(&kinds),
            levels: Vec::new(),
            start_ns: 0,
            meter: Some(CpuMeter::new(&processes)),
            thread,
            processes,
            beside,
            tally: Tally::default(),
        })
    }

    pub(super) fn measure(mut self, say: &mut dyn FnMut(&str)) -> Result<Summary, RigError> {
        self.counters();
        self.warm_up(say)?;
        self.counters();
        // Some of its questions pass through the pooler, and are no load.
        self.tally.pause();
        let arms = &self.rig.arms;
        let sessions = compare_sessions(self.scenario, arms, &differing_names(arms));
        self.counters();
        self.levels = self.empty_levels();
        let arms = self.rig.arms.len();
        let rounds = self.plan.rounds(arms);
        let rates: Vec<_> = self.plan.rates.iter().map(ToString::to_string).collect();
        let sources = Source::all(self.scenario)?;
        let mut observer = Observer::open(&self.thread, sources, self.rig.fleet.clock());
        say(&format!(
            "measuring: {arms} arms, {rounds} blocks of {} ms each, {} requests a second",
            self.plan.block_ns / MILLISECOND,
            rates.join(", ")
        ));
        let started = SystemTime::now();
        self.start_ns = self.rig.fleet.clock().now();
        let mut ended = None;
        for round in 0..rounds {
            for turn in schedule::shuffled(self.levels.len(), arms, self.plan.seed, round) {
                self.block(turn, round, &mut observer)?;
            }
            ended = self.plan.end_after(round + 1, rounds, &self.pairs, &self.levels);
            if ended.is_some_and(|ended| ended.by == EndedBy::Width) {
                break;
            }
        }
        interrupt::check()?;
        let duration_ns = self.rig.fleet.clock().now() - self.start_ns;
        let observations = observer.finish();
        self.levels.iter_mut().for_each(|level| level.lay(&observations, self.start_ns));
        let by_transaction = self.beside.assigns_by_transaction().unwrap_or_default();
        let assignments = self.assignments(by_transaction);
        let amplification = self.amplify(assignments)?;
        let counts = self.tally.counts().filter(|_| !self.has_pipelines());
        let round_trips = self.rig.round_trips()?;
        let kinds: Vec<_> = self.rig.arms.iter().map(|arm| arm.kind.clone()).collect();
        let places = Places { scenario: self.scenario, processes: &self.processes };
        let hops = hops(&kinds, &round_trips, &places, Sockets::read);
        Ok(self.summary(Measured {
            started,
            duration_ns,
            counts,
            ended,
            assignments,
            by_transaction,
            amplification,
            hops,
            sessions,
            observations,
        }))
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
        let is_pooled = self.beside.has_pooler() && self.rig.arms[arm].kind.has("pooler");
        let before = if is_pooled { self.counters() } else { None };
        let kind = self.rig.arms[arm].kind.clone();
        self.metered(move |meter| meter.begin(|process| kind.has_process(process)));
        let is_watched = is_pooled && is_watched(round);
        let watch = if is_watched { self.beside.watch() } else { None };
        if is_observed(round) {
            observer.look_within(self.plan.block_ns);
        }
        let report = self.rig.phase(vec![stream])?;
        if is_observed(round) {
            let times = (report.start - self.start_ns, report.end - self.start_ns);
            let load = LoadSecond::of(times, &report.streams, &report.workers);
            let level = &mut self.levels[rate];
            level.observed[arm].push(load);
            let within = |look: &Look| (report.start..=report.end).contains(&look.at_ns);
            let looks = observer.hear().into_iter().map(|(_, look)| look).filter(within);
            looks.for_each(|look| level.arms[arm].saw(look.reading.backends()));
        }
        let looks = self.beside.seen(watch);
        let used = self.metered(CpuMeter::used).unwrap_or_default();
        let times = report.start..=report.end;
        self.levels[rate].arms[arm].push(Block::new(report, self.plan.block_ns, used));
        if is_pooled {
            let after = before.as_ref().and_then(|_| self.counters());
            let totals = after.as_ref().zip(before).map(|(after, before)| after.since(&before));
            // The watch begins a moment before the load, and ends a moment after it.
            let looks = looks.iter().filter(|look| times.contains(&look.at_ns));
            self.levels[rate].pool[arm].push(PoolBlock {
                is_anew: totals.as_ref().is_some_and(Option::is_none),
                totals: totals.flatten(),
                looks: looks.map(|look| look.pools).collect(),
                is_watched,
            });
        }
        Ok(())
    }

    /// Reads the processes' clocks, where everything else is looked at too.
    fn metered<A: Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut CpuMeter) -> A + Send + 'static,
    ) -> Option<A> {
        let mut meter = self.meter.take()?;
        let (meter, result) = self.thread.run(move || {
            let result = read(&mut meter);
            (meter, result)
        })?;
        self.meter = Some(meter);
        Some(result)
    }

    /// What the pooler has counted, if it says so.
    pub(super) fn counters(&mut self) -> Option<Counters> {
        let counters = self.beside.counters()?;
        let arms: Vec<_> = match &self.levels[..] {
            [] => self.rig.arms.iter().collect(),
            levels => levels.iter().flat_map(|level| &level.arms).collect(),
        };
        let pooled = arms.into_iter().filter(|arm| arm.kind.has("pooler"));
        self.tally.look(&counters, pooled.map(|arm| arm.queries).sum());
        Some(counters)
    }

    /// Whether operations send a statement before the reply to the one before: PgBouncer counts what
    /// comes before the first reply as one query.
    pub(super) fn has_pipelines(&self) -> bool {
        let mut statements = self.scenario.operations.iter().filter_map(|one| one.sql.as_ref());
        statements.any(|statements| statements.is_pipelined())
    }

    /// What is known of server assignments, once there were transactions.
    fn assignments(&mut self, by_transaction: bool) -> Assignments {
        let has_pipelines = self.has_pipelines();
        self.counters().map_or(Assignments::Unknown, |counted| {
            Assignments::new(&counted, by_transaction, has_pipelines)
        })
    }
}
