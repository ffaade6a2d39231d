//! What differs between the ways through the stack beside the layer that is compared.

use super::Finding;
use super::facts::{Facts, PoolerFacts, ServerFacts};
use crate::scenario::Scenario;

/// Differences that would be counted as the pool's cost or gain.
pub(super) fn findings(scenario: &Scenario, facts: &Facts) -> Vec<Finding> {
    let Some((name, pooler)) = facts.pooler() else { return Vec::new() };
    let Some((other, server)) = facts.server() else { return Vec::new() };
    let mut findings = Vec::new();
    let backends = scenario.targets.get(name).and_then(|target| target.backends.as_deref());
    findings.extend(server_tls(name, other, backends, pooler, server));
    findings.extend(auth(name, other, pooler, server));
    findings
}

/// Whether the pooler's own connections to Postgres use TLS, and how that is known: from those that
/// are there, else from the settings (PgBouncer manual, "server_tls_sslmode").
fn is_encrypted(
    backends: Option<&str>,
    pooler: &PoolerFacts,
    server: &ServerFacts,
) -> Option<(bool, String)> {
    let present = server.backends.as_ref().zip(backends).and_then(|(all, own)| all.get(own));
    if let Some((count, encrypted)) = present.filter(|(count, _)| *count > 0) {
        let how = format!("{encrypted} of its {count} connections to Postgres use TLS");
        return Some((*encrypted > 0, how));
    }
    let mode = pooler.setting("server_tls_sslmode")?;
    let how = format!("server_tls_sslmode is {mode}");
    match mode {
        "disable" => Some((false, how)),
        // Tried first or second; Postgres decides.
        "allow" | "prefer" => {
            let ssl = server.setting("ssl")?;
            Some((mode == "prefer" && ssl == "on", format!("{how}, and ssl of Postgres is {ssl}")))
        }
        _ => Some((true, how)),
    }
}

fn server_tls(
    name: &str,
    other: &str,
    backends: Option<&str>,
    pooler: &PoolerFacts,
    server: &ServerFacts,
) -> Option<Finding> {
    let (is_encrypted, how) = is_encrypted(backends, pooler, server)?;
    is_encrypted.then(|| {
        Finding::warning(
            "tls-differs",
            format!("{name} encrypts what it sends to Postgres ({how}); {other} is asked in plain"),
            "the cost of TLS is in one way through the stack and not in the other: it would be \
             counted as the pool's",
            "set server_tls_sslmode = disable in pgbouncer.ini for the comparison",
        )
    })
}

/// What a login costs: a SCRAM exchange takes thousands of hashes, md5 takes one, trust none
/// (PgBouncer manual, "auth_type"; Postgres manual, 21.5 "Password Authentication").
fn auth(name: &str, other: &str, pooler: &PoolerFacts, server: &ServerFacts) -> Option<Finding> {
    let (own, theirs) = (pooler.setting("auth_type")?, server.setting("password_encryption")?);
    let is_same = match own {
        "scram-sha-256" | "md5" | "plain" => own == theirs,
        "trust" | "any" => false,
        // hba, pam, cert and others: decided elsewhere.
        _ => return None,
    };
    (!is_same).then(|| {
        Finding::warning(
            "auth-differs",
            format!("auth_type of {name} is {own}, password_encryption of {other} is {theirs}"),
            "a login costs differently on each way through the stack: latencies of connects can't \
             be compared (those of requests can)",
            match theirs {
                "scram-sha-256" | "md5" => format!("set auth_type = {theirs} in pgbouncer.ini"),
                _ => "let both ask for a password in the same way".into(),
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::examples::{facts, pooler, scenario, server};
    use super::*;

    fn found(facts: &Facts) -> Vec<Finding> {
        findings(&scenario(Vec::new()), facts)
    }

    #[test]
    fn arms_without_tls_and_with_the_same_login_are_well() {
        assert_eq!(found(&facts()), []);
    }

    #[test]
    fn encrypted_connections_of_the_pooler_are_found_by_looking_at_them() {
        let mut facts = facts();
        server(&mut facts).backends.as_mut().unwrap().insert("nova".into(), (25, 25));
        let finding = found(&facts).remove(0);
        assert_eq!((finding.name, finding.level), ("tls-differs", Level::Warning));
        assert!(finding.seen.contains("25 of its 25 connections"), "{}", finding.seen);
        // What is there goes before what is set.
        server(&mut facts).backends.as_mut().unwrap().insert("nova".into(), (25, 0));
        pooler(&mut facts).settings.insert("server_tls_sslmode".into(), "require".into());
        assert_eq!(found(&facts), []);
    }

    #[test]
    fn without_connections_the_settings_of_both_decide() {
        let mut facts = facts();
        server(&mut facts).backends = None;
        for (mode, ssl, is_found) in [
            ("disable", "on", false),
            ("allow", "on", false),
            ("prefer", "off", false),
            ("prefer", "on", true),
            ("require", "off", true),
            ("verify-full", "on", true),
        ] {
            pooler(&mut facts).settings.insert("server_tls_sslmode".into(), mode.into());
            server(&mut facts).settings.insert("ssl".into(), ssl.into());
            assert_eq!(found(&facts).len(), usize::from(is_found), "{mode} {ssl}");
        }
        pooler(&mut facts).settings.remove("server_tls_sslmode");
        assert_eq!(found(&facts), []);
    }

    #[test]
    fn another_kind_of_login_is_named_with_both_settings() {
        let mut facts = facts();
        for (own, is_found) in [("trust", true), ("md5", true), ("hba", false)] {
            pooler(&mut facts).settings.insert("auth_type".into(), own.into());
            assert_eq!(found(&facts).len(), usize::from(is_found), "{own}");
        }
        pooler(&mut facts).settings.insert("auth_type".into(), "trust".into());
        let finding = found(&facts).remove(0);
        assert_eq!((finding.name, finding.level), ("auth-differs", Level::Warning));
        assert!(finding.seen.contains("auth_type of pooler is trust"), "{}", finding.seen);
        assert!(finding.remedy.contains("auth_type = scram-sha-256"), "{}", finding.remedy);
        server(&mut facts).settings.clear();
        assert_eq!(found(&facts), []);
    }
}
