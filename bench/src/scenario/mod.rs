//! Scenario files: a system under test with its operations and its load.
//!
//! A file is read into [`node::Node`]s, values with their places, after its `${NAME}`s are filled
//! in and its include is merged; each section's own module takes its keys from there and reports
//! what is wrong. Nothing stops at the first mistake.

mod auth;
mod decode;
mod encode;
mod fields;
mod generator;
mod include;
mod jwt;
mod load;
mod locate;
mod mistake;
mod node;
mod observe;
mod operation;
mod pooling;
mod renewal;
mod secret;
mod statements;
mod substitute;
mod target;
#[cfg(test)]
mod tests;
mod variables;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::{Mix, MixEntry, Nanos};
use serde::de::DeserializeOwned;
use thiserror::Error;

pub(crate) use auth::{AuthFile, token};
pub(crate) use encode::Places;
pub(crate) use jwt::{describe as describe_expiry, expiry};
pub(crate) use load::{
    GRACEFUL_STOP_NS, MAX_DURATION_NS, PRE_ALLOCATED_VUS, ScenarioLoad, WARM_UP_NS,
};
pub(crate) use mistake::{Report, counted};
pub(crate) use observe::ObserveFile;
pub(crate) use operation::OperationFile;
pub(crate) use pooling::PoolingError;
pub(crate) use renewal::Renewal;
pub(crate) use target::{Endpoint, TargetFile};

use self::fields::Fields;
use self::include::Files;
use self::mistake::Mistakes;
use self::node::Node;
use crate::band::BandFile;
use crate::check::CheckFile;
use crate::conninfo::ConninfoError;
use crate::observe::Family;
use crate::threshold::ThresholdsFile;

/// Where `${NAME}` in a scenario is looked up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A scenario that cannot be used. Each names the place in the file.
#[derive(Debug, Error)]
pub(crate) enum ScenarioError {
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// The file has mistakes; its alternate form has colours.
    #[error(transparent)]
    Mistakes(Box<MistakesError>),
    #[error("{place}: {problem}")]
    Value { place: String, problem: String },
    #[error("targets.{target}: {error}")]
    Conninfo { target: String, error: ConninfoError },
    #[error("auth: {0}")]
    Auth(String),
    #[error("there is no target {0}: add [targets.{0}] to the scenario file; it has {1}")]
    NoTarget(String, String),
    #[error("the scenario has several targets, choose one with --target: {0}")]
    WhichTarget(String),
}

/// A file with mistakes: how many, and below them all.
#[derive(Debug, Error)]
pub(crate) struct MistakesError {
    file: String,
    report: Report,
}

impl std::fmt::Display for MistakesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, report } = self;
        write!(f, "{file} has {}, and nothing was measured:\n\n", report.tally())?;
        report.fmt(f)
    }
}

impl ScenarioError {
    fn value(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { place: place.into(), problem: problem.into() }
    }

    /// The file's mistakes.
    pub(crate) fn mistakes(file: &str, report: Report) -> Self {
        Self::Mistakes(Box::new(MistakesError { file: file.into(), report }))
    }
}

/// A scenario.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scenario {
    /// Its name in reports.
    pub(crate) name: String,
    /// The servers that load can go to.
    pub(crate) targets: BTreeMap<String, TargetFile>,
    /// Credentials for the gateways.
    pub(crate) auth: AuthFile,
    /// What is asked for.
    pub(crate) operations: Vec<OperationFile>,
    /// How `run` loads its targets: `[load]` is one, `[[loads]]` are several.
    pub(crate) loads: Vec<ScenarioLoad>,
    /// Before the measured phase, uncounted; where the file says so.
    pub(crate) warm_up_ns: Option<Nanos>,
    /// By target, the pid of its process on this machine, a file that holds it, or the folder of its
    /// control group; of several processes all of these.
    pub(crate) processes: BTreeMap<String, Vec<String>>,
    /// What is looked at beside the targets and these.
    pub(crate) observe: ObserveFile,
    /// Whether each request to a gateway is its connection's last and says so, as those of clients
    /// that keep none do.
    pub(crate) is_closing: bool,
    /// What every series of the run is marked with.
    pub(crate) tags: BTreeMap<String, String>,
    /// `[thresholds]`: by metric, as they stand in the file.
    pub(crate) thresholds: ThresholdsFile,
    /// `[[checks]]`, as they stand in the file.
    pub(crate) checks: Vec<CheckFile>,
    /// `[[bands]]`, as they stand in the file.
    pub(crate) bands: Vec<BandFile>,
    /// The file's values with their places.
    pub(crate) root: Option<Node>,
    /// The files that it was read from, with what is odd in them but no error.
    pub(crate) report: Report,
}

/// What a file is read with.
pub(crate) struct Reading<'a> {
    /// Where `${NAME}` is looked up.
    pub(crate) lookup: Lookup<'a>,
    /// The command line says how long: a file need not.
    pub(crate) has_duration: bool,
}

impl Scenario {
    /// Reads a file.
    pub(crate) fn read(path: &Path, reading: &Reading<'_>) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScenarioError::Read { path: path.into(), source })?;
        Self::parse_with(&path.display().to_string(), text, reading)
    }

    /// Reads the text of a file called `file`.
    pub(crate) fn parse(file: &str, text: &str, lookup: Lookup<'_>) -> Result<Self, ScenarioError> {
        Self::parse_with(file, text.into(), &Reading { lookup, has_duration: false })
    }

