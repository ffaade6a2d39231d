//! What one layer costs: the difference of two arms that differ in it alone.

use super::arms::Pair;
use crate::arm::Arm;
use crate::statistics::{Estimate, Merger, estimates, estimates_at};
use crate::validity::Validity;

/// The quantiles whose differences are told. The 99.9th has too few values in a short run.
pub(crate) const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// The layers whose CPU time is told apart.
pub(super) const CPU_LAYERS: [&str; 3] = ["gateway", "pooler", "postgres"];

/// What the layers cost at one rate.
#[derive(Debug)]
pub(super) struct Costs {
    /// For each pair: the difference of each quantile, in ns; `None` where an arm has no latency.
    pub(super) latency: Vec<Option<Vec<Estimate>>>,
    /// How much more the pool costs with a gateway in front than without, at each quantile, in ns.
    pub(super) interaction: Option<Vec<Estimate>>,
    /// For each pair: CPU time a request of all servers together and of each of [`CPU_LAYERS`], in
    /// ns. Unknown where a process is.
    pub(super) cpu: Vec<[Option<Estimate>; 1 + CPU_LAYERS.len()]>,
}

impl Costs {
    /// From all rounds in which every arm had its block.
    pub(super) fn new(
        arms: &[Arm],
        pairs: &[Pair],
        square: Option<[usize; 4]>,
        quantiles: &[f64],
        (confidence, seed): (f64, u64),
    ) -> Self {
        let drawn = (confidence, seed);
        let (latency, interaction) = latencies(arms, pairs, square, quantiles, drawn);
        let cpu = pairs.iter().map(|pair| cpu(&arms[pair.with], &arms[pair.without], seed));
        Self { latency, interaction, cpu: cpu.collect() }
    }
}

/// Rounds in which each of the arms had its block.
pub(crate) fn rounds(arms: &[Arm]) -> usize {
    arms.iter().map(|arm| arm.blocks.len()).min().unwrap_or_default()
}

/// Differences of the arms' quantiles for each pair, and the difference of the differences. The
/// intervals are of this confidence, and drawn with this seed.
pub(crate) fn latencies(
    arms: &[Arm],
    pairs: &[Pair],
    square: Option<[usize; 4]>,
    quantiles: &[f64],
    (confidence, seed): (f64, u64),
) -> (Vec<Option<Vec<Estimate>>>, Option<Vec<Estimate>>) {
    let mut wanted: Vec<Vec<(usize, f64)>> =
        pairs.iter().map(|pair| vec![(pair.with, 1.0), (pair.without, -1.0)]).collect();
    wanted.extend(square.map(|[both, gateway, pooler, none]| {
        vec![(both, 1.0), (gateway, -1.0), (pooler, -1.0), (none, 1.0)]
    }));
    let mut found = sums(arms, &wanted, quantiles, (confidence, seed));
    let interaction = square.and_then(|_| found.pop()).flatten();
    (found, interaction)
}

/// Sums of the arms' quantiles, each arm with its weight, all from the same resamples.
fn sums(
    arms: &[Arm],
    sums: &[Vec<(usize, f64)>],
    quantiles: &[f64],
    (confidence, seed): (f64, u64),
) -> Vec<Option<Vec<Estimate>>> {
    let rounds = rounds(arms);
    let mergers: Vec<_> = arms.iter().map(|arm| merger(arm, rounds)).collect();
    let has_values = |arm: &usize| mergers[*arm].quantiles(&vec![1; rounds], quantiles).is_some();
    let usable: Vec<usize> = (0..arms.len()).filter(has_values).collect();
    let is_known = |sum: &&Vec<(usize, f64)>| sum.iter().all(|(arm, _)| usable.contains(arm));
    let mut by_arm = vec![Vec::new(); arms.len()];
    let found = estimates_at(confidence, rounds, seed, |times| {
        for arm in &usable {
            by_arm[*arm] = mergers[*arm].quantiles(times, quantiles)?;
        }
        let figures = sums.iter().filter(is_known).flat_map(|sum| {
            let at = |index: usize| {
                sum.iter().map(|(arm, weight)| weight * by_arm[*arm][index] as f64).sum::<f64>()
            };
            (0..quantiles.len()).map(at).collect::<Vec<_>>()
        });
        Some(figures.collect())
    });
    let mut found = found.into_iter().flatten();
    sums.iter()
        .map(|sum| is_known(&sum).then(|| found.by_ref().take(quantiles.len()).collect()))
        .collect()
}

