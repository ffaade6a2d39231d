//! Whether Postgres has the same sessions, secured alike, on all ways to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::arm::Arm;
use crate::observe::{ObserveError, Server};
use crate::scenario::Scenario;

/// So many settings are named.
const NAMED_MAX: usize = 5;

/// A session as Postgres has it.
struct Session {
    settings: BTreeMap<String, String>,
    tls: Tls,
}

/// What secures connections to Postgres: version and cipher of each kind, an empty text for none.
type Tls = BTreeSet<String>;

/// Asks Postgres for a session on each of two ways, and for the gateways' connections to it; says why
/// what lies between ways may hold more than a layer's cost. Differences in the settings that are `told`
/// are known already.
pub(crate) fn compare_settings(
    scenario: &Scenario,
    arms: &[Arm],
    told: &BTreeSet<String>,
) -> Vec<String> {
    find_differences(scenario, arms, told).unwrap_or_else(|error| {
        let words = "whether Postgres has the same sessions on all ways was not found out";
        vec![format!("{words}: {error}")]
    })
}

fn find_differences(
    scenario: &Scenario,
    arms: &[Arm],
    told: &BTreeSet<String>,
) -> Result<Vec<String>, ObserveError> {
    let session = |target: &str| {
        let is_there = arms.iter().any(|arm| arm.kind.target == target);
        let conninfo = scenario.targets.get(target).filter(|_| is_there)?.conninfo.as_deref()?;
        Some(Server::connect(conninfo).and_then(|mut server| {
            let tls = server.tls()?.unwrap_or_default();
            Ok(Session { settings: server.settings()?, tls: [tls].into() })
        }))
    };
    let pooled = session("pooler").transpose()?;
    let direct = session("postgres").transpose()?;
    let mut reasons = Vec::new();
    if let (Some(pooled), Some(direct)) = (&pooled, &direct) {
        reasons.extend(difference(&pooled.settings, &direct.settings, told));
    }
    let mut legs = Vec::new();
    legs.extend(direct.map(|session| ("direct".to_owned(), session.tls)));
    legs.extend(pooled.map(|session| ("pooler".to_owned(), session.tls)));
    legs.extend(gateways(scenario, arms)?);
    reasons.extend(leg_difference(&legs));
    Ok(reasons)
}

/// The connections of gateways that ask Postgres themselves, if Postgres shows them to the observer.
fn gateways(scenario: &Scenario, arms: &[Arm]) -> Result<Vec<(String, Tls)>, ObserveError> {
    let own = arms.iter().filter(|arm| arm.kind.has("gateway") && !arm.kind.has("pooler"));
    let own: BTreeMap<_, _> =
        own.filter_map(|arm| Some((&*arm.kind.target, arm.backends_name.as_ref()?))).collect();
    let observer = scenario.targets.get("postgres").and_then(|target| target.observer.as_ref());
    let Some(observer) = observer.filter(|_| !own.is_empty()) else { return Ok(Vec::new()) };
    let mut all = Server::connect(observer)?.tls_by_name()?;
    let of_gateway = |(target, name)| Some((String::from(target), all.remove::<String>(name)?));
    Ok(own.into_iter().filter_map(of_gateway).collect())
}

/// Whoever asks Postgres may be connected to it in another way than others.
fn leg_difference(legs: &[(String, Tls)]) -> Option<String> {
    let is_same = legs.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let shown = |(name, tls): &(String, Tls)| {
        let kind = |kind: &String| if kind.is_empty() { "no TLS".into() } else { kind.clone() };
        format!("{name} {}", tls.iter().map(kind).collect::<Vec<_>>().join(" and "))
    };
    (!is_same).then(|| {
        format!(
            "connections to Postgres differ in TLS ({}): what lies between these ways holds that too; \
             set sslmode of each, and server_tls_sslmode of the pooler, alike",
            legs.iter().map(shown).collect::<Vec<_>>().join(", ")
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
    fn whoever_asks_postgres_is_connected_to_it_alike() {
        let leg = |name: &str, tls: &[&str]| {
            (name.to_owned(), tls.iter().map(|kind| (*kind).to_owned()).collect())
        };
        let tls = "TLSv1.3 TLS_AES_256_GCM_SHA384";
        assert_eq!(leg_difference(&[]), None);
        assert_eq!(leg_difference(&[leg("direct", &[tls]), leg("pooler", &[tls])]), None);
        assert_eq!(leg_difference(&[leg("direct", &[""]), leg("gateway-direct", &[""])]), None);
        let legs = [leg("direct", &[tls]), leg("pooler", &[""]), leg("gateway-direct", &["", tls])];
        let words = leg_difference(&legs).unwrap();
        let expected = "connections to Postgres differ in TLS (direct TLSv1.3 TLS_AES_256_GCM_SHA384, \
                        pooler no TLS, gateway-direct no TLS and TLSv1.3 TLS_AES_256_GCM_SHA384): ";
        assert!(words.starts_with(expected), "{words}");
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
