//! What is wrong with a scenario file, shown with the lines in question.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::secret;

/// A stretch of one of the files that a scenario was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Which file, in the order of reading.
    pub(super) file: usize,
    /// In bytes of the file's text.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Place {
    pub(super) fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end.max(span.start) }
    }
}

/// Whether a scenario with it can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    severity: Severity,
    message: String,
    place: Place,
    help: Option<String>,
    is_syntax: bool,
}

impl Mistake {
    pub(crate) fn error(place: &Place, message: impl Into<String>) -> Self {
        let place = place.clone();
        Self {
            severity: Severity::Error,
            message: message.into(),
            place,
            help: None,
            is_syntax: false,
        }
    }

    pub(crate) fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// The file is not TOML, or one that it includes can't be read.
    pub(super) fn syntax(place: &Place, message: impl Into<String>) -> Self {
        Self { is_syntax: true, ..Self::error(place, message) }
    }

    /// Whether a scenario with it can't be used.
    pub(super) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// What to do about it.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Collects mistakes while a scenario is read.
#[derive(Debug, Default)]
pub(super) struct Mistakes(RefCell<Vec<Mistake>>);

impl Mistakes {
    pub(super) fn push(&self, mistake: Mistake) {
        self.0.borrow_mut().push(mistake);
    }

    /// Whether there are mistakes that keep a file from being read at all.
    pub(super) fn has_syntax_errors(&self) -> bool {
        self.0.borrow().iter().any(|mistake| mistake.is_syntax)
    }

    pub(super) fn into_inner(self) -> Vec<Mistake> {
        self.0.into_inner()
    }
}

/// One file's name and text, as they are shown.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// Mistakes with the files that they are in. Its alternate form (`{:#}`) has colours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    sources: Vec<Source>,
    mistakes: Vec<Mistake>,
}

impl Report {
    /// Sorted by their place, each once.
    pub(super) fn new(sources: Vec<Source>, mut mistakes: Vec<Mistake>) -> Self {
        mistakes
            .sort_by(|one, other| (&one.place, &one.message).cmp(&(&other.place, &other.message)));
        mistakes.dedup();
        Self { sources, mistakes }
    }

    /// The same files with other mistakes.
    pub(crate) fn with(&self, mistakes: Vec<Mistake>) -> Self {
        Self::new(self.sources.clone(), mistakes)
    }

    /// The name of the file that includes the others.
    pub(super) fn file(&self) -> &str {
        self.sources.first().map_or("the scenario", |source| &source.name)
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// Whether the scenario can't be used.
    pub(crate) fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    fn count(&self, severity: Severity) -> usize {
        self.mistakes.iter().filter(|mistake| mistake.severity == severity).count()
    }

    /// `2 errors, 1 warning`.
    pub(crate) fn tally(&self) -> String {
        let tally = |severity, what| {
            Some(self.count(severity)).filter(|count| *count > 0).map(|count| counted(count, what))
        };
        let (errors, warnings) =
            (tally(Severity::Error, "error"), tally(Severity::Warning, "warning"));
        errors.into_iter().chain(warnings).collect::<Vec<_>>().join(", ")
    }

    fn render(&self, mistake: &Mistake, renderer: &Renderer) -> String {
        let level = match mistake.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let source = &self.sources[mistake.place.file];
        let text = secret::mask(&source.text);
        let annotation = AnnotationKind::Primary.span(shown(&text, &mistake.place));
        let snippet = Snippet::source(&*text).path(&source.name).annotation(annotation);
        let mut group = level.primary_title(&mistake.message).element(snippet);
        if let Some(help) = &mistake.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }
}

/// The part of a place that is underlined: its first line, and at least one character.
fn shown(text: &str, place: &Place) -> Range<usize> {
    let start = text.floor_char_boundary(place.start.min(text.len()));
    let end = text.floor_char_boundary(place.end.min(text.len()));
    let line_end = text[start..end].find('\n').map_or(end, |at| start + at);
    start..line_end.max(start)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = if f.alternate() { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let gap = if index > 0 { "\n\n" } else { "" };
            write!(f, "{gap}{}", self.render(mistake, &renderer))?;
        }
        Ok(())
    }
}

/// `1 operation`, `5 operations`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The one of `known` that was meant by `word`, a misspelling.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.8;
    let likeness = |other: &str| match strsim::damerau_levenshtein(word, other) {
        1 if word.len() > 2 => 1.0,
        _ => strsim::jaro_winkler(word, other),
    };
    let rated = known.into_iter().map(|other| (likeness(other), other));
    let nearest = rated.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (nearest.0 >= NEAR).then_some(nearest.1)
}

/// `did you mean …?` where one of `known` is near, else all of them.
pub(super) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<_> = known.into_iter().collect();
    match nearest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "there is none".into(),
        None => {
            known.sort_unstable();
            known.dedup();
            format!("known: {}", known.join(", "))
        }
    }
}

/// `a`, `b` and `c`, each in backticks.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "none".into(),
    }
}
