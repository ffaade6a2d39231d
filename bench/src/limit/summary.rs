//! The result as it is written to summary.json: everything that the table shows.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::Nanos;
use serde::Serialize;

use super::beyond::Beyond;
use super::experiment::Outcome;
use super::trial::{Judgement, Trial};
use super::{Plan, TargetPlan, Variable};
use crate::arm::{ArmKind, Quantiles};
use crate::generator::GeneratorSummary;
use crate::limiter::Limiter;
use crate::scenario::Scenario;
use crate::statistics::{Usl, knee};
use crate::validity::Validity;

/// The result of `limit`. Times in ns, rates in 1/s.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    schema: u32,
    command: &'static str,
    pub(super) scenario: String,
    /// Seconds since 1970.
    started: f64,
    /// Of all trials, with those of the log.
    pub(super) duration_ns: Nanos,
    pub(super) phase_ns: Nanos,
    pub(super) hold_ns: Nanos,
    /// How far apart bounds may be, as a share of the lower one.
    pub(super) width: f64,
    pub(super) seed: u64,
    #[serde(flatten)]
    pub(super) generator: Option<GeneratorSummary>,
    #[serde(flatten)]
    pub(crate) validity: Validity,
    /// Of the target that takes the least.
    limit: Option<Limit>,
    /// Of each target, in the order in which they were searched.
    pub(crate) limits: Vec<Limit>,
}

/// One target's limit: that of the goal that breaks first.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Limit {
    /// The arm's name.
    pub(super) target: String,
    pub(super) variable: &'static str,
    /// The highest load that met every goal; null where none did.
    pub(crate) value: Option<f64>,
    /// The limit lies between these with 95 % confidence; null where there is no bound.
    pub(super) interval: [Option<f64>; 2],
    /// The goal that breaks first; null where none did.
    pub(super) goal: Option<String>,
    /// Each goal's own limit.
    pub(super) goals: Vec<GoalLimit>,
    /// The load that the generator could not offer, where that ended the search.
    pub(crate) generator_limit: Option<f64>,
    /// Whether the search ended for want of time.
    pub(super) is_out_of_time: bool,
    /// What ran out where the goals were first missed; null where nothing was seen to.
    pub(super) limiter: Option<Limiter>,
    pub(super) beyond: Option<Beyond>,
    /// The load at which latency begins to rise steeply.
    pub(super) knee: Option<f64>,
    pub(super) usl: Option<Usl>,
    /// The latency of one request at a time.
    pub(super) light_ns: Option<Nanos>,
    pub(super) trials: Vec<Trial>,
}

/// One goal's limit.
#[derive(Debug, Clone, Serialize)]
pub(super) struct GoalLimit {
    pub(super) goal: String,
    pub(super) value: Option<f64>,
    pub(super) interval: [Option<f64>; 2],
    /// Whether a long trial there met it.
    pub(super) is_held: bool,
    /// Whether both bounds have been as close as was asked for, and confirmed.
    pub(super) is_close: bool,
}

impl Summary {
    pub(super) fn new(
        scenario: &Scenario,
        plan: &Plan,
        started: SystemTime,
        mut outcomes: Vec<Outcome>,
    ) -> Self {
        let generator = outcomes.iter_mut().rev().find_map(|outcome| outcome.generator.take());
        let sessions: Vec<_> = outcomes.iter_mut().filter_map(|one| one.sessions.take()).collect();
        let gaps: Vec<_> =
            outcomes.iter_mut().filter_map(|outcome| outcome.pool_gaps.take()).collect();
        let limits: Vec<_> = plan
            .targets
            .iter()
            .zip(outcomes)
            .map(|(target, outcome)| Limit::new(target, plan.variable, outcome))
            .collect();
        let mut validity = Validity::default();
        limits.iter().for_each(|limit| limit.judge(&mut validity));
        let trials = limits.iter().flat_map(|limit| &limit.trials);
        validity.merge_parts(trials.map(|trial| &trial.validity), "trials");
        validity.compare_sessions(&sessions);
        gaps.into_iter().for_each(|gap| validity.suspect(gap));
        Self {
            schema: 1,
            command: "limit",
            scenario: scenario.name.clone(),
            started: started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            duration_ns: limits.iter().flat_map(|l| &l.trials).map(|t| t.elapsed_ns).sum(),
            phase_ns: plan.search.trial_ns,
            hold_ns: plan.search.hold_ns,
            width: plan.search.width,
            seed: plan.seed,
            generator,
            validity,
            limit: limits.iter().min_by(|one, other| order(one.value, other.value)).cloned(),
            limits,
        }
    }

    /// Whether some target met its goals under no load that was tried.
    pub(crate) fn is_missed_throughout(&self) -> bool {
        self.limits.iter().any(|limit| limit.value.is_none())
    }
}

