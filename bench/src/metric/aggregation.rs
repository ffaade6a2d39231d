//! Which of a metric's numbers is meant: `p(95)`, `rate`, `max`.

use std::fmt;
use std::str::FromStr;

use super::Kind;
use crate::cursor::{Cursor, Unreadable, suggest};

/// Which of a metric's numbers is meant: k6's aggregation methods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Aggregation {
    /// A counter's sum; how many values a trend has.
    Count,
    /// A counter's sum by the second; a rate's share, from 0 to 1.
    Rate,
    /// A gauge's last value.
    Value,
    Avg,
    Min,
    Max,
    /// The median.
    Med,
    /// The percentile N, from 0 to 100.
    Percentile(f64),
}

/// Those with a name of their own.
const NAMED: [(&str, Aggregation); 7] = [
    ("count", Aggregation::Count),
    ("rate", Aggregation::Rate),
    ("value", Aggregation::Value),
    ("avg", Aggregation::Avg),
    ("min", Aggregation::Min),
    ("max", Aggregation::Max),
    ("med", Aggregation::Med),
];

impl Aggregation {
    /// Reads one.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Unreadable> {
        let start = cursor.clone();
        let word = cursor.take_while(|c| c.is_alphanumeric() || c == '_');
        if let Some((_, named)) = NAMED.iter().find(|(name, _)| *name == word) {
            return Ok(*named);
        }
        if word != "p" || !cursor.skip("(") {
            let known = NAMED.iter().map(|(name, _)| *name).chain(["p(N)"]);
            let problem = match word {
                "" => format!("expected an aggregation; known: {}", names(known)),
                "p" => "expected a percentile, as in p(95)".into(),
                word if is_percentile(word) => {
                    format!("a percentile is written p({})", &word[1..])
                }
                word => format!("there is no aggregation `{word}`; {}", suggest(word, known)),
            };
            return Err(start.wrong(problem));
        }
        let number = cursor.clone();
        let percentile = cursor.number()?;
        if !(0.0..=100.0).contains(&percentile) {
            return Err(number.wrong("a percentile is from 0 to 100"));
        }
        if !cursor.skip(")") {
            return Err(cursor.expected("`)`"));
        }
        Ok(Self::Percentile(percentile))
    }

    /// Whether a metric of this kind has it.
    pub(crate) fn fits(self, kind: Kind) -> bool {
        use Aggregation as A;
        match kind {
            Kind::Counter => matches!(self, A::Count | A::Rate),
            Kind::Rate => matches!(self, A::Rate),
            Kind::Gauge => matches!(self, A::Value | A::Avg | A::Min | A::Max),
            Kind::Trend => !matches!(self, A::Rate | A::Value),
        }
    }

    /// Those that a metric of this kind has, for people.
    pub(crate) fn of(kind: Kind) -> String {
        let fitting = NAMED.iter().filter(|(_, named)| named.fits(kind)).map(|(name, _)| *name);
        let percentile = Self::Percentile(0.0).fits(kind).then_some("p(N)");
        names(fitting.chain(percentile))
    }
}

/// As in p95.
fn is_percentile(word: &str) -> bool {
    let digits = word.strip_prefix(['p', 'P']).unwrap_or_default();
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Percentile(percentile) = self {
            return write!(f, "p({percentile})");
        }
        let named = NAMED.iter().find(|(_, named)| named == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

/// On the command line: one of those that a trend has.
impl FromStr for Aggregation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cursor = Cursor::new(text);
        cursor.skip_space();
        let read = Self::read(&mut cursor).and_then(|read| cursor.end().map(|()| read));
        let aggregation = read.map_err(|unreadable| unreadable.to_string())?;
        if !aggregation.fits(Kind::Trend) {
            let fitting = Self::of(Kind::Trend);
            return Err(format!("a trend has no {aggregation}; it has: {fitting}"));
        }
        Ok(aggregation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_printed_the_same() {
        for text in ["count", "rate", "value", "avg", "min", "max", "med", "p(95)", "p(99.9)"] {
            let mut cursor = Cursor::new(text);
            assert_eq!(Aggregation::read(&mut cursor).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_aggregation_is_named_with_its_column() {
        let read = |text: &str| {
            let mut cursor = Cursor::new(text);
            let read = Aggregation::read(&mut cursor).map(|read| read.to_string());
            read.unwrap_or_else(|error| error.to_string())
        };
        let all = "known: count, rate, value, avg, min, max, med, p(N)";
        assert_eq!(read(""), format!("column 1: expected an aggregation; {all}"));
        assert_eq!(
            read("mdd"),
            format!("column 1: there is no aggregation `mdd`; did you mean `med`? {all}")
        );
        assert_eq!(read("p95"), "column 1: a percentile is written p(95)");
        assert_eq!(read("p"), "column 1: expected a percentile, as in p(95)");
        assert_eq!(read("p(x)"), "column 3: expected a number, found `x)`");
        assert_eq!(read("p(101)"), "column 3: a percentile is from 0 to 100");
        assert_eq!(read("p(95"), "column 5: expected `)`, found the end");
        assert_eq!(read("p( 95)"), "column 3: expected a number, found ` 95)`", "as in k6");
    }

    #[test]
    fn every_kind_has_its_aggregations_and_no_others() {
        let mut table = String::new();
        for kind in [Kind::Trend, Kind::Counter, Kind::Rate, Kind::Gauge] {
            table += &format!("{kind}: {}\n", Aggregation::of(kind));
        }
        insta::assert_snapshot!(table);
        assert!("rate".parse::<Aggregation>().is_err());
        assert_eq!(" p(99.9) ".parse(), Ok(Aggregation::Percentile(99.9)));
    }
}
