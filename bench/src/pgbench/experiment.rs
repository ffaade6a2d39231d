//! The load on each target: one block after another in an order that is shuffled anew each round, or,
//! with one target, one block that is all of it.

use std::ops::ControlFlow;
use std::time::SystemTime;

use engine::pgbench::{ScriptReport, Seeds};
use engine::{Interval, Nanos, PhaseReport, Recording, Stream};
use hdrhistogram::Histogram;

use super::log::{Columns, Log};
use super::progress::{self, Turns};
use super::summary::{Results, Summary, merged};
use super::target::Target;
use super::{Length, PgbenchError, Plan};
use crate::arm::{Arm, ArmKind, Block};
use crate::head::Head;
use crate::interrupt;
use crate::layers::shuffled;
use crate::observe::{Observations, Observer, ObserverThread, Source};
use crate::rig::{Rig, RigError};
use crate::scenario::Places;
use crate::validity::Steady;

/// Everything that is open.
pub(super) struct Experiment<'a> {
    plan: &'a Plan,
    rig: Rig,
    targets: Vec<Target>,
    /// Beside the rig's arms: what only scripts have.
    scripts: Vec<Scripts>,
    logs: Vec<Log>,
    /// Of the only target: when each second began, and the median of the transactions' latencies.
    medians: Vec<(Nanos, Nanos)>,
    /// Those that are to be looked at.
    consoles: Vec<Source>,
}

/// What came of the scripts on one target, beside what its arm has.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) report: ScriptReport,
    /// By [`engine::pgbench::Command::recording`]; empty where commands are not recorded.
    pub(super) commands: Recording,
    /// Transactions in flight that were broken off: their clients still waited.
    pub(super) interrupted: u64,
    /// How long connections took to open, where each transaction has one of its own, in ns.
    pub(super) opened: Histogram<u64>,
    /// For each block, transactions that succeeded, and its length in ns.
    pub(super) blocks: Vec<(f64, f64)>,
}

impl Scripts {
    pub(super) fn new(plan: &Plan, target: &Target) -> Self {
        let commands = target.workload.recordings() - plan.scripts.len();
        Self {
            report: ScriptReport::default(),
            commands: Recording::new(commands),
            interrupted: 0,
            opened: engine::histogram(),
            blocks: Vec::new(),
        }
    }
}

impl<'a> Experiment<'a> {
    /// Opens every client's connection to each target; `consoles` are the poolers' among them.
    pub(super) fn open(
        plan: &'a Plan,
        mut targets: Vec<Target>,
        consoles: Vec<Source>,
    ) -> Result<Self, PgbenchError> {
        let generator = plan.generator.decide().map_err(RigError::from)?;
        let threads = generator.cores.len();
        let mut places = Places::new();
        places.are_of_pgbench = true;
        let mut arms = Vec::new();
        let mut opened = Vec::new();
        let mut scripts = Vec::new();
        for (target, planned) in targets.iter_mut().zip(&plan.targets) {
            places.insert(target.name.clone(), target.conninfo.place());
            let mut arm = Arm::new(&ArmKind::named(&target.name), None);
            arm.protocol = Some(plan.protocol);
            arm.connections = (plan.clients, plan.clients);
            arm.pooler = (!planned.consoles.is_empty()).then(|| target.name.clone());
            arms.push(arm);
            opened.push(target.engine_target(plan)?);
            scripts.push(engine::Script::Pgbench(target.workload.clone()));
        }
        let mut rig = Rig::new(generator, arms, opened, scripts, places);
        // As with pgbench, a client begins nothing once the time is over.
        rig.drain_ns = match plan.length {
            Length::Duration(_) => 0,
            Length::Transactions(_) => plan.graceful_stop_ns,
        };
        rig.connect()?;
        let columns = Columns {
            has_lag: plan.rate.is_some(),
            has_retries: plan.tries_max != Some(1),
            has_details: plan.details_failures,
        };
        let now = rig.fleet.clock().now();
        let log = |target: &Target| {
            let name = (targets.len() > 1).then_some(&*target.name);
            let seeds = Seeds::new(&target.workload, plan.seed, plan.clients as usize);
            let seeds = (&seeds, threads);
            plan.log.as_ref().map(|log| Log::create(log, columns, name, seeds, now))
        };
        let logs = targets.iter().filter_map(log).collect::<Result<_, _>>()?;
        let scripts = targets.iter().map(|target| Scripts::new(plan, target)).collect();
        Ok(Self { plan, rig, targets, scripts, logs, medians: Vec::new(), consoles })
    }

    pub(super) fn measure(mut self, say: &mut dyn FnMut(&str)) -> Result<Summary, PgbenchError> {
        if self.targets.len() > 1 && matches!(self.plan.length, Length::Duration(_)) {
            self.warm_up(say)?;
        }
        let consoles = std::mem::take(&mut self.consoles);
        let observer = (!consoles.is_empty()).then(|| {
            let thread = ObserverThread::start(self.rig.cores());
            Observer::start(&thread, consoles, self.rig.fleet.clock())
        });
        let started = SystemTime::now();
        let start = self.rig.fleet.clock().now();
        let mut turns = Turns::new();
        let mut flow = ControlFlow::Continue(());
        let mut round = 0;
        while flow.is_continue() && round < self.plan.rounds() {
            for turn in shuffled(1, self.targets.len(), self.plan.seed, round) {
                flow = self.block(turn.arm, round, started, say)?;
                if flow.is_break() {
                    break;
                }
            }
            round += 1;
            let elapsed_ns = self.rig.fleet.clock().now() - start;
            if let Some(line) = turns.line(self.plan, &self.scripts, elapsed_ns) {
                say(&line);
            }
        }
        for log in std::mem::take(&mut self.logs) {
            log.finish(self.rig.fleet.clock().now())?;
        }
        let duration_ns = self.rig.fleet.clock().now() - start;
        let observations = observer.map(Observer::finish);
        Ok(self.summary(started, duration_ns, observations.as_ref()))
    }

