//! All workers of a run, each on a thread and a core of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread::JoinHandle,
};

use core_affinity::CoreId;
use thiserror::Error;

use crate::{
    MILLISECOND, Nanos, Opened, Phase, PhaseReport, Refusal, Target, Worker,
    driver::{
        Clock, raise_limit, thread_cpu_ns,
        uring::{Uring, UringError},
    },
};

/// Why a fleet can't run, or can't go on.
#[derive(Debug, Error)]
pub enum FleetError {
    /// A target refused a connection before the first phase.
    #[error("target {}: {}", .0.target, .0.failure.message)]
    Refused(Refusal),
    /// A driver failed.
    #[error(transparent)]
    Driver(#[from] UringError),
    /// A worker's thread ended by itself.
    #[error("a worker ended unexpectedly")]
    WorkerLost,
    /// The stop flag was raised while connections were opened.
    #[error("interrupted")]
    Interrupted,
}

/// All workers of a run. [`Fleet::open`] first, then [`Fleet::run`] for each phase. Dropping it
/// stops the workers and closes their connections.
#[derive(Debug)]
pub struct Fleet {
    clock: Clock,
    /// Raised when the fleet is dropped.
    closing: Arc<AtomicBool>,
    workers: Vec<WorkerThread>,
    reports: Receiver<Result<Report, FleetError>>,
}

#[derive(Debug)]
struct WorkerThread {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Command {
    Open,
    Run(Phase, Nanos),
}

#[derive(Debug)]
enum Report {
    Opened(Vec<Opened>),
    Phase(Box<PhaseReport>),
}

/// A worker looks for commands and for the stop flag at least this often.
const WAIT_MAX_NS: Nanos = 20 * MILLISECOND;
/// Between phases it looks more often: the next one may begin at any time.
const WAIT_BETWEEN_PHASES_NS: Nanos = MILLISECOND;
/// A phase starts so long after its command, in which every worker takes note of it.
const START_DELAY_NS: Nanos = 3 * MILLISECOND;

impl Fleet {
    /// Starts one worker on each of `cores`. Spins up to `spin_ns` before each arrival. Once `stop`
    /// is raised, phases and openings end at once.
    pub fn start(
        targets: Vec<Target>,
        cores: &[CoreId],
        spin_ns: Nanos,
        stop: Arc<AtomicBool>,
    ) -> Self {
        raise_limit();
        let clock = Clock::start();
        let closing = Arc::new(AtomicBool::new(false));
        let targets: Arc<[Target]> = targets.into();
        let (reporter, reports) = channel();
        let workers = cores.iter().enumerate().map(|(index, core)| {
            let worker = Worker::new(index as u32, cores.len() as u32, Arc::clone(&targets));
            let (commands, orders) = channel();
            let stops = [Arc::clone(&stop), Arc::clone(&closing)];
            let reporter = reporter.clone();
            let core = *core;
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    core_affinity::set_for_current(core);
                    let pump = Pump { worker, clock, stops, orders, reporter: &reporter };
                    if let Err(error) = pump.run(spin_ns) {
                        let _ = reporter.send(Err(error.into()));
                    }
                })
                .ok();
            WorkerThread { commands: Some(commands), thread }
        });
        let workers = workers.collect();
        Self { clock, closing, workers, reports }
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Opens every connection to every target. Per target, what it came to.
    pub fn open(&mut self) -> Result<Vec<Opened>, FleetError> {
        self.command(|| Command::Open)?;
        let mut all: Option<Vec<Opened>> = None;
        for _ in 0..self.workers.len() {
            let Report::Opened(opened) = self.report()? else { return Err(FleetError::WorkerLost) };
            match &mut all {
                None => all = Some(opened),
                Some(all) => {
                    all.iter_mut().zip(&opened).for_each(|(ours, theirs)| ours.merge(theirs));
                }
            }
        }
        all.ok_or(FleetError::WorkerLost)
    }

