//! Whether Postgres treats a session behind the pool as one that came directly.

use std::collections::{BTreeMap, BTreeSet};

use crate::arm::ArmKind;
use crate::observe::{ObserveError, Server};
use crate::scenario::Scenario;

/// So many settings are named.
const NAMED_MAX: usize = 5;

/// A session as Postgres has it.
struct Session {
    settings: BTreeMap<String, String>,
    /// Of its last leg, from whoever is connected to Postgres: version and cipher.
    tls: Option<String>,
}

/// Asks Postgres for a session on each of two ways, and says why what lies between them may hold
/// more than a layer's cost. Differences in the settings that are `told` are known already.
pub(crate) fn compare_settings(
    scenario: &Scenario,
    kinds: &[ArmKind],
    told: &BTreeSet<String>,
) -> Vec<String> {
    let is_there = |target: &str| kinds.iter().any(|kind| kind.target == target);
    if !is_there("pooler") || !is_there("postgres") {
        return Vec::new();
    }
    let session = |target: &str| -> Option<Result<Session, ObserveError>> {
        let conninfo = scenario.targets.get(target)?.conninfo.as_deref()?;
        Some(Server::connect(conninfo).and_then(|mut server| {
            Ok(Session { settings: server.settings()?, tls: server.tls()? })
        }))
    };
    let (Some(pooled), Some(direct)) = (session("pooler"), session("postgres")) else {
        return Vec::new();
    };
    let reasons = match (pooled, direct) {
        (Ok(pooled), Ok(direct)) => [
            difference(&pooled.settings, &direct.settings, told),
            leg_difference(pooled.tls.as_deref(), direct.tls.as_deref()),
        ],
        (Err(error), _) | (_, Err(error)) => {
            let words = "whether Postgres has the same sessions with the pool and without was not \
                         found out";
            [Some(format!("{words}: {error}")), None]
        }
    };
    reasons.into_iter().flatten().collect()
}

/// The pool's own connections to Postgres may be secured in another way than ours.
fn leg_difference(pooled: Option<&str>, direct: Option<&str>) -> Option<String> {
    let shown = |tls: Option<&str>| tls.unwrap_or("no TLS").to_owned();
    (pooled != direct).then(|| {
        format!(
            "Postgres has {} with the pooler and {} with direct connections: what lies between pooler \
             and direct holds that too; set the pooler's server_tls_sslmode and our sslmode alike",
            shown(pooled),
            shown(direct)
        )
    })
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
    fn the_pools_own_leg_is_secured_as_ours() {
        let tls = Some("TLSv1.3 TLS_AES_256_GCM_SHA384");
        assert_eq!(leg_difference(tls, tls), None);
        assert_eq!(leg_difference(None, None), None);
        let words = leg_difference(None, tls).unwrap();
        assert!(words.starts_with("Postgres has no TLS with the pooler and TLSv1.3"), "{words}");
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