pub(super) fn merger(arm: &Arm, rounds: usize) -> Merger {
    let samples: Vec<_> = arm.blocks[..rounds].iter().map(|block| block.response.clone()).collect();
    Merger::new(&samples)
}

/// The difference of CPU time a request, over the rounds in which both arms' processes were seen.
fn cpu(with: &Arm, without: &Arm, seed: u64) -> [Option<Estimate>; 1 + CPU_LAYERS.len()] {
    let rounds = with.blocks.len().min(without.blocks.len());
    let of = |layers: &[&str]| {
        if !layers.iter().any(|layer| with.kind.has(layer) || without.kind.has(layer)) {
            return None;
        }
        let spent = |arm: &Arm, number: usize| -> Option<(f64, f64)> {
            let ns = layers.iter().map(|layer| arm.block_cpu_ns(number, layer));
            Some((ns.sum::<Option<u64>>()? as f64, arm.blocks[number].requests as f64))
        };
        let both = |number| Some((spent(with, number)?, spent(without, number)?));
        let (with, without): (Vec<_>, Vec<_>) = (0..rounds).filter_map(both).unzip();
        // One round has no spread.
        if with.len() < 2 {
            return None;
        }
        let found = estimates(with.len(), seed, |times| {
            Some(vec![ratio(&with, times)? - ratio(&without, times)?])
        });
        found.map(|found| found[0])
    };
    let [gateway, pooler, postgres] = CPU_LAYERS;
    [of(&CPU_LAYERS), of(&[gateway]), of(&[pooler]), of(&[postgres])]
}

/// Tells of blocks in which a process was not seen from the beginning to the end.
pub(super) fn judge_cpu(arms: &[Arm], validity: &mut Validity) {
    for arm in arms {
        for layer in CPU_LAYERS {
            let blocks = 0..arm.blocks.len();
            let seen = blocks.filter(|block| arm.block_cpu_ns(*block, layer).is_some()).count();
            // What is named nowhere is never seen, and is no fault.
            if seen > 0 && seen < arm.blocks.len() {
                validity.suspect(format!(
                    "{}: the processes of {layer} were not the same throughout {} of {} blocks (a \
                     restart): CPU times leave them out",
                    arm.label(),
                    arm.blocks.len() - seen,
                    arm.blocks.len()
                ));
            }
        }
    }
}

/// The ratio of two sums over blocks that were drawn so many times; `None` where it has no
/// denominator.
pub(crate) fn ratio(blocks: &[(f64, f64)], times: &[u32]) -> Option<f64> {
    let sums = blocks.iter().zip(times).fold((0.0, 0.0), |sums, ((above, below), times)| {
        (sums.0 + above * f64::from(*times), sums.1 + below * f64::from(*times))
    });
    (sums.1 > 0.0).then(|| sums.0 / sums.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::ArmKind;
    use crate::layers::example;

    #[test]
    fn a_round_in_which_a_process_was_started_anew_is_left_out_and_told() {
        let level = || example::level_of(&["pooler", "postgres"].map(ArmKind::of)).arms;
        let figures = |arms: &[Arm]| {
            let found = cpu(&arms[0], &arms[1], 1).map(|one| one.map(|one| one.value.round()));
            let mut validity = Validity::default();
            judge_cpu(arms, &mut validity);
            (found, validity.reasons)
        };
        let (whole, reasons) = figures(&level());
        // 30 us of the pooler; Postgres takes 110 us instead of 170.
        assert_eq!(whole, [Some(-30_000.0), None, Some(30_000.0), Some(-60_000.0)]);
        assert_eq!(reasons, [] as [&str; 0]);
        let mut arms = level();
        arms[0].forget_cpu(2, "pooler");
        let (rest, reasons) = figures(&arms);
        assert_eq!(rest, whole);
        assert_eq!(
            reasons,
            [
                "pooler: the processes of pooler were not the same throughout 1 of 4 blocks (a restart): \
              CPU times leave them out"
            ]
        );
        (0..4).for_each(|block| arms[0].forget_cpu(block, "pooler"));
        let (unknown, reasons) = figures(&arms);
        assert_eq!((unknown[2], unknown[3]), (None, whole[3]));
        assert_eq!(reasons, [] as [&str; 0], "it is not named");
    }
}
