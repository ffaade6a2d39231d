//! The cells, measured one after the other.

use std::ops::{ControlFlow, Range};
use std::time::{Duration, SystemTime};

use engine::{Gaps, Load, MILLISECOND, Nanos, Random, Stream, StreamReport};

use super::cell::{Cell, CellGoal, Piece, PoolFigures};
use super::configuration::Control;
use super::evidence::CellEvidence;
use super::grid::{Mode, Place, Setting};
use super::{Plan, Summary, table};
use crate::arm::{Arm, ArmKind, Block};
use crate::check::Checks;
use crate::interrupt;
use crate::limit::{Goal, GoalResult, LimitError, Log};
use crate::metric::{self, Gauges, Loads, Tally};
use crate::observe::{CpuMeter, Family, ObserverThread, PoolLook, Pooler, Poolers};
use crate::rig::{Rig, RigError};
use crate::rules;
use crate::scenario::{Processes, Scenario};

const WARM_UP_NS: Nanos = 300 * MILLISECOND;
/// Requests in flight at a cell's end have so long: in session mode some wait for ever.
const GRACEFUL_STOP_NS: Nanos = 500 * MILLISECOND;
/// How arrivals are spaced.
pub(super) const GAPS: Gaps = Gaps::Uniform;
/// A cell's throughput is compared over so many parts of it.
const PIECES: u64 = 10;

struct Experiment<'a> {
    scenario: Scenario,
    plan: &'a Plan,
    /// `None` where the pooler's settings stay as they are, and nothing is asked of its console.
    control: Option<Control>,
    processes: Processes,
    /// Of each target, how its connections are: nothing was measured on them.
    sessions: Vec<Arm>,
}

/// Measures all cells; `say` gets a line of progress for each.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    log: &mut Log<Cell>,
    say: &mut dyn FnMut(&str),
) -> Result<Summary, LimitError> {
    let started = SystemTime::now();
    let control = Control::open(scenario, &plan.pooler, plan.mode_change.clone())?;
    let original = control.original.clone();
    let processes = scenario.processes().map_err(RigError::from)?;
    let mut experiment = Experiment::new(scenario, plan, Some(control), processes);
    let order = plan.grid.order(plan.reference_every, plan.seed);
    let mut cells = Vec::with_capacity(order.len());
    if log.left() > 0 {
        say(&format!("going on after {} cells of the log", log.left()));
    }
    for (number, place) in order.iter().enumerate() {
        let is_it = |cell: &Cell| cell.number == number && cell.setting == place.setting;
        let cell = match log.replay(is_it) {
            Some(cell) => cell,
            None => {
                let cell = experiment.cell(number, place)?;
                let of = format!("{} of {}", number + 1, order.len());
                say(&format!("{of}: {}", table::progress(&cell)));
                log.push(&cell)?;
                cell
            }
        };
        cells.push(cell);
    }
    let Experiment { scenario, sessions, .. } = &experiment;
    Ok(Summary::new(scenario, plan, started, original, cells, sessions))
}

