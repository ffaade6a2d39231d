//! How deep in brackets a JSON text is, and the fast way over the parts whose content is of no
//! interest.

use wide::u8x16;

/// The open brackets: how many, and of which kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nesting {
    depth: usize,
    /// One bit a bracket, 1 for a list; the innermost is the lowest.
    lists: u128,
}

/// Deeper JSON is refused.
pub(super) const DEPTH_MAX: usize = u128::BITS as usize;

impl Nesting {
    /// How many brackets are open.
    pub(super) fn depth(self) -> usize {
        self.depth
    }

    /// Whether the innermost open bracket is a list's.
    pub(super) fn is_list(self) -> bool {
        self.lists & 1 == 1
    }

    /// Takes one of `{ [ ] }`. False where it can't be there.
    pub(super) fn bracket(&mut self, byte: u8) -> bool {
        let list = byte & 0x20 == 0;
        let closes = byte & 0x04 != 0;
        if closes {
            let fits = self.depth > 0 && self.is_list() == list;
            self.depth = self.depth.saturating_sub(1);
            self.lists >>= 1;
            fits
        } else {
            self.depth += 1;
            self.lists = self.lists << 1 | u128::from(list);
            self.depth <= DEPTH_MAX
        }
    }
}

/// Passes over JSON up to a closing bracket, minding nothing but brackets and strings: what stands
/// between them may be anything.
///
/// Works on 64 bytes at a time with a bit for each byte, as simdjson does (Langdale and Lemire,
/// "Parsing Gigabytes of JSON per Second", section 3.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skip {
    in_string: bool,
    /// Whether the next byte is behind a backslash.
    escaped: bool,
}

/// What [`Skip::pass`] came to.
pub(super) enum Passed {
    /// The whole input, and the end was not in it.
    All,
    /// The bracket that closes down to the wanted depth, after so many bytes.
    Closed(usize),
    /// Brackets that do not fit each other, or too many.
    Bad,
}

const BLOCK: usize = 64;

impl Skip {
    /// Passes over `input` until no more than `floor` brackets are open.
    pub(super) fn pass(&mut self, nesting: &mut Nesting, floor: usize, input: &[u8]) -> Passed {
        let mut offset = 0;
        while offset < input.len() {
            let rest = &input[offset..];
            let (bits, length) = match rest.first_chunk() {
                Some(block) => (Bits::of(block), BLOCK),
                None => {
                    let mut block = [b' '; BLOCK];
                    block[..rest.len()].copy_from_slice(rest);
                    (Bits::of(&block), rest.len())
                }
            };
            let mut brackets = bits.brackets & !self.strings(bits, length);
            while brackets != 0 {
                let at = brackets.trailing_zeros() as usize;
                brackets &= brackets - 1;
                if !nesting.bracket(rest[at]) {
                    return Passed::Bad;
                }
                if nesting.depth() <= floor {
                    *self = Self::default();
                    return Passed::Closed(offset + at + 1);
                }
            }
            offset += length;
        }
        Passed::All
    }

    /// The bytes inside strings among the next `length`, with each opening quote.
    fn strings(&mut self, bits: Bits, length: usize) -> u64 {
        let escaped = if bits.backslashes != 0 || self.escaped {
            self.escaped_bytes(bits.backslashes, length)
        } else {
            0
        };
        let mut inside = bits.quotes & !escaped;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        if self.in_string {
            inside = !inside;
        }
        self.in_string = inside >> (BLOCK - 1) == 1;
        inside
    }

    /// The bytes behind an odd number of backslashes: simdjson's subtraction, which lets a carry
    /// run along each series of backslashes.
    fn escaped_bytes(&mut self, backslashes: u64, length: usize) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let first = u64::from(self.escaped);
        let starts = backslashes & !first;
        let series = ((starts << 1 | ODD).wrapping_sub(starts)) ^ ODD;
        let escaped = series ^ (backslashes | first);
        self.escaped = match length {
            BLOCK => series & backslashes & 1 << (BLOCK - 1) != 0,
            _ => escaped >> length & 1 == 1,
        };
        escaped
    }
}

/// One bit for each byte of a block, the first byte's the lowest.
#[derive(Clone, Copy)]
struct Bits {
    quotes: u64,
    backslashes: u64,
    brackets: u64,
}

impl Bits {
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut bits = Self { quotes: 0, backslashes: 0, brackets: 0 };
        for (number, &lane) in block.as_chunks::<LANE>().0.iter().enumerate() {
            let lane = u8x16::new(lane);
            let mask = |matches: u8x16| u64::from(matches.to_bitmask()) << (LANE * number);
            let is = |lane: u8x16, byte| lane.simd_eq(u8x16::splat(byte));
            // 0x20 is what `{` and `}` have and `[` and `]` lack.
            let folded = lane | u8x16::splat(0x20);
            bits.quotes |= mask(is(lane, b'"'));
            bits.backslashes |= mask(is(lane, b'\\'));
            bits.brackets |= mask(is(folded, b'{') | is(folded, b'}'));
        }
        bits
    }
}

/// What one vector instruction compares: all processors of 64 bits have them.
const LANE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a plain byte loop finds the end, for comparison.
    fn pass_slowly(input: &[u8]) -> Option<usize> {
        let (mut depth, mut in_string, mut escaped) = (1, false, false);
        for (at, &byte) in input.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = !in_string,
                b'{' if !in_string => depth += 1,
                b'}' if !in_string => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(at + 1);
            }
        }
        None
    }

    #[test]
    fn strings_and_backslashes_are_found_wherever_a_block_or_a_cut_falls() {
        for (padding, series) in (0..70).flat_map(|p| (0..6).map(move |s| (p, s))) {
            let space = " ".repeat(padding);
            let backslashes = "\\".repeat(series);
            let text = format!("{space}\"{backslashes}\"}}\\\\\"}}{space}{{\"}}\"}}}}\"}}");
            let text = text.as_bytes();
            let expected = pass_slowly(text);
            for cut in 0..=text.len() {
                let mut nesting = Nesting::default();
                assert!(nesting.bracket(b'{'));
                let mut skip = Skip::default();
                let (front, back) = text.split_at(cut);
                let found = match skip.pass(&mut nesting, 0, front) {
                    Passed::Closed(at) => Some(at),
                    _ => match skip.pass(&mut nesting, 0, back) {
                        Passed::Closed(at) => Some(cut + at),
                        _ => None,
                    },
                };
                assert_eq!(found, expected, "{} cut at {cut}", String::from_utf8_lossy(text));
            }
        }
    }

    #[test]
    fn brackets_must_fit_each_other_and_are_not_too_many() {
        let pass = |text: &str| Skip::default().pass(&mut Nesting::default(), 0, text.as_bytes());
        assert!(matches!(pass("[{}]"), Passed::Closed(4)));
        assert!(matches!(pass("[}"), Passed::Bad));
        assert!(matches!(pass("{]"), Passed::Bad));
        assert!(matches!(pass("]"), Passed::Bad));
        assert!(matches!(pass(&"[".repeat(DEPTH_MAX)), Passed::All));
        assert!(matches!(pass(&"[".repeat(DEPTH_MAX + 1)), Passed::Bad));
    }
}
