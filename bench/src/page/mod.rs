//! A result as a page for a browser: one file, with its charts in it as SVG.

mod chart;
mod heat_map;

use std::fmt::Write as _;

pub(crate) use self::chart::{Chart, Series, Style};
pub(crate) use self::heat_map::HeatMap;

/// Headings, charts and, below them, the text that a terminal shows.
pub(crate) struct Page {
    title: String,
    charts: String,
    text: String,
}

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:1100px;\
padding:0 1em;color:#222;background:#fff}h2{font-size:1.05em;margin:1.6em 0 .4em}\
.charts{display:flex;flex-wrap:wrap;gap:1.5em}figure{margin:0}figcaption{font-weight:600}\
svg{display:block}svg text{font:12px system-ui,sans-serif}\
pre{font:12px/1.35 ui-monospace,monospace;overflow-x:auto;background:#f6f6f6;padding:1em}";

impl Page {
    /// With the text that a terminal shows, which may have colours.
    pub(crate) fn new(title: &str, text: &str) -> Self {
        let text = anstream::adapter::strip_str(text).to_string();
        Self { title: title.into(), charts: String::new(), text }
    }

    /// Appends charts side by side, each an SVG element with what it shows.
    pub(crate) fn row(&mut self, heading: &str, charts: &[(String, String)]) {
        let _ = write!(self.charts, "<h2>{}</h2><div class=\"charts\">", escaped(heading));
        for (caption, svg) in charts {
            let caption = escaped(caption);
            let _ = write!(self.charts, "<figure><figcaption>{caption}</figcaption>{svg}</figure>");
        }
        self.charts += "</div>\n";
    }

    /// The whole file.
    pub(crate) fn html(&self) -> String {
        let Self { title, charts, text } = self;
        let (title, text) = (escaped(title), escaped(text));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style>\n<h1>{title}</h1>\n{charts}<pre>{text}</pre>\n</html>\n"
        )
    }
}

/// As text in HTML and SVG.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_cannot_be_taken_for_markup() {
        let mut page = Page::new("a<b", "\u{1b}[1mp(95)<100\u{1b}[0m & more");
        page.row("<script>", &[("\"".into(), "<svg></svg>".into())]);
        let html = page.html();
        for part in ["<h1>a&lt;b</h1>", "p(95)&lt;100 &amp; more", "&lt;script&gt;", "<svg></svg>"]
        {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("<script>") && !html.contains('\u{1b}'));
    }
}
