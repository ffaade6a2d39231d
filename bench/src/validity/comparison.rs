//! Whether arms can be compared: that they differ in what they are compared for, and in nothing
//! else.

use std::collections::BTreeSet;

use engine::{Gaps, Nanos};

use super::artefact::is_shared_stall;
use super::steadiness::{Change, change};
use super::{Offered, Purpose, UNSENT_SHARE_MAX, Validity};
use crate::arm::{Arm, login_difference, parameter_difference, security_difference};

/// Intervals over fewer blocks are too narrow: the bootstrap cannot see what it has not drawn.
const BLOCKS_MIN: usize = 20;

/// Shares of requests that fail may differ by so much.
const FAILED_SHARE_DIFFERENCE_MAX: f64 = 0.01;

/// Of what was to be offered, so much may be missing or more than was asked for.
const OFFERED_DIFFERENCE_MAX: f64 = 0.01;

impl Validity {
    /// Looks through arms that had the same load on as many connections, in blocks side by side.
    pub(super) fn compare(&mut self, arms: &[Arm], connections: u32) {
        for arm in arms {
            self.suspect_if(stationary(arm));
            self.suspect_if(multiplexing(arm, connections));
        }
        self.compare_results(arms);
    }

    /// Looks through arms that had the same load.
    pub(super) fn compare_results(&mut self, arms: &[Arm]) {
        for (number, one) in arms.iter().enumerate() {
            for other in &arms[number + 1..] {
                self.suspect_if(failures(one, other));
                self.suspect_if(statements(one, other));
            }
        }
        self.suspect_if(stall(arms));
        self.compare_sessions(arms);
    }

    /// Whether what came due, and what was sent of it, is what was asked for.
    pub(super) fn judge_offered(&mut self, arm: &Arm, offered: Offered, purpose: Purpose) {
        let unsent = arm.dropped + arm.unserved;
        // More than that has a reason of its own, and of a load that is too much it is the result.
        let is_told = unsent as f64 > UNSENT_SHARE_MAX * arm.planned as f64;
        let unsent = if is_told || purpose == Purpose::Overload { 0 } else { unsent };
        off_plan(arm, unsent, offered).into_iter().for_each(|reason| self.invalid(reason));
    }

    /// Whether the arms' connections are alike: in TLS, in their logins, and in their sessions'
    /// settings.
    pub(crate) fn compare_sessions(&mut self, arms: &[Arm]) {
        for (number, one) in arms.iter().enumerate() {
            for other in &arms[number + 1..] {
                self.suspect_if(security_difference(one, other));
                self.suspect_if(parameter_difference(one, other));
            }
        }
        self.suspect_if(login_difference(arms));
    }

    /// Whether there are enough blocks for the intervals; a round of them takes `round_ns` of what
    /// `option` gives.
    pub(super) fn judge_blocks(&mut self, blocks: usize, round_ns: Nanos, option: &str) {
        if blocks < BLOCKS_MIN {
            let seconds = (BLOCKS_MIN as u64 * round_ns).div_ceil(engine::SECOND);
            self.suspect(format!(
                "{blocks} blocks an arm are too few for the intervals: give {option} {seconds}s \
                 or more"
            ));
        }
    }

    fn suspect_if(&mut self, reason: Option<String>) {
        reason.into_iter().for_each(|reason| self.suspect(reason));
    }
}

/// As many requests were sent as were asked for. How many come due in a Poisson process varies by
/// itself, with their number's root (Kingman, Poisson Processes, 1993, 1.2): it is off by five of these
/// in one of two million. With even gaps a schedule is off by its last arrival.
fn off_plan(arm: &Arm, unsent: u64, offered: Offered) -> Option<String> {
    let Offered { rate, gaps, streams, block_ns } = offered;
    let blocks = arm.blocks.len() as f64;
    let expected = rate * block_ns as f64 / 1e9 * blocks;
    let share = OFFERED_DIFFERENCE_MAX * expected;
    let allowed = match gaps {
        Gaps::Uniform => share.max(blocks * streams as f64),
        Gaps::Poisson => share + 5.0 * expected.sqrt(),
    };
    let is_off = |count: u64| (count as f64 - expected).abs() > allowed;
    let (count, what) = match arm.planned {
        planned if is_off(planned) => (planned, "came due"),
        planned => (planned.saturating_sub(unsent), "were sent"),
    };
    is_off(count).then(|| {
        format!(
            "{}: {count} requests {what} where {expected:.0} were asked for: the generator did not \
             keep to its plan",
            arm.label(),
        )
    })
}

