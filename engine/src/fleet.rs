//! All workers of a run, each on a thread and a core of its own.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel},
    },
    thread::JoinHandle,
};

use core_affinity::CoreId;
use thiserror::Error;
use wire::Operation;

use crate::{
    Ending, Interval, MILLISECOND, Nanos, Opened, Phase, PhaseReport, Piece, Refusal, StreamReport,
    Target, Worker, WorkerTime,
    driver::{self, Clock, Driver, DriverError, Setup, raise_open_files, thread_cpu_ns},
    interval::Intervals,
    pool::Connection,
    worker::SPARES,
};

/// Why a fleet can't run, or can't go on.
#[derive(Debug, Error)]
pub enum FleetError {
    /// A target refused a connection before the first phase.
    #[error("target {}: {}", .0.target, .0.failure.message)]
    Refused(Refusal),
    /// A driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
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
    /// Raised when the phase in progress is to end.
    abort: Arc<AtomicBool>,
    workers: Vec<WorkerThread>,
    /// By worker.
    connection_bytes: Arc<[AtomicU64]>,
    reports: Receiver<Result<Report, FleetError>>,
}

/// Exchanges a target's operations while a fleet runs: for a token that is renewed. Workers take
/// note between two turns.
#[derive(Clone, Debug)]
pub struct Exchange {
    workers: Vec<Sender<(usize, Arc<[Operation]>)>>,
}

impl Exchange {
    /// From now on requests to the HTTP target number `target` are these, in the order of the mix.
    pub fn replace_operations(&self, target: usize, operations: &Arc<[Operation]>) {
        for worker in &self.workers {
            // A worker that is gone needs none.
            let _ = worker.send((target, Arc::clone(operations)));
        }
    }
}

