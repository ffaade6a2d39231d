//! The verdict on a GraphQL response (GraphQL specification, section 7.1), found while its bytes
//! pass by: memory does not grow with the body, and nothing recurses.
//!
//! The grammar is checked on the way to what must be known: the response's own keys, and the path
//! to the expected value. Everything else inside `data` and its neighbours is passed over by
//! [`Skip`], for which only brackets and strings exist.

use memchr::memchr2;

use super::expect::Path;
use super::json::Unescape;
use super::nesting::{Nesting, Passed, Skip};
use super::number::Number;
use crate::{Class, Failure, Outcome};

/// Reads one response after another: `begin`, `feed` with the body in any pieces, then `verdict`.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Where in the reply the expected value belongs; empty where nothing is expected.
    path: Path,
    expected: Vec<u8>,

    state: State,
    nesting: Nesting,
    skip: Skip,
    /// The response's key whose value is being read.
    member: Member,
    /// Whether the value being read is on the path that is looked for under this key.
    on_path: bool,
    /// The number of the element being read, in the innermost list on the path.
    index: u64,
    /// The text of a string or number that was cut or has escapes, as far as it is of interest.
    text: Vec<u8>,
    /// More text than this can't be equal to anything it is compared with.
    text_bytes_max: usize,
    unescape: Unescape,

    data: bool,
    errors: bool,
    found: Found,
    /// The first error's message, or the value found in place of the expected one.
    message: Vec<u8>,
    found_text: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before the response's opening brace.
    #[default]
    Start,
    /// Behind `{`: a key or `}`.
    FirstKey,
    /// Behind a comma in an object: a key.
    NextKey,
    /// Inside a key.
    Key,
    /// Behind a key.
    Colon,
    /// Behind `[`: a value or `]`.
    FirstElement,
    /// A value.
    Value,
    /// Inside a string that is of no interest, and whether behind a backslash in it.
    String(bool),
    /// Inside the string that is looked for.
    Wanted,
    /// Inside `true`, `false` or `null`, behind so many bytes of it.
    Literal(&'static [u8], usize),
    /// Inside a number.
    Number(Number),
    /// Behind a value: a comma or the closing bracket.
    Behind,
    /// Somewhere in brackets, on the way out until so many are open.
    Skip(usize),
    /// Behind the response: white space.
    End,
    /// Not a GraphQL response.
    Bad,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Member {
    Data,
    Errors,
    #[default]
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Found {
    #[default]
    Nothing,
    Same,
    Other,
}

/// The path that is looked for under `errors`.
const MESSAGE_PATH: [&[u8]; 3] = [b"errors", b"0", b"message"];

impl Scanner {
    /// Prepares for a response that must carry `expected` at `path`. No path, no condition.
    pub(super) fn begin(&mut self, expected: Option<(&Path, &[u8])>) {
        self.expected.clear();
        match expected {
            Some((path, value)) => {
                self.path.copy_from(path);
                self.expected.extend_from_slice(value);
            }
            None => self.path.clear(),
        }
        let comparable_bytes = self.expected.len().max(self.path.bytes());
        self.text_bytes_max = comparable_bytes.max(Failure::MESSAGE_BYTES_MAX) + 1;
        self.state = State::Start;
        self.nesting = Nesting::default();
        self.skip = Skip::default();
        self.text.clear();
        self.unescape = Unescape::default();
        self.data = false;
        self.errors = false;
        self.found = Found::Nothing;
        self.message.clear();
        self.found_text.clear();
    }

    /// Takes the next bytes of the body.
    pub(super) fn feed(&mut self, mut input: &[u8]) {
        while let Some((&byte, rest)) = input.split_first() {
            match self.state {
                State::Bad => return,
                State::Skip(floor) => {
                    let passed = self.skip.pass(&mut self.nesting, floor, input);
                    let Passed::Closed(length) = passed else {
                        if matches!(passed, Passed::Bad) {
                            self.state = State::Bad;
                        }
                        return;
                    };
                    self.state = State::Behind;
                    input = &input[length..];
                }
                State::Key | State::Wanted => input = self.text(input),
                State::String(escaped) => input = self.string(escaped, input),
                State::Literal(word, read) => input = self.literal(word, read, input),
                State::Number(number) => input = self.number(number, input),
                _ if is_space(byte) => input = rest,
                State::FirstElement | State::Value if byte != b']' => input = self.value(input),
                _ => {
                    self.state = self.punctuation(byte);
                    input = rest;
                }
            }
        }
    }

    /// What the response amounts to, its last byte having been fed.
    pub(super) fn verdict(&self) -> Outcome {
        let class = match (self.errors, self.data) {
            _ if !matches!(self.state, State::End) => Class::NotGraphql,
            (true, false) => Class::GraphqlError,
            (true, true) => Class::GraphqlPartial,
            (false, false) => Class::NoData,
            (false, true) if self.path.len() == 0 => return Outcome::Ok,
            (false, true) => match self.found {
                Found::Same => return Outcome::Ok,
                Found::Other => Class::WrongReply,
                Found::Nothing => Class::EmptyReply,
            },
        };
        Outcome::Failed(class)
    }

    /// Whether the response is well-formed and has the expected value at the path.
    pub(super) fn has_expected(&self) -> bool {
        matches!(self.state, State::End) && self.found == Found::Same
    }

    /// The start of the first error's message, as far as it was read; empty where there is none.
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    /// What was expected, and the start of what was found in its place.
    pub(super) fn mismatch(&self) -> (&[u8], &[u8]) {
        (&self.expected, &self.found_text)
    }

    /// A byte between two tokens; gives the state behind it.
    fn punctuation(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Start, b'{') => {
                self.nesting.bracket(byte);
                State::FirstKey
            }
            (State::FirstKey | State::NextKey, b'"') => State::Key,
            (State::Colon, b':') => State::Value,
            (State::Behind, b',') if !self.nesting.is_list() => State::NextKey,
            (State::Behind, b',') => {
                self.index += 1;
                if self.index > self.wanted_index() { State::Skip(1) } else { State::Value }
            }
            (State::FirstKey, b'}')
            | (State::FirstElement, b']')
            | (State::Behind, b'}' | b']') => {
                if !self.nesting.bracket(byte) {
                    return State::Bad;
                }
                match self.nesting.depth() {
                    0 => State::End,
                    1 => State::Behind,
                    // The one way in was the path's: nothing more can be found here.
                    _ => State::Skip(1),
                }
            }
            _ => State::Bad,
        }
    }

    /// The start of a value.
    fn value<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let byte = input[0];
        let depth = self.nesting.depth();
        if self.nesting.is_list() {
            self.on_path = self.index == self.wanted_index();
            self.errors |= self.member == Member::Errors;
        } else if depth == 1 {
            match self.member {
                Member::Data => self.data = byte != b'n',
                // A list shows with its first element whether it is empty.
                Member::Errors => self.errors = byte != b'n' && byte != b'[',
                Member::Other => {}
            }
        }
        let wanted = self.is_wanted();
        self.state = match byte {
            b'"' if wanted => State::Wanted,
            b'"' => State::String(false),
            b'{' | b'[' => {
                if !self.nesting.bracket(byte) {
                    State::Bad
                } else if !self.on_path {
                    State::Skip(depth)
                } else if wanted {
                    State::Skip(1)
                } else if byte == b'{' {
                    State::FirstKey
                } else {
                    self.index = 0;
                    State::FirstElement
                }
            }
            b't' => State::Literal(b"true", 0),
            b'f' => State::Literal(b"false", 0),
            b'n' => State::Literal(b"null", 0),
            _ => State::Number(Number::Start),
        };
        match self.state {
            // These look at the first byte again.
            State::Literal(..) | State::Number(_) => input,
            _ => &input[1..],
        }
    }

    /// A string or a literal or a number has ended.
    fn scalar_end(&mut self) {
        self.text.clear();
        let nothing_more = self.on_path && self.nesting.depth() > 1;
        self.state = if nothing_more { State::Skip(1) } else { State::Behind };
    }

    /// The inside of a string whose text is compared.
    fn text<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        if self.unescape.is_inside() {
            let (text, max) = (&mut self.text, self.text_bytes_max);
            if !self.unescape.feed(input[0], |piece| append(text, piece, max)) {
                self.state = State::Bad;
            }
            return &input[1..];
        }
        let end = memchr2(b'"', b'\\', input).unwrap_or(input.len());
        let (piece, rest) = input.split_at(end);
        if rest.first() == Some(&b'"') && self.text.is_empty() && !self.unescape.is_open() {
            self.text_end(piece);
            return &rest[1..];
        }
        self.hold(piece);
        match rest.split_first() {
            None => rest,
            Some((b'"', rest)) => {
                let (text, max) = (&mut self.text, self.text_bytes_max);
                self.unescape.end_run(&mut |piece| append(text, piece, max));
                let text = std::mem::take(&mut self.text);
                self.text_end(&text);
                self.text = text;
                self.text.clear();
                rest
            }
            Some((_, rest)) => {
                self.unescape.begin();
                rest
            }
        }
    }

    /// Keeps a piece of text, as far as it can matter.
    fn hold(&mut self, piece: &[u8]) {
        let (text, max) = (&mut self.text, self.text_bytes_max);
        if !piece.is_empty() {
            self.unescape.end_run(&mut |piece| append(text, piece, max));
            append(text, piece, max);
        }
    }

    /// The end of a string whose text is compared.
    fn text_end(&mut self, text: &[u8]) {
        if matches!(self.state, State::Key) {
            self.key(text);
            self.state = State::Colon;
        } else {
            self.found(text);
            self.scalar_end();
        }
    }

    /// A key of an object on the path, or of the response itself.
    fn key(&mut self, key: &[u8]) {
        let depth = self.nesting.depth();
        if depth > 1 {
            self.on_path = key == self.wanted_key();
            return;
        }
        self.member = match key {
            b"data" => Member::Data,
            b"errors" => Member::Errors,
            _ => Member::Other,
        };
        self.on_path = match self.member {
            Member::Data => {
                self.found = Found::Nothing;
                self.path.len() > 0
            }
            Member::Errors => true,
            Member::Other => false,
        };
    }

    /// The value at the path's end.
    fn found(&mut self, text: &[u8]) {
        match self.member {
            Member::Errors => {
                self.message.clear();
                append(&mut self.message, text, Failure::MESSAGE_BYTES_MAX);
            }
            _ if text == self.expected => self.found = Found::Same,
            _ => {
                self.found = Found::Other;
                self.found_text.clear();
                append(&mut self.found_text, text, Failure::MESSAGE_BYTES_MAX);
            }
        }
    }

    /// The inside of a string that is of no interest.
    fn string<'a>(&mut self, escaped: bool, input: &'a [u8]) -> &'a [u8] {
        self.state = State::String(false);
        if escaped {
            return &input[1..];
        }
        let Some(end) = memchr2(b'"', b'\\', input) else {
            return &[];
        };
        if input[end] == b'"' {
            self.scalar_end();
        } else {
            self.state = State::String(true);
        }
        &input[end + 1..]
    }

    /// The inside of `true`, `false` or `null`.
    fn literal<'a>(&mut self, word: &'static [u8], read: usize, input: &'a [u8]) -> &'a [u8] {
        let left = &word[read..];
        let (piece, rest) = input.split_at(left.len().min(input.len()));
        if !left.starts_with(piece) {
            self.state = State::Bad;
        } else if piece.len() < left.len() {
            self.state = State::Literal(word, read + piece.len());
        } else {
            // null is the absence of a value.
            if self.is_wanted() && word != b"null" {
                self.found(word);
            }
            self.scalar_end();
        }
        rest
    }

    /// The inside of a number.
    fn number<'a>(&mut self, number: Number, input: &'a [u8]) -> &'a [u8] {
        let mut number = number;
        let mut length = 0;
        while let Some(next) = input.get(length).and_then(|&byte| number.next(byte)) {
            number = next;
            length += 1;
        }
        let (piece, rest) = input.split_at(length);
        let wanted = self.is_wanted();
        self.state = State::Number(number);
        if rest.is_empty() {
            if wanted {
                self.hold(piece);
            }
        } else if !number.is_complete() {
            self.state = State::Bad;
        } else {
            if wanted && self.text.is_empty() {
                self.found(piece);
            } else if wanted {
                self.hold(piece);
                let text = std::mem::take(&mut self.text);
                self.found(&text);
                self.text = text;
            }
            self.scalar_end();
        }
        rest
    }

    /// Whether the value being read is the one that is looked for.
    fn is_wanted(&self) -> bool {
        self.on_path && self.nesting.depth() == self.path_length()
    }

    /// How many segments the path has that is looked for under this key.
    fn path_length(&self) -> usize {
        match self.member {
            Member::Errors => MESSAGE_PATH.len(),
            _ => self.path.len(),
        }
    }

    /// The key that continues the path in the innermost object.
    fn wanted_key(&self) -> &[u8] {
        let number = self.nesting.depth() - 1;
        match self.member {
            Member::Errors => MESSAGE_PATH[number],
            _ => self.path.key(number),
        }
    }

    /// The number of the element that continues the path in the innermost list.
    fn wanted_index(&self) -> u64 {
        match self.member {
            Member::Errors => 0,
            _ => self.path.index(self.nesting.depth() - 1),
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Appends as much of `piece` as keeps `text` within `bytes_max`.
fn append(text: &mut Vec<u8>, piece: &[u8], bytes_max: usize) {
    let room = bytes_max.saturating_sub(text.len());
    text.extend_from_slice(&piece[..piece.len().min(room)]);
}