/// Medians of an arm's blocks that keep to one level.
fn stationary(arm: &Arm) -> Option<String> {
    let medians = arm.blocks.iter().filter_map(|block| block.response.quantile(0.5));
    let medians: Vec<_> = medians.map(|ns| ns as f64).collect();
    let Change { at, before, after } = change(&medians)?;
    Some(format!(
        "{}: from block {} on the median was {} instead of {}: it was not warm before, or \
         something else began then",
        arm.label(),
        at + 1,
        crate::duration::show(after),
        crate::duration::show(before)
    ))
}

/// A pool that holds a server connection for each client of ours, where no console tells (`Sharing`). How
/// many clients a gateway is to it, only a console knows.
fn multiplexing(arm: &Arm, connections: u32) -> Option<String> {
    let is_ours = arm.kind.has("pooler") && !arm.kind.has("gateway");
    let (backends, _) = arm.backends().filter(|_| is_ours && arm.pooler.is_none())?;
    (backends >= f64::from(connections)).then(|| {
        format!(
            "{}: {backends:.0} server connections for {connections} clients: nothing is \
             multiplexed; lower default_pool_size, or raise --connections",
            arm.label()
        )
    })
}

/// A failure takes another time than a success.
fn failures(one: &Arm, other: &Arm) -> Option<String> {
    let share = |arm: &Arm| {
        let failed = arm.whole.as_ref().map_or(0, engine::Recording::failed);
        failed as f64 / arm.requests().max(1) as f64
    };
    ((share(one) - share(other)).abs() > FAILED_SHARE_DIFFERENCE_MAX).then(|| {
        format!(
            "{:.1} % of the requests of {} failed and {:.1} % of those of {}: what succeeded can't \
             be compared",
            share(one) * 100.0,
            one.label(),
            share(other) * 100.0,
            other.label()
        )
    })
}

/// Prepared on one way, and parsed anew for each request on the other.
fn statements(one: &Arm, other: &Arm) -> Option<String> {
    let differ = one.protocol? != other.protocol? || one.is_unnamed() != other.is_unnamed();
    let shown = |arm: &Arm| match (arm.is_unnamed(), arm.protocol) {
        (true, _) => "unnamed in the end".to_owned(),
        (false, protocol) => {
            protocol.map(|one| format!("{one:?}").to_lowercase()).unwrap_or_default()
        }
    };
    differ.then(|| {
        format!(
            "{} and {} send their statements differently ({}, {}): what lies between them holds \
             that too; give both targets the same protocol",
            one.label(),
            other.label(),
            shown(one),
            shown(other)
        )
    })
}

fn stall(arms: &[Arm]) -> Option<String> {
    // Of a way that its user has named nothing is known but where it leads.
    let way = |arm: &Arm| match arm.kind.layers {
        [] => (arm.kind.target.to_string(), arm.kind.layers),
        layers => (String::new(), layers),
    };
    let ways: BTreeSet<_> = arms.iter().map(way).collect();
    let median = |arm: &Arm| Some(arm.whole.as_ref()?.whole().response.value_at_quantile(0.5));
    let medians = arms.iter().map(median).collect::<Option<Vec<_>>>()?;
    (ways.len() > 2 && is_shared_stall(&medians)).then(|| {
        format!(
            "every arm has the same median, {}: they all wait for one thing, and the layers are \
             lost in it",
            crate::duration::show(medians[0] as f64)
        )
    })
}

#[cfg(test)]
mod tests {

    use engine::{MILLISECOND, Random, Recording, StreamReport};
    use wire::postgres::Protocol;
    use wire::{Class, Failure, Outcome};

    use super::super::Level;
    use super::*;
    use crate::arm::{ARMS, ArmKind, Block};
    use crate::observe::Backends;

