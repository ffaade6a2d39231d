//! Durations as k6 writes them: `30s`, `1m30s`, `500ms`; a plain number is milliseconds.

use engine::{MILLISECOND, Nanos, SECOND};

/// Nanoseconds of `text`, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Nanos, String> {
    let wrong = || format!("{text} is not a duration: write it as in 30s, 5m, 1m30s or 500ms");
    if let Ok(milliseconds) = text.parse::<u64>() {
        return milliseconds.checked_mul(MILLISECOND).ok_or_else(wrong);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "h" => 3600.0 * SECOND as f64,
                "m" => 60.0 * SECOND as f64,
                "s" => SECOND as f64,
                "ms" => MILLISECOND as f64,
                "us" | "µs" => 1e3,
                _ => return Err(wrong()),
            };
        rest = &rest[unit..];
    }
    if text.is_empty() || total > u64::MAX as f64 / 4.0 {
        return Err(wrong());
    }
    Ok(total as Nanos)
}

/// Nanoseconds for people: three digits and a unit.
pub(crate) fn show(ns: f64) -> String {
    let (scale, unit) = unit(ns.abs());
    format!("{} {unit}", three_digits(ns / scale, ns / scale))
}

/// A difference with its interval, all in one unit: `+1.20 [+0.90, +1.51] ms`.
pub(crate) fn show_interval(ns: f64, [low, high]: [f64; 2]) -> String {
    let largest = ns.abs().max(low.abs()).max(high.abs());
    let (scale, unit) = unit(largest);
    let number = |ns: f64| {
        let text = three_digits(ns / scale, largest / scale);
        if ns > 0.0 { format!("+{text}") } else { text }
    };
    format!("{} [{}, {}] {unit}", number(ns), number(low), number(high))
}

fn unit(ns: f64) -> (f64, &'static str) {
    match ns {
        size if size < 999.5e3 => (1e3, "us"),
        size if size < 999.5e6 => (1e6, "ms"),
        _ => (1e9, "s"),
    }
}

/// As many decimals as leave `largest` three digits.
fn three_digits(value: f64, largest: f64) -> String {
    let decimals = match largest.abs() {
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_k6_reads_them() {
        for (text, expected) in [
            ("5000", 5 * SECOND),
            ("5s", 5 * SECOND),
            ("1m30s", 90 * SECOND),
            ("1.5h", 5400 * SECOND),
            ("250ms", 250 * MILLISECOND),
            ("20us", 20_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in ["", "s", "5", "-5s", "5 s", "5x", "1e9h", "ms5"].iter().skip(1) {
            assert_eq!(parse(text).is_err(), *text != "5", "{text}");
        }
        assert!(parse("").unwrap_err().contains("30s"));
    }

    #[test]
    fn nanoseconds_read_well() {
        let shown = [0.0, 1234.0, 999_400.0, 999_600.0, 12_345_678.0, 2.5e9].map(show);
        assert_eq!(shown, ["0.00 us", "1.23 us", "999 us", "1.00 ms", "12.3 ms", "2.50 s"]);
        assert_eq!(show_interval(267_400.0, [-1e3, 286_000.0]), "+267 [-1, +286] us");
        assert_eq!(show_interval(1.72e6, [0.231e6, 3.22e6]), "+1.72 [+0.23, +3.22] ms");
    }
}
