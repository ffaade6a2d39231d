//! Looks before a run and says what will spoil it.
//!
//! Everything outside is looked at first ([`gather`]) and becomes [`Facts`]; a finding is a function
//! of the scenario and the facts. One module for each family of findings.

mod arms;
mod ceiling;
mod facts;
mod gather;
mod limits;
mod load;
mod machine;
mod pool;
mod route;
mod sharing;
mod table;
mod token;

use serde::Serialize;

use self::facts::{Ceiling, Facts, StateFacts};
pub(crate) use self::table::text;
use crate::generator::GeneratorOptions;
use crate::scenario::{Scenario, ScenarioLoad};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// The run will fail, or its numbers will not mean what they seem to.
    Problem,
    /// The numbers will hold something that is not the target's.
    Warning,
    /// Good to know when the numbers are read.
    Note,
}

/// Something that will spoil a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Its name, the same in every version.
    pub(crate) name: &'static str,
    pub(crate) level: Level,
    /// What was seen, with the figures.
    pub(crate) seen: String,
    /// Why that matters.
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) remedy: String,
}

impl Finding {
    fn new(
        level: Level,
        name: &'static str,
        seen: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { name, level, seen: seen.into(), reason: reason.into(), remedy: remedy.into() }
    }

    fn problem(
        name: &'static str,
        seen: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Level::Problem, name, seen, reason, remedy)
    }

    fn warning(
        name: &'static str,
        seen: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Level::Warning, name, seen, reason, remedy)
    }

    fn note(
        name: &'static str,
        seen: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Level::Note, name, seen, reason, remedy)
    }
}

/// The result of `doctor`.
#[derive(Debug, Serialize)]
pub(crate) struct Diagnosis {
    schema: u32,
    command: &'static str,
    /// Its name; `None` where only the machine was looked at.
    scenario: Option<String>,
    /// What was looked at.
    looked_at: Vec<String>,
    /// Of the generator on this machine, where it could be measured.
    ceiling: Option<Ceiling>,
    /// The worst first.
    findings: Vec<Finding>,
    /// Of each target on which it was tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    isolation: Vec<IsolationSummary>,
}

/// Whether the sessions of a target's clients are their own.
#[derive(Debug, Serialize)]
struct IsolationSummary {
    target: String,
    /// As in `transaction`; `None` for a server without a pooler's console.
    pool_mode: Option<String>,
    states: Vec<StateSummary>,
}

#[derive(Debug, Serialize)]
struct StateSummary {
    /// As in `temporary tables`.
    state: &'static str,
    isolation: Verdict,
    /// Whether another client was given the same server connection.
    shared: bool,
    /// Why it could not be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Whether what one client leaves is found by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Kept,
    Broken,
    /// It could not be tried.
    Unknown,
}

impl Verdict {
    fn of(state: &StateFacts) -> Self {
        match (&state.problem, state.is_broken) {
            (Some(_), _) => Self::Unknown,
            (None, true) => Self::Broken,
            // Where no client was given another's server connection, no state can pass.
            (None, false) => Self::Kept,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

impl Diagnosis {
    /// Looks at everything that a run of `scenario` would stand on, and where it is asked for tries
    /// whether sessions leak from client to client.
    pub(crate) fn new(
        scenario: Option<&Scenario>,
        generator: &GeneratorOptions,
        with_isolation: bool,
    ) -> Self {
        Self::from_facts(scenario, &gather::facts(scenario, generator, with_isolation))
    }

    fn from_facts(scenario: Option<&Scenario>, facts: &Facts) -> Self {
        let mut findings = machine::findings(facts);
        if let Some(scenario) = scenario {
            findings.extend(load::findings(scenario));
            findings.extend(ceiling::findings(scenario, facts));
            findings.extend(limits::findings(scenario, facts));
            findings.extend(pool::findings(scenario, facts));
            findings.extend(arms::findings(scenario, facts));
            findings.extend(token::findings(scenario, facts));
            findings.extend(route::findings(facts));
            findings.extend(sharing::findings(facts));
        }
        // The order within a level stays.
        findings.sort_by_key(|finding| finding.level);
        Self {
            schema: 1,
            command: "doctor",
            scenario: scenario.map(|scenario| scenario.name.clone()),
            looked_at: looked_at(scenario, facts),
            ceiling: facts.ceiling,
            findings,
            isolation: isolation(facts),
        }
    }

    /// Whether something will spoil the run for sure.
    pub(crate) fn has_problem(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Problem)
    }
}

fn isolation(facts: &Facts) -> Vec<IsolationSummary> {
    let tried = facts.targets.iter().filter_map(|(name, target)| {
        let isolation = target.isolation.as_ref()?.as_ref().ok()?;
        let pooler = target.pooler.as_ref().and_then(|pooler| pooler.as_ref().ok());
        let state = |state: &StateFacts| StateSummary {
            state: state.what,
            isolation: Verdict::of(state),
            shared: state.is_shared,
            problem: state.problem.clone(),
        };
        Some(IsolationSummary {
            target: name.clone(),
            pool_mode: pooler.and_then(|pooler| pooler.pool_mode.clone()),
            states: isolation.states.iter().map(state).collect(),
        })
    });
    tried.collect()
}

fn looked_at(scenario: Option<&Scenario>, facts: &Facts) -> Vec<String> {
    let mut all = vec!["this machine".to_owned()];
    let Some(scenario) = scenario else { return all };
    match scenario.loads.len() {
        0 => {}
        1 => all.push("the load".into()),
        count => all.push(format!("{count} loads")),
    }
    for (name, target) in &facts.targets {
        if target.reached == Some(Ok(())) {
            all.push(match (&target.pooler, &target.server) {
                (Some(Ok(_)), _) => format!("{name} and its console"),
                (_, Some(Ok(_))) => format!("{name} and its settings"),
                _ => name.clone(),
            });
        }
    }
    if facts.token.is_some() {
        all.push("the token".into());
    }
    all
}

/// A load's name for people.
fn name(load: &ScenarioLoad) -> String {
    load.name.as_ref().map_or_else(|| "the load".into(), |name| format!("load {name}"))
}

/// The most connections that the scenario's loads have to one target at once, if they all overlap.
fn connections(scenario: &Scenario, target: &str) -> u64 {
    let loads = scenario.loads.iter();
    let own = loads.filter(|load| scenario.target_of(load).is_ok_and(|name| name == target));
    own.map(|load| u64::from(load.load.vus_max())).sum()
}

#[cfg(test)]
mod examples;
