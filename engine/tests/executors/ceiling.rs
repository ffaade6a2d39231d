//! Arrivals that find every user busy.

use engine::Nanos;

use crate::rig::{MS, S, Sent, constant_rate, phase, run, run_on, stream};

#[test]
fn at_the_ceiling_of_users_a_fifth_of_the_arrivals_is_dropped_and_counted() {
    // Eight users do 800 a second at 10 ms each.
    let stream = stream(constant_rate(1000.0, 10 * S, (8, 8)), (0, 0));
    for workers in [1, 2] {
        let mut phase = phase(vec![stream.clone()]);
        phase.waiting_max = 0;
        let result = run_on(workers, &phase, 1000, &|_, _| 10 * MS);
        let report = &result.reports[0];
        assert_eq!((report.planned, report.dropped, report.late), (10_000, 2000, 2000));
        assert_eq!((report.iterations, report.vus.max), (8000, 8));
        let whole = report.recording.whole();
        assert_eq!((whole.response.len(), whole.lateness.max()), (8000, 0));
    }
    // Where they may wait, k6 would have dropped them: here their wait counts.
    let result = run(1, stream, 10 * MS);
    let report = &result.reports[0];
    assert_eq!((report.dropped, report.iterations, report.vus.max), (0, 10_000, 8));
    assert!(report.recording.whole().response.max() > 2 * S, "the last waited for 2.5 s");
}

#[test]
fn connections_are_opened_up_to_the_ceiling_when_all_are_busy() {
    // Twenty a second at 475 ms each keep nine or ten users busy; two are there at the start.
    let load = |max_vus| stream(constant_rate(20.0, 5 * S, (2, max_vus)), (0, 0));
    let open = phase(vec![load(50)]);
    let result = run_on(1, &open, 1000, &|_, _| 475 * MS);
    let report = &result.reports[0];
    assert_eq!((report.iterations, report.dropped), (100, 0));
    assert_eq!((result.connects, report.vus.max, report.late), (10, 10, 8));
    assert_eq!(report.recording.whole().lateness.max(), 1023, "the time that a connection takes");

    let capped = run_on(1, &phase(vec![load(4)]), 1000, &|_, _| 475 * MS);
    assert_eq!((capped.connects, capped.reports[0].vus.max), (4, 4));

    // k6's way: what finds no user is dropped, and one is added for the next.
    let mut dropping = phase(vec![load(50)]);
    dropping.waiting_max = 0;
    let result = run_on(1, &dropping, 1000, &|_, _| 475 * MS);
    assert_eq!((result.connects, result.reports[0].dropped), (10, 8));
}

#[test]
fn an_arrival_does_not_wait_for_an_opening_where_another_connection_is_free_earlier() {
    let stream = stream(constant_rate(100.0, 20 * MS, (1, 2)), (0, 0));
    let result = run_on(1, &phase(vec![stream]), S, &|_, _| 15 * MS);
    assert_eq!(result.sent[0], Sent::from([(0, 0), (1, 15 * MS)]));
    assert_eq!(result.reports[0].late, 1);
}

#[test]
fn a_frozen_server_makes_late_arrivals_in_the_response_series_and_not_in_the_service_series() {
    let latency = |_, now: Nanos| if now < 3 * S { MS } else { (8 * S).saturating_sub(now) + MS };
    for workers in 1..=3 {
        let stream = stream(constant_rate(1000.0, 20 * S, (12, 12)), (0, 0));
        let result = run_on(workers, &phase(vec![stream]), 1000, &latency);
        let report = &result.reports[0];
        let whole = report.recording.whole();
        assert_eq!((whole.response.len(), report.dropped), (20_000, 0));
        let late = whole.response.count_between(2 * MS, u64::MAX);
        // Those due in the freeze, and those due while the queue was worked off.
        assert!((5000..5600).contains(&late), "{late} late arrivals");
        assert!(report.late.abs_diff(late) < 50, "{} had to wait", report.late);
        let slow = whole.service.count_between(2 * MS, u64::MAX);
        assert_eq!(slow, 12, "only those in flight were slow as the server sees it");
    }
}