#[derive(Debug)]
struct WorkerThread {
    exchanged: Sender<(usize, Arc<[Operation]>)>,
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Command {
    Open,
    RoundTrips,
    Run { phase: Phase, start: Nanos, emptied: Receiver<Vec<StreamReport>> },
}

#[derive(Debug)]
enum Report {
    Opened(Vec<Opened>),
    /// Per target, the shortest.
    RoundTrips(Vec<Option<Nanos>>),
    /// A worker's part of an interval.
    Interval(usize, Piece),
    /// A worker's end of a phase, with what happened since its last interval.
    Phase(usize, Box<(PhaseReport, Piece)>),
}

/// A worker looks for commands and for the stop flag at least this often.
const WAIT_MAX_NS: Nanos = 20 * MILLISECOND;
/// Between phases it looks more often: the next one may begin at any time.
const WAIT_BETWEEN_PHASES_NS: Nanos = MILLISECOND;
/// A phase starts so long after its command, in which every worker takes note of it.
const START_DELAY_NS: Nanos = 3 * MILLISECOND;
/// A worker's reports that nobody has taken yet: those of an opening and of a phase, an error, and
/// as many intervals as it has memory for. With room for all of them, none is ever waited with.
const REPORTS_A_WORKER: usize = SPARES + 3;

impl Fleet {
    /// Starts one worker on each of `cores`, driven as `options` say. Once `stop` is raised, phases
    /// and openings end at once.
    pub fn start(
        targets: Vec<Target>,
        cores: &[CoreId],
        options: &driver::Options,
        stop: Arc<AtomicBool>,
    ) -> Self {
        raise_open_files();
        let clock = Clock::start();
        let closing = Arc::new(AtomicBool::new(false));
        let abort = Arc::new(AtomicBool::new(false));
        let targets: Arc<[Target]> = targets.into();
        let connection_bytes: Arc<[AtomicU64]> = cores.iter().map(|_| AtomicU64::new(0)).collect();
        let (reporter, reports) = sync_channel(REPORTS_A_WORKER * cores.len());
        let workers = cores.iter().enumerate().map(|(index, core)| {
            let worker = Worker::new(index as u32, cores.len() as u32, Arc::clone(&targets));
            let (commands, orders) = channel();
            let (exchanged, exchange) = channel();
            let stops = [Arc::clone(&stop), Arc::clone(&closing)];
            let abort = Arc::clone(&abort);
            let reporter = reporter.clone();
            let core = *core;
            let bytes = Arc::clone(&connection_bytes);
            let connections = worker.connections();
            let setup = Setup { connections, workers: cores.len(), options: options.clone() };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    core_affinity::set_for_current(core);
                    let pump = Pump {
                        index,
                        worker,
                        clock,
                        stops,
                        abort,
                        exchange,
                        orders,
                        reporter: &reporter,
                        connection_bytes: &bytes[index],
                    };
                    if let Err(error) = driver::start(&setup, pump).and_then(|end| end) {
                        let _ = reporter.send(Err(error.into()));
                    }
                })
                .ok();
            WorkerThread { exchanged, commands: Some(commands), thread }
        });
        let workers = workers.collect();
        Self { clock, closing, abort, workers, connection_bytes, reports }
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Memory that one connection holds in its worker and its driver, in bytes: of the worker where
    /// it is most, as of the last opening or phase. The kernel's socket buffers are not in it.
    pub fn connection_bytes(&self) -> u64 {
        let each = self.connection_bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed));
        each.max().unwrap_or_default()
    }

    /// What exchanges operations while phases run.
    pub fn exchange(&self) -> Exchange {
        Exchange { workers: self.workers.iter().map(|worker| worker.exchanged.clone()).collect() }
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

    /// Per target, the shortest round trip on any of its connections of late (the kernel forgets
    /// what is older than net.ipv4.tcp_min_rtt_wlen, five minutes by default), in ns; `None` where
    /// it is not reached over TCP. Between phases.
    pub fn round_trips(&mut self) -> Result<Vec<Option<Nanos>>, FleetError> {
        self.command(|| Command::RoundTrips)?;
        let mut all: Vec<Option<Nanos>> = Vec::new();
        for _ in 0..self.workers.len() {
            let Report::RoundTrips(own) = self.report()? else {
                return Err(FleetError::WorkerLost);
            };
            all.resize(own.len(), None);
            for (shortest, own) in all.iter_mut().zip(own) {
                *shortest = [*shortest, own].into_iter().flatten().min();
            }
        }
        Ok(all)
    }

    /// Runs one phase on all workers, to its end or until the stop flag is raised. Each interval
    /// of the phase, if it has any, is told as soon as every worker has reported on it, also the
    /// last, shorter one; a break ends the phase at once.
    pub fn run(
        &mut self,
        phase: &Phase,
        mut tell: impl FnMut(&Interval) -> ControlFlow<()>,
    ) -> Result<PhaseReport, FleetError> {
        self.abort.store(false, Ordering::Relaxed);
        let start = self.clock.now() + START_DELAY_NS;
        let mut givers = Vec::with_capacity(self.workers.len());
        self.command(|| {
            let (giver, emptied) = channel();
            givers.push(giver);
            Command::Run { phase: phase.clone(), start, emptied }
        })?;
        let mut intervals = Intervals::new(self.workers.len(), phase.interval_ns);
        let mut whole: Option<PhaseReport> = None;
        let mut running = self.workers.len();
        let mut workers = vec![WorkerTime::default(); running];
        while running > 0 {
            match self.report()? {
                Report::Opened(_) | Report::RoundTrips(_) => return Err(FleetError::WorkerLost),
                Report::Interval(worker, piece) => {
                    workers[worker].append(piece.time);
                    intervals.push(worker, piece, false);
                }
                Report::Phase(worker, ended) => {
                    let (report, piece) = *ended;
                    running -= 1;
                    workers[worker].append(piece.time);
                    intervals.push(worker, piece, true);
                    match &mut whole {
                        None => whole = Some(report),
                        Some(whole) => whole.merge(&report),
                    }
                }
            }
            while let Some(merged) = intervals.take() {
                if phase.interval_ns.is_some() && tell(&merged.interval).is_break() {
                    self.abort.store(true, Ordering::Relaxed);
                }
                for (worker, emptied) in intervals.append(merged) {
                    // A worker that is done with the phase needs it no more.
                    let _ = givers[worker].send(emptied);
                }
            }
        }
        let report = whole.ok_or(FleetError::WorkerLost)?;
        Ok(PhaseReport { streams: intervals.whole(), workers, ..report })
    }

    fn command(&self, mut command: impl FnMut() -> Command) -> Result<(), FleetError> {
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
    index: usize,
    worker: Worker,
    clock: Clock,
    /// Either ends the task in progress.
    stops: [Arc<AtomicBool>; 2],
    /// Ends the phase in progress.
    abort: Arc<AtomicBool>,
    exchange: Receiver<(usize, Arc<[Operation]>)>,
    orders: Receiver<Command>,
    reporter: &'a SyncSender<Result<Report, FleetError>>,
    /// See [`Fleet::connection_bytes`].
    connection_bytes: &'a AtomicU64,
}

enum Task {
    Nothing,
    Opening,
    Phase {
        started: Spent,
        /// When it last reported an interval.
        reported: Spent,
        emptied: Receiver<Vec<StreamReport>>,
    },
}

/// What a worker's thread has spent so far.
#[derive(Clone, Copy)]
struct Spent {
    /// CPU time.
    cpu_ns: Nanos,
    /// As much of it was spinning.
    spun_ns: Nanos,
}

impl Spent {
    fn now(driver: &impl Driver) -> Self {
        Self { cpu_ns: thread_cpu_ns(), spun_ns: driver.spun_ns() }
    }

    /// CPU time and spinning from then until now, in ns.
    fn since(self, then: Self) -> (Nanos, Nanos) {
        (self.cpu_ns - then.cpu_ns, self.spun_ns - then.spun_ns)
    }

    /// What the calling thread did since it last reported, which is now.
    fn report(&mut self, driver: &impl Driver) -> WorkerTime {
        let now = Self::now(driver);
        let (cpu_ns, spun_ns) = now.since(std::mem::replace(self, now));
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        WorkerTime { thread, busy_ns: cpu_ns.saturating_sub(spun_ns) }
    }
}

impl driver::Pump for Pump<'_> {
    type Output = Result<(), DriverError>;

    fn pump(mut self, mut driver: impl Driver) -> Self::Output {
        let mut task = Task::Nothing;
        loop {
            if let Ok((target, operations)) = self.exchange.try_recv() {
                self.worker.replace_operations(target, operations);
            }
            let now = self.clock.now();
            self.worker.poll(now, driver.transport());
            match &mut task {
                Task::Nothing => match self.orders.try_recv() {
                    Ok(Command::Open) => {
                        self.worker.open(now, driver.transport());
                        task = Task::Opening;
                    }
                    Ok(Command::RoundTrips) => {
                        let shortest = |target| {
                            let members = self.worker.members(target);
                            members.filter_map(|id| driver.min_rtt_ns(id)).min()
                        };
                        let all = (0..self.worker.targets()).map(shortest).collect();
                        let _ = self.reporter.send(Ok(Report::RoundTrips(all)));
                    }
                    Ok(Command::Run { phase, start, emptied }) => {
                        self.worker.begin(&phase, start);
                        let started = Spent::now(&driver);
                        task = Task::Phase { started, reported: started, emptied };
                    }
                    Err(TryRecvError::Disconnected) if !self.worker.is_cancelling() => {
                        return Ok(());
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
                },
                Task::Opening => {
                    if let Some(report) = self.opening() {
                        self.count_bytes(&driver);
                        let _ = self.reporter.send(report);
                        task = Task::Nothing;
                    }
                }
                Task::Phase { started, reported, emptied } => {
                    self.take_back(emptied);
                    while let Some(piece) = self.worker.take_interval() {
                        let piece = Piece { time: reported.report(&driver), ..piece };
                        let _ = self.reporter.send(Ok(Report::Interval(self.index, piece)));
                    }
                    if let Some(ending) = self.ending(now) {
                        let (cpu_ns, spun_ns) = Spent::now(&driver).since(*started);
                        self.count_bytes(&driver);
                        let ended = self.worker.finish(ending, now, driver.transport());
                        if let Some((report, piece)) = ended {
                            let piece = Piece { time: reported.report(&driver), ..piece };
                            let ended =
                                Box::new((PhaseReport { cpu_ns, spun_ns, ..report }, piece));
                            let _ = self.reporter.send(Ok(Report::Phase(self.index, ended)));
                        }
                        task = Task::Nothing;
                    }
                }
            }
            let wait_max = match task {
                Task::Nothing => WAIT_BETWEEN_PHASES_NS,
                Task::Opening | Task::Phase { .. } => WAIT_MAX_NS,
            };
            let deadline = self.worker.deadline().min(now + wait_max);
            driver.turn(&mut self.worker, &self.clock, deadline)?;
        }
    }
}

impl Pump<'_> {
    fn count_bytes(&self, driver: &impl Driver) {
        let places = self.worker.connections();
        let bytes = size_of::<Connection>() + driver.own_bytes() / places.max(1);
        self.connection_bytes.store(bytes as u64, Ordering::Relaxed);
    }

    fn take_back(&mut self, emptied: &Receiver<Vec<StreamReport>>) {
        while self.worker.wants_back()
            && let Ok(streams) = emptied.try_recv()
        {
            self.worker.give_back(streams);
        }
    }

    /// Why the phase ends, if it does.
    fn ending(&self, now: Nanos) -> Option<Ending> {
        if self.is_stopped() {
            return Some(Ending::Interrupted);
        }
        if self.abort.load(Ordering::Relaxed) {
            return Some(Ending::Aborted);
        }
        self.worker.is_drained(now).then_some(Ending::Complete)
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
