//! The result for a person at a terminal.

use std::fmt::Write as _;

use engine::{Nanos, SECOND};

use super::summary::{Step, Summary};
use super::{Moment, Recovery};
use crate::duration::show;
use crate::table::{Columns, verdict};

/// The whole result.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    let [low, high] = summary.rates;
    let _ = writeln!(
        text,
        "{}: from {low} to {high} requests a second for {} and back, {} connections, seed {}",
        summary.scenario,
        show(summary.during_ns as f64),
        summary.connections,
        summary.seed
    );
    for step in &summary.steps {
        let _ = writeln!(text, "\n{}:", step.target);
        if let Some(recovery) = &step.recovery {
            lines(step, recovery).iter().for_each(|line| text += &format!("  {line}\n"));
        }
        let _ = writeln!(text, "\n{}", course(summary, step));
    }
    text.push('\n');
    if let Some(generator) = &summary.generator {
        let _ = writeln!(text, "{}", generator.note());
    }
    let _ = writeln!(text, "{}", verdict(&summary.validity));
    text
}

fn lines(step: &Step, recovery: &Recovery) -> Vec<String> {
    let time = |ns: Option<Nanos>| ns.map_or("not seen".into(), |ns| show(ns as f64));
    let mut lines = vec![
        format!(
            "in the step {:.0}/s ended; requests in the system grew by {:.0}/s, from {} to {}",
            recovery.throughput, recovery.growth, recovery.base_in_system, recovery.in_system_max
        ),
        format!("time to drain: {}", time(recovery.drain_ns)),
        format!(
            "time until p99 was back at {}: {} (its highest was {})",
            show(recovery.base_p99_ns as f64),
            time(recovery.p99_back_ns),
            show(recovery.p99_max_ns as f64)
        ),
    ];
    if let Some(cl_waiting) = recovery.cl_waiting_max {
        lines.push(format!(
            "in the pool: at most {cl_waiting} clients waiting (cl_waiting), for at most {} \
             (maxwait); none after {}",
            time(recovery.maxwait_max_ns),
            time(recovery.pool_drain_ns)
        ));
    }
    let errors: Vec<_> =
        step.errors.iter().map(|(class, count)| format!("{count} {class}")).collect();
    lines.push(format!(
        "errors: {}",
        if errors.is_empty() { "none".into() } else { errors.join(", ") }
    ));
    lines
}

/// Second by second.
fn course(summary: &Summary, step: &Step) -> String {
    let mut table = Columns::new(&[
        "second",
        "offered/s",
        "ended/s",
        "in system",
        "p99",
        "errors",
        "cl_waiting",
        "maxwait",
    ]);
    let second = |moment: &Moment| moment.end_ns.saturating_sub(1) / SECOND;
    for moments in step.moments.chunk_by(|one, other| second(one) == second(other)) {
        let last = &moments[moments.len() - 1];
        let sum = |of: fn(&Moment) -> u64| moments.iter().map(of).sum::<u64>();
        let p99 = moments.iter().filter_map(|moment| moment.p99_ns).max();
        let count = |count: Option<u64>| count.map_or("-".into(), |count| count.to_string());
        let (from, to) = (summary.before_ns, summary.before_ns + summary.during_ns);
        let is_in_step = last.end_ns > from && last.end_ns <= to;
        table.row(vec![
            format!("{}{}", second(last) + 1, if is_in_step { " step" } else { "" }),
            sum(|moment| moment.planned).to_string(),
            sum(|moment| moment.completed).to_string(),
            last.in_system.to_string(),
            p99.map_or("-".into(), |ns| show(ns as f64)),
            sum(|moment| moment.errors.values().sum()).to_string(),
            count(last.cl_waiting),
            last.maxwait_ns.map_or("-".into(), |ns| show(ns as f64)),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::recovery::tests::{plan, queue};
    use super::*;

    fn shown(moments: Vec<Moment>) -> String {
        text(&Summary::of(&plan(), moments))
    }

    #[test]
    fn the_whole_text() {
        insta::assert_snapshot!(shown(queue()));
    }

    #[test]
    fn what_was_not_back_in_time_is_told_with_the_remedy() {
        let text = shown(queue().into_iter().take(60).collect());
        assert!(text.contains("time to drain: not seen"), "{text}");
        assert!(text.contains("raise --after"), "{text}");
    }
}
