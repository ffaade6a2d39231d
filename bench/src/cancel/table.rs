//! The result for a person at a terminal.

use std::fmt::Write as _;

use engine::{Nanos, SECOND};
use wire::Class;

use super::Summary;
use super::summary::CancelArm;
use crate::arm::Quantiles;
use crate::duration::show;
use crate::head::Head;
use crate::pace::PaceSummary;
use crate::table::{Columns, errors, verdict};

/// The whole result.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", headline(summary));
    let _ = writeln!(text, "{}\n", outcomes(summary));
    let _ = writeln!(text, "{}\n", times(summary));
    for CancelArm { arm, .. } in &summary.arms {
        // Where those that were cancelled as asked for are all, there is nothing to tell.
        if arm.errors.keys().any(|class| *class != Class::Cancelled.name()) {
            let _ = writeln!(text, "{}: {}", arm.name, errors(arm));
        }
    }
    let _ = writeln!(text, "{}", summary.head.generator.note());
    let _ = writeln!(text, "{}", verdict(&summary.validity));
    text
}

/// For how long a target is measured.
pub(super) fn length(duration_ns: Nanos) -> String {
    format!("cancelling statements for {} s", duration_ns as f64 / SECOND as f64)
}

fn headline(summary: &Summary) -> String {
    let PaceSummary { rate, gaps, clients } = summary.pace;
    let pace = match (rate, gaps, clients) {
        (Some(rate), Some(gaps), _) => format!("{rate} statements a second with {gaps} gaps"),
        (_, _, Some(1)) => "1 client".into(),
        (_, _, clients) => format!("{} clients", clients.unwrap_or_default()),
    };
    let bystanders = match summary.bystanders {
        0 => String::new(),
        1 => ", 1 more client that cancels none".into(),
        count => format!(", {count} more clients that cancel none"),
    };
    let Head { scenario, phase_ns, seed, .. } = &summary.head;
    format!(
        "{scenario}: {pace}, each statement runs {} and is cancelled after {}{bystanders}, {} s a \
         target, seed {seed}",
        show(summary.length_ns as f64),
        show(summary.after_ns as f64),
        *phase_ns as f64 / SECOND as f64,
    )
}

fn outcomes(summary: &Summary) -> String {
    let header = [
        "cancels",
        "statements/s",
        "sent",
        "hit",
        "lost",
        "queued",
        "failed",
        "too late",
        "wrong client",
    ];
    let mut table = Columns::new(&header);
    for arm in &summary.arms {
        let counts =
            [arm.cancels, arm.hit, arm.lost, arm.queued, arm.failed, arm.unsent, arm.wrong_client];
        let mut row = vec![arm.arm.name.clone(), format!("{:.0}", arm.arm.rate)];
        row.extend(counts.map(|count| count.to_string()));
        table.row(row);
    }
    table.to_string()
}

/// From when a cancel was sent.
fn times(summary: &Summary) -> String {
    let header = ["from the cancel on", "p50", "p90", "p95", "p99", "p99.9", "max"];
    let mut table = Columns::new(&header);
    for arm in &summary.arms {
        let kinds = [
            ("hit, until it ended", &arm.effect_ns),
            ("lost, until it ended", &arm.lost_ns),
            ("queued, until it ended", &arm.queued_ns),
        ];
        for (what, quantiles) in kinds.into_iter().filter(|(_, quantiles)| quantiles.count > 0) {
            let Quantiles { max, .. } = quantiles;
            let mut row = vec![format!("{}: {what}", arm.arm.name)];
            row.extend(quantiles.shown());
            row.push(show(*max as f64));
            table.row(row);
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use engine::Gaps;

    use super::super::Summary;
    use super::*;
    use crate::pace::Pace;

    #[test]
    fn the_whole_text() {
        insta::assert_snapshot!(text(&Summary::example(Pace::Clients(20))));
    }

    #[test]
    fn the_headline_of_an_open_loop() {
        let pace = Pace::Rate { rate: 100.0, gaps: Gaps::Poisson, connections: 50 };
        insta::assert_snapshot!(headline(&Summary::example(pace)));
    }

    #[test]
    fn the_summary_is_an_arm_with_the_outcomes_beside_it() {
        let json = serde_json::to_value(Summary::example(Pace::Clients(20))).unwrap();
        assert_eq!((&json["command"], &json["clients"]), (&"cancel".into(), &20.into()));
        let arm = &json["arms"][0];
        for (key, count) in [
            ("requests", 100),
            ("cancels", 80),
            ("hit", 60),
            ("lost", 10),
            ("queued", 10),
            ("failed", 0),
            ("unsent", 10),
            ("wrong_client", 10),
        ] {
            assert_eq!(arm[key], count, "{key}: {arm}");
        }
        assert_eq!(
            (&arm["effect_ns"]["count"], &arm["queued_ns"]["count"]),
            (&60.into(), &10.into())
        );
        assert_eq!(arm["errors"]["cancelled"], 60);
    }
}
