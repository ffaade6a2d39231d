//! The result for a person at a terminal.

use std::fmt::Write as _;

use engine::{Nanos, SECOND};

use super::Summary;
use super::summary::ChurnArm;
use crate::arm::Quantiles;
use crate::duration::show;
use crate::head::Head;
use crate::pace::PaceSummary;
use crate::series;
use crate::table::{Columns, errors, limiters, verdict};

/// The whole result.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", headline(summary));
    let _ = writeln!(text, "{}\n", whole(summary));
    let _ = writeln!(text, "{}\n", steps(summary));
    let _ = writeln!(text, "{}\n", kernel(summary));
    let arms = summary.arms.iter().map(|churned| (churned.arm.label(), churned.arm.series()));
    if let Some(seen) = series::means(&arms.collect::<Vec<_>>()) {
        let _ = writeln!(text, "{seen}\n");
    }
    if let Some(change) = &summary.before_after {
        let [before, after] = change.connection_latency_p95_ns.map(|ns| show(ns as f64));
        let _ = writeln!(
            text,
            "connection latency p95 (connect and login): {before} before the pool, {after} after"
        );
    }
    for ChurnArm { arm, .. } in summary.arms.iter().filter(|arm| !arm.arm.errors.is_empty()) {
        let _ = writeln!(text, "{}: {}", arm.name, errors(arm));
    }
    text += &limiters(summary.arms.iter().map(|churned| &churned.arm));
    let _ = writeln!(text, "{}", summary.head.generator.note());
    let _ = writeln!(text, "{}", verdict(&summary.validity));
    text
}

/// For how long a target is measured.
pub(super) fn length(duration_ns: Nanos) -> String {
    format!("opening connections for {} s", duration_ns as f64 / SECOND as f64)
}

fn headline(summary: &Summary) -> String {
    let PaceSummary { rate, gaps, clients } = summary.pace;
    let pace = match (rate, gaps, clients) {
        (Some(rate), Some(gaps), _) => format!(
            "{rate} connections a second with {gaps} gaps, at most {} at once",
            summary.connections
        ),
        (_, _, clients) => {
            let clients = clients.unwrap_or_default();
            let client = if clients == 1 { "client" } else { "clients" };
            format!("{clients} {client} connecting for each query")
        }
    };
    let end = if summary.reset { ", closed with a reset" } else { "" };
    let Head { scenario, phase_ns, seed, .. } = &summary.head;
    let length = *phase_ns as f64 / SECOND as f64;
    format!("{scenario}: {pace}{end}, {length} s a target, seed {seed}")
}

/// From when a connection was due to the end of its query.
fn whole(summary: &Summary) -> String {
    let header =
        ["whole connection", "rate/s", "errors", "p50", "p90", "p95", "p99", "p99.9", "CPU here"];
    let mut table = Columns::new(&header);
    for ChurnArm { arm, .. } in &summary.arms {
        let errors = arm.errors.values().sum::<u64>();
        let mut row = vec![arm.name.clone(), format!("{:.0}", arm.rate), errors.to_string()];
        row.extend(arm.response_ns.shown());
        let cpu = arm.cpu_ns_per_request.get("generator");
        row.push(cpu.map_or("-".into(), |ns| show(*ns)));
        table.row(row);
    }
    table.to_string()
}

fn steps(summary: &Summary) -> String {
    let has_tls = summary.arms.iter().any(|arm| arm.tls_ns.count > 0);
    let tls = has_tls.then_some("TLS");
    let mut header = vec!["its steps".to_owned()];
    for step in ["connect"].into_iter().chain(tls).chain(["login", "query"]) {
        header.extend([format!("{step} p50"), "p95".into(), "p99".into()]);
    }
    let mut table = Columns::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for arm in &summary.arms {
        let mut row = vec![arm.arm.name.clone()];
        let tls = has_tls.then_some(&arm.tls_ns);
        let steps = [&arm.arm.connect_ns].into_iter().chain(tls);
        for step in steps.chain([&arm.login_ns, &arm.first_query_ns]) {
            let Quantiles { count, p50, p95, p99, .. } = *step;
            row.extend(
                [p50, p95, p99].map(|ns| if count == 0 { "-".into() } else { show(ns as f64) }),
            );
        }
        table.row(row);
    }
    table.to_string()
}

/// What this machine's kernel counted meanwhile; of a server elsewhere it knows nothing.
fn kernel(summary: &Summary) -> String {
    let header = ["on this machine", "TIME_WAIT", "refused", "queue overflows", "queue drops"];
    let mut table = Columns::new(&header);
    for ChurnArm { arm, refused, network, .. } in &summary.arms {
        let count = |count: Option<u64>| count.map_or("-".into(), |count| count.to_string());
        table.row(vec![
            arm.name.clone(),
            network.time_wait.map_or("-".into(), |more| format!("{more:+}")),
            refused.to_string(),
            count(network.listen_overflows),
            count(network.listen_drops),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use engine::Gaps;

    use super::*;
    use crate::pace::Pace;

    #[test]
    fn the_whole_text() {
        let pace = Pace::Rate { rate: 500.0, gaps: Gaps::Poisson, connections: 50 };
        insta::assert_snapshot!(text(&Summary::example(pace)));
    }

    #[test]
    fn clients_and_a_machine_that_counts_nothing() {
        insta::assert_snapshot!(text(&Summary::uncounted(Pace::Clients(1))));
    }

    #[test]
    fn the_summary_is_an_arm_with_the_steps_beside_it() {
        let json = serde_json::to_value(Summary::example(Pace::Clients(8))).unwrap();
        assert_eq!((&json["command"], &json["clients"]), (&"churn".into(), &8.into()));
        let arm = &json["arms"][2];
        for (key, count) in [
            ("response_ns", 480),
            ("connect_ns", 480),
            ("login_ns", 480),
            ("open_ns", 480),
            ("first_query_ns", 480),
        ] {
            assert_eq!(arm[key]["count"], count, "{key}: {arm}");
        }
        assert_eq!((&arm["name"], &arm["refused"]), (&"direct".into(), &10.into()));
        assert_eq!((&arm["time_wait"], &arm["listen_drops"]), (&(-3).into(), &9.into()));
        assert_eq!(json["arms"][0]["login_ns"]["count"], 0, "HTTP has none");
    }
}
