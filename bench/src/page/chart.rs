//! Curves over a logarithmic axis.

use std::fmt::Write as _;

use super::escaped;

/// Curves with both axes logarithmic: loads and latencies go over orders of magnitude.
pub(crate) struct Chart {
    pub(crate) x: &'static str,
    pub(crate) series: Vec<Series>,
    /// Stretches of the x-axis that are marked, each with what it is.
    pub(crate) bands: Vec<(f64, f64, String)>,
    /// How a value of the y-axis is written.
    pub(crate) write_y: fn(f64) -> String,
}

/// A curve through points (x, y); those that are not above 0 have no place.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) style: Style,
}

/// How a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A line through dots.
    Line,
    Dots,
    /// A line without dots: computed, not measured.
    Model,
}

const SIZE: (f64, f64) = (520.0, 320.0);
/// Left, top, right and bottom.
const MARGIN: [f64; 4] = [70.0, 24.0, 60.0, 44.0];
/// Told apart by colour-blind people too (Okabe and Ito, "Color universal design", 2008).
const COLOURS: [&str; 5] = ["#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7"];

/// An axis: its ends, as logarithms, and where they lie in the picture.
#[derive(Clone, Copy)]
struct Axis {
    from: f64,
    to: f64,
    first: f64,
    last: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, first: f64, last: f64) -> Self {
        let values = values.filter(|value| *value > 0.0 && value.is_finite()).map(f64::ln);
        let (from, to) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        // A single value lies in the middle, and without any there is an axis all the same.
        let (from, to) = match from {
            _ if from < to => (from, to),
            from if from.is_finite() => (from - 1.0, from + 1.0),
            _ => (0.0, 1.0),
        };
        Self { from, to, first, last }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.ln() - self.from) / (self.to - self.from);
        self.first + share.clamp(0.0, 1.0) * (self.last - self.first)
    }

    /// 1, 2 and 5 of each decade, or 1 alone where there are many.
    fn ticks(&self) -> Vec<f64> {
        let decades = self.from.exp().log10().floor() as i32..=self.to.exp().log10().ceil() as i32;
        let steps: &[f64] = if self.to - self.from > 4.0 * std::f64::consts::LN_10 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let all =
            decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        all.filter(|tick| (self.from - 1e-9..=self.to + 1e-9).contains(&tick.ln())).collect()
    }
}

impl Chart {
    /// As an SVG element.
    pub(crate) fn svg(&self) -> String {
        let [left, top, right, bottom] = MARGIN;
        let (right, bottom) = (SIZE.0 - right, SIZE.1 - bottom);
        let points = || self.series.iter().flat_map(|series| series.points.iter().copied());
        let ends = self.bands.iter().flat_map(|(from, to, _)| [*from, *to]);
        let x = Axis::new(points().map(|point| point.0).chain(ends), left, right);
        let y = Axis::new(points().map(|point| point.1), bottom, top);
        let mut svg = format!("<svg width=\"{}\" height=\"{}\">", SIZE.0, SIZE.1);
        for (from, to, name) in &self.bands {
            let (from, to) = (x.at(*from), x.at(*to));
            let _ = write!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"16\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
                (to - from).max(1.5),
                bottom - top,
                (from + to) / 2.0,
                escaped(name)
            );
        }
        for tick in x.ticks() {
            let (at, below) = (x.at(tick), bottom + 16.0);
            let _ = write!(
                svg,
                "<path d=\"M{at:.1} {bottom}V{top}\" stroke=\"#eee\"/>\
                 <text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{tick}</text>"
            );
        }
        for tick in y.ticks() {
            let (at, before) = (y.at(tick), left - 8.0);
            let _ = write!(
                svg,
                "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#eee\"/>\
                 <text x=\"{before}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                at + 4.0,
                escaped(&(self.write_y)(tick))
            );
        }
        let _ = write!(
            svg,
            "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#888\"/>\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            (left + right) / 2.0,
            SIZE.1 - 8.0,
            escaped(self.x)
        );
        for (series, colour) in self.series.iter().zip(COLOURS.into_iter().cycle()) {
            svg += &drawn(series, colour, (x, y));
        }
        svg + "</svg>"
    }
}

fn drawn(series: &Series, colour: &str, (x, y): (Axis, Axis)) -> String {
    let points = series.points.iter().filter(|point| point.0 > 0.0 && point.1 > 0.0);
    let places: Vec<_> = points.map(|point| (x.at(point.0), y.at(point.1))).collect();
    let mut svg = String::new();
    if series.style != Style::Dots {
        let line: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let line = line.join(" ");
        let _ = write!(
            svg,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
    }
    if series.style != Style::Model {
        for (x, y) in &places {
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
    if let Some((x, y)) = places.last() {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            x + 8.0,
            y + 4.0,
            escaped(&series.name)
        );
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ticks_and_points_have_their_places() {
        let axis = Axis::new([10.0, 0.0, 1000.0].into_iter(), 0.0, 100.0);
        assert_eq!(axis.ticks(), [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!([10.0, 100.0, 1000.0].map(|value| axis.at(value).round()), [0.0, 50.0, 100.0]);
        let chart = |points: Vec<(f64, f64)>| Chart {
            x: "load",
            series: vec![Series { name: "p<95".into(), points, style: Style::Line }],
            bands: vec![(20.0, 30.0, "limit".into())],
            write_y: |value| format!("{value} ms"),
        };
        let svg = chart(vec![(10.0, 1.0), (100.0, 10.0), (50.0, 0.0)]).svg();
        assert_eq!(svg.matches("<circle").count(), 2, "what is 0 has no place: {svg}");
        assert!(svg.contains(">5 ms</text>") && svg.contains("p&lt;95"), "{svg}");
        for few in [vec![], vec![(5.0, 5.0)]] {
            assert!(!chart(few).svg().contains("NaN"));
        }
    }
}
