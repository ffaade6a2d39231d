//! Whether Postgres has the same sessions, secured alike, on all ways to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::arm::Arm;
use crate::conninfo::Conninfo;
use crate::observe::{ClientTls, ObserveError, Poolers, Server};
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

/// What asking for sessions came to, in sentences.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    /// Why what lies between ways may hold more than a layer's cost.
    pub(crate) differences: Vec<String>,
    /// What was not compared, and how it can be.
    pub(crate) unknown: Vec<String>,
}

impl Sessions {
    fn add(&mut self, told: Result<Option<String>, String>) {
        match told {
            Ok(difference) => self.differences.extend(difference),
            Err(unknown) => self.unknown.push(unknown),
        }
    }
}

/// Asks Postgres for a session on each of two ways, and for the gateways' connections to it, and the
/// pooler's console for its clients. Gateways may connect with their first request: it is to be asked
/// after that. Differences in the settings that are `told` are known already.
pub(crate) fn compare_sessions(
    scenario: &Scenario,
    arms: &[Arm],
    told: &BTreeSet<String>,
) -> Sessions {
    let mut sessions = postgres_sessions(scenario, arms, told).unwrap_or_else(|error| {
        let words = "whether Postgres has the same sessions on all ways was not found out";
        Sessions { differences: vec![format!("{words}: {error}")], ..Sessions::default() }
    });
    for told in pooler_clients(scenario, arms) {
        sessions.add(told);
    }
    sessions
}

fn postgres_sessions(
    scenario: &Scenario,
    arms: &[Arm],
    told: &BTreeSet<String>,
) -> Result<Sessions, ObserveError> {
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
    let mut sessions = Sessions::default();
    if let (Some(pooled), Some(direct)) = (&pooled, &direct) {
        sessions.differences.extend(difference(&pooled.settings, &direct.settings, told));
    }
    let mut legs = Vec::new();
    legs.extend(direct.map(|session| ("direct".to_owned(), session.tls)));
    legs.extend(pooled.map(|session| ("pooler".to_owned(), session.tls)));
    for (gateway, tls) in gateways(scenario, arms)? {
        match tls {
            Ok(tls) => legs.push((gateway, tls)),
            Err(why) => sessions.unknown.push(uncompared(&gateway, "Postgres", &why)),
        }
    }
    sessions.differences.extend(leg_difference(&legs));
    Ok(sessions)
}

/// What is said of a gateway's connection that is not known.
fn uncompared(gateway: &str, server: &str, why: &str) -> String {
    format!(
        "whether {gateway} is connected to {server} with the same TLS as the other ways was not \
         compared: {why}"
    )
}

/// The name of a gateway's connections, where the scenario gives it.
fn backends_name(arm: &Arm) -> Result<&str, String> {
    let name = arm.backends_name.as_deref();
    name.ok_or_else(|| {
        let target = &arm.kind.target;
        format!("give targets.{target} its `backends`, the application_name of its connections")
    })
}

/// The connections of gateways that ask Postgres themselves, or why they are not known.
fn gateways(
    scenario: &Scenario,
    arms: &[Arm],
) -> Result<BTreeMap<String, Result<Tls, String>>, ObserveError> {
    let own = arms.iter().filter(|arm| arm.kind.has("gateway") && !arm.kind.has("pooler"));
    let own: BTreeMap<_, _> =
        own.map(|arm| (arm.kind.target.to_string(), backends_name(arm))).collect();
    if own.is_empty() {
        return Ok(BTreeMap::new());
    }
    let target = scenario.targets.get("postgres");
    let observer = target.and_then(|target| target.observer.as_ref().or(target.conninfo.as_ref()));
    let shown = observer.map(|conninfo| Server::connect(conninfo)?.tls_by_name()).transpose()?;
    let of_gateway = |name: Result<&str, String>| {
        let shown = shown.as_ref().ok_or("no target `postgres` says how to ask it")?;
        let name = name?;
        let tls = shown.get(name).cloned();
        tls.ok_or_else(|| format!("Postgres shows its observer no backends of {name}"))
    };
    Ok(own.into_iter().map(|(target, name)| (target, of_gateway(name))).collect())
}