impl Limit {
    fn new(target: &TargetPlan, variable: Variable, outcome: Outcome) -> Self {
        let Outcome { trials, search, light_ns, is_out_of_time, .. } = outcome;
        let goals: Vec<_> = target
            .goals
            .iter()
            .zip(search.found())
            .map(|(goal, found)| GoalLimit {
                goal: goal.to_string(),
                value: found.value,
                interval: [found.interval.0, found.interval.1],
                is_held: found.is_held,
                is_close: found.is_close,
            })
            .collect();
        let broken = goals.iter().filter(|goal| goal.interval[1].is_some());
        // An absent value is below every load.
        let first = broken.min_by(|one, other| order(one.value, other.value));
        let lowest = first.or_else(|| goals.iter().min_by(|a, b| order(a.value, b.value)));
        let quantile = target.goals.iter().find_map(super::Goal::quantile).unwrap_or(0.95);
        Self {
            target: ArmKind::of(&target.name).name.into_owned(),
            variable: variable.name(),
            value: lowest.and_then(|goal| goal.value),
            interval: lowest.map_or([None; 2], |goal| goal.interval),
            goal: first.map(|goal| goal.goal.clone()),
            generator_limit: search.generator_limit(),
            is_out_of_time,
            limiter: limiter(&trials),
            beyond: Beyond::new(&trials),
            knee: knee(&curve(&trials, |trial| at(&trial.response_ns, quantile) as f64)),
            usl: match variable {
                Variable::Vus => Usl::fit(&curve(&trials, |trial| trial.throughput)),
                Variable::Rate { .. } | Variable::Connections { .. } => None,
            },
            light_ns,
            goals,
            trials,
        }
    }

    fn judge(&self, validity: &mut Validity) {
        let met = self.trials.iter().filter(|trial| trial.judgement == Judgement::Met);
        let highest = met.max_by(|one, other| one.load.total_cmp(&other.load));
        if let Some(sharing) = highest.and_then(|trial| trial.sharing) {
            validity.judge_sharing(&self.target, sharing);
        }
        if let Some(load) = self.generator_limit {
            let at_least = self.value.map_or("nothing".into(), |value| {
                format!("at least {}", super::table::load(value))
            });
            let last = self.trials.iter().rev().find(|trial| trial.load == load);
            let why = match last.map(|trial| trial.judgement) {
                Some(Judgement::Ceiling) => "every connection was in use; raise --max-connections",
                Some(Judgement::Saturated) => {
                    "it, or its core, had no time left; give it more --workers, or cores of its own with --cores"
                }
                _ => "requests left late though connections were free: the machine is too busy",
            };
            validity.invalid(format!(
                "{}: the generator was the limit at {}, and the target takes {at_least}: {why}",
                self.target,
                super::table::load(load)
            ));
        }
        if self.is_out_of_time {
            validity.suspect(format!(
                "{}: the budget was over before the limit was as close as was asked for",
                self.target
            ));
        }
        let is_unheld = |goal: &GoalLimit| goal.value.is_some() && !goal.is_held;
        if self.generator_limit.is_none() && self.goals.iter().any(is_unheld) {
            validity.suspect(format!("{}: the limit was not verified by a hold", self.target));
        }
    }
}

/// What ran out at the lowest load that missed its goals.
fn limiter(trials: &[Trial]) -> Option<Limiter> {
    let mut missed: Vec<_> =
        trials.iter().filter(|trial| trial.judgement == Judgement::Missed).collect();
    missed.sort_by(|one, other| one.load.total_cmp(&other.load));
    missed.into_iter().find_map(|trial| trial.limiter.clone())
}

/// Absent values first.
fn order(one: Option<f64>, other: Option<f64>) -> std::cmp::Ordering {
    one.unwrap_or(f64::NEG_INFINITY).total_cmp(&other.unwrap_or(f64::NEG_INFINITY))
}

/// A figure of the trials over their load, in rising order. Of trials with the same load the one in
/// the middle stands for all: percentiles are not averaged.
pub(super) fn curve(trials: &[Trial], figure: impl Fn(&Trial) -> f64) -> Vec<(f64, f64)> {
    let says = |trial: &&Trial| {
        matches!(trial.judgement, Judgement::Met | Judgement::Missed) && trial.response_ns.count > 0
    };
    let mut points: Vec<_> =
        trials.iter().filter(says).map(|trial| (trial.load, figure(trial))).collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
    let same = points.chunk_by(|one, other| one.0 == other.0);
    same.map(|points| points[points.len() / 2]).collect()
}

/// The quantile that is kept and is nearest.
fn at(quantiles: &Quantiles, quantile: f64) -> Nanos {
    let kept = [
        (0.5, quantiles.p50),
        (0.9, quantiles.p90),
        (0.95, quantiles.p95),
        (0.99, quantiles.p99),
        (0.999, quantiles.p99_9),
    ];
    let distance = |(kept, _): &(f64, Nanos)| (kept - quantile).abs();
    let nearest = kept.into_iter().min_by(|one, other| distance(one).total_cmp(&distance(other)));
    nearest.map_or(0, |(_, ns)| ns)
}

