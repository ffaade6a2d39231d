//! The trials of one target, on real connections.

use std::time::Instant;

use engine::{Gaps, Load, MILLISECOND, Nanos, Random, SECOND, Stream};

use super::LimitError;
use super::goal::Goal;
use super::log::Log;
use super::search::{self, Search};
use super::trial::{Judgement, Kind, Trial};
use super::{Plan, TargetPlan, Variable};
use crate::arm::{Arm, ArmKind, Block, Quantiles};
use crate::generator::{Busiest, GeneratorSummary};
use crate::interrupt;
use crate::limiter::Limiter;
use crate::metric::{self, Loads};
use crate::observe::{Aside, Observations, ObserverThread, Poolers};
use crate::rig::{ObservedPhase, Rig, RigError};
use crate::rules;
use crate::scenario::Scenario;
use crate::series::Second;
use crate::validity::{Comparison, Evidence, Offered, Purpose, Sharing, Steady, Validity};

/// All that was found on one target.
pub(super) struct Outcome {
    pub(super) trials: Vec<Trial>,
    pub(super) search: Search,
    pub(super) generator: Option<GeneratorSummary>,
    /// How its connections are: nothing was measured on it. `None` where all trials are of a log.
    pub(super) sessions: Option<Arm>,
    /// What was not seen of the pooler's queue, in a sentence.
    pub(super) pool_gaps: Option<String>,
    /// The latency of one request at a time, in ns.
    pub(super) light_ns: Option<u64>,
    /// Whether the search ended for want of time.
    pub(super) is_out_of_time: bool,
}

/// Searches the limit of one target.
pub(super) struct Experiment<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    target: &'a TargetPlan,
    loads: Loads,
    rig: Option<Rig>,
    sessions: Option<Arm>,
    pooler: Option<Aside<Poolers>>,
    thread: ObserverThread,
    connections: u32,
    /// The throughput that more connections did not raise.
    proven: Option<f64>,
    light_ns: Option<u64>,
    trials: Vec<Trial>,
}

/// What is done before the first trial, uncounted.
const WARM_UP_NS: Nanos = 500 * MILLISECOND;
const WARM_UP_VUS: u32 = 10;
/// One look at the latency of one request at a time.
const PROBE_NS: Nanos = 200 * MILLISECOND;
const PROBES: usize = 3;
/// Latency is back where it is no more than this above its light-load level: a share of it, and
/// what a machine's noise adds.
const RECOVERED: (f64, f64) = (1.5, 300_000.0);
/// After this a target that has not recovered is given up.
const RECOVERY_MAX_NS: Nanos = 30 * SECOND;
/// More connections helped if throughput rose by this.
const HELPED: f64 = 1.05;
/// How far past the limit its behaviour beyond is looked at: from here on, and there if it was
/// not seen yet.
const BEYOND: (f64, f64) = (1.2, 1.5);

