//! Where a request's values come from. What request n draws is a function of (seed, n), and no
//! draw allocates.

use std::sync::Arc;

use wire::Values;

use crate::words::WORDS;
use crate::{Random, Zipfian};

/// Draws one value of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Generator {
    /// The same number each time.
    Integer(i64),
    /// The same text each time.
    Text(String),
    /// The same number or truth value each time, as JSON and SQL both write it.
    Literal(String),
    /// A uniform number from the first to the second, both included.
    Uniform(i64, i64),
    /// A number of which few are popular.
    Zipfian(Zipfian),
    /// One of these values.
    Pick(Column, Order),
    /// The request's own number, counted from the first on.
    Sequence(i64),
    /// A random UUID, version 4 (RFC 9562, section 5.4).
    Uuid,
    /// So many English words with a space between two.
    Words(u32),
}

/// Values to pick from. Clones share them.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Numbers, which JSON does not quote.
    Integers(Arc<[i64]>),
    /// Texts.
    Texts(Arc<[Box<str>]>),
}

/// Which of a column's values a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Any, drawn for this value alone.
    Each,
    /// Any, and the same row for every column of this length with this `salt`: a user and the
    /// password that belongs to it.
    Row {
        /// Sets the rows of one file apart from another's.
        salt: u64,
    },
    /// Row n for request n, and the first one again after the last.
    Sequence,
}

impl Column {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Generator {
    /// Whether it has nothing to draw from.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Pick(column, _) => column.is_empty(),
            Self::Uniform(low, high) => low > high,
            _ => false,
        }
    }

    /// Appends the value of request `number`.
    pub(crate) fn push(&self, seed: u64, number: u64, random: &mut Random, values: &mut Values) {
        match self {
            Self::Integer(value) => values.push_integer(*value),
            Self::Text(text) => values.push_text(text),
            Self::Literal(text) => values.push_literal(text),
            Self::Uniform(low, high) => {
                let span = (high.wrapping_sub(*low) as u64).saturating_add(1);
                values.push_integer(low.wrapping_add(random.below(span) as i64));
            }
            Self::Zipfian(zipfian) => values.push_integer(zipfian.draw(random)),
            Self::Pick(column, order) => {
                let rows = column.len() as u64;
                let row = match order {
                    Order::Each => random.below(rows),
                    Order::Row { salt } => Random::new(seed ^ salt, number).below(rows),
                    Order::Sequence => number % rows,
                };
                match column {
                    Column::Integers(numbers) => values.push_integer(numbers[row as usize]),
                    Column::Texts(texts) => values.push_text(&texts[row as usize]),
                }
            }
            Self::Sequence(start) => values.push_integer(start.wrapping_add(number as i64)),
            Self::Uuid => push_uuid(random, values),
            Self::Words(count) => {
                let pieces = (0..*count).flat_map(|index| {
                    let word = WORDS[random.below(WORDS.len() as u64) as usize];
                    [if index == 0 { "" } else { " " }, word]
                });
                values.push_pieces(pieces);
            }
        }
    }
}

const UUID_BYTES: usize = 16;
const UUID_CHARACTERS: usize = 36;

fn push_uuid(random: &mut Random, values: &mut Values) {
    let bits = u128::from(random.draw()) << 64 | u128::from(random.draw());
    let version_4 = bits & !(0xf << 76) | 0x4 << 76;
    let bytes = (version_4 & !(0b11 << 62) | 0b10 << 62).to_be_bytes();
    let mut text = [b'-'; UUID_CHARACTERS];
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate().take(UUID_BYTES) {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 0xf)];
        at += 2;
    }
    values.push_text(std::str::from_utf8(&text).expect("hexadecimal digits and dashes"));
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(generator: &Generator, number: u64) -> String {
        let mut values = Values::new();
        generator.push(1, number, &mut Random::new(1, number), &mut values);
        String::from_utf8(values.at(0).0.to_vec()).unwrap()
    }

    fn letters() -> Column {
        Column::Texts(["a", "b", "c"].map(Box::from).into())
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_both_ends() {
        let seen: std::collections::BTreeSet<_> =
            (0..100).map(|number| draw(&Generator::Uniform(-1, 1), number)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["-1", "0", "1"]);
        let widest = Generator::Uniform(i64::MIN, i64::MAX);
        assert_ne!(draw(&widest, 1), draw(&widest, 2));
        assert_eq!(draw(&Generator::Sequence(10), 5), "15");
    }

    #[test]
    fn rows_come_in_order_or_at_random_and_columns_of_one_file_agree() {
        let rows = |order| -> String {
            (0..9).map(|number| draw(&Generator::Pick(letters(), order), number)).collect()
        };
        assert_eq!(rows(Order::Sequence), "abcabcabc");
        assert_ne!(rows(Order::Each), rows(Order::Sequence));
        let users = Generator::Pick(Column::Integers([0, 1, 2].into()), Order::Row { salt: 3 });
        let names = Generator::Pick(letters(), Order::Row { salt: 3 });
        let other = Generator::Pick(letters(), Order::Row { salt: 4 });
        let mut differs = false;
        for number in 0..50 {
            let row: usize = draw(&users, number).parse().unwrap();
            assert_eq!(draw(&names, number), ["a", "b", "c"][row]);
            differs |= draw(&other, number) != ["a", "b", "c"][row];
        }
        assert!(differs, "another file has rows of its own");
    }

    #[test]
    fn uuids_are_of_version_4_and_differ() {
        let uuid = draw(&Generator::Uuid, 1);
        assert_eq!(uuid.len(), 36);
        for number in 0..100 {
            let uuid = draw(&Generator::Uuid, number);
            let bytes = uuid.as_bytes();
            assert!([8, 13, 18, 23].iter().all(|&at| bytes[at] == b'-'), "{uuid}");
            assert_eq!(bytes[14], b'4', "the version: {uuid}");
            assert!(b"89ab".contains(&bytes[19]), "the variant: {uuid}");
        }
        assert_ne!(uuid, draw(&Generator::Uuid, 2));
    }

    #[test]
    fn words_are_as_many_as_asked_for() {
        assert_eq!(draw(&Generator::Words(5), 1).split(' ').count(), 5);
        assert_eq!(draw(&Generator::Words(0), 1), "");
        assert!(WORDS.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
    }
}