/// For each gateway that goes through the pooler: whether it is secured there as we are, on our way to the
/// pooler alone; `Err` says why that can't be told. Nothing where not both are measured.
fn pooler_clients(scenario: &Scenario, arms: &[Arm]) -> Vec<Result<Option<String>, String>> {
    let ours = arms.iter().find(|arm| arm.kind.has("pooler") && !arm.kind.has("gateway"));
    let behind = arms.iter().filter(|arm| arm.kind.has("gateway") && arm.kind.has("pooler"));
    let gateways: BTreeMap<_, _> =
        behind.map(|arm| (arm.kind.target.to_string(), backends_name(arm))).collect();
    let Some(ours) = ours.filter(|_| !gateways.is_empty()) else { return Vec::new() };
    let asked = ask_clients(scenario, &ours.kind.target);
    let connections = arms.iter().filter(|arm| arm.kind.target == ours.kind.target);
    // Each arm has connections of its own.
    let connections = connections.filter_map(|arm| Some(arm.connect.as_ref()?.len())).sum();
    let told = |(gateway, theirs): (String, Result<&str, String>)| {
        let told = asked
            .as_ref()
            .map_err(String::clone)
            .and_then(|(name, shown)| client_difference(shown, (name, connections), theirs?));
        told.map_err(|why| uncompared(&gateway, "the pooler", &why))
    };
    gateways.into_iter().map(told).collect()
}

/// Our name as a client of a pooler, and what its console shows of its clients; else why it does not.
fn ask_clients(scenario: &Scenario, pooler: &str) -> Result<(String, ClientTls), String> {
    let target = scenario.targets.get(pooler);
    let conninfo = target.and_then(|target| target.conninfo.as_deref());
    let conninfo = conninfo.and_then(|conninfo| Conninfo::parse(conninfo).ok());
    let conninfo = conninfo.ok_or("it is not known how to ask it")?;
    let consoles = target.map(|target| &target.consoles).filter(|consoles| !consoles.is_empty());
    let consoles = consoles.ok_or_else(|| format!("targets.{pooler} has no `console`"))?;
    let shown = Poolers::connect(consoles).and_then(|mut poolers| {
        poolers.ask(async |poolers| poolers.client_tls(conninfo.database()).await)
    });
    let shown = shown.map_err(|error| error.to_string())?;
    let shown = shown.ok_or("its console does not show its clients' TLS and names")?;
    Ok((conninfo.application_name().to_owned(), shown))
}

/// Whether our clients of a pooler, that many of this name, are secured as those of a gateway; `Err` says
/// why that can't be told.
fn client_difference(
    shown: &ClientTls,
    (ours, connections): (&str, u64),
    theirs: &str,
) -> Result<Option<String>, String> {
    let empty = BTreeMap::new();
    let of = |name: &str| shown.get(name).unwrap_or(&empty);
    let count = |name: &str| of(name).values().sum::<u64>();
    let missing = if ours == theirs { count(ours) <= connections } else { count(theirs) == 0 };
    if missing || count(ours) == 0 {
        return Err(format!("the console shows no clients of the name {theirs} but ours"));
    }
    let kinds = |name: &str| of(name).keys().cloned().collect::<Tls>();
    if (ours == theirs && kinds(ours).len() == 1)
        || (ours != theirs && kinds(ours) == kinds(theirs))
    {
        return Ok(None);
    }
    let names = BTreeSet::from([ours, theirs]);
    let legs: Vec<_> = names.iter().map(|name| shown_leg(name, &kinds(name))).collect();
    Ok(Some(format!(
        "clients of the pooler differ in TLS ({}): what lies between our way to it and the gateway's holds \
         that too; set sslmode of both alike",
        legs.join(", ")
    )))
}

fn shown_leg(name: &str, tls: &Tls) -> String {
    let kind = |kind: &String| if kind.is_empty() { "no TLS".into() } else { kind.clone() };
    format!("{name} {}", tls.iter().map(kind).collect::<Vec<_>>().join(" and "))
}

