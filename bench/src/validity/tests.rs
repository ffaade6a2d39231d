use engine::{Gaps, Recording, SECOND, StreamReport};
use wire::{Code, Failure, Outcome};

use super::*;
use crate::arm::{ARMS, Block};
use crate::generator::GeneratorSummary;
use crate::observe::{Look, Observations, Observed, PoolerSample, Pools, Reading, Subject};

fn judged(judge: impl FnOnce(&mut Validity)) -> (Level, String) {
    let mut validity = Validity::default();
    judge(&mut validity);
    (validity.valid, validity.reasons.join("; "))
}

/// The pooler's arm after 1000 requests, each sent `late_ns` late and answered 300 us later.
fn arm(late_ns: u64, change: impl FnOnce(&mut StreamReport)) -> Arm {
    let mut recording = Recording::new(1);
    for _ in 0..1000 {
        let times = (0, late_ns, late_ns + 300_000);
        recording.record(0, Outcome::Ok, &Failure::default(), times);
    }
    let mut stream = StreamReport { planned: 1000, ..StreamReport::new(recording) };
    change(&mut stream);
    let mut arm = Arm::new(&ARMS[2], None);
    arm.push(Block::of(stream, SECOND, 0));
    arm
}

/// Of arms that are not compared, and nothing else.
fn evidence<'a>(generator: &'a GeneratorSummary, arms: &'a [Arm]) -> Evidence<'a> {
    Evidence {
        busiest: &generator.busiest,
        machine: &generator.machine,
        arms,
        offered: vec![None; arms.len()],
        comparison: Comparison::Apart,
        steady: Vec::new(),
        observations: Vec::new(),
        lost_names: Vec::new(),
        purpose: Purpose::Load,
    }
}

fn verdict(evidence: &Evidence<'_>) -> (Level, String) {
    let Validity { valid, reasons } = Validity::of(evidence);
    (valid, reasons.join("; "))
}

fn arm_verdict(arm: Arm) -> (Level, String) {
    verdict(&evidence(&GeneratorSummary::example(), &[arm]))
}

#[test]
fn a_fifth_of_the_arrivals_unsent_is_invalid_and_says_at_least() {
    let judged = |unsent| judged(|validity| validity.judge_unsent("gateway", unsent, 1000, 800.0));
    assert_eq!(judged(0).0, Level::Valid);
    assert_eq!(judged(10).0, Level::Suspect);
    let (level, reason) = judged(200);
    assert_eq!(level, Level::Invalid);
    assert_eq!(
        reason,
        "gateway: 200 of 1000 requests were never sent, since every connection was busy: the target \
         takes at least 800/s; raise max_vus or --connections"
    );
}

#[test]
fn requests_that_left_late_are_suspect_and_half_of_them_much_too_late_invalid() {
    let late = |late_ns| arm_verdict(arm(late_ns, |_| {}));
    assert_eq!(late(900_000), (Level::Valid, String::new()));
    let (level, reason) = late(3 * MILLISECOND);
    assert_eq!(level, Level::Suspect);
    assert!(reason.contains("pooler: requests left 3.00 ms late") && reason.contains("too busy"));
    let (level, reason) = late(8 * MILLISECOND);
    assert_eq!(level, Level::Invalid);
    assert!(reason.contains("left 8.00 ms late or more though connections were free"), "{reason}");
}

#[test]
fn requests_that_waited_for_a_connection_are_no_fault_of_the_generator() {
    let waiting = |late| arm_verdict(arm(20 * MILLISECOND, |stream| stream.late = late));
    let (level, reason) = waiting(300);
    assert_eq!(level, Level::Suspect);
    assert!(reason.contains("since 30 % of them found every connection in use"), "{reason}");
    assert_eq!(waiting(10).0, Level::Invalid, "one of a hundred explains no 99th percentile");
}

#[test]
fn another_requests_reply_is_invalid_and_both_numbers_are_shown() {
    let mut failure = Failure::default();
    failure.set(Code::None, b"asked for 42, got 43");
    let wrong = arm(0, |stream| {
        stream.recording.record(0, Outcome::Failed(Class::WrongReply), &failure, (0, 0, 1));
    });
    let (level, reason) = arm_verdict(wrong);
    assert_eq!(level, Level::Invalid);
    assert_eq!(reason, "pooler: 1 replies belonged to another request (asked for 42, got 43)");
    let failed = arm(0, |stream| {
        stream.recording.record(0, Outcome::Failed(Class::Sql), &failure, (0, 0, 1));
    });
    assert_eq!(arm_verdict(failed).0, Level::Valid, "a failure is no lie");
}

#[test]
fn what_stayed_unsent_after_a_long_outage_is_the_outages() {
    let unsent = |outage_ns, unserved| {
        arm_verdict(arm(0, |stream| {
            (stream.outage_ns, stream.unserved) = (outage_ns, unserved);
        }))
    };
    assert_eq!(unsent(3 * SECOND, 0).0, Level::Valid, "everything was sent in the end");
    let (level, reason) = unsent(3 * SECOND, 5);
    assert_eq!(level, Level::Invalid);
    assert!(reason.contains("for 3.00 s after a failure of its connections"), "{reason}");
    let (level, reason) = unsent(100 * MILLISECOND, 5);
    assert_eq!(level, Level::Suspect);
    assert!(reason.contains("every connection was busy"), "{reason}");
}

#[test]
fn a_generator_without_time_to_spare_is_invalid_and_says_where() {
    let judged = |share| {
        let generator = GeneratorSummary::example_of(share, Machine::default());
        verdict(&evidence(&generator, &[]))
    };
    assert_eq!(judged(0.89).0, Level::Valid);
    let (level, reason) = judged(0.91);
    assert_eq!(level, Level::Invalid);
    assert!(
        reason.starts_with("pooler at 2000/s: a worker of the generator worked 91 %"),
        "{reason}"
    );
}

