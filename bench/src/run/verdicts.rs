//! What the scenario's rules say of a run.

use serde::Serialize;

use crate::band::BandResult;
use crate::check::CheckResult;
use crate::metric::{Metric, Metrics, Submetric, Values};
use crate::rules::Rules;
use crate::threshold::ThresholdResult;

/// What the rules say of a run, and the numbers that they say it of.
#[derive(Debug, Serialize)]
pub(crate) struct Verdicts {
    pub(crate) thresholds: Vec<ThresholdResult>,
    pub(crate) checks: Vec<CheckResult>,
    pub(crate) bands: Vec<BandResult>,
    /// The threshold that ended the run before its time.
    pub(crate) aborted_by: Option<ThresholdResult>,
    /// Every metric that has samples, and the parts of them that thresholds are about.
    #[serde(skip)]
    pub(crate) metrics: Vec<(Submetric, Values)>,
}

impl Verdicts {
    /// Asks the rules about the whole run.
    pub(crate) fn new(
        rules: &Rules,
        metrics: &Metrics<'_>,
        aborted_by: Option<ThresholdResult>,
    ) -> Self {
        let thresholds = rules.thresholds.judge(metrics);
        let mut submetrics: Vec<Submetric> = Metric::all().map(Submetric::from).collect();
        for ThresholdResult { submetric, .. } in &thresholds {
            if !submetrics.contains(submetric) {
                submetrics.push(submetric.clone());
            }
        }
        // Parts stand behind the metric that they are of.
        submetrics.sort_by_key(|submetric| submetric.metric);
        let values = |submetric| metrics.values(&submetric).map(|values| (submetric, values));
        let recordings = metrics.measured.iter().map(|measured| &measured.tally.recording);
        Self {
            checks: rules.checks.results(recordings),
            bands: rules.bands.judge(metrics),
            metrics: submetrics.into_iter().filter_map(values).collect(),
            thresholds,
            aborted_by,
        }
    }

    /// Whether the run kept to every threshold.
    pub(crate) fn are_thresholds_ok(&self) -> bool {
        self.thresholds.iter().all(|threshold| threshold.ok)
    }
}

#[cfg(test)]
impl Verdicts {
    /// A run of 120 made-up requests in 4 s, through the same code as a real one.
    pub(crate) fn example() -> Self {
        use engine::{MILLISECOND, Recording, SECOND};
        use wire::{Check, Class, Condition, Failure, HttpReply, Outcome, Reply};

        use crate::metric::{Gauges, Layer, Measured, Tally};

        let scenario = crate::scenario::Scenario::parse(
            "example.toml",
            r#"
            name = "example"
            [targets.gateway]
            url = "http://127.0.0.1:4000/graphql"
            [[operations]]
            name = "getFeed"
            graphql = "{ feed { id } }"
            [[operations]]
            name = "getUser"
            graphql = "{ user { id } }"
            [thresholds]
            http_req_duration = ["p(95)<100", "p(99)<50"]
            "http_req_duration{operation:getUser}" = ["med<10"]
            errors = ["rate<0.05"]
            pg_query_duration = ["max<1000"]
            [[checks]]
            status = 200
            [[checks]]
            latency = "<60ms"
            [[checks]]
            path = "data.user.id"
            equals = 5
            operation = "getUser"
            "#,
            &|_| None,
        );
        let rules = Rules::read(&scenario.unwrap()).unwrap();
        let mut recording = Recording::new(2);
        let check = |place, condition| Check { place, condition };
        let checks =
            [check(0, Condition::Status(200)), check(1, Condition::Latency(60 * MILLISECOND))];
        for number in 0..120_u64 {
            let outcome = match number % 40 {
                39 => Outcome::Failed(Class::GraphqlError),
                _ => Outcome::Ok,
            };
            let (operation, done) = ((number % 3 / 2) as usize, (number + 1) * 600_000);
            recording.record(operation, outcome, &Failure::default(), (0, 50_000, done));
            let http = Some(HttpReply { status: Some(200), paths: 0 });
            recording.check(operation, &checks, &Reply { outcome, service_ns: done, http });
        }
        let tally = Tally {
            recording,
            iterations: 120,
            dropped: 0,
            data_sent: 24_000,
            data_received: 1_234_567,
        };
        let mut gauges = Gauges::default();
        for (metric, values) in [
            (Metric::Vus, [5.0, 10.0]),
            (Metric::VusMax, [10.0, 10.0]),
            (Metric::ClWaiting, [0.0, 8.0]),
            (Metric::ClActive, [10.0, 2.0]),
            (Metric::SvActive, [2.0, 2.0]),
            (Metric::MultiplexingRatio, [5.0, 5.0]),
        ] {
            values.iter().for_each(|value| gauges.push(metric, *value));
        }
        let operations = ["getFeed".to_owned(), "getUser".to_owned()];
        let measured = Measured {
            scenario: crate::rules::ONLY_LOAD,
            target: "gateway",
            layer: Layer::Gateway,
            operations: &operations,
            checks: rules.checks.names(),
            tally: &tally,
            connect: None,
        };
        let metrics = Metrics { elapsed_ns: 4 * SECOND, measured: vec![measured], gauges: &gauges };
        Self::new(&rules, &metrics, None)
    }
}