/// Measures all cells on a pooler whose pools stay as they are; `pids` are those of its processes,
/// which share one port.
pub(crate) fn run_as_it_is(
    scenario: &Scenario,
    plan: &Plan,
    pids: &[u32],
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Cell>, RigError> {
    for console in &scenario.target(&plan.pooler)?.consoles {
        // The size of its pool alone shall be the limit.
        let mut pooler = Pooler::connect(console)?;
        pooler.ask(async |pooler| pooler.table("SET max_db_connections = '0'").await)?;
    }
    let mut processes = scenario.processes()?;
    processes.insert(plan.pooler.clone(), Family::of(pids.iter().copied()));
    let mut experiment = Experiment::new(scenario, plan, None, processes);
    let order = plan.grid.order(usize::MAX, plan.seed);
    let mut cells = Vec::new();
    for (number, place) in order.iter().filter(|place| !place.is_reference).enumerate() {
        let mut place = *place;
        place.setting.poolers = Some(pids.len() as u32);
        let cell = experiment.cell(number, &place)?;
        say(&table::progress(&cell));
        cells.push(cell);
    }
    Ok(cells)
}

impl<'a> Experiment<'a> {
    fn new(
        scenario: &Scenario,
        plan: &'a Plan,
        control: Option<Control>,
        processes: Processes,
    ) -> Self {
        Self { scenario: scenario.clone(), plan, control, processes, sessions: Vec::new() }
    }

    /// One cell. What a target refuses is the cell's result.
    fn cell(&mut self, number: usize, place: &Place) -> Result<Cell, RigError> {
        let mut cell = Cell::new(number, place);
        if let Some(control) = &mut self.control {
            let configured = control.apply(&place.setting)?;
            cell.configuration = place.setting.pool_size.map(|_| configured);
        }
        match self.measure(&mut cell) {
            Err(RigError::Target(problem)) => cell.problem = Some(problem),
            other => other?,
        }
        Ok(cell)
    }

    fn measure(&mut self, cell: &mut Cell) -> Result<(), RigError> {
        let plan = self.plan;
        let setting = cell.setting;
        let target = match setting.pool_size {
            Some(_) => plan.pooler.clone(),
            None => plan.direct.clone().unwrap_or_default(),
        };
        if let Some(file) = self.scenario.targets.get_mut(&target) {
            file.protocol = setting.protocol.into();
        }
        let kinds = [ArmKind::of(&target)];
        let connections = [(setting.clients, setting.clients)];
        let (checks, quiet) = (Checks::default(), &mut |_: &str| {});
        let mut rig =
            Rig::open(&self.scenario, &kinds, &connections, &plan.generator, &checks, quiet)?;
        let seed = Random::new(plan.seed, cell.number as u64).draw();
        let stream = |rig: &Rig, load, seed| Stream {
            graceful_stop_ns: GRACEFUL_STOP_NS,
            ..rig.stream(0, load, (0, 0), seed)
        };
        // Where clients keep their server connections, those that get none would be given up in the
        // warm-up, and be missing.
        let keeps = setting.pool_mode == Some(Mode::Session)
            && setting.pool_size.is_some_and(|size| setting.clients > size);
        if !keeps {
            rig.warm_up(stream(&rig, load(&setting, WARM_UP_NS), !seed))?;
        }
        if self.sessions.iter().all(|arm| arm.kind.target != target) {
            self.sessions.extend(rig.arms.iter().cloned());
        }
        let control = self.control.as_ref().filter(|_| setting.pool_size.is_some());
        let thread = ObserverThread::start(rig.cores());
        let mut pooler = control.map(|control| control.aside(&thread));
        let before = pooler.as_mut().and_then(|pooler| pooler.ask(Poolers::counters));
        let mut cpu = CpuMeter::new(&self.processes);
        cpu.begin(|_| true);
        let names: Vec<_> = self.scenario.operations.iter().map(|op| op.name.clone()).collect();
        let mut pieces = Vec::new();
        let (judge, mut judged) = (self.judge(&target)?, Vec::new());
        let measured = stream(&rig, load(&setting, plan.cell_ns), seed);
        let clock = rig.fleet.clock();
        let every = Duration::from_nanos(plan.cell_ns / PIECES);
        let watch = pooler.as_mut().and_then(|pooler| pooler.watch_pools(every, clock));
        let report = rig.watch_every(plan.cell_ns / PIECES, vec![measured], |interval| {
            if interval.end_ns > plan.cell_ns + plan.cell_ns / PIECES / 2 {
                return ControlFlow::Continue(());
            }
            let stream = &interval.streams[0];
            let times = interval.start_ns..interval.end_ns;
            pieces.push((times, Piece::new(&stream.recording, &names)));
            judged.push(judge.values(stream, plan.cell_ns / PIECES));
            ControlFlow::Continue(())
        })?;
        interrupt::check()?;
        let looks = pooler.as_mut().zip(watch).map(|(pooler, watch)| pooler.seen(watch));
        let looks = looks.unwrap_or_default();
        let piece = |(times, piece): (Range<Nanos>, Piece)| {
            let times = report.start + times.start..report.start + times.end;
            let look = PoolLook::last_within(&looks, times);
            Piece { cl_waiting: look.and_then(|look| look.cl_waiting), ..piece }
        };
        let pieces = pieces.into_iter().map(piece).collect();
        // Those after the cell's own time are of what was left over.
        let own = looks.iter().filter(|look| look.at_ns <= report.start + plan.cell_ns);
        let own: Vec<_> = own.map(|look| look.pools).collect();
        let after = pooler.as_mut().and_then(|pooler| pooler.ask(Poolers::counters));
        let length_ns = plan.cell_ns.max(report.end.saturating_sub(report.start));
        // Where clients were stuck nothing came after the cell's own time.
        let is_drained = length_ns < plan.cell_ns + GRACEFUL_STOP_NS;
        let length_ns = if is_drained { length_ns } else { plan.cell_ns };
        cell.measure(&report, length_ns, pieces, &names);
        let counted = before.zip(after);
        let has_counted = counted.is_some();
        let counted = counted.and_then(|(before, after)| after.since(&before));
        if pooler.is_some() {
            cell.pool = Some(PoolFigures::new(&setting, &own, counted.as_ref(), length_ns));
        }
        let requests = cell.requests as f64;
        for (name, ns) in cpu.used().into_iter().filter(|_| requests > 0.0) {
            if name == "postgres" || (name == plan.pooler && setting.pool_size.is_some()) {
                cell.cpu_ns_per_request.insert(name, ns as f64 / requests);
            }
        }
        let stream = &report.streams[0];
        cell.goals = judge.goals(stream, length_ns, &judged);
        let mut arm = rig.arms[0].clone();
        arm.push(Block::new(report, plan.cell_ns, Vec::new()));
        cell.judge(CellEvidence {
            generator: &rig.generator(),
            lost_names: rig.lost_names(&arm),
            arm,
            cell_ns: plan.cell_ns,
            gaps: pooler.as_ref().map(|pooler| &pooler.gaps),
            has_begun_anew: has_counted && counted.is_none(),
        });
        Ok(())
    }

    fn judge(&self, target: &str) -> Result<Judge<'a>, RigError> {
        let load = metric::Load {
            scenario: rules::ONLY_LOAD.into(),
            target: target.into(),
            layer: rules::layer(self.scenario.target(target)?),
            connect: None,
        };
        let operations = self.scenario.operations.iter().map(|op| op.name.clone()).collect();
        let loads = Loads { loads: vec![load], operations, checks: Vec::new() };
        Ok(Judge { loads, goals: &self.plan.goals })
    }
}

