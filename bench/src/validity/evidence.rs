//! What every experiment has, and the one judge of all of it.

use engine::{Gaps, Nanos};

use super::{Level, Machine, Sharing, Steady, Validity};
use crate::arm::Arm;
use crate::generator::Busiest;
use crate::observe::Observations;

/// What an experiment has of what it measured. There is no default: who has nothing of a kind says
/// so, and nobody forgets a reason.
pub(crate) struct Evidence<'a> {
    /// The generator's worker that had the most to do.
    pub(crate) busiest: &'a Busiest,
    /// What its machine did meanwhile.
    pub(crate) machine: &'a Machine,
    /// What was measured on each way.
    pub(crate) arms: &'a [Arm],
    /// What was asked for on each, where that is one rate for all of the time.
    pub(crate) offered: Vec<Option<Offered>>,
    pub(crate) comparison: Comparison,
    /// Loads that stay the same.
    pub(crate) steady: Vec<Steady>,
    /// What was looked at from outside.
    pub(crate) observations: Vec<&'a Observations>,
    /// What the rig says of arms whose pooler lost the names of prepared statements.
    pub(crate) lost_names: Vec<String>,
    pub(crate) purpose: Purpose,
}

/// Arrivals that were asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offered {
    /// In 1/s, of all streams together.
    pub(crate) rate: f64,
    pub(crate) gaps: Gaps,
    /// How many loads there are at once, each with a schedule of its own.
    pub(crate) streams: usize,
    /// For so long in each block.
    pub(crate) block_ns: Nanos,
}

impl Offered {
    /// One load.
    pub(crate) fn new(rate: f64, gaps: Gaps, block_ns: Nanos) -> Self {
        Self { rate, gaps, streams: 1, block_ns }
    }

    /// Several loads at once; `None` where they are not one rate, since they end at several times.
    pub(crate) fn together(each: &[Self]) -> Option<Self> {
        let block_ns = each.first()?.block_ns;
        let is_poisson = each.iter().any(|one| one.gaps == Gaps::Poisson);
        each.iter().all(|one| one.block_ns == block_ns).then(|| Self {
            rate: each.iter().map(|one| one.rate).sum(),
            gaps: if is_poisson { Gaps::Poisson } else { Gaps::Uniform },
            streams: each.iter().map(|one| one.streams).sum(),
            block_ns,
        })
    }
}

/// What arms are to each other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Comparison {
    /// Each has a load of its own.
    Apart,
    /// They are compared, and their loads differ, or how they fail is what is measured: only how
    /// they are connected must be alike.
    Sessions,
    /// They had the same load, one after the other.
    Turns,
    /// They had the same load in blocks side by side.
    Blocks(Blocks),
}

/// How arms took turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    /// To each of them.
    pub(crate) connections: u32,
    /// Of each of them.
    pub(crate) count: usize,
    /// How much a block of each takes of the time that `option` gives, in ns.
    pub(crate) round_ns: Nanos,
    pub(crate) option: &'static str,
}

/// What an experiment does on purpose is no fault of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A load as users have it.
    Load,
    /// Clients, and the pool for them, are tried in all numbers, also where each client has a server
    /// connection of its own.
    PoolSizes,
    /// It turned out to be more than the target takes, which was to be found out: what was late, or
    /// never sent, is the result.
    Overload,
    /// Each client has its connection for one query: it is over time that a pool shares its own.
    Connecting,
    /// Requests are cancelled: how long they take was asked for, and what counts begins with the
    /// cancel, however late its request was sent.
    Cancelling,
}

impl Validity {
    /// The verdict on all that an experiment, or a part of it, has.
    pub(crate) fn of(evidence: &Evidence<'_>) -> Self {
        let Evidence { arms, purpose, .. } = evidence;
        let mut validity = Self::default();
        validity.judge_busiest(evidence.busiest);
        validity.judge_machine(evidence.machine);
        for arm in *arms {
            validity.judge_replies(arm);
            if *purpose != Purpose::Overload {
                validity.judge_sending(arm);
            }
            if !matches!(purpose, Purpose::Overload | Purpose::Cancelling) {
                validity.judge_times(arm);
            }
        }
        let offered = evidence.offered.iter().copied();
        for (arm, offered) in arms.iter().zip(offered) {
            offered.into_iter().for_each(|offered| validity.judge_offered(arm, offered, *purpose));
        }
        match evidence.comparison {
            Comparison::Apart => {}
            Comparison::Sessions => validity.compare_sessions(arms),
            Comparison::Turns => validity.compare_results(arms),
            Comparison::Blocks(blocks) => {
                validity.compare(arms, blocks.connections);
                validity.judge_blocks(blocks.count, blocks.round_ns, blocks.option);
            }
        }
        evidence.steady.iter().for_each(|steady| validity.judge_steady(steady));
        for observations in &evidence.observations {
            validity.judge_observations(observations);
            let ways = arms.iter().filter(|_| *purpose == Purpose::Load);
            for (arm, sharing) in
                ways.filter_map(|arm| Some((arm, Sharing::on_the_way(arm, arms, observations)?)))
            {
                validity.judge_sharing(&arm.label(), sharing);
            }
        }
        evidence.lost_names.iter().for_each(|line| validity.suspect(line.clone()));
        validity
    }

    /// All reasons of another verdict too.
    pub(crate) fn merge(&mut self, other: Self) {
        let level = other.valid;
        other.reasons.into_iter().for_each(|reason| self.add(level, reason));
    }

    /// The verdicts on parts of an experiment, called so in the plural: for each level how many of
    /// them have it, with the first one's reasons.
    pub(crate) fn merge_parts<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a Self> + Clone,
        name: &str,
    ) {
        for level in [Level::Invalid, Level::Suspect] {
            let mut such = parts.clone().filter(|part| part.valid == level);
            if let Some(first) = such.next() {
                let reasons = first.reasons.join("; ");
                self.add(level, format!("in {} {name}, first: {reasons}", 1 + such.count()));
            }
        }
    }
}
