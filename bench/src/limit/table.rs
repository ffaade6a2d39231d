//! The result for a person at a terminal.

use std::fmt::Write as _;

use super::beyond::{Behaviour, Beyond};
use super::summary::{GoalLimit, Limit};
use super::trial::{Judgement, Kind, Trial};
use super::{Plan, Summary};
use crate::duration::show;
use crate::table::{Columns, verdict};

/// The whole result.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", headline(summary));
    let _ = writeln!(text, "{}\n", limits(summary));
    for limit in &summary.limits {
        remarks(limit).iter().for_each(|line| text += &format!("{}: {line}\n", limit.target));
    }
    for limit in &summary.limits {
        let _ = writeln!(text, "\n{}", trials(limit));
    }
    text.push('\n');
    if let Some(generator) = &summary.generator {
        let _ = writeln!(text, "{}", generator.note());
    }
    let _ = writeln!(text, "{}", verdict(&summary.validity));
    text
}

fn headline(summary: &Summary) -> String {
    let what = summary.limits.first().map_or("load", |limit| what(limit.variable));
    format!(
        "{}: the highest {what} that meets its goals, bracketed to {} %; trials of {}, a hold of {}, {} in \
         all, seed {}",
        summary.scenario,
        summary.width * 100.0,
        show(summary.phase_ns as f64),
        show(summary.hold_ns as f64),
        show(summary.duration_ns as f64),
        summary.seed
    )
}

/// What is raised, in words.
pub(super) fn what(variable: &str) -> &str {
    match variable {
        "rate" => "arrival rate",
        "vus" => "number of virtual users",
        _ => "number of connections",
    }
}

/// A load for people: four digits.
pub(super) fn load(load: f64) -> String {
    match load {
        load if load >= 1000.0 || load.fract().abs() < 1e-6 => format!("{load:.0}"),
        load if load >= 100.0 => format!("{load:.1}"),
        load => format!("{load:.2}"),
    }
}

fn limits(summary: &Summary) -> String {
    let mut table = Columns::new(&["limit", "goal", "value", "95 % interval", "held", ""]);
    for limit in &summary.limits {
        for goal in &limit.goals {
            let is_first = limit.goal.as_ref() == Some(&goal.goal) && limit.goals.len() > 1;
            table.row(vec![
                limit.target.clone(),
                goal.goal.clone(),
                value(goal),
                interval(goal),
                if goal.is_held { "yes" } else { "no" }.into(),
                if is_first { "breaks first" } else { "" }.into(),
            ]);
        }
    }
    table.to_string()
}

fn value(goal: &GoalLimit) -> String {
    match (goal.value, goal.interval[1]) {
        (Some(value), Some(_)) => load(value),
        (Some(value), None) => format!("at least {}", load(value)),
        (None, Some(_)) => "none".into(),
        (None, None) => "-".into(),
    }
}

fn interval(goal: &GoalLimit) -> String {
    match goal.interval {
        [Some(low), Some(high)] => format!("{} to {}", load(low), load(high)),
        [Some(low), None] => format!("above {}", load(low)),
        [None, Some(high)] => format!("below {}", load(high)),
        [None, None] => "-".into(),
    }
}

/// What is to be known of a target beside its limit.
fn remarks(limit: &Limit) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(limit.limiter.as_ref().map(|limiter| format!("what ran out: {limiter}")));
    lines.extend(limit.beyond.as_ref().map(beyond));
    if let Some(knee) = limit.knee {
        let light =
            limit.light_ns.map(|ns| format!(", from {} for one at a time", show(ns as f64)));
        lines.push(format!(
            "latency begins to rise steeply at {}{}",
            load(knee),
            light.unwrap_or_default()
        ));
    }
    if let Some(usl) = &limit.usl {
        let shown = |value: f64, [low, high]: [f64; 2]| format!("{value:.4} [{low:.4}, {high:.4}]");
        lines.push(format!(
            "Universal Scalability Law: lambda {}, sigma {}, kappa {}{}",
            shown(usl.lambda, usl.lambda_ci),
            shown(usl.sigma, usl.sigma_ci),
            shown(usl.kappa, usl.kappa_ci),
            usl.peak.map_or(String::new(), |peak| format!("; it peaks at {peak:.0}"))
        ));
    }
    lines
}

fn beyond(beyond: &Beyond) -> String {
    let Beyond { behaviour, load: most, throughput, throughput_max, recovery_ns } = beyond;
    let figures = format!("{throughput:.0}/s of at most {throughput_max:.0}/s at {}", load(*most));
    let recovery = recovery_ns.map(|ns| show(ns as f64)).unwrap_or_default();
    match behaviour {
        Behaviour::Graceful => {
            format!("graceful beyond: {figures}, and back to normal within {recovery}")
        }
        Behaviour::Collapse => {
            format!("collapses beyond: {figures}, and back to normal within {recovery}")
        }
        Behaviour::Metastable => {
            format!("metastable beyond: {figures}, and it does not come back when the load goes")
        }
    }
}

/// Every trial, in the order of their loads.
fn trials(limit: &Limit) -> String {
    let header =
        [&*limit.target, "per second", "errors", "p50", "p95", "p99", "recovered in", "goals"];
    let mut table = Columns::new(&header);
    let mut sorted: Vec<_> = limit.trials.iter().collect();
    sorted.sort_by(|one, other| one.load.total_cmp(&other.load));
    for trial in sorted {
        let time =
            |ns: u64| if trial.response_ns.count == 0 { "-".into() } else { show(ns as f64) };
        table.row(vec![
            load(trial.load),
            format!("{:.0}", trial.throughput),
            trial.errors.values().sum::<u64>().to_string(),
            time(trial.response_ns.p50),
            time(trial.response_ns.p95),
            time(trial.response_ns.p99),
            trial.recovery_ns.map_or("not".into(), |ns| show(ns as f64)),
            judgement(trial),
        ]);
    }
    table.to_string()
}

fn judgement(trial: &Trial) -> String {
    let words = match trial.judgement {
        Judgement::Met => "met",
        Judgement::Missed => "missed",
        Judgement::Spoilt => "spoilt by the generator",
        Judgement::Ceiling => "no connection free",
        Judgement::Saturated => "generator at its limit",
    };
    let kind = match trial.kind {
        Kind::Search => "",
        Kind::Hold => ", held",
        Kind::Beyond => ", beyond",
    };
    format!("{words}{kind}")
}

/// A trial in one line.
pub(super) fn progress(trial: &Trial, plan: &Plan) -> String {
    let goals: Vec<_> = trial
        .goals
        .iter()
        .filter(|goal| !goal.is_met)
        .map(|goal| {
            let value = goal.value.map_or("no samples".into(), |value| format!("{value:.3}"));
            format!("{} ({value})", goal.goal)
        })
        .collect();
    let goals = if goals.is_empty() { String::new() } else { format!(": {}", goals.join(", ")) };
    format!("{} {}, {}{goals}", what(plan.variable.name()), load(trial.load), judgement(trial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text() {
        insta::assert_snapshot!(text(&Summary::example()));
    }

    #[test]
    fn loads_have_four_digits() {
        assert_eq!([12345.6, 123.456, 12.3456, 50.0].map(load), ["12346", "123.5", "12.35", "50"]);
    }
}
