//! The rules of a scenario: thresholds, checks and bands, read before anything is sent.

mod error;

use std::fmt;

use thiserror::Error;

pub(crate) use error::{RuleError, Step, at};

use crate::band::Bands;
use crate::check::Checks;
use crate::metric::{Known, Layer};
use crate::scenario::{Scenario, ScenarioLoad, TargetFile};
use crate::threshold::Thresholds;

/// The rules of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) thresholds: Thresholds,
    pub(crate) checks: Checks,
    pub(crate) bands: Bands,
}

/// Rules that cannot be used: all of them.
#[derive(Debug, Error)]
pub(crate) struct RulesError(pub(crate) Vec<RuleError>);

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if number == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// The name of a scenario's only load: k6's.
pub(crate) const ONLY_LOAD: &str = "default";

/// What a load is called in tags.
pub(crate) fn load_name(load: &ScenarioLoad) -> &str {
    load.name.as_deref().unwrap_or(ONLY_LOAD)
}

impl Rules {
    /// The scenario's rules, or every mistake in them.
    pub(crate) fn read(scenario: &Scenario) -> Result<Self, RulesError> {
        let mut known = known(scenario);
        let mut errors = Vec::new();
        let checks = Checks::read(&scenario.checks, &known.operations).unwrap_or_else(|wrong| {
            errors.extend(wrong);
            Checks::default()
        });
        // The names of checks that cannot be used are not known to thresholds.
        known.checks = checks.names().to_vec();
        let thresholds = Thresholds::read(&scenario.thresholds, &known);
        let bands = Bands::read(&scenario.bands, &known);
        match (thresholds, bands) {
            (Ok(thresholds), Ok(bands)) if errors.is_empty() => {
                Ok(Self { thresholds, checks, bands })
            }
            (thresholds, bands) => {
                errors.extend(thresholds.err().unwrap_or_default());
                errors.extend(bands.err().unwrap_or_default());
                Err(RulesError(errors))
            }
        }
    }
}

/// The values that tags have in a run of this scenario, its checks aside.
pub(crate) fn known(scenario: &Scenario) -> Known {
    let mut layers: Vec<_> =
        scenario.targets.values().map(|target| layer(target).name().to_owned()).collect();
    layers.sort();
    layers.dedup();
    Known {
        operations: scenario.operations.iter().map(|op| op.name.clone()).collect(),
        targets: scenario.targets.keys().cloned().collect(),
        layers,
        scenarios: scenario.loads.iter().map(|load| load_name(load).to_owned()).collect(),
        checks: Vec::new(),
        tags: scenario.tags.clone(),
    }
}

/// The layer that a target's load goes to: a pooler is what has a console.
pub(crate) fn layer(target: &TargetFile) -> Layer {
    match (&target.url, &target.consoles[..]) {
        (Some(_), _) => Layer::Gateway,
        (None, [_, ..]) => Layer::Pooler,
        (None, []) => Layer::Postgres,
    }
}
