//! Figures of a grid in colours.

use std::fmt::Write as _;

use super::escaped;

/// How a figure is written, and its share of the scale (0 to 1); `None` where nothing was measured.
type Figure = Option<(String, f64)>;

/// A grid of figures.
pub(crate) struct HeatMap {
    pub(crate) columns: Vec<String>,
    /// Each with the figures of its columns.
    pub(crate) rows: Vec<(String, Vec<Figure>)>,
}

/// Viridis, from the least to the most (Smith and van der Walt, matplotlib 1.5).
const SCALE: [[u8; 3]; 8] = [
    [0x44, 0x01, 0x54],
    [0x46, 0x32, 0x7e],
    [0x36, 0x5c, 0x8d],
    [0x27, 0x7f, 0x8e],
    [0x1f, 0xa1, 0x87],
    [0x4a, 0xc1, 0x6d],
    [0xa0, 0xda, 0x39],
    [0xfd, 0xe7, 0x25],
];
/// Above this share a colour is bright, and what stands on it is black.
const BRIGHT: f64 = 0.6;
const CELL: (usize, usize) = (70, 30);
const LABEL: (usize, usize) = (80, 24);

impl HeatMap {
    /// As an SVG element.
    pub(crate) fn svg(&self) -> String {
        let (width, height) =
            (LABEL.0 + self.columns.len() * CELL.0, LABEL.1 + self.rows.len() * CELL.1);
        let mut svg = format!("<svg width=\"{width}\" height=\"{height}\">");
        let centre = |column: usize| LABEL.0 + column * CELL.0 + CELL.0 / 2;
        for (column, name) in self.columns.iter().enumerate() {
            let (x, name) = (centre(column), escaped(name));
            let _ = write!(svg, "<text x=\"{x}\" y=\"16\" text-anchor=\"middle\">{name}</text>");
        }
        for (row, (name, figures)) in self.rows.iter().enumerate() {
            let top = LABEL.1 + row * CELL.1;
            let (x, y, name) = (LABEL.0 - 8, top + 20, escaped(name));
            let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{name}</text>");
            for (column, figure) in figures.iter().enumerate() {
                let left = LABEL.0 + column * CELL.0;
                let (text, fill, ink) = match figure {
                    Some((text, share)) if *share > BRIGHT => {
                        (text.as_str(), colour(*share), "#000")
                    }
                    Some((text, share)) => (text.as_str(), colour(*share), "#fff"),
                    None => ("-", "#eee".into(), "#888"),
                };
                let _ = write!(
                    svg,
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"{fill}\" \
                     stroke=\"#fff\"/><text x=\"{}\" y=\"{y}\" text-anchor=\"middle\" \
                     fill=\"{ink}\">{}</text>",
                    CELL.0,
                    CELL.1,
                    centre(column),
                    escaped(text)
                );
            }
        }
        svg + "</svg>"
    }
}

/// Between the two steps of the scale that are nearest.
fn colour(share: f64) -> String {
    let place = share.clamp(0.0, 1.0) * (SCALE.len() - 1) as f64;
    let step = (place as usize).min(SCALE.len() - 2);
    let part = place - step as f64;
    let mixed = |channel: usize| {
        let [low, high] = [SCALE[step], SCALE[step + 1]].map(|colour| f64::from(colour[channel]));
        (low + part * (high - low)).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mixed(0), mixed(1), mixed(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_goes_from_its_first_colour_to_its_last() {
        assert_eq!([0.0, 1.0, 2.0 / 7.0].map(colour), ["#440154", "#fde725", "#365c8d"]);
        let figures = vec![Some(("9".into(), 1.0)), None];
        let map =
            HeatMap { columns: vec!["1".into(), "2".into()], rows: vec![("a".into(), figures)] };
        let svg = map.svg();
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains("fill=\"#fde725\"") && svg.contains(">-</text>"), "{svg}");
    }
}
