//! What each executor sends when.

use engine::{Arrivals, Gaps, Load, Nanos};

use crate::rig::{MS, S, Sent, constant_rate, ramping_rate, ramping_vus, run, stream};

/// User `vu` of `vus` does its iteration number `iteration` at each of `at`.
fn user(vu: u64, vus: u64, first: u64, at: impl IntoIterator<Item = Nanos>) -> Vec<(u64, Nanos)> {
    (first..).zip(at).map(|(iteration, at)| (iteration * vus + vu, at)).collect()
}

/// A load, the peer's latency and the think time in ns, and what is to be sent when.
type Row = (&'static str, Load, (Nanos, Nanos), Vec<(u64, Nanos)>);

/// Each executor.
fn table() -> Vec<Row> {
    vec![
        (
            "constant-vus: all start at once; each takes 250 ms a turn",
            Load::ConstantVus { vus: 5, duration_ns: S },
            (100 * MS, 150 * MS),
            (0..5).flat_map(|vu| user(vu, 5, 0, (0..4).map(|n| n * 250 * MS))).collect(),
        ),
        (
            "constant-vus with fewer users than workers",
            Load::ConstantVus { vus: 1, duration_ns: S },
            (400 * MS, 0),
            user(0, 1, 0, [0, 400 * MS, 800 * MS]),
        ),
        (
            "ramping-vus up, level and down: user k starts at k s, and goes when the line is at k - 1",
            ramping_vus(0, &[(4 * S, 4.0), (2 * S, 4.0), (3 * S, 1.0)], 0),
            (100 * MS, 900 * MS),
            [
                user(0, 4, 0, (1..=8).map(|n| n * S)),
                user(1, 4, 0, (2..=8).map(|n| n * S)),
                user(2, 4, 0, (3..=7).map(|n| n * S)),
                user(3, 4, 0, (4..=6).map(|n| n * S)),
            ]
            .concat(),
        ),
        (
            "ramping-vus in jumps: users that come again go on with their next iteration",
            ramping_vus(1, &[(0, 3.0), (S, 3.0), (0, 1.0), (S, 1.0), (0, 3.0), (S, 3.0)], 500 * MS),
            (100 * MS, 400 * MS),
            [
                user(0, 3, 0, (0..6).map(|n| n * 500 * MS)),
                user(1, 3, 0, [0, 500 * MS, 2 * S, 2500 * MS]),
                user(2, 3, 0, [0, 500 * MS, 2 * S, 2500 * MS]),
            ]
            .concat(),
        ),
        (
            "per-vu-iterations",
            Load::PerVuIterations { vus: 4, iterations: 3, max_duration_ns: 60 * S },
            (100 * MS, 20 * MS),
            (0..4).flat_map(|vu| user(vu, 4, 0, [0, 120 * MS, 240 * MS])).collect(),
        ),
        (
            "per-vu-iterations up to maxDuration",
            Load::PerVuIterations { vus: 2, iterations: 100, max_duration_ns: S },
            (400 * MS, 0),
            (0..2).flat_map(|vu| user(vu, 2, 0, [0, 400 * MS, 800 * MS])).collect(),
        ),
        (
            "shared-iterations: ten for three users",
            Load::SharedIterations { vus: 3, iterations: 10, max_duration_ns: 60 * S },
            (100 * MS, 0),
            (0..10).map(|n| (n, n / 3 * 100 * MS)).collect(),
        ),
        (
            "shared-iterations, fewer than users",
            Load::SharedIterations { vus: 5, iterations: 2, max_duration_ns: 60 * S },
            (100 * MS, 0),
            vec![(0, 0), (1, 0)],
        ),
        (
            "constant-arrival-rate: n at n / rate",
            constant_rate(400.0, 5 * S, (30, 30)),
            (20 * MS, 0),
            (0..2000).map(|n| (n, n * 2500 * 1000)).collect(),
        ),
        (
            "ramping-arrival-rate from nothing: n at sqrt(2 n / slope), 5000 of them",
            ramping_rate(0.0, &[(10 * S, 1000.0)], Gaps::Uniform),
            (MS, 0),
            (0..5000).map(|n| (n, ((n as f64 / 50.0).sqrt() * 1e9).round() as Nanos)).collect(),
        ),
        (
            "ramping-arrival-rate: level, jump, level, down to nothing, pause, and again",
            ramping_rate(
                10.0,
                &[
                    (S, 10.0),
                    (0, 100.0),
                    (S, 100.0),
                    (2 * S, 0.0),
                    (3 * S, 0.0),
                    (0, 1.0),
                    (S, 1.0),
                ],
                Gaps::Uniform,
            ),
            (MS, 0),
            [
                (0..10).map(|n| (n, n * 100 * MS)).collect::<Vec<_>>(),
                (0..100).map(|n| (10 + n, S + n * 10 * MS)).collect(),
                // 100 t - 25 t^2 = n.
                (0..100)
                    .map(|n| {
                        let seconds = 2.0 - (4.0 - n as f64 / 25.0).sqrt();
                        (110 + n, 2 * S + (seconds * 1e9).round() as Nanos)
                    })
                    .collect(),
                vec![(210, 7 * S)],
            ]
            .concat(),
        ),
    ]
}

#[test]
fn every_executor_sends_exactly_what_it_should_when_it_should_on_any_number_of_workers() {
    for (name, load, (latency, think), expected) in table() {
        for workers in 1..=3 {
            let result = run(workers, stream(load.clone(), (think, think)), latency);
            let (sent, report) = (&result.sent[0], &result.reports[0]);
            let numbers = |pairs: &[(u64, Nanos)]| {
                let mut numbers: Vec<_> = pairs.iter().map(|(number, _)| *number).collect();
                numbers.sort_unstable();
                numbers
            };
            let got: Vec<_> = sent.iter().map(|(number, at)| (*number, *at)).collect();
            assert_eq!(numbers(&got), numbers(&expected), "{name}, {workers} workers");
            for (number, at) in &expected {
                let got = sent[number];
                // A nanosecond for the rounding of square roots.
                assert!(got.abs_diff(*at) <= 1, "{name}, {workers} workers: {number} at {got}");
            }
            let count = expected.len() as u64;
            assert_eq!((report.planned, report.sent, report.iterations), (count, count, count));
            assert_eq!((report.late, report.dropped, report.interrupted), (0, 0, 0), "{name}");
            assert_eq!(report.vus.max, load.vus_max(), "{name}");
            assert_eq!((report.data_sent, report.data_received), result.bytes, "{name}");
        }
    }
}

#[test]
fn poisson_arrivals_over_ramps_are_the_same_on_any_number_of_workers() {
    let load = ramping_rate(100.0, &[(3 * S, 1000.0), (0, 50.0), (S, 0.0)], Gaps::Poisson);
    let due: Sent = Arrivals::new(&load, 1, 0, (0, 1))
        .unwrap()
        .map(|arrival| (arrival.number, arrival.intended))
        .collect();
    assert!(due.len().abs_diff(1675) < 205, "five standard deviations: {}", due.len());
    for workers in 1..=3 {
        assert_eq!(run(workers, stream(load.clone(), (0, 0)), MS).sent[0], due);
    }
}

#[test]
fn think_times_lie_between_their_bounds_and_do_not_depend_on_the_workers() {
    let load = Load::ConstantVus { vus: 7, duration_ns: 10 * S };
    let think = (100 * MS, 300 * MS);
    let one = run(1, stream(load.clone(), think), MS).sent.remove(0);
    let mut gaps = Vec::new();
    for (number, at) in &one {
        gaps.extend(one.get(&(number + 7)).map(|next| next - at - MS));
    }
    assert!(gaps.iter().all(|gap| (think.0..=think.1).contains(gap)));
    let mean = gaps.iter().sum::<u64>() / gaps.len() as u64;
    assert!(mean.abs_diff(200 * MS) < 16 * MS, "five standard errors: {mean}");
    for workers in 2..=3 {
        assert_eq!(run(workers, stream(load.clone(), think), MS).sent[0], one);
    }
}