    /// Runs one phase on all workers, to its end or until the stop flag is raised.
    pub fn run(&mut self, phase: &Phase) -> Result<PhaseReport, FleetError> {
        let start = self.clock.now() + START_DELAY_NS;
        self.command(|| Command::Run(phase.clone(), start))?;
        let mut all: Option<PhaseReport> = None;
        for _ in 0..self.workers.len() {
            let Report::Phase(report) = self.report()? else { return Err(FleetError::WorkerLost) };
            match &mut all {
                None => all = Some(*report),
                Some(all) => all.merge(&report),
            }
        }
        all.ok_or(FleetError::WorkerLost)
    }

    fn command(&self, command: impl Fn() -> Command) -> Result<(), FleetError> {
        for worker in &self.workers {
            let commands = worker.commands.as_ref().ok_or(FleetError::WorkerLost)?;
            // A worker that is gone has left the reason among the reports.
            let _ = commands.send(command());
        }
        Ok(())
    }

    fn report(&self) -> Result<Report, FleetError> {
        self.reports.recv().map_err(|_| FleetError::WorkerLost)?
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A phase in progress ends at the flag, the workers at the end of their orders.
        self.closing.store(true, Ordering::Relaxed);
        self.workers.iter_mut().for_each(|worker| worker.commands = None);
        for worker in &mut self.workers {
            worker.thread.take().map(JoinHandle::join);
        }
    }
}

/// One worker's thread: turns its driver, and takes orders between turns.
struct Pump<'a> {
    worker: Worker,
    clock: Clock,
    /// Either ends the task in progress.
    stops: [Arc<AtomicBool>; 2],
    orders: Receiver<Command>,
    reporter: &'a Sender<Result<Report, FleetError>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Nothing,
    Opening,
    Phase { cpu_before_ns: Nanos },
}

impl Pump<'_> {
    fn run(mut self, spin_ns: Nanos) -> Result<(), UringError> {
        let mut driver = Uring::new(self.worker.connections(), spin_ns)?;
        let mut task = Task::Nothing;
        loop {
            let now = self.clock.now();
            self.worker.poll(now, driver.transport());
            match task {
                Task::Nothing => match self.orders.try_recv() {
                    Ok(Command::Open) => {
                        self.worker.open(now, driver.transport());
                        task = Task::Opening;
                    }
                    Ok(Command::Run(phase, start)) => {
                        self.worker.begin(phase, start);
                        task = Task::Phase { cpu_before_ns: thread_cpu_ns() };
                    }
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return Ok(()),
                },
                Task::Opening => {
                    if let Some(report) = self.opening() {
                        let _ = self.reporter.send(report);
                        task = Task::Nothing;
                    }
                }
                Task::Phase { cpu_before_ns } => {
                    let is_stopped = self.is_stopped();
                    if is_stopped || self.worker.is_drained(now) {
                        let cpu_ns = thread_cpu_ns() - cpu_before_ns;
                        let report = self.worker.finish(is_stopped, now, driver.transport());
                        if let Some(report) = report {
                            let report = Box::new(PhaseReport { cpu_ns, ..report });
                            let _ = self.reporter.send(Ok(Report::Phase(report)));
                        }
                        task = Task::Nothing;
                    }
                }
            }
            let wait_max = if task == Task::Nothing { WAIT_BETWEEN_PHASES_NS } else { WAIT_MAX_NS };
            let deadline = self.worker.deadline().min(now + wait_max);
            driver.turn(&mut self.worker, &self.clock, deadline)?;
        }
    }

    fn is_stopped(&self) -> bool {
        self.stops.iter().any(|stop| stop.load(Ordering::Relaxed))
    }

    fn opening(&self) -> Option<Result<Report, FleetError>> {
        if let Some(refusal) = self.worker.refusal() {
            return Some(Err(FleetError::Refused(refusal.clone())));
        }
        if self.is_stopped() {
            return Some(Err(FleetError::Interrupted));
        }
        self.worker.opened().map(|opened| Ok(Report::Opened(opened)))
    }
}
