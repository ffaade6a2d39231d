//! What a request holds: a weighted choice of operations, each with its generated values.

use wire::Values;

use crate::{Generator, Random};

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
    /// A mix of these operations; `None` where no entry has a weight or a generator cannot draw.
    pub fn new(entries: Vec<MixEntry>) -> Option<Self> {
        let total_weight = entries.iter().map(|entry| u64::from(entry.weight)).sum();
        let has_empty =
            entries.iter().any(|entry| entry.generators.iter().any(Generator::is_empty));
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
            generator.push(seed, number, &mut random, values);
        }
        operation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Order, Zipfian};

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
    fn request_n_is_the_same_whoever_draws_it_and_in_whatever_order() {
        let generators = vec![
            Generator::Uniform(1, 1_000_000),
            Generator::Zipfian(Zipfian::new(1, 1000, 1.1).unwrap()),
            Generator::Uuid,
            Generator::Words(3),
            Generator::Pick(Column::Integers((0..100).collect()), Order::Row { salt: 7 }),
        ];
        let mix = Mix::new(vec![entry(3, generators.clone()), entry(1, generators)]).unwrap();
        let draw = |mix: &Mix, number| {
            let mut values = Values::new();
            let operation = mix.fill(5, number, &mut values);
            let texts: Vec<_> = (0..5).map(|hole| values.at(hole).0.to_owned()).collect();
            (operation, texts)
        };
        let one_worker: Vec<_> = (0..300).map(|number| draw(&mix, number)).collect();
        for workers in [2, 3, 7] {
            for worker in 0..workers {
                let own = mix.clone();
                for number in (0..300).rev().filter(|number| number % workers == worker) {
                    assert_eq!(draw(&own, number), one_worker[number as usize], "{number}");
                }
            }
        }
    }

    #[test]
    fn a_mix_that_can_draw_nothing_is_refused() {
        assert_eq!(Mix::new(vec![]), None);
        assert_eq!(Mix::new(vec![entry(0, vec![])]), None);
        assert_eq!(
            Mix::new(vec![entry(1, vec![Generator::Pick(Column::Texts([].into()), Order::Each)])]),
            None
        );
    }
}
