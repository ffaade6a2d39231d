//! A scenario's targets opened by the engine: what every experiment stands on.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use core_affinity::CoreId;
use engine::{
    Fleet, FleetError, Interval, Load, LoadError, MILLISECOND, Nanos, Phase, PhaseReport, SECOND,
    Script, Stream, StreamReport, Target,
};
use thiserror::Error;
use wire::Operation;
use wire::postgres::Fallback;

use crate::arm::{Arm, ArmKind, Logins, Securities, SessionParameters};
use crate::check::Checks;
use crate::conninfo::Conninfo;
use crate::generator::{
    BusySeconds, Generator, GeneratorError, GeneratorOptions, GeneratorSummary, Work,
};
use crate::interrupt::{self, Interrupted};
use crate::observe::{Observations, ObserveError, Observer, ObserverThread, Source};
use crate::remedy;
use crate::scenario::{self, Places, PoolingError, Renewal, Scenario, ScenarioError};
use crate::series::{self, LoadSecond, Second};
use crate::validity::MachineWatch;

/// Why an experiment has no result.
#[derive(Debug, Error)]
pub(crate) enum RigError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Generator(#[from] GeneratorError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// A target does not do its part; the text says which, why and what to do.
    #[error("{0}")]
    Target(String),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Fleet(FleetError),
    #[error("interrupted")]
    Interrupted,
}

impl From<PoolingError> for RigError {
    fn from(error: PoolingError) -> Self {
        match error {
            PoolingError::Mode(error) => error.into(),
            PoolingError::Observe(error) => error.into(),
        }
    }
}

