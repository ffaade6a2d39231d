use engine::{Recording, SECOND};
use proptest::prelude::*;
use wire::{Class, Failure, Outcome};

use super::*;
use crate::metric::{Gauges, Kind, Layer, Measured, Metric, Tally};

fn known() -> Known {
    Known { operations: names(), targets: vec!["gateway".into()], ..Known::default() }
}

fn names() -> Vec<String> {
    vec!["getFeed".into(), "getUser".into()]
}

fn read(file: &str) -> Result<Thresholds, Vec<RuleError>> {
    Thresholds::read(&toml::from_str(file).unwrap(), &known())
}

/// 100 replies of getFeed, 1 to 100 ms, and ten requests of it that failed; getUser was never asked.
fn tally() -> Tally {
    let mut recording = Recording::new(2);
    for number in 1..=100 {
        let done = number * 1_000_000;
        recording.record(0, Outcome::Ok, &Failure::default(), (0, 0, done));
    }
    for _ in 0..10 {
        let failed = Outcome::Failed(Class::GraphqlError);
        recording.record(0, failed, &Failure::default(), (0, 0, 1_000_000_000));
    }
    Tally { recording, iterations: 110, dropped: 0, data_sent: 0, data_received: 0 }
}

fn results(file: &str) -> Vec<(String, bool, Option<f64>)> {
    with_metrics(|metrics| {
        let results = read(file).unwrap().judge(metrics).into_iter();
        results.map(|result| (result.expression, result.ok, result.value)).collect()
    })
}

