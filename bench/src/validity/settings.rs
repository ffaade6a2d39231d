//! Whether Postgres treats a session behind the pool as one that came directly.

use std::collections::{BTreeMap, BTreeSet};

use crate::arm::ArmKind;
use crate::observe::{ObserveError, Server};
use crate::scenario::Scenario;

/// So many settings are named.
const NAMED_MAX: usize = 5;

/// Asks for the settings of a session on each of two ways, and says why what lies between them may
/// hold more than a layer's cost. Differences in those that are `told` are known already.
pub(crate) fn compare_settings(
    scenario: &Scenario,
    kinds: &[ArmKind],
    told: &BTreeSet<String>,
) -> Option<String> {
    let is_there = |target: &str| kinds.iter().any(|kind| kind.target == target);
    if !is_there("pooler") || !is_there("postgres") {
        return None;
    }
    let settings = |target: &str| -> Option<Result<_, ObserveError>> {
        let conninfo = scenario.targets.get(target)?.conninfo.as_deref()?;
        Some(Server::connect(conninfo).and_then(|mut server| server.settings()))
    };
    match (settings("pooler")?, settings("postgres")?) {
        (Ok(pooled), Ok(direct)) => difference(&pooled, &direct, told),
        (Err(error), _) | (_, Err(error)) => Some(format!(
            "whether sessions have the same settings with the pool and without was not found out: \
             {error}"
        )),
    }
}

fn difference(
    pooled: &BTreeMap<String, String>,
    direct: &BTreeMap<String, String>,
    told: &BTreeSet<String>,
) -> Option<String> {
    // Each client has a name of its own.
    let is_meant = |name: &str| name != "application_name" && !told.contains(name);
    let differs = |(name, value): (&String, &String)| {
        let other = direct.get(name).filter(|other| *other != value)?;
        is_meant(name).then(|| format!("{name} {value} and {other}"))
    };
    let found: Vec<_> = pooled.iter().filter_map(differs).collect();
    (!found.is_empty()).then(|| {
        let more = match found.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = &found[..found.len().min(NAMED_MAX)];
        format!(
            "sessions have other settings with the pool than without ({}{more}): what lies between \
             pooler and direct holds that too",
            named.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn sessions_that_are_set_alike_are_comparable() {
        let direct = settings(&[("work_mem", "4096"), ("application_name", "direct")]);
        let pooled = settings(&[("work_mem", "4096"), ("application_name", "pooled")]);
        assert_eq!(difference(&pooled, &direct, &BTreeSet::new()), None);
    }

    #[test]
    fn settings_that_differ_are_named_and_many_of_them_counted() {
        let direct = settings(&[("jit", "on"), ("work_mem", "4096")]);
        let pooled = settings(&[("jit", "off"), ("work_mem", "4096")]);
        let words = difference(&pooled, &direct, &BTreeSet::new()).unwrap();
        assert!(words.contains("(jit off and on): what lies"), "{words}");
        assert_eq!(difference(&pooled, &direct, &["jit".to_owned()].into()), None);
        let many = |value| settings(&["a", "b", "c", "d", "e", "f", "g"].map(|name| (name, value)));
        let words = difference(&many("1"), &many("2"), &BTreeSet::new()).unwrap();
        assert!(words.contains("e 1 and 2 and 2 more)"), "{words}");
    }
}
