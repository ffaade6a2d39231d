//! The load itself: what it can offer, whatever the target does.

use engine::{Load, SECOND, Stage};

use super::{Finding, name};
use crate::scenario::{Scenario, ScenarioLoad};

/// What is wrong with the scenario's loads.
pub(super) fn findings(scenario: &Scenario) -> Vec<Finding> {
    let mut findings = Vec::new();
    for load in &scenario.loads {
        findings.extend(too_low(load));
        findings.extend(think_time_in_open_loop(load));
    }
    findings
}

/// The most iterations a second that a load can start, where something bounds it: an open loop its
/// schedule, a closed one the think time of its users (a reply takes no time at best).
fn offered_max(load: &ScenarioLoad) -> Option<f64> {
    let highest = |stages: &[Stage]| stages.iter().map(|stage| stage.target).fold(0.0, f64::max);
    match &load.load {
        Load::ConstantArrivalRate { rate, .. } => Some(*rate),
        Load::RampingArrivalRate { start_rate, stages, .. } => {
            Some(start_rate.max(highest(stages)))
        }
        closed => {
            let think_time = mean_think_time(load);
            (think_time > 0.0).then(|| f64::from(closed.vus_max()) / think_time)
        }
    }
}

/// In seconds: it is uniform between its two ends.
fn mean_think_time(load: &ScenarioLoad) -> f64 {
    let (least, most) = load.think_time_ns;
    (least as f64 + most as f64) / 2.0 / SECOND as f64
}

fn too_low(load: &ScenarioLoad) -> Option<Finding> {
    let offered = offered_max(load)?;
    let vus = load.load.vus_max();
    let (is_open, think_time) = (load.load.is_open_loop(), mean_think_time(load));
    let seen = |rest: &str| {
        let who = match (is_open, &load.name) {
            (true, _) => name(load),
            (false, None) => format!("{vus} VUs that think {think_time:.2} s on average"),
            (false, Some(own)) => {
                format!("load {own}: {vus} VUs that think {think_time:.2} s on average")
            }
        };
        let verb = if is_open { "offers" } else { "offer" };
        format!("{who} {verb} at most {offered:.1} iterations a second{rest}")
    };
    match load.expected_rate {
        Some(expected) if offered < expected => Some(Finding::problem(
            "offered-load",
            seen(&format!(", and expected_rate is {expected}")),
            match is_open {
                true => "its schedule has no more, however fast the target is",
                false => "a user that waits sends nothing, however fast the target is",
            },
            match is_open {
                true => format!("raise the rate to {expected}, or lower expected_rate"),
                false => format!(
                    "take constant-arrival-rate with rate = {expected}; a closed loop needs at \
                     least {:.0} VUs, or less think time",
                    (expected * think_time).ceil()
                ),
            },
        )),
        None if !is_open => Some(Finding::note(
            "offered-load",
            seen(""),
            "a user that waits sends nothing: the rate of this run is not what the target can do",
            "to find that, leave think_time out or take constant-arrival-rate; expected_rate in \
             [load] has doctor compare",
        )),
        _ => None,
    }
}

fn think_time_in_open_loop(load: &ScenarioLoad) -> Option<Finding> {
    let (_, most) = load.ignored_think_time_ns;
    (most > 0).then(|| {
        Finding::warning(
            "think-time-in-open-loop",
            format!("{} has a think_time, and its executor is an open loop", name(load)),
            "an open loop starts iterations on schedule, so the think time is ignored: there is \
             more load than its users would make",
            "leave think_time out, or take constant-vus or ramping-vus",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::examples::{closed, open};
    use super::*;

    #[test]
    fn users_that_think_never_reach_the_rate_that_is_expected() {
        let mut load = closed(50, (500, 3000));
        load.expected_rate = Some(1000.0);
        let finding = too_low(&load).unwrap();
        assert_eq!((finding.name, finding.level), ("offered-load", Level::Problem));
        assert!(finding.seen.contains("50 VUs that think 1.75 s"), "{}", finding.seen);
        assert!(finding.seen.contains("at most 28.6 iterations a second"), "{}", finding.seen);
        assert!(finding.remedy.contains("1750 VUs"), "{}", finding.remedy);
        // 50 / 1.75 s = 28.57/s
        load.expected_rate = Some(28.5);
        assert_eq!(too_low(&load), None);
        load.expected_rate = Some(28.6);
        assert!(too_low(&load).is_some());
    }

    #[test]
    fn without_an_expected_rate_the_ceiling_is_a_note() {
        let finding = too_low(&closed(50, (500, 3000))).unwrap();
        assert_eq!(finding.level, Level::Note);
        assert!(finding.seen.ends_with("at most 28.6 iterations a second"), "{}", finding.seen);
    }

    #[test]
    fn users_without_think_time_have_no_ceiling() {
        let mut load = closed(50, (0, 0));
        load.expected_rate = Some(1e6);
        assert_eq!(too_low(&load), None);
    }

    #[test]
    fn a_ramp_offers_what_its_highest_stage_does() {
        let stages =
            |targets: [f64; 2]| targets.map(|target| Stage { duration_ns: SECOND, target });
        let mut load = closed(1, (1000, 1000));
        load.expected_rate = Some(100.0);
        load.load = Load::RampingVus {
            start_vus: 1,
            stages: stages([100.0, 2.0]).into(),
            graceful_ramp_down_ns: 0,
        };
        assert_eq!(too_low(&load), None);
        load.expected_rate = Some(101.0);
        assert!(too_low(&load).unwrap().seen.contains("100 VUs"));
    }

    #[test]
    fn a_schedule_below_the_expected_rate_is_a_problem() {
        let mut load = open(500.0, 50);
        assert_eq!(too_low(&load), None, "no note: a schedule says its rate itself");
        load.expected_rate = Some(500.0);
        assert_eq!(too_low(&load), None);
        load.expected_rate = Some(1000.0);
        let finding = too_low(&load).unwrap();
        assert!(finding.seen.contains("offers at most 500.0"), "{}", finding.seen);
        assert!(finding.remedy.contains("raise the rate to 1000"), "{}", finding.remedy);
    }

    #[test]
    fn think_time_in_an_open_loop_is_found_and_in_a_closed_one_is_none() {
        let mut load = open(500.0, 50);
        assert_eq!(think_time_in_open_loop(&load), None);
        load.ignored_think_time_ns = (0, SECOND);
        assert_eq!(think_time_in_open_loop(&load).unwrap().level, Level::Warning);
        assert_eq!(think_time_in_open_loop(&closed(1, (1, 2))), None);
    }

    #[test]
    fn what_a_file_says_of_its_load_is_what_is_looked_at() {
        let text = r#"
name = "open"
[targets.gateway]
url = "http://127.0.0.1:4000/graphql"
[[operations]]
name = "getUser"
graphql = "{ user(id: 1) { id } }"
[load]
executor = "constant-arrival-rate"
rate = 500
duration = "5m"
think_time = ["500ms", "3s"]
expected_rate = 1000
"#;
        let scenario = Scenario::parse("open.toml", text, &|_| None).unwrap();
        let names: Vec<_> = findings(&scenario).iter().map(|finding| finding.name).collect();
        assert_eq!(names, ["offered-load", "think-time-in-open-loop"]);
    }
}
