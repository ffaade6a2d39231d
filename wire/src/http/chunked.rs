//! The chunked transfer coding (RFC 9112, section 7.1), taken apart as it comes.

use crate::Class;

/// A chunk's size line with its extensions may have this many bytes.
const LINE_BYTES_MAX: usize = 4096;
/// The trailer section may have this many bytes.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// A decoder for one body. The default is a body's beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// What is left of the chunk; while its size is read, the size so far.
    left: u64,
    /// How long the line, or the trailer section, is so far.
    line_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// Behind a digit.
    Digits,
    /// In the space behind the digits.
    Space,
    /// In the extensions, which say nothing that we need.
    Extension,
    /// Before the line feed of a size line.
    SizeEnd,
    /// In the chunk's data.
    Data,
    /// Before the line break behind the data.
    DataReturn,
    DataEnd,
    /// At the start of a line of the trailer section.
    Trailer,
    /// In such a line.
    TrailerLine,
    /// Before the line feed of such a line.
    TrailerLineEnd,
    /// Before the line feed of the empty line that is the end.
    End,
}

/// What is at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// The input is used up.
    NeedMore,
    /// Bytes of the body.
    Data(&'a [u8]),
    /// The body's end.
    End,
    /// The coding is broken, or a line is too long.
    Bad(Class),
}

impl Chunked {
    /// Takes the next part from the front of `input`.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Part<'a> {
        while let Some((&byte, rest)) = input.split_first() {
            if self.state == State::Data {
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
                let (data, rest) = input.split_at(take);
                *input = rest;
                self.left -= take as u64;
                if self.left == 0 {
                    self.state = State::DataReturn;
                }
                return Part::Data(data);
            }
            *input = rest;
            if self.state == State::End && byte == b'\n' {
                return Part::End;
            }
            if let Err(class) = self.step(byte) {
                return Part::Bad(class);
            }
        }
        Part::NeedMore
    }

    /// Takes a byte that is not data.
    fn step(&mut self, byte: u8) -> Result<(), Class> {
        self.line_bytes += 1;
        self.state = match (self.state, byte) {
            (State::Size | State::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                if self.left > u64::MAX >> 4 {
                    return Err(Class::Protocol);
                }
                self.left = self.left << 4 | u64::from(digit);
                State::Digits
            }
            (State::Digits | State::Space, b' ' | b'\t') => State::Space,
            (State::Digits | State::Space, b';') => State::Extension,
            (State::Digits | State::Space | State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, _) if byte != b'\n' => State::Extension,
            (State::SizeEnd, b'\n') => {
                self.line_bytes = 0;
                if self.left == 0 { State::Trailer } else { State::Data }
            }
            (State::DataReturn, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => {
                self.line_bytes = 0;
                State::Size
            }
            (State::Trailer, b'\r') => State::End,
            (State::TrailerLine, b'\r') => State::TrailerLineEnd,
            (State::TrailerLineEnd, b'\n') => State::Trailer,
            (State::Trailer | State::TrailerLine, _) if byte != b'\n' => State::TrailerLine,
            _ => return Err(Class::Protocol),
        };
        let max = match self.state {
            State::Trailer | State::TrailerLine | State::TrailerLineEnd | State::End => {
                TRAILER_BYTES_MAX
            }
            _ => LINE_BYTES_MAX,
        };
        if self.line_bytes > max { Err(Class::TooLarge) } else { Ok(()) }
    }
}
