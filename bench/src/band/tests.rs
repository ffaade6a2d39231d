use engine::{Recording, SECOND};

use super::*;
use crate::metric::{Gauges, Metric};

#[derive(serde::Deserialize)]
struct File {
    bands: Vec<BandFile>,
}

fn read(file: &str) -> Result<Bands, Vec<RuleError>> {
    let file: File = toml::from_str(file).unwrap();
    Bands::read(&file.bands, &Known::default())
}

fn with_gauges(bands: &Bands, gauges: &[(Metric, &[f64])]) -> Vec<BandResult> {
    let mut seen = Gauges::default();
    for (metric, values) in gauges {
        values.iter().for_each(|value| seen.push(*metric, *value));
    }
    bands.judge(&Metrics { elapsed_ns: SECOND, measured: Vec::new(), gauges: &seen })
}

#[test]
fn the_built_in_bands_are_the_suites_table() {
    let bands = Bands::read(&[], &Known::default()).unwrap();
    let mut table = String::new();
    for (band, values) in bands.0.iter().zip([
        &[0.0, 99.9, 100.0, 200.0, 250.0, 300.0, 300.1][..],
        &[0.0, 0.0099, 0.01, 0.05, 0.0501, 1.0],
        &[0.0, 1.0, 20.0, 21.0],
        &[0.0, 99.0, 100.0, 200.0, 201.0],
        &[0.5, 1.0, 5.0, 5.1],
    ]) {
        let levels = values.iter().map(|value| format!("{value} {}", band.level(*value)));
        let levels = levels.collect::<Vec<_>>().join(", ");
        table += &format!("{} {}: {levels}\n", band.name, band.aggregation);
    }
    insta::assert_snapshot!(table);
}

#[test]
fn what_was_not_measured_is_unknown_and_never_a_success() {
    let bands = Bands::read(&[], &Known::default()).unwrap();
    for result in with_gauges(&bands, &[]) {
        assert_eq!((result.level, result.value), (Level::Unknown, None));
        assert!(!result.advice.is_empty(), "{}", result.metric);
    }
}

#[test]
fn the_worst_moment_decides_about_waiting_clients_and_the_advice_says_what_to_do() {
    let bands = Bands::read(&[], &Known::default()).unwrap();
    let results = with_gauges(&bands, &[(Metric::ClWaiting, &[0.0, 48.0, 0.0])]);
    let waiting = results.iter().find(|result| result.metric == "cl_waiting").unwrap();
    assert_eq!((waiting.level, waiting.value), (Level::Failure, Some(48.0)));
    assert!(waiting.advice.contains("default_pool_size"));
}

#[test]
fn a_band_of_the_scenario_takes_the_place_of_the_built_in_one() {
    let bands = read(
        r#"
        [[bands]]
        metric = "cl_waiting"
        statistic = "avg"
        success = "<10"
        warning = "<= 30"
        advice = "call Ada"
        [[bands]]
        metric = "vus"
        statistic = "max"
        success = "<100"
        "#,
    )
    .unwrap();
    assert_eq!(bands.0.len(), 6);
    for (values, level) in
        [(&[5.0][..], Level::Success), (&[20.0, 40.0], Level::Warning), (&[31.0], Level::Failure)]
    {
        let results = with_gauges(&bands, &[(Metric::ClWaiting, values), (Metric::Vus, &[100.0])]);
        let waiting = results.iter().find(|result| result.metric == "cl_waiting").unwrap();
        assert_eq!(waiting.level, level, "{values:?}");
        assert_eq!(waiting.advice, if level == Level::Success { "" } else { "call Ada" });
        assert_eq!(results.last().unwrap().level, Level::Warning, "no bound says failure");
    }
}

#[test]
fn mistakes_are_named_with_their_place_and_all_are_found() {
    let errors = read(
        r#"
        [[bands]]
        metric = "cl_wating"
        statistic = "max"
        success = "<10"
        [[bands]]
        metric = "errors"
        statistic = "p(95)"
        success = "<10"
        [[bands]]
        metric = "errors"
        statistic = "rate!"
        success = "<10"
        [[bands]]
        metric = "errors"
        statistic = "rate"
        success = "0.01"
        [[bands]]
        metric = "errors"
        statistic = "rate"
        success = "<0.01"
        failure = "> 5 %"
        "#,
    );
    let lines: Vec<_> = errors.unwrap_err().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_run_of_requests_that_all_failed_has_an_error_rate_and_no_latency() {
    use wire::{Class, Failure, Outcome};

    use crate::metric::{Layer, Measured, Tally};

    let mut recording = Recording::new(1);
    recording.record(0, Outcome::Failed(Class::Auth), &Failure::default(), (0, 0, 1));
    let tally = Tally { recording, iterations: 1, dropped: 0, data_sent: 0, data_received: 0 };
    let (gauges, operations) = (Gauges::default(), ["getUser".to_owned()]);
    let measured = Measured {
        scenario: "default",
        target: "gateway",
        layer: Layer::Gateway,
        operations: &operations,
        checks: &[],
        tally: &tally,
        connect: None,
    };
    let metrics = Metrics { elapsed_ns: SECOND, measured: vec![measured], gauges: &gauges };
    let results = Bands::read(&[], &Known::default()).unwrap().judge(&metrics);
    let levels: Vec<_> = results.iter().map(|result| (&*result.metric, result.level)).collect();
    assert_eq!(levels[0], ("http_req_duration", Level::Unknown));
    assert_eq!(levels[1], ("errors", Level::Failure));
}