fn with_metrics<T>(then: impl FnOnce(&Metrics<'_>) -> T) -> T {
    let (tally, gauges, operations) = (tally(), Gauges::default(), names());
    let measured = Measured {
        scenario: "nova",
        target: "gateway",
        layer: Layer::Gateway,
        operations: &operations,
        checks: &[],
        tally: &tally,
        connect: None,
    };
    then(&Metrics { elapsed_ns: 10 * SECOND, measured: vec![measured], gauges: &gauges })
}

#[test]
fn every_operator_compares() {
    for (bound, below, equal, above) in [
        ("<2", true, false, false),
        ("<=2", true, true, false),
        (">2", false, false, true),
        (">=2", false, true, true),
        ("==2", false, true, false),
        ("===2", false, true, false),
        ("!=2", true, false, true),
    ] {
        let bound = Expression::parse(&format!("avg{bound}")).unwrap().bound;
        assert_eq!([1.0, 2.0, 3.0].map(|n| bound.holds(n)), [below, equal, above], "{bound}");
        assert!(bound.to_string() == "!=2" || !bound.holds(f64::NAN));
    }
}

#[test]
fn white_space_is_allowed_where_k6_allows_it() {
    for text in ["p(95)<100", " p(95) < 100 ", "p(95)\t<\t100", "p(95)<100.0", "p(95.0)<1e2"] {
        assert_eq!(Expression::parse(text).unwrap().to_string(), "p(95)<100", "{text}");
    }
}

#[test]
fn what_is_no_threshold_is_refused_with_its_column() {
    let mut lines = String::new();
    for text in [
        "avg=123",
        "test>=500",
        "junk",
        "",
        " ",
        "p(95)",
        "p(95)<",
        "p(95)<<100",
        "p(95)<100ms",
        "p(95)<100 ms",
        "p(95) 100",
        "p(95)=<100",
        "p(95)=>100",
        "p(95)~100",
        "p(95)<1,5",
        "p(95)<NaN",
        "p(95)<inf",
        "p( 95 )<100",
        "p(99.9.9)<100",
        "p(-1)<100",
        "p95<100",
        "P(95)<100",
        "100>p(95)",
        "avg<100 && max<200",
        "average<100",
    ] {
        let error = Expression::parse(text).unwrap_err();
        lines += &format!("{text:24} {error}\n");
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn mistakes_name_the_expression_and_its_place_and_all_are_found() {
    let errors = read(
        r#"
        errors = ["avg=123", { threshold = "rate<0.1", delayAbortEval = "soon" }, "avg<1"]
        http_req_duratoin = ["p(95)<100"]
        "http_req_duration{operation:getFeeds}" = ["p(95)<100", "junk"]
        vus = "count>1"
        "#,
    );
    let lines: Vec<_> = errors.unwrap_err().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn what_a_table_or_a_list_can_hold_is_said() {
    let mut lines = String::new();
    for file in [
        "errors = 1",
        "errors = [1]",
        "errors = [{ treshold = \"rate<1\" }]",
        "errors = [{ abortOnFail = true }]",
        "errors = [{ threshold = \"rate<1\", abortOnFail = \"yes\" }]",
    ] {
        let error = toml::from_str::<ThresholdsFile>(file).unwrap_err();
        lines += &format!("{file}\n    {}\n", error.message().replace('\n', " "));
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn every_aggregation_and_kind_is_taken_or_refused() {
    let aggregations = ["count", "rate", "value", "avg", "min", "max", "med", "p(99.9)"];
    let mut kinds = std::collections::BTreeMap::new();
    for metric in Metric::all() {
        let taken = aggregations.map(|aggregation| {
            let expression = Expression::parse(&format!("{aggregation}<1")).unwrap();
            expression.check_kind(metric).is_ok()
        });
        let before = kinds.insert(metric.kind().to_string(), taken);
        assert!(before.is_none_or(|before| before == taken), "{}", metric.name());
    }
    assert_eq!(kinds.len(), 4);
    assert_eq!(kinds[&Kind::Trend.to_string()], [true, false, false, true, true, true, true, true]);
    assert_eq!(kinds[&Kind::Rate.to_string()].map(usize::from).iter().sum::<usize>(), 1);
}

#[test]
fn each_is_judged_by_its_own_number() {
    let judged = results(
        r#"
        http_req_duration = ["p(95)<100", "max<101", "p(99.9)<50"]
        "http_req_duration{operation:getFeed}" = "med<60"
        errors = ["rate<0.1", "rate<0.05"]
        http_reqs = ["count==110", "rate>10"]
        dropped_iterations = "count==0"
        "#,
    );
    let ok: Vec<_> = judged.iter().map(|(text, ok, _)| (text.as_str(), *ok)).collect();
    assert_eq!(
        ok,
        [
            ("count==0", true),
            ("rate<0.1", true),
            ("rate<0.05", false),
            ("p(95)<100", true),
            ("max<101", true),
            ("p(99.9)<50", false),
            ("med<60", true),
            ("count==110", true),
            ("rate>10", true),
        ]
    );
    let near = |value: Option<f64>, expected: f64| (value.unwrap() - expected).abs() < 0.1;
    assert!(near(judged[3].2, 95.0) && near(judged[5].2, 100.0) && near(judged[8].2, 11.0));
}

#[test]
fn without_samples_no_threshold_passes() {
    for line in [
        "\"http_req_duration{operation:getUser}\" = \"p(95)<100\"",
        "\"errors{operation:getUser}\" = \"rate<1\"",
        "\"http_reqs{operation:getUser}\" = \"count<1\"",
        "pg_query_duration = \"p(95)<100\"",
        "checks = \"rate>=0\"",
        "cl_waiting = \"value==0\"",
        "data_sent = \"count>=0\"",
    ] {
        assert!(matches!(results(line)[..], [(_, false, None)]), "{line}");
    }
}

#[test]
fn a_run_is_aborted_by_a_threshold_that_says_so_once_its_delay_is_over() {
    let thresholds = read(
        r#"
        errors = [
            "rate<0.01",
            { threshold = "rate<0.02", abortOnFail = true, delayAbortEval = "10s" },
        ]
        "http_req_duration{operation:getUser}" = { threshold = "p(95)<1", abortOnFail = true }
        "#,
    )
    .unwrap();
    assert!(thresholds.can_abort());
    let abort = |elapsed_ns| {
        let result = with_metrics(|metrics| thresholds.should_abort(elapsed_ns, metrics));
        result.map(|result| result.expression)
    };
    assert_eq!(abort(SECOND), None);
    assert_eq!(abort(10 * SECOND - 1), None);
    assert_eq!(abort(10 * SECOND).as_deref(), Some("rate<0.02"));
    assert!(!read("errors = \"rate<0.01\"").unwrap().can_abort());
}

proptest! {
    #[test]
    fn a_printed_threshold_reads_as_itself(
        aggregation in prop_oneof![
            Just("count".to_owned()), Just("rate".to_owned()), Just("value".to_owned()),
            Just("avg".to_owned()), Just("min".to_owned()), Just("max".to_owned()),
            Just("med".to_owned()), (0.0..=100.0).prop_map(|p: f64| format!("p({p})")),
        ],
        operator in prop::sample::select(vec!["<", "<=", ">", ">=", "==", "===", "!="]),
        value in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        space in prop::sample::select(vec!["", " ", "\t "]),
    ) {
        let text = format!("{space}{aggregation}{space}{operator}{space}{value}{space}");
        let parsed = Expression::parse(&text).unwrap();
        prop_assert_eq!(Expression::parse(&parsed.to_string()), Ok(parsed));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-z()<>=!0-9.µ \\-+e]{0,20}") {
        let _ = Expression::parse(&text);
    }
}
