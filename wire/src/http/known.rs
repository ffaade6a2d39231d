//! The last head, by which the next one is read at a glance: a server's heads differ in little.

use memchr::{memchr, memrchr};

use super::ServerTiming;
use super::head::{Field, Framing, Head, decimal};

/// A head that was parsed, and what it says.
///
/// A new head may differ in the values of fields that say nothing to us (Date, ETag), in the number
/// of its Content-Length, and in its Server-Timing. Whatever else differs is for [`super::head::parse`].
#[derive(Debug, Default)]
pub(super) struct Known {
    bytes: Vec<u8>,
    head: Option<Head>,
}

/// Longer heads are not remembered: the copy costs more than it can bring.
const KNOWN_BYTES_MAX: usize = 1024;

impl Known {
    /// Remembers the head in `bytes`.
    pub(super) fn remember(&mut self, bytes: &[u8], head: Head) {
        if bytes.len() <= KNOWN_BYTES_MAX {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
            self.head = Some(head);
        }
    }

    /// The head at the start of `input`, if it is like the known one, and its length in bytes.
    pub(super) fn recognize(&self, input: &[u8]) -> Option<(Head, usize)> {
        let mut head = self.head?;
        let (mut known_at, mut at) = (0, 0);
        loop {
            let same = common_bytes(&self.bytes[known_at..], &input[at..]);
            known_at += same;
            at += same;
            if known_at == self.bytes.len() {
                return Some((head, at));
            }
            let line = memrchr(b'\n', &self.bytes[..known_at])? + 1;
            let name_bytes = memchr(b':', &self.bytes[line..known_at])?;
            let value = at - (known_at - (line + name_bytes + 1));
            known_at += value_bytes(&self.bytes[known_at..])?;
            at += value_bytes(&input[at..])?;
            match Field::of(&self.bytes[line..line + name_bytes]) {
                Field::Other => {}
                Field::ContentLength if head.has_one_length => {
                    let length = decimal(input[value..at].trim_ascii())?;
                    if matches!(head.framing, Framing::Length(_)) && !head.is_bodiless() {
                        head.framing = Framing::Length(length);
                    }
                }
                Field::ServerTiming if head.has_one_timing => {
                    head.server_timing = ServerTiming::default();
                    head.server_timing.take(&input[value..at]);
                }
                _ => return None,
            }
        }
    }
}

/// How many bytes are the same at the start of both.
fn common_bytes(left: &[u8], right: &[u8]) -> usize {
    const STEP: usize = 16;
    let steps = left.as_chunks::<STEP>().0.iter().zip(right.as_chunks::<STEP>().0);
    let same = STEP * steps.take_while(|(left, right)| left == right).count();
    let bytes = left[same..].iter().zip(&right[same..]);
    same + bytes.take_while(|(left, right)| left == right).count()
}

/// The length of the rest of a field's value (RFC 9110, section 5.5) up to its line break.
fn value_bytes(rest: &[u8]) -> Option<usize> {
    let outside = |&byte: &u8| byte < 0x20 && byte != b'\t' || byte == 0x7f;
    let length = rest.iter().position(outside)?;
    (rest[length] == b'\r').then_some(length)
}
