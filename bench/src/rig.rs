//! A scenario's targets opened by the engine: what every experiment stands on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::{Fleet, FleetError, Load, MILLISECOND, Mix, Nanos, Phase, PhaseReport};
use thiserror::Error;

use crate::arm::{Arm, ArmKind, Securities};
use crate::conninfo::Conninfo;
use crate::interrupt::{self, Interrupted};
use crate::observe::ObserveError;
use crate::scenario::{self, Places, Scenario, ScenarioError};
use crate::{cores, remedy};

/// Why an experiment has no result.
#[derive(Debug, Error)]
pub(crate) enum RigError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// A target does not do its part; the text says which, why and what to do.
    #[error("{0}")]
    Target(String),
    #[error(transparent)]
    Fleet(FleetError),
    #[error("interrupted")]
    Interrupted,
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
    pub(crate) workers: usize,
    mix: Arc<Mix>,
    places: Places,
}

/// Arrivals that wait for a connection for longer than this after their phase are given up.
const DRAIN_NS: Nanos = 1000 * MILLISECOND;

impl Rig {
    /// Opens `connections` to each of the arms' targets.
    pub(crate) fn open(
        scenario: &Scenario,
        kinds: &[ArmKind],
        connections: u32,
        workers: Option<usize>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, RigError> {
        let mut places = Places::new();
        let mut token = None;
        let mut arms = Vec::new();
        let mut targets = Vec::new();
        for kind in kinds {
            let file = scenario.target(&kind.target)?;
            if let (Some(url), None) = (&file.url, &token) {
                token = scenario::token(scenario, url)?;
            }
            let conninfo = file.conninfo.as_deref().and_then(|text| Conninfo::parse(text).ok());
            conninfo.iter().flat_map(|conninfo| &conninfo.warnings).for_each(|line| say(line));
            let token = token.as_deref();
            targets.push(scenario.engine_target(&kind.target, connections, token, &mut places)?);
            arms.push(Arm::new(kind, file.backends.clone()));
        }
        let cores = cores::choose(workers);
        // Ctrl-C raises it: a phase in progress ends at once.
        let stop: Arc<AtomicBool> = interrupt::flag();
        let fleet = Fleet::start(targets, &cores, cores::spin_ns(&cores), stop);
        let mix = Arc::new(scenario.mix()?);
        let mut rig = Self { arms, fleet, workers: cores.len(), mix, places };
        say(&format!("opening {connections} connections to each of {} targets", kinds.len()));
        let opened = rig.fleet.open().map_err(|error| rig.error(error))?;
        for (arm, opened) in rig.arms.iter_mut().zip(opened) {
            arm.connect = Some(opened.connect);
            arm.security = Securities(opened.security);
        }
        Ok(rig)
    }

    /// Runs one phase on one arm.
    pub(crate) fn phase(
        &mut self,
        arm: usize,
        load: Load,
        duration_ns: Nanos,
        seed: u64,
    ) -> Result<PhaseReport, RigError> {
        interrupt::check()?;
        let phase = Phase {
            target: arm,
            mix: Arc::clone(&self.mix),
            load,
            seed,
            duration_ns,
            drain_ns: DRAIN_NS,
            waiting_max: usize::MAX,
        };
        self.fleet.run(&phase).map_err(|error| self.error(error))
    }

    /// Runs one uncounted phase on an arm: caches fill, pools open, and what does not work at all
    /// shows.
    pub(crate) fn warm_up(
        &mut self,
        arm: usize,
        load: Load,
        duration_ns: Nanos,
        seed: u64,
    ) -> Result<(), RigError> {
        let report = self.phase(arm, load, duration_ns, seed)?;
        interrupt::check()?;
        let name = &self.arms[arm].kind.target;
        if let Some(line) = remedy::failing(&report, name, &self.places) {
            return Err(RigError::Target(line));
        }
        self.arms[arm].completed += report.recording.completed();
        Ok(())
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
