//! What the rules say, for a person: thresholds first, then checks; bands at the end.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::Verdicts;
use super::number::{decimal, percent, show};
use crate::band::{BandResult, Level};
use crate::check::CheckResult;
use crate::threshold::ThresholdResult;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default();

/// `✓` or `✗`, in colour; whoever prints takes the colour away where it is not wanted.
fn mark(is_good: bool) -> String {
    let (mark, style) = if is_good { ('✓', GOOD) } else { ('✗', BAD) };
    format!("{style}{mark}{style:#}")
}

/// Every threshold under its metric; nothing where there is none.
pub(super) fn thresholds(verdicts: &Verdicts) -> String {
    let mut text = String::new();
    for metric in verdicts.thresholds.chunk_by(|one, other| one.metric == other.metric) {
        let heading = if text.is_empty() { "  THRESHOLDS\n" } else { "" };
        let _ = writeln!(text, "{heading}\n    {}", metric[0].metric);
        for result in metric {
            let _ = writeln!(
                text,
                "    {} '{}' {}",
                mark(result.ok),
                result.expression,
                threshold_value(result)
            );
        }
    }
    text
}

/// `p(95)=12.3ms`.
fn threshold_value(result: &ThresholdResult) -> String {
    let ThresholdResult { submetric, aggregation, value, .. } = result;
    match value {
        Some(value) => format!("{aggregation}={}", show(submetric.metric, *aggregation, *value)),
        None => "no samples".into(),
    }
}

/// Every check with how often it passed; nothing where there is none.
pub(super) fn checks(verdicts: &Verdicts, seconds: f64) -> String {
    if verdicts.checks.is_empty() {
        return String::new();
    }
    let passes: u64 = verdicts.checks.iter().map(|check| check.passes).sum();
    let fails: u64 = verdicts.checks.iter().map(|check| check.fails).sum();
    let total = passes + fails;
    let share = |count: u64| match total {
        0 => "-".into(),
        total => percent(count as f64 / total as f64),
    };
    let by_second = decimal(total as f64 / seconds, 6);
    let columns = [
        ("checks_total", total.to_string(), format!("{by_second}/s")),
        ("checks_succeeded", share(passes), format!("{passes} out of {total}")),
        ("checks_failed", share(fails), format!("{fails} out of {total}")),
    ];
    let width = columns.iter().map(|(_, first, _)| first.len()).max().unwrap_or_default();
    let mut text = "  CHECKS\n\n".to_owned();
    for (name, first, second) in columns {
        let _ = writeln!(text, "    {name:.<19}: {first:width$} {second}");
    }
    text.push('\n');
    verdicts.checks.iter().for_each(|check| text += &check_lines(check));
    text
}

fn check_lines(check: &CheckResult) -> String {
    let CheckResult { name, passes, fails } = check;
    match (passes, fails) {
        (0, 0) => format!("    - {name}\n      ↳ no reply that it could be asked of\n"),
        (_, 0) => format!("    {} {name}\n", mark(true)),
        _ => {
            let share = percent(*passes as f64 / (passes + fails) as f64);
            format!("    {} {name}\n      ↳ {share} — ✓ {passes} / ✗ {fails}\n", mark(false))
        }
    }
}

/// The bands that are not a success, with what to do; and in one line those without a number.
pub(super) fn bands(verdicts: &Verdicts) -> String {
    let mut text = String::new();
    for result in &verdicts.bands {
        let style = match result.level {
            Level::Success | Level::Unknown => continue,
            Level::Warning => DOUBTFUL,
            Level::Failure => BAD,
        };
        let BandResult { metric, statistic, level, advice, .. } = result;
        let value = band_value(result);
        let _ = writeln!(text, "  {style}{level}{style:#}: {metric} {statistic} is {value}");
        if !advice.is_empty() {
            text += &wrapped(advice);
        }
    }
    for (advice, metrics) in unknown(&verdicts.bands) {
        let _ = writeln!(text, "  not measured: {}: {advice}", metrics.join(", "));
    }
    text
}

fn band_value(result: &BandResult) -> String {
    let shown = result.value.map(|value| show(result.submetric.metric, result.aggregation, value));
    shown.unwrap_or_else(|| "unknown".into())
}

/// The metrics that were not measured, by what to do about it.
fn unknown(bands: &[BandResult]) -> Vec<(&str, Vec<&str>)> {
    let mut by_advice: Vec<(&str, Vec<&str>)> = Vec::new();
    for result in bands.iter().filter(|result| result.level == Level::Unknown) {
        match by_advice.iter_mut().find(|(advice, _)| *advice == result.advice) {
            Some((_, metrics)) => metrics.push(&result.metric),
            None => by_advice.push((&result.advice, vec![&result.metric])),
        }
    }
    by_advice
}

/// Lines of at most so many characters.
const LINE_CHARS_MAX: usize = 96;

fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() >= LINE_CHARS_MAX {
            let _ = writeln!(lines, "    {line}");
            line.clear();
        }
        line += if line.is_empty() { "" } else { " " };
        line += word;
    }
    lines + &format!("    {line}\n")
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn thresholds_checks_and_bands_of_a_run() {
        let verdicts = Verdicts::example();
        let text =
            thresholds(&verdicts) + "\n" + &checks(&verdicts, 4.0) + "\n" + &bands(&verdicts);
        insta::assert_snapshot!(strip_str(&text));
        assert!(text.contains("\u{1b}[32m✓\u{1b}[0m"), "marks have colours");
    }

    #[test]
    fn without_rules_there_is_nothing_to_say() {
        let none = Verdicts {
            thresholds: Vec::new(),
            checks: Vec::new(),
            bands: Vec::new(),
            aborted_by: None,
            metrics: Vec::new(),
        };
        assert_eq!(thresholds(&none) + &checks(&none, 1.0) + &bands(&none), "");
    }
}
