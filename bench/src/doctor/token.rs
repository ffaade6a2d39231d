//! The token that the gateways ask for.

use std::time::Duration;

use engine::Nanos;

use super::Finding;
use super::facts::Facts;
use crate::duration::show;
use crate::scenario::{Scenario, WARM_UP_NS, describe_expiry};

/// Whether it lasts for the run.
pub(super) fn findings(scenario: &Scenario, facts: &Facts) -> Vec<Finding> {
    let has_gateway = scenario.targets.values().any(|target| target.url.is_some());
    let expiry = facts.token.as_ref().and_then(|token| Some((token.origin, token.expiry?)));
    let Some((origin, expiry)) = expiry.filter(|_| has_gateway) else { return Vec::new() };
    let remedy = format!("put a fresh one into {origin}, or add [auth.login], which is renewed");
    let seen = format!("the token of {origin} {}", describe_expiry(expiry, facts.now));
    if expiry <= facts.now {
        let reason = "the gateway refuses every request with it (HTTP 401)";
        return vec![Finding::problem("token-expired", seen, reason, remedy)];
    }
    let length_ns = run_ns(scenario);
    if expiry < facts.now + Duration::from_nanos(length_ns) {
        let seen = format!("{seen}; the run takes {}", show(length_ns as f64));
        let reason = "from then on the gateway refuses every request (HTTP 401)";
        return vec![Finding::problem("token-expires", seen, reason, remedy)];
    }
    Vec::new()
}

/// From now to the last reply, if the run starts at once.
fn run_ns(scenario: &Scenario) -> Nanos {
    let end = |load: &crate::scenario::ScenarioLoad| {
        load.start_ns.saturating_add(load.load.duration_ns())
    };
    let measured = scenario.loads.iter().map(end).max().unwrap_or(0);
    measured.saturating_add(scenario.warm_up_ns.unwrap_or(WARM_UP_NS))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::examples::{closed, facts, scenario};
    use super::super::facts::Token;
    use super::*;

    /// The example's load takes 300 s, after a warm-up of 1 s.
    fn found(seconds: Option<i64>) -> Vec<Finding> {
        let mut facts = facts();
        let at = |seconds: i64| match seconds {
            0.. => facts.now + Duration::from_secs(seconds.unsigned_abs()),
            _ => facts.now - Duration::from_secs(seconds.unsigned_abs()),
        };
        facts.token = Some(Token { origin: "JWT_TOKEN", expiry: seconds.map(at) });
        findings(&scenario(vec![closed(50, (500, 3000))]), &facts)
    }

    #[test]
    fn a_token_that_lasts_is_well_and_so_is_one_without_an_end() {
        assert_eq!(found(Some(301)), []);
        assert_eq!(found(None), []);
        assert_eq!(findings(&scenario(Vec::new()), &facts()), []);
    }

    #[test]
    fn an_expired_token_is_a_problem_with_its_instant() {
        let finding = found(Some(-7200)).remove(0);
        assert_eq!((finding.name, finding.level), ("token-expired", Level::Problem));
        assert!(
            finding.seen.contains("JWT_TOKEN expired at 2026-11-25T06:00:00Z, 2h ago"),
            "{}",
            finding.seen
        );
        assert_eq!(found(Some(0))[0].name, "token-expired");
    }

    #[test]
    fn a_token_that_expires_during_the_run_is_a_problem() {
        let finding = found(Some(300)).remove(0);
        assert_eq!((finding.name, finding.level), ("token-expires", Level::Problem));
        assert!(finding.seen.contains("for another 5m; the run takes 301 s"), "{}", finding.seen);
    }
}
