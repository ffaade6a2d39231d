//! What a server says of the time that a request took it.

use std::num::NonZeroU64;

/// The metrics of a Server-Timing field (W3C Server Timing, section 3) that people know: `total`,
/// all of the server's time, and `db`, its database's. Whole ns; durations are in ms there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerTiming {
    total: Duration,
    database: Duration,
}

/// One more than its ns: half as large as an `Option<u64>`, in every connection twice.
type Duration = Option<NonZeroU64>;

/// No request takes a day; a longer duration is a mistake.
const DURATION_MS_MAX: f64 = 86_400_000.0;

impl ServerTiming {
    /// What a server that says this says; in ns.
    pub fn new(total_ns: Option<u64>, database_ns: Option<u64>) -> Self {
        let kept = |ns: Option<u64>| ns.and_then(|ns| NonZeroU64::MIN.checked_add(ns));
        Self { total: kept(total_ns), database: kept(database_ns) }
    }

    /// `total;dur=…`, in ns.
    pub fn total_ns(&self) -> Option<u64> {
        self.total.map(|kept| kept.get() - 1)
    }

    /// `db;dur=…`, in ns.
    pub fn database_ns(&self) -> Option<u64> {
        self.database.map(|kept| kept.get() - 1)
    }

    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes the metrics of one field's value. What is not understood is passed over: a measurement
    /// of the server's own is no reason to fail a request. The first metric of a name counts.
    pub(super) fn take(&mut self, value: &[u8]) {
        for metric in value.split(|&byte| byte == b',') {
            let mut parts = metric.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let place = match parts.next() {
                Some(b"total") => &mut self.total,
                Some(b"db") => &mut self.database,
                _ => continue,
            };
            if place.is_none() {
                let ns = parts.find_map(duration_ns);
                *place = ns.and_then(|ns| NonZeroU64::MIN.checked_add(ns));
            }
        }
    }
}

/// `dur=12.5`, or with quotes.
fn duration_ns(parameter: &[u8]) -> Option<u64> {
    let equals = memchr::memchr(b'=', parameter)?;
    let (name, value) = (parameter[..equals].trim_ascii(), parameter[equals + 1..].trim_ascii());
    if !name.eq_ignore_ascii_case(b"dur") {
        return None;
    }
    let value =
        value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let ms: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (0.0..=DURATION_MS_MAX).contains(&ms).then(|| (ms * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(values: &[&str]) -> (Option<u64>, Option<u64>) {
        let mut timing = ServerTiming::default();
        values.iter().for_each(|value| timing.take(value.as_bytes()));
        (timing.total_ns(), timing.database_ns())
    }

    #[test]
    fn durations_are_found_by_name_among_whatever_else_is_there() {
        assert_eq!(timing(&["total;dur=12.5, db;dur=4"]), (Some(12_500_000), Some(4_000_000)));
        assert_eq!(
            timing(&["cache;desc=\"Cache Read\";dur=23.2,db ; desc=x ; DUR = \"0.000001\""]),
            (None, Some(1))
        );
        assert_eq!(timing(&["miss", "db;dur=1", "db;dur=2"]), (None, Some(1_000_000)));
    }

    #[test]
    fn what_is_no_duration_is_unknown() {
        for value in [
            "",
            "total",
            "total;dur",
            "total;dur=",
            "total;dur=fast",
            "total;dur=-1",
            "total;dur=NaN",
            "total;dur=1e99",
            "total;duration=5",
            "totals;dur=5",
            ";;;,,,;dur=5",
        ] {
            assert_eq!(timing(&[value]), (None, None), "{value}");
        }
    }
}
