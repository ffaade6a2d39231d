//! Each second's own report.

use std::sync::Arc;

use engine::driver::sim::Sim;
use engine::{Ending, Nanos, Recording, Stream, StreamReport, Worker};
use proptest::prelude::*;

use crate::rig::{Instants, MS, S, START, constant_rate, phase, ramping_vus, stream, target};

/// Compares everything but the users' numbers.
fn assert_same(left: &StreamReport, right: &StreamReport) {
    let counts = |report: &StreamReport| {
        [
            report.planned,
            report.sent,
            report.iterations,
            report.late,
            report.dropped,
            report.interrupted,
            report.reopened,
            report.data_sent,
            report.data_received,
            u64::from(report.vus.max),
            u64::from(report.vus.current),
        ]
    };
    assert_eq!(counts(left), counts(right));
    let (left, right) = (left.recording.whole(), right.recording.whole());
    assert_eq!(left.response, right.response);
    assert_eq!(left.service, right.service);
    assert_eq!(left.lateness, right.lateness);
    assert_eq!(left.failed, right.failed);
}

/// Runs a phase with intervals of `interval_ns`; `gives_back` says after which of them an empty
/// report comes back.
fn run_in_intervals(
    stream: &Stream,
    interval_ns: Nanos,
    gives_back: impl Fn(u64) -> bool,
) -> Vec<engine::Piece> {
    let mut phase = phase(vec![stream.clone()]);
    phase.interval_ns = Some(interval_ns);
    let targets = Arc::new([target(stream.load.pre_allocated_vus(), stream.load.vus_max())]);
    let mut worker = Worker::new(0, 1, targets);
    let mut sim = Sim::new(&worker, Instants { latency: &|_, _| 30 * MS, instants: vec![] });
    sim.open(&mut worker);
    worker.begin(&phase, START);
    let mut pieces = Vec::new();
    for number in 1.. {
        let boundary = START + number * interval_ns;
        sim.run(&mut worker, |worker, now| worker.is_drained(now) || now >= boundary);
        pieces.extend(std::iter::from_fn(|| worker.take_interval()));
        if worker.wants_back() && gives_back(number) {
            worker.give_back(vec![StreamReport::new(Recording::new(1))]);
        }
        if worker.is_drained(sim.now()) {
            break;
        }
    }
    let (_, rest) = worker.finish(Ending::Complete, sim.now(), &mut sim).unwrap();
    pieces.push(rest);
    pieces
}

#[test]
fn every_second_has_its_own_requests_and_users() {
    let load = ramping_vus(0, &[(4 * S, 4.0), (2 * S, 0.0)], 0);
    let pieces = run_in_intervals(&stream(load, (70 * MS, 70 * MS)), S, |_| true);
    let shape: Vec<_> = pieces
        .iter()
        .map(|piece| {
            let report = &piece.streams[0];
            (piece.first, piece.end, report.vus.current, report.vus.max)
        })
        .collect();
    assert_eq!(
        shape,
        [
            (0, 1, 0, 0),
            (1, 2, 1, 1),
            (2, 3, 2, 2),
            (3, 4, 3, 3),
            (4, 5, 3, 4),
            (5, 6, 1, 3),
            (6, 7, 0, 1)
        ]
    );
    let begun: Vec<_> = pieces.iter().map(|piece| piece.streams[0].planned).collect();
    assert_eq!(begun, [0, 10, 20, 30, 35, 15, 0], "ten a second each");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_intervals_of_a_phase_are_the_whole_of_it(
        rate in 1.0_f64..500.0,
        max_vus in 2_u32..30,
        interval_ms in 20_u64..700,
        returns: u64,
    ) {
        let stream = stream(constant_rate(rate, 2 * S, (2, max_vus)), (0, 0));
        let interval_ns = interval_ms * MS;
        // Where reports do not come back in time, intervals become longer and nothing is lost.
        let pieces = run_in_intervals(&stream, interval_ns, |number| returns >> (number % 64) & 1 == 1);
        let mut next = 0;
        for piece in &pieces {
            prop_assert_eq!(piece.first, next);
            prop_assert!(piece.end > piece.first);
            next = piece.end;
        }
        let mut sum = pieces[0].streams[0].clone();
        pieces[1..].iter().for_each(|piece| sum.append(&piece.streams[0]));
        let whole = run_in_intervals(&stream, 60 * S, |_| false);
        prop_assert_eq!(whole.len(), 1);
        assert_same(&sum, &whole[0].streams[0]);
    }
}