impl<'a> Experiment<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        plan: &'a Plan,
        target: &'a TargetPlan,
    ) -> Result<Self, RigError> {
        let layer = rules::layer(scenario.target(&target.name)?);
        let load = metric::Load {
            scenario: rules::ONLY_LOAD.into(),
            target: target.name.clone(),
            layer,
            connect: None,
        };
        let thread = ObserverThread::start(&plan.generator.decide()?.cores);
        Ok(Self {
            scenario,
            plan,
            target,
            loads: Loads {
                loads: vec![load],
                operations: scenario.operations.iter().map(|op| op.name.clone()).collect(),
                checks: plan.checks.names().to_vec(),
            },
            rig: None,
            sessions: None,
            pooler: Aside::<Poolers>::connect(&thread, scenario, &ArmKind::of(&target.name))?,
            thread,
            connections: plan.connections.0,
            proven: None,
            light_ns: None,
            trials: Vec::new(),
        })
    }

    /// Makes trials until the limits are known, or `budget_ns` is over.
    pub(super) fn run(
        mut self,
        budget_ns: Option<Nanos>,
        log: &mut Log<Trial>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Outcome, LimitError> {
        let mut search = Search::new(self.plan.search, self.target.goals.len());
        let left = |trials: &[Trial]| {
            let spent: Nanos = trials.iter().map(|trial| trial.elapsed_ns).sum();
            budget_ns.map(|budget_ns| budget_ns.saturating_sub(spent))
        };
        while let Some(asked) = search.next(left(&self.trials)) {
            let kind = if asked.is_hold { Kind::Hold } else { Kind::Search };
            let trial = self.trial(&asked, kind, log, say)?;
            search.report(&asked, &trial.verdict());
        }
        let is_out_of_time = search.next(None).is_some();
        if let Some(load) = self.unseen_beyond(&search)
            && left(&self.trials).is_none_or(|left| left > self.plan.search.trial_ns)
        {
            let duration_ns = self.plan.search.trial_ns;
            self.trial(
                &search::Trial { load, duration_ns, is_hold: false },
                Kind::Beyond,
                log,
                say,
            )?;
        }
        Ok(Outcome {
            generator: self.rig.as_ref().map(Rig::generator),
            sessions: self.sessions,
            pool_gaps: self
                .pooler
                .and_then(|pooler| pooler.gaps.told("at who still waited in the pool")),
            trials: self.trials,
            search,
            light_ns: self.light_ns,
            is_out_of_time,
        })
    }

    /// The load past the limit that shows what comes there, if no trial has.
    fn unseen_beyond(&self, search: &Search) -> Option<f64> {
        if search.generator_limit().is_some() {
            return None;
        }
        let highs = search.found().into_iter().filter_map(|found| found.interval.1);
        let high = highs.fold(None, |least: Option<f64>, high| {
            Some(least.map_or(high, |least| least.min(high)))
        })?;
        let is_seen = self.trials.iter().any(|trial| trial.load >= BEYOND.0 * high);
        let load = (BEYOND.1 * high).min(self.plan.search.max);
        let load = if self.plan.search.is_whole { load.ceil() } else { load };
        (!is_seen && load > high).then_some(load)
    }

    fn trial(
        &mut self,
        asked: &search::Trial,
        kind: Kind,
        log: &mut Log<Trial>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Trial, LimitError> {
        let is_it = |trial: &Trial| {
            trial.target == self.target.name && trial.load == asked.load && trial.kind == kind
        };
        if let Some(trial) = log.replay(is_it) {
            self.connections = trial.connections;
            self.trials.push(trial.clone());
            return Ok(trial);
        }
        let since = Instant::now();
        let mut trial = self.measure(asked, kind, say)?;
        trial.elapsed_ns = since.elapsed().as_nanos() as Nanos;
        say(&format!("{}: {}", self.target.name, super::table::progress(&trial, self.plan)));
        log.push(&trial)?;
        self.trials.push(trial.clone());
        Ok(trial)
    }

    /// One trial. Where connections ran out it is made again with twice as many, to see whether it
    /// was they that held the load back.
    fn measure(
        &mut self,
        asked: &search::Trial,
        kind: Kind,
        say: &mut dyn FnMut(&str),
    ) -> Result<Trial, RigError> {
        let mut before: Option<Trial> = None;
        loop {
            let mut trial = match self.attempt(asked, kind, say) {
                // A target that lets no more clients in takes no more.
                Err(RigError::Target(problem)) if self.has_been_open() => {
                    say(&problem);
                    self.connections = before.as_ref().map_or(self.connections, |b| b.connections);
                    return Ok(match before {
                        Some(before) => Trial { judgement: Judgement::Missed, ..before },
                        None => Trial::refused(asked, kind, &self.target.name, &self.target.goals),
                    });
                }
                trial => trial?,
            };
            if trial.judgement != Judgement::Ceiling {
                return Ok(trial);
            }
            if let Some(before) = &before
                && trial.throughput < before.throughput * HELPED
            {
                self.proven = Some(trial.throughput.max(before.throughput));
            }
            if self.proven.is_some_and(|proven| trial.throughput < proven * HELPED) {
                trial.judgement = Judgement::Missed;
                return Ok(trial);
            }
            let connections = self.connections.saturating_mul(2).min(self.plan.connections.1);
            if connections == self.connections || self.plan.variable != Variable::RATE {
                return Ok(trial);
            }
            say(&format!(
                "{}: all {} connections were in use at {}; again with {connections}",
                self.target.name,
                self.connections,
                super::table::load(asked.load)
            ));
            self.connections = connections;
            self.rig = None;
            before = Some(trial);
        }
    }

    fn has_been_open(&self) -> bool {
        self.light_ns.is_some()
    }

    fn attempt(
        &mut self,
        asked: &search::Trial,
        kind: Kind,
        say: &mut dyn FnMut(&str),
    ) -> Result<Trial, RigError> {
        if self.plan.variable.is_connections() {
            // Connections of the trial before would still be open.
            self.rig = None;
            self.connections = asked.load as u32;
        }
        self.open(say)?;
        let seed = Random::new(self.plan.seed, self.trials.len() as u64).draw();
        let rig = self.rig.as_mut().expect("it was opened");
        let load = self.plan.variable.load(asked.load, asked.duration_ns, self.connections);
        let stream = rig.stream(0, load, (0, 0), seed);
        rig.forget_machine();
        let ObservedPhase { report, series, observations, generator_share } =
            rig.observe(&self.thread, self.scenario, vec![stream])?;
        let ended = report.start + asked.duration_ns;
        let about = (&self.loads, self.target.goals.as_slice());
        let mut trial = Trial::new(asked, kind, &report, generator_share, about, self.connections);
        trial.limiter = Limiter::find(&series);
        trial.excuse();
        let mut arm = rig.arms[0].clone();
        arm.push(Block::new(report, asked.duration_ns, Vec::new()));
        trial.sharing = Sharing::on_the_way(&arm, &[], &observations);
        trial.recovery_ns = self.recover(ended)?;
        self.judge(&mut trial, arm, &series, &observations);
        Ok(trial)
    }

    /// Whether a trial can be trusted. The search is for a load that is too much: one that was says
    /// so, late as its requests may be; what the machine did meanwhile, until the target had
    /// recovered, counts with each.
    fn judge(
        &self,
        trial: &mut Trial,
        mut arm: Arm,
        series: &[Second],
        observations: &Observations,
    ) {
        let Some(rig) = &self.rig else { return };
        let machine = rig.generator().machine;
        let (machine, purpose, steady) = match trial.judgement {
            // Of a few clients each may have a server connection: the limit is judged for that.
            Judgement::Met => (machine, Purpose::PoolSizes, Some(series)),
            Judgement::Missed => (machine.apart_from_load(), Purpose::Overload, None),
            // That the generator was the limit is told once, with the result.
            Judgement::Spoilt | Judgement::Ceiling | Judgement::Saturated => {
                return trial.validity.judge_machine(&machine.apart_from_load());
            }
        };
        let (variable, load) = (self.plan.variable, trial.load);
        arm.kind.name = format!("{} at {}", arm.kind.name, super::table::load(load)).into();
        let label = arm.label();
        let offered = match variable.load(load, trial.duration_ns, trial.connections) {
            Load::ConstantArrivalRate { rate, gaps, duration_ns, .. } => {
                Some(Offered::new(rate, gaps, duration_ns))
            }
            _ => None,
        };
        trial.validity = Validity::of(&Evidence {
            busiest: &Busiest { share: trial.generator_share, at: Some(label.clone()) },
            machine: &machine,
            offered: vec![offered],
            // Their loads differ: the search compares the limits, and its summary the sessions.
            comparison: Comparison::Apart,
            steady: steady.into_iter().map(|series| Steady::new(label.clone(), series)).collect(),
            observations: vec![observations],
            lost_names: rig.lost_names(&arm).into_iter().collect(),
            arms: &[arm],
            purpose,
        });
    }

    /// Opens the connections, if they are not, and measures the light-load level, if it is not known.
    fn open(&mut self, say: &mut dyn FnMut(&str)) -> Result<(), RigError> {
        if self.rig.is_some() {
            return Ok(());
        }
        let kinds = [ArmKind::of(&self.target.name)];
        let connections = [(self.connections, self.connections)];
        let plan = self.plan;
        let mut quiet = |_: &str| {};
        let say: &mut dyn FnMut(&str) = if self.has_been_open() { &mut quiet } else { say };
        let mut rig =
            Rig::open(self.scenario, &kinds, &connections, &plan.generator, &plan.checks, say)?;
        if !self.has_been_open() {
            let vus = self.connections.min(WARM_UP_VUS);
            let load = Load::ConstantVus { vus, duration_ns: WARM_UP_NS };
            rig.warm_up(rig.stream(0, load, (0, 0), !plan.seed))?;
        }
        self.sessions.get_or_insert_with(|| rig.arms[0].clone());
        self.rig = Some(rig);
        if !self.has_been_open() {
            let mut probes = Vec::new();
            for _ in 0..PROBES {
                probes.extend(self.probe()?);
            }
            probes.sort_unstable();
            self.light_ns = Some(probes.get(probes.len() / 2).copied().unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// The median latency of one request at a time; `None` where one failed.
    fn probe(&mut self) -> Result<Option<u64>, RigError> {
        let seed = self.plan.seed;
        let Some(rig) = &mut self.rig else { return Ok(None) };
        let load = Load::ConstantVus { vus: 1, duration_ns: PROBE_NS };
        let stream = Stream { graceful_stop_ns: 2 * SECOND, ..rig.stream(0, load, (0, 0), seed) };
        let report = rig.phase(vec![stream])?;
        interrupt::check()?;
        let whole = report.streams[0].recording.whole();
        let Quantiles { count, p50, .. } = Quantiles::new(&whole.response);
        Ok((count > 0 && whole.failed.is_empty()).then_some(p50))
    }

    /// Waits until the target does as it did before its load, `ended` on the run's clock; how long
    /// that took, or `None` where it did not come back in time.
    fn recover(&mut self, ended: Nanos) -> Result<Option<Nanos>, RigError> {
        let light_ns = self.light_ns.unwrap_or(u64::MAX) as f64;
        let level = (light_ns * RECOVERED.0).max(light_ns + RECOVERED.1) as u64;
        loop {
            let clock = self.rig.as_ref().map(|rig| rig.fleet.clock());
            let since_ns = clock.map_or(0, |clock| clock.now().saturating_sub(ended));
            let is_back = self.probe()?.is_some_and(|p50| p50 <= level);
            if is_back && self.waiting().unwrap_or(0) == 0 {
                return Ok(Some(since_ns));
            }
            if since_ns > RECOVERY_MAX_NS {
                return Ok(None);
            }
        }
    }

    /// Clients that wait in the pool, where its console shows them. While it does not answer it is done
    /// without: latency says too when a target is back.
    fn waiting(&mut self) -> Option<u64> {
        self.pooler.as_mut()?.ask(Poolers::pools)?.cl_waiting
    }
}

impl Variable {
    /// Arrivals that are evenly spaced.
    const RATE: Self = Self::Rate { gaps: Gaps::Uniform };

    /// What a trial puts on the target.
    fn load(self, load: f64, duration_ns: Nanos, connections: u32) -> Load {
        let (rate, gaps) = match self {
            Self::Rate { gaps } => (load, gaps),
            Self::Connections { rate } => (rate, Gaps::Uniform),
            Self::Vus => return Load::ConstantVus { vus: load as u32, duration_ns },
        };
        Load::ConstantArrivalRate {
            rate,
            gaps,
            duration_ns,
            pre_allocated_vus: connections,
            max_vus: connections,
        }
    }
}

impl Trial {
    /// One whose connections were not let in.
    fn refused(asked: &search::Trial, kind: Kind, target: &str, goals: &[Goal]) -> Self {
        let goal = |goal: &Goal| super::goal::GoalResult {
            goal: goal.to_string(),
            is_met: false,
            value: None,
            is_met_by_service: false,
        };
        Self {
            target: target.into(),
            load: asked.load,
            kind,
            duration_ns: 0,
            connections: asked.load as u32,
            planned: 0,
            sent: 0,
            late: 0,
            throughput: 0.0,
            errors: [("connect_failed".to_owned(), 1)].into(),
            response_ns: Quantiles::default(),
            service_ns: Quantiles::default(),
            generator_share: 0.0,
            goals: goals.iter().map(goal).collect(),
            judgement: Judgement::Missed,
            limiter: None,
            recovery_ns: Some(0),
            elapsed_ns: 0,
            validity: Validity::default(),
            sharing: None,
        }
    }
}