    /// An arm with 24 blocks of 100 requests; `time_us` is what one takes in a block.
    fn arm(index: usize, time_us: impl Fn(u64) -> f64, failing: u64) -> Arm {
        let mut arm = Arm::new(&ARMS[index], Some("b".into()));
        for round in 0..24 {
            let mut recording = Recording::new(1);
            for number in 0..100 {
                let noise = Random::new(round, number).unit();
                let done = ((time_us(round) + 20.0 * noise) * 1e3) as u64;
                let is_failing = number < failing;
                let outcome = if is_failing { Outcome::Failed(Class::Sql) } else { Outcome::Ok };
                recording.record(0, outcome, &Failure::default(), (0, 0, done));
            }
            let stream = StreamReport { planned: 100, ..StreamReport::new(recording) };
            arm.push(Block::of(stream, 100 * MILLISECOND, 0));
            arm.saw(Some(&Backends::of("b", 10)));
        }
        arm
    }

    fn reasons(arms: &[Arm]) -> Vec<String> {
        let mut validity = Validity::default();
        let offered = Offered::new(1000.0, Gaps::Poisson, 100 * MILLISECOND);
        arms.iter().for_each(|arm| validity.judge_offered(arm, offered, Purpose::Load));
        validity.compare(arms, 50);
        assert_eq!(validity.valid == Level::Valid, validity.reasons.is_empty());
        validity.reasons
    }

    fn good() -> [Arm; 4] {
        [700.0, 650.0, 250.0, 200.0].map(|us| us).map({
            let mut index = 0;
            move |us| {
                index += 1;
                arm(index - 1, move |_| us, 0)
            }
        })
    }

    #[test]
    fn arms_that_differ_in_their_layers_alone_are_valid() {
        assert_eq!(reasons(&good()), [] as [&str; 0]);
    }

    #[track_caller]
    fn assert_one(arms: &[Arm], words: &str) {
        let reasons = reasons(arms);
        assert!(reasons.len() == 1 && reasons[0].contains(words), "{reasons:?}");
    }

    #[test]
    fn what_came_due_is_what_was_asked_for() {
        let mut arms = good();
        arms[2].planned = 2100;
        assert_one(&arms, "pooler: 2100 requests came due where 2400 were asked for");
        // As a Poisson process may have it.
        arms[2].planned = 2300;
        assert_eq!(reasons(&arms), [] as [&str; 0]);
    }

    /// What is said of an arm with one block of a second.
    fn offered(
        (planned, unsent): (u64, u64),
        (rate, gaps): (f64, Gaps),
        purpose: Purpose,
    ) -> Vec<String> {
        let mut arm = arm(2, |_| 250.0, 0);
        arm.blocks.truncate(1);
        (arm.planned, arm.dropped) = (planned, unsent);
        let mut validity = Validity::default();
        let offered = Offered::new(rate, gaps, engine::SECOND);
        validity.judge_offered(&arm, offered, purpose);
        assert_eq!(
            validity.valid,
            if validity.reasons.is_empty() { Level::Valid } else { Level::Invalid }
        );
        validity.reasons
    }

    #[test]
    fn of_even_gaps_one_percent_is_sent_or_the_run_is_invalid() {
        let even =
            |planned, unsent| offered((planned, unsent), (1000.0, Gaps::Uniform), Purpose::Load);
        assert_eq!(
            even(980, 0),
            [
                "pooler: 980 requests came due where 1000 were asked for: the generator did not keep to \
              its plan"
            ]
        );
        for (planned, unsent) in [(989, 0), (1011, 0), (995, 6)] {
            assert_eq!(even(planned, unsent).len(), 1, "{planned}, {unsent} unsent");
        }
        assert!(even(995, 6)[0].contains("989 requests were sent where 1000"));
        for (planned, unsent) in [(1000, 0), (990, 0), (1010, 0), (1000, 10), (1000, 200)] {
            assert_eq!(even(planned, unsent), [] as [&str; 0], "{planned}, {unsent} unsent");
        }
        let few = |planned| offered((planned, 0), (10.5, Gaps::Uniform), Purpose::Load);
        assert_eq!((few(11).len(), few(10).len(), few(9).len()), (0, 0, 1), "the last arrival");
        // A load that is too much is sent as far as it goes, and comes due as a whole.
        let overload = |planned, unsent| {
            offered((planned, unsent), (1000.0, Gaps::Uniform), Purpose::Overload)
        };
        assert_eq!((overload(995, 6).len(), overload(980, 0).len()), (0, 1));
    }

