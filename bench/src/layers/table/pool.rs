//! The pool's part of the table.

use super::super::accounting::{Accounting, Assignments};
use super::super::observer_cost::{Looking, ObserverCost};
use super::super::summary::Summary;
use super::{at_rate, name};
use crate::duration::{show, show_interval};
use crate::table::Columns;

fn number(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.2}"))
}

fn time(ns: Option<f64>) -> String {
    ns.map_or("-".into(), show)
}

/// What the pooler counted a request, and whether Little's law finds the same as was seen.
pub(super) fn table(summary: &Summary) -> Option<String> {
    let mut table = Columns::new(&[
        "in the pool, a request",
        "queries",
        "transactions",
        "assignments",
        "queue",
        "servers",
        "longest wait",
        "at once: sent",
        "elsewhere",
        "in the pool: counted",
        "seen",
        "residual",
    ]);
    for pool in &summary.pool {
        table.row(vec![
            at_rate(pool.arm.clone(), pool.rate, summary),
            number(pool.queries_per_request),
            number(pool.transactions_per_request),
            number(pool.server_assignments_per_request),
            time(pool.wait_ns_per_request),
            time(pool.server_ns_per_request),
            time(pool.maxwait_ns.map(|ns| ns as f64)),
            number(Some(pool.in_flight)),
            number(pool.outside_pool),
            number(pool.in_pool_counted),
            number(pool.in_pool_seen),
            number(pool.in_pool_residual),
        ]);
    }
    (!summary.pool.is_empty()).then(|| table.to_string())
}

/// Where the assignments are from, if the pooler does not count them itself.
pub(super) fn assignments(summary: &Summary) -> Option<String> {
    let is_derived = summary.assignments == Assignments::Transactions && !summary.pool.is_empty();
    is_derived.then(|| {
        "assignments: one a transaction, by the pool mode; this pooler does not count them (a client \
         that pipelines transactions has fewer)"
            .into()
    })
}

/// What the pool's cost consists of.
pub(super) fn accounting(summary: &Summary) -> Option<String> {
    let mut table = Columns::new(&[
        "what the pool adds, mean",
        "in all",
        "queue",
        "its CPU",
        "round trip",
        "Postgres",
        "residual",
    ]);
    for accounting in &summary.accounting {
        let Accounting { rate, added, wait_ns, pooler_cpu_ns, round_trip_ns, .. } = accounting;
        table.row(vec![
            at_rate(name("pooler", &accounting.given), *rate, summary),
            show_interval(added.value, [added.low, added.high]),
            time(*wait_ns),
            time(*pooler_cpu_ns),
            time(*round_trip_ns),
            time(accounting.postgres_ns),
            time(Some(accounting.residual_ns)),
        ]);
    }
    (!summary.accounting.is_empty()).then(|| table.to_string())
}

/// What the operations become, one by one.
pub(super) fn amplification(summary: &Summary) -> Option<String> {
    let each = summary.amplification.iter().filter_map(|one| {
        let queries = one.queries_per_request?;
        let mut text = format!("{} {}", one.operation, rounded(queries));
        if let Some(transactions) = one.transactions_per_request
            && rounded(transactions) != rounded(queries)
        {
            text += &format!(" (in {} transactions)", rounded(transactions));
        }
        Some(text)
    });
    let each: Vec<_> = each.collect();
    (!each.is_empty()).then(|| {
        format!(
            "queries a request, each operation alone through gateway and pool: {}",
            each.join(", ")
        )
    })
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// What it costs that the pooler is watched and the rest looked at, where that shows.
pub(super) fn observers(summary: &Summary) -> Vec<String> {
    let kinds = [
        (Looking::Watching, "watching the pool costs"),
        (Looking::Observing, "looking at everything else costs"),
    ];
    kinds.into_iter().filter_map(|(of, costs)| observer(summary, of, costs)).collect()
}

fn observer(summary: &Summary, of: Looking, costs: &str) -> Option<String> {
    let is_meant = |cost: &&ObserverCost| cost.of == of && cost.quantile == 0.5;
    let median = || summary.observer_costs.iter().filter(is_meant);
    let shows = median().filter(|cost| cost.ci_ns[0] > 0.0 || cost.ci_ns[1] < 0.0);
    let each: Vec<_> = shows
        .map(|cost| {
            let arm = at_rate(cost.arm.clone(), cost.rate, summary);
            format!("{arm} {}", show_interval(cost.ns, cost.ci_ns))
        })
        .collect();
    let widest = median().flat_map(|cost| cost.ci_ns).map(f64::abs).reduce(f64::max)?;
    Some(if each.is_empty() {
        format!("{costs} nothing that shows at p50 (within {})", show(widest))
    } else {
        format!("{costs} at p50, by the blocks without it: {}", each.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_of_looking_that_may_be_none_is_told_by_how_much_it_can_be() {
        let mut summary = Summary::example();
        summary.observer_costs.iter_mut().for_each(|cost| cost.ci_ns = [-3000.0, 2000.0]);
        let expected = [
            "watching the pool costs nothing that shows at p50 (within 3.00 us)",
            "looking at everything else costs nothing that shows at p50 (within 3.00 us)",
        ];
        assert_eq!(observers(&summary), expected);
        summary.observer_costs.clear();
        assert!(observers(&summary).is_empty(), "it is not known");
    }
}