    /// Reads the text of a file called `file`; what it includes is looked for beside it.
    pub(crate) fn parse_with(
        file: &str,
        text: String,
        reading: &Reading<'_>,
    ) -> Result<Self, ScenarioError> {
        let mistakes = Mistakes::default();
        let mut files = Files::new(reading.lookup, &mistakes);
        let root = files.read(file, text);
        let (sources, folders) = (files.sources, files.folders);
        // After a mistake in the syntax, what is missing elsewhere may be that mistake's doing.
        let mut scenario = Self::default();
        if !mistakes.has_syntax_errors() {
            scenario = Self::from_root(&root, &folders, reading, &mistakes).unwrap_or_default();
        }
        scenario.root = Some(root);
        scenario.report = Report::new(sources, mistakes.into_inner());
        if scenario.report.has_errors() {
            return Err(ScenarioError::mistakes(file, scenario.report));
        }
        Ok(scenario)
    }

    fn from_root(
        root: &Node,
        folders: &[PathBuf],
        reading: &Reading<'_>,
        mistakes: &Mistakes,
    ) -> Option<Self> {
        let root = Fields::new(root, "the file", mistakes)?;
        root.required("name", "reports go by it");
        root.get("include");
        let targets = target::read(&root);
        let names = targets.keys().map(String::as_str).collect();
        let context = load::Context { targets: names, has_duration: reading.has_duration };
        let loads = load::read(&root, &context);
        let scenario = Self {
            name: root.text("name").unwrap_or_default().into(),
            auth: auth::read(
                &root,
                (reading.lookup)("JWT_TOKEN").filter(|token| !token.is_empty()),
            ),
            operations: operation::read(&root, folders),
            loads: loads.loads,
            warm_up_ns: loads.warm_up_ns,
            processes: target::processes(&root),
            observe: observe::read(&root),
            is_closing: false,
            tags: target::tags(&root),
            thresholds: section(&root, "thresholds"),
            checks: section(&root, "checks"),
            bands: section(&root, "bands"),
            targets,
            root: None,
            report: Report::default(),
        };
        root.finish();
        Some(scenario)
    }

    /// What the requests hold.
    pub(crate) fn mix(&self) -> Result<Mix, ScenarioError> {
        self.mix_with(|_, operation| operation.weight)
    }

    /// The same with one of the operations alone.
    pub(crate) fn mix_of(&self, alone: usize) -> Result<Mix, ScenarioError> {
        self.mix_with(|number, _| u32::from(number == alone))
    }

    fn mix_with(
        &self,
        weight: impl Fn(usize, &OperationFile) -> u32,
    ) -> Result<Mix, ScenarioError> {
        let entry = |(number, operation): (usize, &OperationFile)| MixEntry {
            weight: weight(number, operation),
            // Each repetition has values of its own.
            generators: {
                let repeat = operation.sql.as_ref().map_or(1, |sql| sql.repeat());
                std::iter::repeat_n(&operation.variables.generators, repeat)
                    .flatten()
                    .cloned()
                    .collect()
            },
        };
        Mix::new(self.operations.iter().enumerate().map(entry).collect()).ok_or_else(|| {
            ScenarioError::value("operations", "at least one needs a weight above 0")
        })
    }

    /// The target called `name`.
    pub(crate) fn target(&self, name: &str) -> Result<&TargetFile, ScenarioError> {
        self.targets
            .get(name)
            .ok_or_else(|| ScenarioError::NoTarget(name.into(), self.target_names()))
    }

    /// The targets' names, for people.
    pub(crate) fn target_names(&self) -> String {
        self.targets.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The target that a load goes to: the one it names, or the only one.
    pub(crate) fn target_of<'a>(
        &'a self,
        load: &'a ScenarioLoad,
    ) -> Result<&'a str, ScenarioError> {
        match &load.target {
            Some(name) => self.target(name).map(|_| name.as_str()),
            None => self.only_target(),
        }
    }

    /// The scenario's only target.
    pub(crate) fn only_target(&self) -> Result<&str, ScenarioError> {
        let mut names = self.targets.keys();
        match (names.next(), names.next()) {
            (Some(name), None) => Ok(name),
            _ => Err(ScenarioError::WhichTarget(self.target_names())),
        }
    }
}

/// A section that serde reads, as far as it is right.
fn section<T: DeserializeOwned + Default>(root: &Fields<'_>, name: &'static str) -> T {
    let Some(node) = root.get(name) else { return T::default() };
    node.decode().unwrap_or_else(|mistake| {
        mistake.into_iter().for_each(|mistake| root.mistakes.push(mistake));
        T::default()
    })
}

/// The processes of the targets.
pub(crate) type Processes = BTreeMap<String, Family>;

impl Scenario {
    /// The processes whose CPU time is to be read, by target.
    pub(crate) fn processes(&self) -> Result<Processes, ScenarioError> {
        self.processes
            .iter()
            .map(|(target, places)| {
                let wrong = |place: &str| {
                    let problem =
                        format!("{place} is no pid, no file that holds one, and no control group");
                    ScenarioError::value(format!("processes.{target}"), problem)
                };
                Ok((target.clone(), Family::find(places).map_err(wrong)?))
            })
            .collect()
    }
}