/// Judges the goals on one target.
struct Judge<'a> {
    loads: Loads,
    goals: &'a [Goal],
}

impl Judge<'_> {
    fn results(&self, stream: &StreamReport, length_ns: Nanos) -> Vec<GoalResult> {
        let tallies = [Tally {
            recording: stream.recording.clone(),
            iterations: stream.iterations,
            dropped: stream.dropped + stream.unserved,
            data_sent: stream.data_sent,
            data_received: stream.data_received,
        }];
        let gauges = Gauges::default();
        let metrics = self.loads.metrics(length_ns, &tallies, &gauges);
        self.goals.iter().map(|goal| goal.judge(&metrics)).collect()
    }

    /// The goals' values in a part of the cell.
    fn values(&self, stream: &StreamReport, length_ns: Nanos) -> Vec<Option<f64>> {
        self.results(stream, length_ns).iter().map(|result| result.value).collect()
    }

    /// What became of them in the whole, given their values in its parts.
    fn goals(
        &self,
        stream: &StreamReport,
        length_ns: Nanos,
        parts: &[Vec<Option<f64>>],
    ) -> Vec<CellGoal> {
        let results = self.results(stream, length_ns).into_iter().zip(self.goals).enumerate();
        let goal = |(place, (result, goal))| {
            let parts: Vec<_> = parts.iter().map(|values| values[place]).collect();
            CellGoal::new(goal, result, &parts)
        };
        results.map(goal).collect()
    }
}

fn load(setting: &Setting, duration_ns: Nanos) -> Load {
    match setting.rate {
        None => Load::ConstantVus { vus: setting.clients, duration_ns },
        Some(rate) => Load::ConstantArrivalRate {
            rate,
            gaps: GAPS,
            duration_ns,
            pre_allocated_vus: setting.clients,
            max_vus: setting.clients,
        },
    }
}