#[test]
fn a_machine_that_steals_and_sleeps_is_told_with_every_experiment() {
    let generator = GeneratorSummary::example_of(0.1, Machine::loud());
    let (level, reasons) = verdict(&evidence(&generator, &[]));
    assert_eq!(level, Level::Invalid);
    for words in ["(steal)", "slower at the end", "for a core that others had", "slept for 2.00 s"]
    {
        assert!(reasons.contains(words), "{words}: {reasons}");
    }
}

#[test]
fn an_open_loop_offers_what_it_was_asked_for() {
    let (generator, arms) = (GeneratorSummary::example(), [arm(0, |_| {})]);
    let asked = |rate| {
        let offered = vec![Some(Offered::new(rate, Gaps::Uniform, SECOND))];
        verdict(&Evidence { offered, ..evidence(&generator, &arms) })
    };
    assert_eq!(asked(1000.0).0, Level::Valid);
    let (level, reason) = asked(2000.0);
    assert_eq!(level, Level::Invalid);
    assert!(reason.contains("1000 requests came due where 2000 were asked for"), "{reason}");
}

#[test]
fn a_pool_that_is_tried_in_all_sizes_may_be_as_large_as_its_clients_are_many() {
    let pools = Pools {
        cl_active: Some(10),
        cl_waiting: Some(0),
        sv_active: Some(0),
        sv_idle: Some(10),
        ..Pools::default()
    };
    let sample = PoolerSample { pools: Some(pools), ..PoolerSample::default() };
    let mut observed = Observed::new("pooler", Subject::Pooler);
    observed.looks = vec![Look { at_ns: 0, reading: Reading::Pooler(sample) }];
    let observations = Observations { sources: vec![observed], ..Observations::default() };
    let mut pooled = arm(0, |_| {});
    (pooled.pooler, pooled.connections) = (Some("pooler".into()), (10, 10));
    let (generator, arms) = (GeneratorSummary::example(), [pooled]);
    let level = |purpose| {
        let observations = vec![&observations];
        verdict(&Evidence { observations, purpose, ..evidence(&generator, &arms) }).0
    };
    assert_eq!(level(Purpose::Load), Level::Suspect);
    assert_eq!(level(Purpose::PoolSizes), Level::Valid);
    assert_eq!(level(Purpose::Connecting), Level::Valid);
}

#[test]
fn how_long_a_cancelled_request_takes_was_asked_for() {
    // Each is answered 40 ms after it was sent.
    let cancelled = || {
        arm(0, |stream| {
            stream.recording = Recording::new(1);
            for _ in 0..100 {
                let times = (0, 0, 40 * MILLISECOND);
                stream.recording.record(0, Outcome::Ok, &Failure::default(), times);
            }
        })
    };
    assert!(arm_verdict(cancelled()).1.contains("delayed ACK"));
    let (generator, arms) = (GeneratorSummary::example(), [cancelled()]);
    let judged = Evidence { purpose: Purpose::Cancelling, ..evidence(&generator, &arms) };
    assert_eq!(verdict(&judged), (Level::Valid, String::new()));
}

#[test]
fn what_an_overload_was_to_show_is_no_fault_and_a_wrong_reply_is() {
    let mut failure = Failure::default();
    failure.set(Code::None, b"asked for 42, got 43");
    let overloaded = |wrong: bool| {
        let mut arm = arm(20 * MILLISECOND, |stream| {
            (stream.late, stream.dropped) = (800, 200);
            if wrong {
                let outcome = Outcome::Failed(Class::WrongReply);
                stream.recording.record(0, outcome, &failure, (0, 0, 1));
            }
        });
        arm.kind.name = "pooler at 500".into();
        [arm]
    };
    let generator = GeneratorSummary::example();
    let judged =
        |arms: &[Arm], purpose| verdict(&Evidence { purpose, ..evidence(&generator, arms) }).0;
    assert_eq!(judged(&overloaded(false), Purpose::PoolSizes), Level::Invalid);
    assert_eq!(judged(&overloaded(false), Purpose::Overload), Level::Valid);
    assert_eq!(judged(&overloaded(true), Purpose::Overload), Level::Invalid);
}

#[test]
fn parts_of_an_experiment_are_counted_and_the_first_is_told() {
    let part = |level, reason: &str| {
        let mut part = Validity::default();
        part.add(level, reason.into());
        part
    };
    let parts = [
        Validity::default(),
        part(Level::Suspect, "the machine was busy"),
        part(Level::Invalid, "the machine slept"),
        part(Level::Suspect, "it still was"),
    ];
    let mut validity = Validity::default();
    validity.merge_parts(parts.iter(), "cells");
    assert_eq!(validity.valid, Level::Invalid);
    assert_eq!(
        validity.reasons,
        ["in 1 cells, first: the machine slept", "in 2 cells, first: the machine was busy"]
    );
    let mut whole = part(Level::Suspect, "one");
    whole.merge(part(Level::Invalid, "two"));
    whole.merge(Validity::default());
    assert_eq!((whole.valid, whole.reasons.len()), (Level::Invalid, 2));
}

#[test]
fn the_worst_reason_decides_and_each_is_told_once() {
    let mut validity = Validity::default();
    assert_eq!(validity.valid, Level::Valid);
    validity.invalid("a".into());
    validity.suspect("b".into());
    validity.suspect("b".into());
    assert_eq!((validity.valid, validity.reasons.len()), (Level::Invalid, 2));
}
