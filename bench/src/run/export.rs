//! `--summary-export`: the run's numbers in the shape of k6's option of that name.

use std::io;

use md5::{Digest, Md5};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use super::Verdicts;
use crate::check::CheckResult;
use crate::metric::{Aggregation, Values};

/// The whole file. As in k6, times are in ms, a trend has the statistics that were asked for, and
/// a threshold is `true` where it was *crossed*.
pub(crate) fn export(verdicts: &Verdicts, stats: &[Aggregation]) -> io::Result<String> {
    let mut metrics = Map::new();
    for (submetric, values) in &verdicts.metrics {
        metrics.insert(submetric.to_string(), numbers(values, stats));
    }
    for result in &verdicts.thresholds {
        // One whose metric has no samples is there as well: it was crossed.
        let metric = metrics.entry(result.submetric.to_string()).or_insert_with(|| json!({}));
        metric["thresholds"][&result.expression] = json!(!result.ok);
    }
    let checks = verdicts.checks.iter().map(|check| (check.name.clone(), checked(check)));
    let root_group = json!({
        "name": "",
        "path": "",
        "id": id(""),
        "groups": {},
        "checks": checks.collect::<Map<_, _>>(),
    });
    let mut text = Vec::new();
    let mut serializer =
        Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
    json!({ "metrics": metrics, "root_group": root_group }).serialize(&mut serializer)?;
    String::from_utf8(text).map_err(io::Error::other)
}

fn numbers(values: &Values, stats: &[Aggregation]) -> Value {
    let number = |aggregation| json_number(values.aggregate(aggregation));
    match values {
        Values::Trend(_) => {
            stats.iter().map(|stat| (stat.to_string(), number(*stat))).collect::<Map<_, _>>().into()
        }
        Values::Counter { .. } => json!({
            "count": number(Aggregation::Count),
            "rate": number(Aggregation::Rate),
        }),
        Values::Rate { hits, total } => json!({
            "value": number(Aggregation::Rate),
            "passes": hits,
            "fails": total - hits,
        }),
        Values::Gauge(gauge) => {
            let [value, min, max] =
                [gauge.value, gauge.min, gauge.max].map(|n| json_number(Some(n)));
            json!({ "value": value, "min": min, "max": max })
        }
    }
}

/// A whole number without a fraction, as JavaScript writes it.
fn json_number(number: Option<f64>) -> Value {
    match number {
        Some(whole) if whole.fract() == 0.0 && whole.abs() < 2_f64.powi(53) => json!(whole as i64),
        number => json!(number),
    }
}

fn checked(check: &CheckResult) -> Value {
    let path = format!("::{}", check.name);
    json!({
        "name": check.name,
        "path": path,
        "id": id(&path),
        "passes": check.passes,
        "fails": check.fails,
    })
}

/// k6 knows groups and checks by the MD5 of their path.
fn id(path: &str) -> String {
    Md5::digest(path).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::table::STATS;

    #[test]
    fn the_whole_file() {
        insta::assert_snapshot!(export(&Verdicts::example(), &STATS).unwrap());
    }
}
