//! Finding message borders in a byte stream (Postgres manual, 55.2.1 "Messaging Overview"): one
//! type byte, a four-byte length that counts itself, the body.

/// At most this much of a body is held when a message comes in pieces, unless all of it is asked for;
/// the rest of a longer one is passed over. What we read of most messages (an error's fields, the
/// first column of a row) stands at its front.
pub(super) const HELD_BYTES_MAX: usize = 16 * 1024;

/// The longest message that Postgres itself accepts or sends (PQ_LARGE_MESSAGE_LIMIT).
const BODY_BYTES_MAX: usize = 0x3fff_ffff;

const HEADER_BYTES: usize = 5;

/// A message's type byte and its body, or the first bytes of it that were held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    pub(super) body: &'a [u8],
    /// The body's whole length in bytes.
    pub(super) length: usize,
}

/// The peer sent a length that no message can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadLength;

/// Cuts a stream into messages, wherever the network cut it.
#[derive(Debug, Default)]
pub(super) struct Walk {
    header: [u8; HEADER_BYTES],
    header_len: usize,
    /// Body bytes of the message in `header` that have not come yet.
    missing: usize,
    held: Vec<u8>,
}

impl Walk {
    /// Forgets a message that was begun.
    pub(super) fn reset(&mut self) {
        self.header_len = 0;
        self.held.clear();
    }

    /// Whether no message was begun.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        self.header_len == 0
    }

    /// Takes what is at the front of `input` of a message that comes in pieces; gives it once the
    /// last one has come, with `held_max` bytes of its body at most.
    #[cold]
    pub(super) fn next(
        &mut self,
        input: &mut &[u8],
        held_max: usize,
    ) -> Result<Option<Message<'_>>, BadLength> {
        if self.header_len < HEADER_BYTES {
            if self.header_len == 0 {
                self.held.clear();
            }
            let taken = take(input, HEADER_BYTES - self.header_len);
            self.header[self.header_len..self.header_len + taken.len()].copy_from_slice(taken);
            self.header_len += taken.len();
            if self.header_len < HEADER_BYTES {
                return Ok(None);
            }
            self.missing = body_len(&self.header)?;
        }
        let taken = take(input, self.missing);
        self.missing -= taken.len();
        let room = held_max.saturating_sub(self.held.len());
        self.held.extend_from_slice(&taken[..taken.len().min(room)]);
        if self.missing > 0 {
            return Ok(None);
        }
        self.header_len = 0;
        let length = body_len(&self.header)?;
        Ok(Some(Message { kind: self.header[0], body: &self.held, length }))
    }
}

/// Takes the next message from the front of `input`, if all of it is there. For a [`Walk`] that is
/// at rest.
#[inline]
pub(super) fn whole<'a>(input: &mut &'a [u8]) -> Result<Option<Message<'a>>, BadLength> {
    let Some((header, rest)) = input.split_at_checked(HEADER_BYTES) else { return Ok(None) };
    let length = body_len(header)?;
    let Some((body, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    *input = rest;
    Ok(Some(Message { kind: header[0], body, length }))
}

fn body_len(header: &[u8]) -> Result<usize, BadLength> {
    let length = i32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    match usize::try_from(length).ok().and_then(|length| length.checked_sub(4)) {
        Some(body) if body <= BODY_BYTES_MAX => Ok(body),
        _ => Err(BadLength),
    }
}

fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

/// The first column of a DataRow's body as text; `None` for a row of none, for NULL, and where the
/// column goes on past what was held.
pub(super) fn first_column(row: &[u8]) -> Option<&[u8]> {
    let columns = u16::from_be_bytes(*row.first_chunk()?);
    let rest = &row[2..];
    let length = i32::from_be_bytes(*rest.first_chunk()?);
    (columns > 0).then_some(())?;
    rest[4..].get(..usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_below_four_or_above_the_limit_is_refused_before_anything_is_held() {
        for length in [-1_i32, 0, 3, i32::MAX] {
            let mut bytes = vec![b'D'];
            bytes.extend(length.to_be_bytes());
            assert_eq!(whole(&mut &bytes[..]), Err(BadLength), "{length}");
            let walked = Walk::default().next(&mut &bytes[..], HELD_BYTES_MAX).map(|_| ());
            assert_eq!(walked, Err(BadLength), "{length}");
        }
    }

    #[test]
    fn a_long_message_in_pieces_is_held_up_to_the_limit_only() {
        let mut walk = Walk::default();
        let body = vec![7_u8; 3 * HELD_BYTES_MAX];
        let mut bytes = vec![b'D'];
        bytes.extend((body.len() as i32 + 4).to_be_bytes());
        bytes.extend(&body);
        bytes.extend([b'Z', 0, 0, 0, 5, b'I']);
        let mut kinds = Vec::new();
        for mut piece in bytes.chunks(1000) {
            while let Some(message) = walk.next(&mut piece, HELD_BYTES_MAX).unwrap() {
                kinds.push((message.kind, message.body.len(), message.length));
            }
        }
        assert_eq!(kinds, [(b'D', HELD_BYTES_MAX, 3 * HELD_BYTES_MAX), (b'Z', 1, 1)]);
        assert!(walk.held.capacity() <= 2 * HELD_BYTES_MAX);
    }

    #[test]
    fn first_column_of_every_kind_of_row() {
        assert_eq!(first_column(&[0, 1, 0, 0, 0, 2, b'4', b'2']), Some(&b"42"[..]));
        assert_eq!(first_column(&[0, 1, 0, 0, 0, 0]), Some(&b""[..]));
        assert_eq!(first_column(&[0, 1, 0xff, 0xff, 0xff, 0xff]), None, "NULL");
        assert_eq!(first_column(&[0, 0]), None, "no columns");
        assert_eq!(first_column(&[0, 1, 0, 0, 0, 9, b'4']), None, "cut");
        assert_eq!(first_column(&[]), None);
    }
}
