//! Looking outside. Nothing here decides anything, and nothing waits for long.

mod listener;
mod machine;
mod target;

use std::time::SystemTime;

use super::facts::{Facts, Token};
use crate::scenario::{self, AuthFile, Scenario};

/// What there is to see for this scenario; the machine alone where there is none.
pub(super) fn facts(scenario: Option<&Scenario>, workers: Option<usize>) -> Facts {
    let mut facts = Facts::unknown(SystemTime::now());
    facts.machine = machine::look(workers);
    let Some(scenario) = scenario else { return facts };
    facts.targets = target::look(scenario);
    facts.token = match &scenario.auth {
        AuthFile::Jwt(token) => Some(("[auth] jwt", token)),
        AuthFile::Environment(token) => Some(("JWT_TOKEN", token)),
        // A fresh one is asked for before each run, and in time during it.
        AuthFile::Login(_) | AuthFile::None => None,
    }
    .map(|(origin, token)| Token { origin, expiry: scenario::expiry(token) });
    facts
}
