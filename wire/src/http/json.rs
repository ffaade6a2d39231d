//! JSON strings (RFC 8259, section 7): escaping what is sent, unescaping what is compared.

use bytes::{BufMut, BytesMut};

/// How many bytes escaping adds to `text`.
pub(super) fn escapes_bytes(text: &[u8]) -> usize {
    text.iter().copied().map(extra_bytes).sum()
}

fn extra_bytes(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        0..0x20 => 5,
        _ => 0,
    }
}

/// Appends `text` as the inside of a JSON string.
pub(super) fn escape(text: &[u8], out: &mut BytesMut) {
    let mut plain_from = 0;
    for (at, byte) in text.iter().copied().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.put_slice(&text[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            8 => out.put_slice(b"\\b"),
            12 => out.put_slice(b"\\f"),
            b'"' | b'\\' => out.put_slice(&[b'\\', byte]),
            _ => {
                let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
                out.put_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    out.put_slice(&text[plain_from..]);
}

/// Decodes the escapes of one JSON string, a byte at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unescape {
    /// The first half of a surrogate pair, 0 when none is open.
    high: u16,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Plain,
    Backslash,
    /// Inside `\uXXXX`: the digits so far, and how many.
    Unicode(u16, u8),
}

impl Unescape {
    /// Whether the next byte belongs to an escape.
    pub(super) fn is_inside(self) -> bool {
        !matches!(self.stage, Stage::Plain)
    }

    /// Whether half a surrogate pair waits for the other.
    pub(super) fn is_open(self) -> bool {
        self.high != 0
    }

    /// Begins an escape: the backslash was read.
    pub(super) fn begin(&mut self) {
        self.stage = Stage::Backslash;
    }

    /// Takes an escape's next byte and hands the decoded text, if it is complete, to `push`.
    /// False where the byte can't be there. A surrogate without its other half becomes U+FFFD.
    pub(super) fn feed(&mut self, byte: u8, mut push: impl FnMut(&[u8])) -> bool {
        match self.stage {
            Stage::Unicode(value, digits) => {
                let Some(digit) = (byte as char).to_digit(16) else {
                    return false;
                };
                let value = value << 4 | digit as u16;
                if digits < 3 {
                    self.stage = Stage::Unicode(value, digits + 1);
                    return true;
                }
                self.stage = Stage::Plain;
                self.unit(value, &mut push);
                true
            }
            _ if byte == b'u' => {
                self.stage = Stage::Unicode(0, 0);
                true
            }
            _ => {
                self.end_run(&mut push);
                self.stage = Stage::Plain;
                push(&[match byte {
                    b'"' | b'\\' | b'/' => byte,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return false,
                }]);
                true
            }
        }
    }

    /// Text other than a `\u` escape follows, or the string ends: an open surrogate stays alone.
    pub(super) fn end_run(&mut self, push: &mut impl FnMut(&[u8])) {
        if self.high != 0 {
            self.high = 0;
            push("\u{fffd}".as_bytes());
        }
    }

    /// One UTF-16 code unit.
    fn unit(&mut self, unit: u16, push: &mut impl FnMut(&[u8])) {
        let high = self.high;
        if high != 0 && (0xdc00..0xe000).contains(&unit) {
            self.high = 0;
            push_char(char::decode_utf16([high, unit]).next(), push);
            return;
        }
        self.end_run(push);
        if (0xd800..0xdc00).contains(&unit) {
            self.high = unit;
        } else {
            push_char(char::decode_utf16([unit]).next(), push);
        }
    }
}

fn push_char(
    decoded: Option<Result<char, std::char::DecodeUtf16Error>>,
    push: &mut impl FnMut(&[u8]),
) {
    let character = decoded.and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER);
    push(character.encode_utf8(&mut [0; 4]).as_bytes());
}
