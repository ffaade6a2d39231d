//! How sure a figure is that was computed from several cells.

use super::cell::{Cell, Piece};
use crate::statistics::{self, Estimate};

/// A cell of which each piece was drawn so many times.
pub(super) struct Drawn<'a> {
    pub(super) cell: &'a Cell,
    times: &'a [u32],
}

impl Drawn<'_> {
    fn pieces(&self) -> impl Iterator<Item = (&Piece, f64)> {
        self.cell.pieces.iter().zip(self.times.iter().map(|times| f64::from(*times)))
    }

    /// The mean response time, in ns, of one operation or of all.
    pub(super) fn mean_ns(&self, operation: Option<&str>) -> Option<f64> {
        let (mut count, mut sum_ns) = (0.0, 0.0);
        for (piece, times) in self.pieces() {
            for (name, part) in &piece.operations {
                if operation.is_none_or(|operation| operation == name) {
                    count += times * part.count as f64;
                    sum_ns += times * part.sum_ns;
                }
            }
        }
        (count > 0.0).then(|| sum_ns / count)
    }

    /// Clients that waited for a server connection, on average; unknown where no piece that was
    /// drawn knows it.
    pub(super) fn waiting(&self) -> Option<f64> {
        let known = || self.pieces().filter_map(|(piece, times)| Some((piece.cl_waiting?, times)));
        let drawn: f64 = known().map(|(_, times)| times).sum();
        let sum: f64 = known().map(|(waiting, times)| times * waiting as f64).sum();
        (drawn > 0.0).then(|| sum / drawn)
    }
}

/// What `statistic` makes of `cells`, with its 95 % interval: their pieces are drawn with
/// replacement. Cells were measured one after the other, so that piece n of the one has nothing to
/// do with piece n of the other, and drawing them together is as good as drawing each by itself.
/// `None` where there are fewer than two pieces, or the statistic is not to be had.
pub(super) fn estimate(
    cells: &[&Cell],
    statistic: impl Fn(&[Drawn<'_>]) -> Option<f64>,
) -> Option<Estimate> {
    let pieces = cells.iter().map(|cell| cell.pieces.len()).min().filter(|pieces| *pieces >= 2)?;
    let estimates = statistics::estimates(pieces, SEED, |times| {
        let drawn: Vec<_> = cells.iter().map(|cell| Drawn { cell, times }).collect();
        statistic(&drawn).map(|value| vec![value])
    });
    let Estimate { value, low, high } = estimates?.pop()?;
    // A bounded figure, such as an index that is 1 at most, can lie past all that was drawn.
    Some(Estimate { value, low: low.min(value), high: high.max(value) })
}

/// An interval is the same each time it is computed.
const SEED: u64 = 1;

#[cfg(test)]
mod tests {
    use engine::Random;

    use super::*;
    use crate::sweep::cell::Times;
    use crate::sweep::summary::tests::surface;

    /// Of mean `mean_ns`, in pieces that each are off by a tenth.
    fn cell(mean_ns: f64, seed: u64) -> Cell {
        let piece = |number: u64| {
            let noise: f64 = (0..12).map(|n| Random::new(seed, 100 * number + n).unit()).sum();
            let sum_ns = 1000.0 * mean_ns * (1.0 + 0.1 * (noise - 6.0));
            let operations = [("a".to_owned(), Times { count: 1000, sum_ns })].into();
            Piece { operations, cl_waiting: Some(number % 2) }
        };
        Cell { pieces: (0..10).map(piece).collect(), ..surface().0.remove(0) }
    }

    #[test]
    fn the_interval_of_a_ratio_of_two_cells_holds_the_truth_as_often_as_it_says() {
        const RUNS: u64 = 200;
        let holds = |run: &u64| {
            let cells = [cell(1e6, 2 * run), cell(2e6, 2 * run + 1)];
            let ratio =
                |drawn: &[Drawn<'_>]| Some(drawn[1].mean_ns(None)? / drawn[0].mean_ns(None)?);
            estimate(&[&cells[0], &cells[1]], ratio).unwrap().holds(2.0)
        };
        let covered = (0..RUNS).filter(holds).count();
        // A binomial(200, 0.95) is 190 on average; three standard deviations are 9.
        assert!((181..=199).contains(&covered), "{covered} of {RUNS}");
    }

    #[test]
    fn pieces_count_as_often_as_they_were_drawn() {
        let cell = cell(1e6, 1);
        let drawn = |times: &[u32]| Drawn { cell: &cell, times }.waiting();
        assert_eq!(drawn(&[1; 10]), Some(0.5));
        assert_eq!(drawn(&[2, 0, 2, 0, 2, 0, 2, 0, 2, 0]), Some(0.0));
        let mut blind = cell.clone();
        blind.pieces.iter_mut().skip(1).for_each(|piece| piece.cl_waiting = None);
        assert_eq!(Drawn { cell: &blind, times: &[1; 10] }.waiting(), Some(0.0), "of one piece");
        assert_eq!(Drawn { cell: &blind, times: &[0, 10, 0, 0, 0, 0, 0, 0, 0, 0] }.waiting(), None);
        assert_eq!(Drawn { cell: &cell, times: &[1; 10] }.mean_ns(Some("b")), None);
        assert_eq!(estimate(&[&Cell { pieces: Vec::new(), ..cell.clone() }], |_| Some(1.0)), None);
    }
}
