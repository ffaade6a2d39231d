//! What a request holds: a weighted choice of operations, each with its generated values.

use wire::Values;

use crate::Random;

/// Draws one value of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Generator {
    /// The same number each time.
    Integer(i64),
    /// The same text each time.
    Text(String),
    /// A uniform number from the first to the second, both included.
    Uniform(i64, i64),
    /// One of these, each as likely as the others.
    Choice(Vec<String>),
    /// The request's own number, counted from the first on.
    Sequence(i64),
}

impl Generator {
    fn push(&self, number: u64, random: &mut Random, values: &mut Values) {
        match self {
            Generator::Integer(value) => values.push_integer(*value),
            Generator::Text(text) => values.push_text(text),
            Generator::Uniform(low, high) => {
                let span = (high.wrapping_sub(*low) as u64).saturating_add(1);
                values.push_integer(low.wrapping_add(random.below(span) as i64));
            }
            Generator::Choice(texts) => {
                values.push_text(&texts[random.below(texts.len() as u64) as usize]);
            }
            Generator::Sequence(start) => values.push_integer(start.wrapping_add(number as i64)),
        }
    }
}

/// One operation's share and values.
#[derive(Clone, Debug, PartialEq)]
pub struct MixEntry {
    /// Its share of all requests, relative to the other entries'.
    pub weight: u32,
    /// Its values, in the order of the holes.
    pub generators: Vec<Generator>,
}

/// A weighted mix: entry n stands for operation n of every target.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    entries: Vec<MixEntry>,
    total_weight: u64,
}

impl Mix {
    /// A mix of these operations; `None` where no entry has a weight or a choice is empty.
    pub fn new(entries: Vec<MixEntry>) -> Option<Self> {
        let total_weight = entries.iter().map(|entry| u64::from(entry.weight)).sum();
        let is_empty = |generator: &Generator| matches!(generator, Generator::Choice(texts) if texts.is_empty());
        let has_empty = entries.iter().any(|entry| entry.generators.iter().any(is_empty));
        (total_weight > 0 && !has_empty).then_some(Self { entries, total_weight })
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none: never, see [`Mix::new`].
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Fills `values` for request `number` of the run with this `seed`; returns its operation.
    pub fn fill(&self, seed: u64, number: u64, values: &mut Values) -> usize {
        let mut random = Random::new(seed, number);
        let mut left = random.below(self.total_weight);
        let mut operation = 0;
        while left >= u64::from(self.entries[operation].weight) {
            left -= u64::from(self.entries[operation].weight);
            operation += 1;
        }
        values.clear();
        for generator in &self.entries[operation].generators {
            generator.push(number, &mut random, values);
        }
        operation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(weight: u32, generators: Vec<Generator>) -> MixEntry {
        MixEntry { weight, generators }
    }

    #[test]
    fn operations_come_in_proportion_to_their_weights() {
        let mix = Mix::new(vec![entry(30, vec![]), entry(0, vec![]), entry(70, vec![])]).unwrap();
        let mut counts = [0_u32; 3];
        for number in 0..10_000 {
            counts[mix.fill(1, number, &mut Values::new())] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!(counts[0].abs_diff(3000) < 230, "five standard deviations: {counts:?}");
    }

    #[test]
    fn values_stay_in_their_range_and_reach_both_ends() {
        let generators = vec![
            Generator::Uniform(-1, 1),
            Generator::Choice(vec!["a".into(), "b".into()]),
            Generator::Sequence(10),
            Generator::Uniform(i64::MIN, i64::MAX),
        ];
        let mix = Mix::new(vec![entry(1, generators)]).unwrap();
        let mut values = Values::new();
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..100 {
            mix.fill(1, number, &mut values);
            seen.insert(values.at(0).0.to_owned());
            assert!(["a", "b"].contains(&values.at(1).0));
            assert_eq!(values.at(2).0, (10 + number).to_string());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["-1", "0", "1"]);
    }

    #[test]
    fn a_mix_that_can_draw_nothing_is_refused() {
        assert_eq!(Mix::new(vec![]), None);
        assert_eq!(Mix::new(vec![entry(0, vec![])]), None);
        assert_eq!(Mix::new(vec![entry(1, vec![Generator::Choice(vec![])])]), None);
    }
}
