//! How users go, and how a load ends.

use engine::{Load, Stream};

use crate::rig::{S, constant_rate, ramping_vus, run, stream};

#[test]
fn a_user_that_is_to_go_may_finish_its_iteration_and_is_interrupted_after_its_time() {
    // Two users, one of which is to go at 1 s, in the middle of an iteration of 4 s.
    let load = |graceful_ramp_down_ns| {
        ramping_vus(2, &[(S, 2.0), (0, 1.0), (9 * S, 1.0)], graceful_ramp_down_ns)
    };
    let kind = run(1, stream(load(3 * S), (0, 0)), 4 * S);
    let report = &kind.reports[0];
    assert_eq!((report.interrupted, report.iterations, report.reopened), (0, 4, 0));
    assert_eq!(kind.sent[0].keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4]);

    let unkind = run(1, stream(load(2 * S), (0, 0)), 4 * S);
    let report = &unkind.reports[0];
    assert_eq!((report.interrupted, report.iterations, report.reopened), (1, 3, 1));
    assert_eq!(report.planned, report.iterations + report.interrupted);
}

#[test]
fn a_user_that_is_called_back_while_it_finishes_goes_on() {
    let load = ramping_vus(2, &[(S, 2.0), (0, 1.0), (S, 1.0), (0, 2.0), (8 * S, 2.0)], 2 * S);
    let result = run(1, stream(load, (0, 0)), 4 * S);
    let report = &result.reports[0];
    assert_eq!((report.interrupted, report.iterations), (0, 6));
    assert_eq!(result.sent[0][&3], 4 * S, "its second iteration follows its first");
}

#[test]
fn what_is_in_flight_at_the_end_has_the_graceful_stop_and_is_then_interrupted() {
    for (load, vus) in [
        (Load::ConstantVus { vus: 6, duration_ns: S }, 6),
        (constant_rate(6.0, S, (6, 6)), 6),
        (Load::SharedIterations { vus: 6, iterations: 50, max_duration_ns: S }, 6),
    ] {
        for workers in 1..=3 {
            let graceful_stop_ns = 2 * S;
            let stream = Stream { graceful_stop_ns, ..stream(load.clone(), (0, 0)) };
            let result = run(workers, stream, 10 * S);
            let report = &result.reports[0];
            assert_eq!((report.planned, report.interrupted, report.iterations), (vus, vus, 0));
            assert_eq!(report.reopened, vus, "what comes late is nobody's");
            assert_eq!(result.ended, 3 * S);
            assert_eq!(report.vus.current, 0);
        }
    }
}
