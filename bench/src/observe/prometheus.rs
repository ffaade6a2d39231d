//! What anything shows as Prometheus text.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::Nanos;
use engine::driver::thread_cpu_ns;

use super::ObserveError;
use crate::scenario::Endpoint;

/// The samples of one answer, by name with labels as they are written (Prometheus documentation,
/// "Exposition formats", text format 0.0.4).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Exposition {
    /// What only rises: counters, and what histograms and summaries count.
    pub(crate) counters: BTreeMap<String, f64>,
    pub(crate) gauges: BTreeMap<String, f64>,
    /// Samples past [`SAMPLES_MAX`].
    pub(crate) dropped: usize,
}

/// An answer's first samples are kept; a run of an hour has 3600 answers.
const SAMPLES_MAX: usize = 500;
/// An answer that is longer, in bytes, is none.
const BODY_BYTES_MAX: u64 = 4 << 20;
/// One that takes longer misses its turn.
const PATIENCE: Duration = Duration::from_millis(900);

/// Where it is shown.
pub(crate) struct PrometheusSource {
    url: String,
    agent: ureq::Agent,
    has_dropped: bool,
}

impl PrometheusSource {
    /// Nothing is asked yet.
    pub(crate) fn new(url: &str) -> Result<Self, ObserveError> {
        let wrong = |problem| ObserveError::Exposition { url: url.to_owned(), problem };
        let endpoint = Endpoint::parse(url).map_err(wrong)?;
        let mut config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE));
        if endpoint.is_secured {
            config = config.tls_config(crate::tls::for_ureq(&endpoint.host).map_err(wrong)?);
        }
        Ok(Self { url: url.to_owned(), agent: config.build().into(), has_dropped: false })
    }

    /// Asks once, on a thread that is allowed to wait; with its CPU time, in ns.
    pub(crate) async fn look(&mut self) -> (Result<Exposition, ObserveError>, Nanos) {
        let (agent, url) = (self.agent.clone(), self.url.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let before = thread_cpu_ns();
            let answer = ask(&agent, &url).map(|text| Exposition::parse(&text));
            (answer, thread_cpu_ns() - before)
        });
        let (answer, cpu_ns) = match asked.await {
            Ok(asked) => asked,
            Err(error) => (Err(error.to_string()), 0),
        };
        self.has_dropped |= answer.as_ref().is_ok_and(|answer| answer.dropped > 0);
        let wrong = |problem| ObserveError::Exposition { url: self.url.clone(), problem };
        (answer.map_err(wrong), cpu_ns)
    }

    /// What is to be known of its figures, once it was asked.
    pub(crate) fn note(&self) -> Option<String> {
        self.has_dropped.then(|| format!("of its samples the first {SAMPLES_MAX} are kept"))
    }
}

fn ask(agent: &ureq::Agent, url: &str) -> Result<String, String> {
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX);
    body.read_to_string().map_err(|error| error.to_string())
}

impl Exposition {
    /// Whether a counter has fallen since an earlier answer.
    pub(crate) fn has_begun_anew(&self, earlier: &Self) -> bool {
        let both = self.counters.iter();
        let mut both = both.filter_map(|(name, now)| Some((now, earlier.counters.get(name)?)));
        both.any(|(now, then)| now < then)
    }

    /// What can't be read is passed over.
    fn parse(text: &str) -> Self {
        let mut exposition = Self::default();
        let mut rising: BTreeSet<&str> = BTreeSet::new();
        for line in text.lines().map(str::trim) {
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.split_whitespace();
                if let (Some("TYPE"), Some(name), Some("counter" | "histogram" | "summary")) =
                    (words.next(), words.next(), words.next())
                {
                    rising.insert(name);
                }
                continue;
            }
            let Some((series, value)) = sample(line) else { continue };
            if exposition.counters.len() + exposition.gauges.len() == SAMPLES_MAX {
                exposition.dropped += 1;
                continue;
            }
            let map = match rises(series, &rising) {
                true => &mut exposition.counters,
                false => &mut exposition.gauges,
            };
            map.insert(series.to_owned(), value);
        }
        exposition
    }
}

/// A sample's name with its labels, and its value; a time stamp behind it is not looked at.
fn sample(line: &str) -> Option<(&str, f64)> {
    // Labels hold any text in quotes, but they end at the line's last brace.
    let end = match line.rfind('}') {
        Some(brace) => brace + 1,
        None => line.find([' ', '\t'])?,
    };
    let (series, rest) = line.split_at(end);
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some((series, value))
}

/// Whether a series only rises: a summary's quantiles do not, and have no suffix.
fn rises(series: &str, rising: &BTreeSet<&str>) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    let parts = ["_bucket", "_count", "_sum"];
    let of_parts = parts.iter().filter_map(|part| name.strip_suffix(part));
    (rising.contains(name) && !series.contains("quantile=\""))
        || of_parts.into_iter().any(|whole| rising.contains(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels_and_counters_told_from_gauges() {
        let text = "# HELP requests Anything.\n# TYPE requests counter\n\
                    requests{method=\"post\",path=\"/a b} c\"} 1027 1395066363000\n\
                    # TYPE idle gauge\nidle 3.5e1\n\
                    # TYPE took summary\ntook{quantile=\"0.5\"} 4773\ntook_sum 1.7e+07\n\
                    took_count 2693\nuntyped_total\t7\nbroken{ 5\nnothing NaN\nempty\n\n";
        let Exposition { counters, gauges, dropped } = Exposition::parse(text);
        let names = |map: &BTreeMap<String, f64>| map.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(&counters),
            ["requests{method=\"post\",path=\"/a b} c\"}", "took_count", "took_sum"]
        );
        assert_eq!(names(&gauges), ["broken{", "idle", "took{quantile=\"0.5\"}", "untyped_total"]);
        assert_eq!((counters["took_sum"], gauges["idle"], dropped), (1.7e7, 35.0, 0));
    }

    #[test]
    fn an_endless_answer_is_cut_and_said_to_be() {
        let text: String = (0..SAMPLES_MAX + 7).map(|n| format!("m{n} 1\n")).collect();
        let exposition = Exposition::parse(&text);
        assert_eq!((exposition.gauges.len(), exposition.dropped), (SAMPLES_MAX, 7));
    }
}