impl From<Interrupted> for RigError {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

/// Workers with open connections to each arm's target.
pub(crate) struct Rig {
    pub(crate) arms: Vec<Arm>,
    pub(crate) fleet: Fleet,
    generator: Generator,
    /// Of the phases that count.
    work: Work,
    /// From the first of them on.
    machine: Option<MachineWatch>,
    /// What is run on each arm.
    scripts: Vec<Script>,
    /// Arrivals that wait for a connection for longer than this after their phase are given up.
    pub(crate) drain_ns: Nanos,
    places: Places,
    /// Keeps the gateways' token fresh.
    _renewal: Option<Renewal>,
}

/// A phase, and what was seen beside it.
pub(crate) struct ObservedPhase {
    pub(crate) report: PhaseReport,
    pub(crate) observations: Observations,
    pub(crate) series: Vec<Second>,
    /// How much of its time the generator's busiest worker worked in its busiest second, 0 to 1.
    pub(crate) generator_share: f64,
}

/// As long as arrivals wait after their phase, where nothing else is said.
const DRAIN_NS: Nanos = 1000 * MILLISECOND;
/// So many arrivals of an open loop wait for a connection; those past it are dropped iterations, so
/// that a target that stands still costs bounded memory.
const WAITING_MAX: usize = 100_000;
/// Requests in flight at a phase's end have so long to finish: k6's default.
const GRACEFUL_STOP_NS: Nanos = 30 * SECOND;
/// How often a phase that is watched is reported on.
const INTERVAL_NS: Nanos = SECOND;

/// What the operations of a target share if their statements may be sent unnamed.
fn fallback(operations: &[Operation]) -> Option<Fallback> {
    let statements = operations.iter().flat_map(|operation| operation.request.statements());
    statements.filter_map(|statement| statement.fallback()).next().cloned()
}

impl Rig {
    /// Opens connections to each of the arms' targets, so many before the start and at most, and has
    /// their replies checked.
    pub(crate) fn open(
        scenario: &Scenario,
        kinds: &[ArmKind],
        connections: &[(u32, u32)],
        options: &GeneratorOptions,
        checks: &Checks,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, RigError> {
        let generator = options.decide()?;
        let mut places = Places::new();
        let mut token = None;
        let mut arms = Vec::new();
        let mut targets = Vec::new();
        for (kind, connections) in kinds.iter().zip(connections) {
            let file = scenario.target(&kind.target)?;
            scenario.check_pooling(&kind.target)?;
            if let (Some(url), None) = (&file.url, &token) {
                token = scenario::token(scenario, url)?;
            }
            let conninfo = file.conninfo.as_deref().and_then(|text| Conninfo::parse(text).ok());
            conninfo.iter().flat_map(|conninfo| &conninfo.warnings).for_each(|line| say(line));
            let token = token.as_deref();
            let mut target =
                scenario.engine_target(&kind.target, *connections, token, &mut places)?;
            target.operations = checks.apply(&target.operations);
            let mut arm = Arm::new(kind, file.backends.clone());
            arm.connections = *connections;
            arm.pooler = kind.pooler(scenario).map(str::to_owned);
            arm.fallback = fallback(&target.operations);
            arm.protocol = file.conninfo.as_ref().map(|_| file.protocol);
            targets.push(target);
            arms.push(arm);
        }
        let mix = Arc::new(scenario.mix()?);
        let scripts = vec![Script::Mix(mix); arms.len()];
        let mut rig = Self::new(generator, arms, targets, scripts, places);
        let is_gateway =
            |kind: &ArmKind| scenario.target(&kind.target).is_ok_and(|t| t.url.is_some());
        let gateways = kinds.iter().enumerate().filter(|(_, kind)| is_gateway(kind));
        let gateways = gateways.map(|(number, kind)| (number, kind.target.to_string())).collect();
        let exchange = rig.fleet.exchange();
        let checks = checks.clone();
        rig._renewal = token.and_then(|token| {
            Renewal::start(scenario, gateways, &token, move |number, operations| {
                exchange.replace_operations(number, &checks.apply(operations));
            })
        });
        let count: u32 = connections.iter().map(|(first, _)| first).sum();
        let names: Vec<_> = kinds.iter().map(|kind| &*kind.target).collect();
        say(&format!("opening {count} connections to {}", names.join(", ")));
        rig.connect()?;
        Ok(rig)
    }

    /// Starts the workers, without connections: one target and one script for each arm.
    pub(crate) fn new(
        generator: Generator,
        arms: Vec<Arm>,
        targets: Vec<Target>,
        scripts: Vec<Script>,
        places: Places,
    ) -> Self {
        // Ctrl-C raises it: a phase in progress ends at once.
        let stop: Arc<AtomicBool> = interrupt::flag();
        let fleet = Fleet::start(targets, &generator.cores, &generator.options, stop);
        Self {
            arms,
            fleet,
            generator,
            work: Work::default(),
            machine: None,
            scripts,
            drain_ns: DRAIN_NS,
            places,
            _renewal: None,
        }
    }

    /// Opens the connections that are there from the start.
    pub(crate) fn connect(&mut self) -> Result<(), RigError> {
        let opened = self.fleet.open().map_err(|error| self.error(error))?;
        for (arm, opened) in self.arms.iter_mut().zip(opened) {
            arm.connect = Some(opened.connect);
            arm.security = Securities(opened.security);
            arm.logins = Logins(opened.logins);
            arm.parameters = SessionParameters::new(&opened.parameters);
        }
        Ok(())
    }

    /// The workers' cores.
    pub(crate) fn cores(&self) -> &[CoreId] {
        &self.generator.cores
    }

    /// How the generator ran.
    pub(crate) fn generator(&self) -> GeneratorSummary {
        let machine = self.machine.as_ref().map(MachineWatch::machine).unwrap_or_default();
        let connection_bytes = self.fleet.connection_bytes();
        GeneratorSummary::new(&self.generator, connection_bytes, &self.work, machine)
    }

    /// From the next phase on the machine is looked at anew.
    pub(crate) fn forget_machine(&mut self) {
        self.machine = None;
    }

    /// A load on one arm, from the phase's start on.
    pub(crate) fn stream(
        &self,
        arm: usize,
        load: Load,
        think_time_ns: (Nanos, Nanos),
        seed: u64,
    ) -> Stream {
        Stream {
            target: arm,
            script: self.scripts[arm].clone(),
            load,
            think_time_ns,
            start_ns: 0,
            graceful_stop_ns: GRACEFUL_STOP_NS,
            reconnect: false,
            cancel: None,
            seed,
        }
    }

    /// Runs one phase.
    pub(crate) fn phase(&mut self, streams: Vec<Stream>) -> Result<PhaseReport, RigError> {
        self.run(streams, None, |_| ControlFlow::Continue(()))
    }

    /// Runs one phase and tells what happens in it, once a second; a break ends it.
    pub(crate) fn watch(
        &mut self,
        streams: Vec<Stream>,
        tell: impl FnMut(&Interval) -> ControlFlow<()>,
    ) -> Result<PhaseReport, RigError> {
        self.watch_every(INTERVAL_NS, streams, tell)
    }

    /// Runs one phase, and looks once a second at everything that the scenario names.
    pub(crate) fn observe(
        &mut self,
        thread: &ObserverThread,
        scenario: &Scenario,
        streams: Vec<Stream>,
    ) -> Result<ObservedPhase, RigError> {
        let sources = Source::all(scenario)?;
        let observer = Observer::start(thread, sources, self.fleet.clock());
        let (mut seconds, mut busy) = (Vec::new(), BusySeconds::default());
        let report = self.watch(streams, |interval| {
            busy.push(interval);
            seconds.push(LoadSecond::new(interval));
            ControlFlow::Continue(())
        })?;
        let observations = observer.finish();
        interrupt::check()?;
        let series = series::lay(seconds, &observations, report.start);
        let generator_share = busy.share(&report);
        Ok(ObservedPhase { report, observations, series, generator_share })
    }

    /// As [`Self::watch`], told every `interval_ns`.
    pub(crate) fn watch_every(
        &mut self,
        interval_ns: Nanos,
        streams: Vec<Stream>,
        tell: impl FnMut(&Interval) -> ControlFlow<()>,
    ) -> Result<PhaseReport, RigError> {
        self.run(streams, Some(interval_ns), tell)
    }

    fn run(
        &mut self,
        streams: Vec<Stream>,
        interval_ns: Option<Nanos>,
        mut tell: impl FnMut(&Interval) -> ControlFlow<()>,
    ) -> Result<PhaseReport, RigError> {
        let mut machine = self.machine.take().unwrap_or_else(MachineWatch::begin);
        machine.look();
        let what = self.label(&streams);
        let mut seconds = BusySeconds::default();
        let report = self.run_uncounted(streams, interval_ns, |interval| {
            machine.look();
            seconds.push(interval);
            tell(interval)
        });
        self.machine = Some(machine);
        let report = report?;
        self.work.add(&what, &report, seconds.busiest, self.generator.cores.len());
        Ok(report)
    }

    /// What is measured with these: the arms, and where it is one rate that too.
    fn label(&self, streams: &[Stream]) -> String {
        let mut names: Vec<_> =
            streams.iter().map(|one| &*self.arms[one.target].kind.name).collect();
        names.sort_unstable();
        names.dedup();
        match streams {
            [Stream { load: Load::ConstantArrivalRate { rate, .. }, .. }] => {
                format!("{} at {rate}/s", names.join(", "))
            }
            _ => names.join(", "),
        }
    }

    fn run_uncounted(
        &mut self,
        streams: Vec<Stream>,
        interval_ns: Option<Nanos>,
        tell: impl FnMut(&Interval) -> ControlFlow<()>,
    ) -> Result<PhaseReport, RigError> {
        interrupt::check()?;
        let mut phase = Phase::new(streams)?;
        phase.drain_ns = self.drain_ns;
        phase.waiting_max = WAITING_MAX;
        phase.interval_ns = interval_ns;
        self.fleet.run(&phase, tell).map_err(|error| self.error(error))
    }

    /// Runs one uncounted phase of one stream: caches fill, pools open, and what does not work at
    /// all shows.
    pub(crate) fn warm_up(&mut self, stream: Stream) -> Result<(), RigError> {
        let arm = stream.target;
        let report = self.run_uncounted(vec![stream], None, |_| ControlFlow::Continue(()))?;
        interrupt::check()?;
        let name = &self.arms[arm].kind.target;
        for stream in &report.streams {
            let line = remedy::failing(&stream.recording, name, &self.places);
            let has_fallback = self.arms[arm].fallback.is_some();
            let lost = || remedy::lost_names(&stream.recording, name, &self.places);
            if let Some(line) = line.or_else(|| lost().filter(|_| !has_fallback)) {
                return Err(RigError::Target(line));
            }
        }
        self.arms[arm].completed += report.completed();
        self.arms[arm].queries += report.streams.iter().map(StreamReport::queries).sum::<u64>();
        Ok(())
    }

    /// For each arm, the shortest round trip to its target, in ns; `None` where that is not TCP.
    pub(crate) fn round_trips(&mut self) -> Result<Vec<Option<Nanos>>, RigError> {
        self.fleet.round_trips().map_err(|error| self.error(error))
    }

    /// The line for an arm whose pooler lost the names of prepared statements.
    pub(crate) fn lost_names(&self, arm: &Arm) -> Option<String> {
        let whole = arm.whole.as_ref().filter(|_| arm.fallback.is_none())?;
        remedy::lost_names(whole, &arm.kind.target, &self.places)
    }

    /// Those of all arms.
    pub(crate) fn all_lost_names(&self) -> Vec<String> {
        self.arms.iter().filter_map(|arm| self.lost_names(arm)).collect()
    }

    fn error(&self, error: FleetError) -> RigError {
        match error {
            FleetError::Refused(refusal) => {
                let name = &self.arms[refusal.target].kind.target;
                RigError::Target(remedy::refusal(&refusal, name, &self.places))
            }
            FleetError::Interrupted => RigError::Interrupted,
            error => RigError::Fleet(error),
        }
    }
}