#[cfg(test)]
impl Summary {
    /// Made-up trials of a pooler with a limit of 780/s and of a Postgres that the generator could
    /// not bring to its limit, through the same code as real ones.
    pub(crate) fn example() -> Self {
        use engine::{Gaps, SECOND};

        use super::Goal;
        use super::search::{Search, Settings};
        use super::trial::Kind;
        use crate::check::Checks;
        use crate::generator::GeneratorOptions;
        use crate::metric::{Known, Layer};

        let search = Settings {
            start: 100.0,
            min: 1.0,
            max: 1e6,
            width: 0.05,
            is_whole: false,
            trial_ns: 5 * SECOND,
            hold_ns: 60 * SECOND,
        };
        let target = |name: &str| super::TargetPlan {
            name: name.into(),
            goals: vec![Goal::parse("p(95)<100", Layer::Pooler, &Known::default()).unwrap()],
        };
        let plan = Plan {
            targets: vec![target("pooler"), target("postgres")],
            variable: Variable::Rate { gaps: Gaps::Uniform },
            search,
            connections: (100, 1000),
            budget_ns: None,
            checks: Checks::default(),
            generator: GeneratorOptions::default(),
            seed: 1,
        };
        let outcome = |limit: f64, ceiling: f64| {
            let mut outcome = Outcome {
                trials: Vec::new(),
                search: Search::new(search, 1),
                generator: Some(GeneratorSummary::example()),
                sessions: None,
                pool_gaps: None,
                light_ns: Some(2_000_000),
                is_out_of_time: false,
            };
            while let Some(asked) = outcome.search.next(None) {
                let load = asked.load;
                let p95 = if load > limit { 4000.0 } else { 2.0 / (1.0 - load / limit / 1.02) };
                let mut trial = Trial::example(load, load.min(limit), p95 as u64);
                trial.kind = if asked.is_hold { Kind::Hold } else { Kind::Search };
                if load > ceiling {
                    trial.judgement = Judgement::Ceiling;
                    trial.sent = trial.planned / 2;
                }
                outcome.search.report(&asked, &trial.verdict());
                outcome.trials.push(trial);
            }
            outcome
        };
        let outcomes = vec![outcome(780.0, 1e9), outcome(9000.0, 3000.0)];
        let scenario = Scenario { name: "nova".into(), ..Scenario::default() };
        Self::new(&scenario, &plan, UNIX_EPOCH, outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validity::Level;

    #[test]
    fn what_the_generator_could_not_offer_is_at_least_and_never_the_limit() {
        let summary = Summary::example();
        assert_eq!(summary.validity.valid, Level::Invalid);
        assert_eq!(
            summary.validity.reasons,
            ["direct: the generator was the limit at 3200, and the target takes at least 1600: \
              every connection was in use; raise --max-connections"]
        );
        let [pooler, direct] = &summary.limits[..] else { panic!("two") };
        assert_eq!((direct.value, direct.interval[1], &direct.goal), (Some(1600.0), None, &None));
        assert!(pooler.value.is_some_and(|value| (740.0..780.0).contains(&value)));
        assert_eq!(pooler.goal.as_deref(), Some("pg_response_time p(95)<100"));
    }

    /// The reasons where the trials of the pooler were as `change` makes them.
    fn reasons(change: impl Fn(&mut Trial)) -> Validity {
        let mut summary = Summary::example();
        let pooler = &mut summary.limits[0];
        pooler.trials.iter_mut().for_each(change);
        let mut validity = Validity::default();
        pooler.judge(&mut validity);
        let trials = pooler.trials.iter().map(|trial| &trial.validity);
        validity.merge_parts(trials, "trials");
        validity
    }

    #[test]
    fn what_spoils_a_trial_spoils_the_limit_whichever_it_is() {
        assert_eq!(reasons(|_| {}), Validity::default());
        // In the first one of many, and on a rig that is closed since.
        let slept = |trial: &mut Trial| {
            if trial.load == 100.0 {
                trial.validity.invalid("the machine slept".into());
            }
        };
        let validity = reasons(slept);
        assert_eq!(validity.valid, Level::Invalid);
        assert_eq!(validity.reasons, ["in 1 trials, first: the machine slept"]);
    }

    #[test]
    fn a_pool_that_is_not_shared_at_the_limit_is_none() {
        use crate::validity::Sharing;

        let servers = |at_limit: f64| {
            reasons(move |trial| {
                let servers = if trial.load > 600.0 { at_limit } else { 30.0 };
                trial.sharing = Some(Sharing { clients: 20.0, servers });
            })
        };
        assert_eq!(servers(5.0).valid, Level::Valid, "with few clients each may have its own");
        let shared = servers(20.0);
        assert_eq!(shared.valid, Level::Suspect);
        assert!(shared.reasons[0].starts_with("pooler: 20 server connections for 20 clients"));
    }

    #[test]
    fn the_keys_of_the_contract_are_there() {
        let json = serde_json::to_value(Summary::example()).unwrap();
        assert_eq!(json["command"], "limit");
        assert_eq!(json["limit"], json["limits"][0], "the pooler takes the least");
        let limit = &json["limit"];
        for key in ["variable", "value", "interval", "goal", "trials", "knee", "usl", "limiter"] {
            assert!(limit.get(key).is_some(), "{key}: {limit}");
        }
        assert_eq!(limit["beyond"]["behaviour"], "graceful");
    }
}