    #[test]
    fn of_a_poisson_process_as_many_come_due_as_chance_may_have_it() {
        let poisson = |planned| offered((planned, 0), (1000.0, Gaps::Poisson), Purpose::Load);
        assert_eq!((poisson(980).len(), poisson(840).len(), poisson(800).len()), (0, 0, 1));
    }

    #[test]
    fn a_median_that_changes_its_level_is_told_with_its_block() {
        let mut arms = good();
        arms[3] = arm(3, |round| if round < 8 { 400.0 } else { 200.0 }, 0);
        assert_one(&arms, "direct: from block 9 on the median was 210 us instead of 410 us");
        // One slow block is no change, nor is a small one.
        arms[3] = arm(3, |round| if round == 8 { 4000.0 } else { 200.0 }, 0);
        assert_eq!(reasons(&arms), [] as [&str; 0]);
        arms[3] = arm(3, |round| if round < 8 { 220.0 } else { 200.0 }, 0);
        assert_eq!(reasons(&arms), [] as [&str; 0]);
    }

    #[test]
    fn as_many_server_connections_as_clients_are_no_pool() {
        let mut arms = good();
        arms[2].backends = vec![50; 24];
        assert_one(&arms, "pooler: 50 server connections for 50 clients");
        arms[2].backends = vec![49; 24];
        // A gateway's connections to the pool are not ours to the gateway.
        arms[0].backends = vec![50; 24];
        // Without a pooler on the way that is as it should be.
        arms[3].backends = vec![50; 24];
        assert_eq!(reasons(&arms), [] as [&str; 0]);
    }

    #[test]
    fn failures_on_one_way_alone_spoil_a_comparison() {
        let mut arms = good();
        arms[1] = arm(1, |_| 650.0, 2);
        let told = reasons(&arms);
        assert_eq!(told.len(), 3, "with each other arm: {told:?}");
        assert!(told[0].contains("2.0 % of those of gateway+direct"), "{told:?}");
        let all: Vec<_> = [700.0, 650.0, 250.0, 200.0].into_iter().enumerate().collect();
        let failing: Vec<_> =
            all.into_iter().map(|(index, us)| arm(index, move |_| us, 2)).collect();
        assert_eq!(reasons(&failing), [] as [&str; 0]);
    }

    #[test]
    fn statements_are_sent_alike() {
        let mut arms = good();
        arms[2].protocol = Some(Protocol::Extended);
        arms[3].protocol = Some(Protocol::Prepared);
        assert_one(
            &arms,
            "pooler and direct send their statements differently (extended, prepared)",
        );
        arms[2].protocol = Some(Protocol::Prepared);
        assert_eq!(reasons(&arms), [] as [&str; 0]);
    }

    #[test]
    fn the_same_median_everywhere_is_one_wait() {
        let arms: Vec<_> = (0..4).map(|index| arm(index, |_| 40_000.0, 0)).collect();
        assert_one(&arms, "every arm has the same median");
        let twice = [arm(2, |_| 200.0, 0), arm(2, |_| 200.0, 0), arm(2, |_| 200.0, 0)];
        assert_eq!(reasons(&twice), [] as [&str; 0], "the same layers");
        let named = |names: [&'static str; 3]| {
            names.map(|name| {
                let mut arm = arm(2, |_| 40_000.0, 0);
                arm.kind = ArmKind::named(name);
                arm
            })
        };
        assert_one(&named(["one", "two", "three"]), "every arm has the same median");
        assert_eq!(reasons(&named(["one", "two", "one"])), [] as [&str; 0], "one of them twice");
    }

    #[test]
    fn few_blocks_are_too_few() {
        let reasons = |blocks| {
            let mut validity = Validity::default();
            validity.judge_blocks(blocks, 1260 * MILLISECOND, "--duration");
            validity.reasons
        };
        assert_eq!(reasons(20), [] as [&str; 0]);
        assert_eq!(
            reasons(19),
            ["19 blocks an arm are too few for the intervals: give --duration 26s or more"]
        );
    }
}
