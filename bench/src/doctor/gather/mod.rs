//! Looking outside. Nothing here decides anything, and nothing takes more than a few seconds.

mod ceiling;
mod isolation;
mod listener;
mod machine;
mod target;

use std::time::SystemTime;

use super::facts::{Facts, Token};
use crate::generator::GeneratorOptions;
use crate::scenario::{self, AuthFile, Scenario};

/// What there is to see for this scenario; the machine alone where there is none.
pub(super) fn facts(
    scenario: Option<&Scenario>,
    generator: &GeneratorOptions,
    with_isolation: bool,
) -> Facts {
    let mut facts = Facts::unknown(SystemTime::now());
    facts.machine = machine::look(generator);
    facts.ceiling = ceiling::measure(generator);
    let Some(scenario) = scenario else { return facts };
    facts.targets = target::look(scenario);
    if with_isolation {
        for (name, target) in &mut facts.targets {
            target.isolation = target::isolation(&scenario.targets[name], target);
        }
    }
    facts.token = match &scenario.auth {
        AuthFile::Jwt(token) => Some(("[auth] jwt", token)),
        AuthFile::Environment(token) => Some(("JWT_TOKEN", token)),
        // A fresh one is asked for before each run, and in time during it.
        AuthFile::Login(_) | AuthFile::None => None,
    }
    .map(|(origin, token)| Token { origin, expiry: scenario::expiry(token) });
    facts
}