    fn summary(
        &self,
        started: SystemTime,
        duration_ns: Nanos,
        observations: Option<&Observations>,
    ) -> Summary {
        let Self { plan, rig, targets, scripts, .. } = self;
        let phase_ns = match plan.length {
            Length::Duration(duration_ns) => duration_ns,
            Length::Transactions(_) => 0,
        };
        let time = (started, duration_ns);
        let head = Head::new("pgbench", plan.title(), time, (phase_ns, plan.seed), rig.generator());
        let is_interrupted = interrupt::check().is_err();
        let has_failed = scripts.iter().any(|scripts| !scripts.report.aborted.is_empty());
        let medians = self.medians.clone();
        let results = Results {
            plan,
            arms: &rig.arms,
            targets,
            scripts,
            threads: rig.cores().len(),
            steady: vec![Steady { name: rig.arms[0].label(), medians }],
            observations,
            lost_names: rig.all_lost_names(),
            is_whole: !is_interrupted && !has_failed,
        };
        let mut summary = results.summary(head);
        summary.is_interrupted = is_interrupted;
        summary
    }

    /// A block on each target that does not count.
    fn warm_up(&mut self, say: &mut dyn FnMut(&str)) -> Result<(), PgbenchError> {
        say("warming up");
        for arm in 0..self.targets.len() {
            let (load, _) = self.plan.load(0);
            let stream = self.stream(arm, load, !self.plan.seed);
            self.rig.warm_up(stream)?;
        }
        Ok(())
    }

    fn stream(&self, arm: usize, load: engine::Load, seed: u64) -> Stream {
        Stream {
            graceful_stop_ns: self.plan.graceful_stop_ns,
            reconnect: self.plan.connects,
            ..self.rig.stream(arm, load, (0, 0), seed)
        }
    }

    /// One target's turn; a break if nothing more is to be run.
    fn block(
        &mut self,
        arm: usize,
        round: u64,
        begun: SystemTime,
        say: &mut dyn FnMut(&str),
    ) -> Result<ControlFlow<()>, PgbenchError> {
        let plan = self.plan;
        let (load, planned_ns) = plan.load(round);
        let stream = self.stream(arm, load, plan.seed(round));
        let has_lines = self.targets.len() == 1;
        let name = &self.targets[arm].name;
        let which = if has_lines { String::new() } else { format!("{name}: ") };
        let mut log = self.logs.get_mut(arm);
        let mut log_error = None;
        let mut lines = progress::Lines::new(plan, begun);
        let medians = &mut self.medians;
        let tell = |interval: &Interval| {
            if has_lines {
                lines.add(interval).into_iter().for_each(|line| say(&line));
                let whole = merged(&interval.streams[0].recording.operations[..plan.scripts.len()]);
                if !whole.response.is_empty() {
                    medians.push((interval.start_ns, whole.response.value_at_quantile(0.5)));
                }
            }
            let Some(script) = interval.streams[0].script.as_deref() else {
                return ControlFlow::Continue(());
            };
            script.debugged.iter().for_each(|call| say(&call.to_string()));
            if script.debugged_more > 0 {
                say(&format!("debug: {} more calls are not shown", script.debugged_more));
            }
            if let Some(log) = &mut log {
                log_error = log_error.take().or_else(|| log.add(&script.samples).err());
            }
            script.aborted.iter().for_each(|error| say(&format!("{which}{error}")));
            if plan.shows_failures {
                let lines = script.failures.iter().map(|one| progress::failures(plan, one));
                lines.for_each(|line| say(&format!("{which}{line}")));
            }
            match log_error.is_some() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let interval_ns = progress::interval_ns(plan);
        let report = match self.rig.watch_every(interval_ns, vec![stream], tell) {
            // Between two blocks.
            Err(RigError::Interrupted) if !self.scripts[0].blocks.is_empty() => {
                return Ok(ControlFlow::Break(()));
            }
            report => report?,
        };
        if let Some(error) = log_error {
            return Err(error.into());
        }
        lines.finish().into_iter().for_each(|line| say(&line));
        let is_interrupted = report.is_interrupted;
        self.keep(arm, report, planned_ns);
        // Targets that have different loads can't be compared.
        let is_unequal = !self.scripts[arm].report.aborted.is_empty();
        Ok(if is_interrupted || is_unequal {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn keep(&mut self, arm: usize, mut report: PhaseReport, planned_ns: Option<Nanos>) {
        let own = &mut self.scripts[arm];
        let stream = &mut report.streams[0];
        if let Some(times) = &stream.connections {
            own.opened.add(&times.open).expect("both have the engine's bounds");
        }
        own.interrupted += stream.interrupted;
        if let Some(script) = stream.script.take() {
            let broken = script.aborted.iter().filter(|error| !error.fault.has_outcome()).count();
            own.interrupted -= broken as u64;
            own.report.add(&script);
        }
        // An arm's requests are the transactions.
        let operations = stream.recording.operations.split_off(self.plan.scripts.len());
        own.commands.merge(&Recording { operations, above_top: 0 });
        let succeeded: u64 = stream.recording.operations.iter().map(|one| one.response.len()).sum();
        let length_ns = report.end.saturating_sub(report.start).max(planned_ns.unwrap_or(1));
        own.blocks.push((succeeded as f64, length_ns as f64));
        let block = Block::new(report, planned_ns.unwrap_or(1), Vec::new());
        self.rig.arms[arm].push(block);
    }
}
