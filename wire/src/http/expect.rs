//! What a reply must carry: the value of one of the request's holes, at a path into the JSON.

use std::fmt;

/// The identity that a reply must carry: a path into the reply, and the hole of the request whose
/// value must stand there.
///
/// A JSON string and a JSON number both match by their text: `"5"` and `5` are the value 5, and
/// `5.0` is not. A segment that is a decimal number is an index in a list and a key in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    pub(super) path: Path,
    pub(super) hole: usize,
}

impl Expect {
    /// The most segments a path may have.
    pub const SEGMENTS_MAX: usize = 32;

    /// Reads a path such as `data.user.id` or `data.feed.0.id`; `hole` is the number of the value
    /// that must be found there.
    pub fn parse(path: &str, hole: usize) -> Result<Self, ExpectError> {
        Ok(Self { path: Path::parse(path)?, hole })
    }

    /// The number of the hole whose value the reply must carry.
    pub fn hole(&self) -> usize {
        self.hole
    }
}

/// Why a path was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectError {
    /// The path is empty, or has a dot at its start, its end, or beside another dot.
    EmptySegment,
    /// The path does not lead into `data`, the only place where a reply has what was asked for.
    OutsideData,
    /// The path has more than [`Expect::SEGMENTS_MAX`] segments.
    TooDeep,
}

impl fmt::Display for ExpectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptySegment => f.write_str("a path has a name between any two dots"),
            Self::OutsideData => f.write_str("a path starts with `data.`, as in `data.user.id`"),
            Self::TooDeep => write!(f, "a path has at most {} segments", Expect::SEGMENTS_MAX),
        }
    }
}

impl std::error::Error for ExpectError {}

/// A path in one piece of memory, so that a session copies it without allocating.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    end: usize,
    /// The segment as a list index; `u64::MAX` where it is none.
    index: u64,
}

impl Path {
    /// Reads a path into `data`.
    pub(super) fn parse(path: &str) -> Result<Self, ExpectError> {
        let segments: Vec<&str> = path.split('.').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err(ExpectError::EmptySegment);
        }
        if segments[0] != "data" || segments.len() < 2 {
            return Err(ExpectError::OutsideData);
        }
        if segments.len() > Expect::SEGMENTS_MAX {
            return Err(ExpectError::TooDeep);
        }
        let mut parsed = Self::default();
        for segment in segments {
            parsed.push(segment);
        }
        Ok(parsed)
    }

    fn push(&mut self, segment: &str) {
        self.text.push_str(segment);
        let index = segment.parse().unwrap_or(u64::MAX);
        self.segments.push(Segment { end: self.text.len(), index });
    }

    /// Becomes a copy of `other` in the space it has.
    pub(super) fn copy_from(&mut self, other: &Path) {
        self.text.clone_from(&other.text);
        self.segments.clone_from(&other.segments);
    }

    /// Becomes the empty path.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.segments.clear();
    }

    /// How many segments there are.
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// How many bytes the segments have together.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Segment number `number` as an object's key.
    pub(super) fn key(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.segments[number - 1].end };
        &self.text.as_bytes()[start..self.segments[number].end]
    }

    /// Segment number `number` as a list's index; `u64::MAX` where it is none.
    pub(super) fn index(&self, number: usize) -> u64 {
        self.segments[number].index
    }
}