/// Whoever asks Postgres may be connected to it in another way than others.
fn leg_difference(legs: &[(String, Tls)]) -> Option<String> {
    let is_same = legs.windows(2).all(|pair| pair[0].1 == pair[1].1);
    (!is_same).then(|| {
        format!(
            "connections to Postgres differ in TLS ({}): what lies between these ways holds that too; \
             set sslmode of each, and server_tls_sslmode of the pooler, alike",
            legs.iter().map(|(name, tls)| shown_leg(name, tls)).collect::<Vec<_>>().join(", ")
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
    use crate::arm::ArmKind;

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

    fn clients(list: &[(&str, &str, u64)]) -> ClientTls {
        let mut all = ClientTls::new();
        for (name, kind, count) in list {
            all.entry((*name).to_owned()).or_default().insert((*kind).to_owned(), *count);
        }
        all
    }

    #[test]
    fn a_gateway_is_a_client_of_the_pooler_as_we_are() {
        let (old, new) = ("TLSv1.2/ECDHE", "TLSv1.3/TLS_AES");
        let told = |list: &[_], theirs| client_difference(&clients(list), ("bench", 10), theirs);
        assert_eq!(told(&[("bench", new, 10), ("gateway", new, 4)], "gateway"), Ok(None));
        let words = told(&[("bench", old, 10), ("gateway", "", 4)], "gateway").unwrap().unwrap();
        let expected =
            "clients of the pooler differ in TLS (bench TLSv1.2/ECDHE, gateway no TLS): ";
        assert!(words.starts_with(expected), "{words}");
        // Of one name for both, those that are more than ours are its.
        assert_eq!(told(&[("bench", "", 11)], "bench"), Ok(None));
        let words = told(&[("bench", "", 10), ("bench", new, 1)], "bench").unwrap().unwrap();
        assert!(words.contains("(bench no TLS and TLSv1.3/TLS_AES)"), "{words}");
        let none = Err("the console shows no clients of the name bench but ours".to_owned());
        assert_eq!(told(&[("bench", "", 10)], "bench"), none);
        assert!(told(&[("bench", "", 10)], "gateway").is_err());
        assert!(told(&[("gateway", "", 10)], "gateway").is_err(), "ours are not shown");
    }

    #[test]
    fn a_way_that_was_not_compared_is_told_with_the_remedy() {
        let text = "name = \"t\"\n[targets.gateway]\nurl = \"http://127.0.0.1:1/\"\n\
                    [targets.gateway-direct]\nurl = \"http://127.0.0.1:1/\"\n\
                    [targets.pooler]\nconninfo = \"host=127.0.0.1 user=u dbname=d\"\n\
                    [[operations]]\nname = \"a\"\ngraphql = \"{a}\"\nsql = \"SELECT 1\"\n";
        let scenario = Scenario::parse("t.toml", text, &|_| None).unwrap();
        let arms = |targets: &[&str], name: Option<&str>| -> Vec<_> {
            targets.iter().map(|one| Arm::new(&ArmKind::of(one), name.map(String::from))).collect()
        };
        let told = pooler_clients(&scenario, &arms(&["gateway", "pooler"], Some("g")));
        assert_eq!(
            told,
            [Err("whether gateway is connected to the pooler with the same TLS as the other ways was \
                  not compared: targets.pooler has no `console`"
                .to_owned())]
        );
        assert!(pooler_clients(&scenario, &arms(&["gateway"], None)).is_empty());
        assert!(pooler_clients(&scenario, &arms(&["pooler"], None)).is_empty());
        let known = |name| {
            let all = gateways(&scenario, &arms(&["gateway", "gateway-direct"], name)).unwrap();
            all.into_iter().map(|(target, tls)| (target, tls.unwrap_err())).collect::<Vec<_>>()
        };
        let why = "no target `postgres` says how to ask it".to_owned();
        assert_eq!(known(Some("g")), [("gateway-direct".to_owned(), why)]);
        assert_eq!(gateways(&scenario, &arms(&["gateway"], None)).unwrap(), BTreeMap::new());
        let [unnamed] = &arms(&["gateway-direct"], None)[..] else { panic!("one") };
        assert!(
            backends_name(unnamed).unwrap_err().contains("targets.gateway-direct its `backends`")
        );
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
