//! Loads that the generator itself can't offer.

use super::facts::Facts;
use super::load::offered_max;
use super::{Finding, name};
use crate::scenario::{Scenario, ScenarioLoad};

/// A real target's replies are larger and come in smaller batches than a null server's: from this
/// share of the ceiling on, the generator can be what holds the load.
const SHARE_MAX: f64 = 0.5;

/// Open loops that ask for more than the workers can send.
pub(super) fn findings(scenario: &Scenario, facts: &Facts) -> Vec<Finding> {
    scenario.loads.iter().filter_map(|load| too_high(scenario, load, facts)).collect()
}

fn too_high(scenario: &Scenario, load: &ScenarioLoad, facts: &Facts) -> Option<Finding> {
    let ceiling = facts.ceiling?;
    let target = scenario.target_of(load).ok()?;
    let is_http = scenario.target(target).is_ok_and(|target| target.url.is_some());
    let most = if is_http { ceiling.http } else { ceiling.postgres };
    let offered = offered_max(load).filter(|_| load.load.is_open_loop())?;
    (offered > SHARE_MAX * most).then(|| {
        Finding::warning(
            "ceiling",
            format!(
                "{} asks for {offered:.0} requests a second, and {} here can do {most:.0} on a \
                 server that does nothing",
                name(load),
                ceiling.workers_named(),
            ),
            "near its ceiling the generator sends late, and its own time is in every latency",
            "more cores for the generator (--cores), or the load split over machines",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::examples::{closed, facts, open, scenario};
    use super::super::facts::Ceiling;
    use super::*;

    #[test]
    fn an_open_loop_that_asks_for_more_than_half_of_the_ceiling_is_a_warning() {
        let mut facts = facts();
        let found = |load, facts: &Facts| findings(&scenario(vec![load]), facts);
        facts.ceiling = None;
        assert_eq!(found(open(1e6, 50), &facts), [], "nothing is known");
        facts.ceiling = Some(Ceiling { workers: 2, http: 100_000.0, postgres: 110_000.0 });
        assert_eq!(found(open(40_000.0, 50), &facts), []);
        assert_eq!(found(closed(10_000, (1, 1)), &facts), []);
        let finding = found(open(60_000.0, 50), &facts).remove(0);
        assert_eq!(
            finding.seen,
            "the load asks for 60000 requests a second, and 2 workers here can do 100000 on a \
             server that does nothing"
        );
    }
}
