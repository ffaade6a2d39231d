//! What happens at a time. Counts only, and no more of the clock than that nothing is early.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use engine::driver::DriverKind;
use engine::{Gaps, MILLISECOND, SECOND, Stream};
use wire::Class;

use crate::peer::{Act, reply, serve};
use crate::rig::{
    Case, On, assert_all_ok, closed_loop, failures, fleet, open_loop, rate, run, target,
};
use engine::null_server::{phase, stream};

pub(crate) fn open_loops_send_all_that_is_due_and_nothing_before(on: On) {
    let load = stream(rate(1000.0, Gaps::Poisson, SECOND / 4));
    let mut case = Case::new(16, load, |_, id| vec![Act::Write(reply(id))]);
    case.stream.seed = 7;
    let phase = case.run(on);
    let report = &phase.streams[0];
    assert_all_ok(report, report.planned);
    assert!(report.planned > 150, "{}", report.planned);
    assert_eq!((report.dropped, report.unserved), (0, 0));
    // The last arrival is at most some gaps before the end, so the phase cannot end much earlier.
    assert!(phase.end - phase.start > SECOND / 5);
}

pub(crate) fn a_spin_changes_nothing_but_punctuality(on: On) {
    let mut case = Case::new(4, open_loop(200), |_, id| vec![Act::Write(reply(id))]);
    case.spin_ns = 50_000;
    let report = case.run(on);
    assert_all_ok(&report.streams[0], 200);
    // The arrivals are 1 ms apart, from the start on.
    assert!(report.end - report.start >= 199 * MILLISECOND);
}

pub(crate) fn what_is_sent_while_it_spins_is_work(on: On) {
    let busy_ns = |spin_ns| {
        let load = closed_loop(8, SECOND / 10);
        let mut case = Case::new(8, load, |_, id| vec![Act::Write(reply(id))]);
        case.spin_ns = spin_ns;
        let report = case.run(on);
        report.workers[0].busy_ns as f64 / report.completed() as f64
    };
    if on.kind() == DriverKind::TokioUring {
        // What its tasks begin while it looks is submitted once it waits, and so it never does.
        return;
    }
    // With so long a spin it never sleeps.
    let (sleeping, spinning) = (busy_ns(0), busy_ns(SECOND));
    assert!(spinning > sleeping / 4.0, "{spinning} ns a request, and {sleeping} without a spin");
}

pub(crate) fn requests_without_a_reply_are_given_up_in_time(on: On) {
    let mut case = Case::new(4, closed_loop(4, 10 * MILLISECOND), |_, _| Vec::new());
    case.timeout_ns = 100 * MILLISECOND;
    let report = case.run(on);
    assert_eq!(failures(&report.streams[0]), [(Class::Timeout, 4)]);
    assert_eq!(report.streams[0].reopened, 4);
    assert!(report.end - report.start >= 100 * MILLISECOND);
}

pub(crate) fn think_times_are_kept(on: On) {
    let think = 20 * MILLISECOND;
    let load = Stream { think_time_ns: (think, think), ..closed_loop(8, SECOND / 5) };
    let case = Case::new(8, load, |_, id| vec![Act::Write(reply(id))]);
    let report = case.run(on).streams.remove(0);
    // 200 ms hold at most ten pauses of 20 ms, and one iteration begins before the first.
    assert!((8..=80).contains(&report.planned), "{}", report.planned);
    assert_all_ok(&report, report.planned);
}

pub(crate) fn the_stop_flag_ends_a_phase_whose_server_never_answers(on: On) {
    let address = serve(|_, _| Vec::new());
    let (mut fleet, stop) = fleet(on.kind(), target(address, 2, 10), 0);
    fleet.open().unwrap();
    let raiser = std::thread::spawn(move || stop.store(true, Ordering::Relaxed));
    let report = run(&mut fleet, closed_loop(2, 600 * SECOND));
    raiser.join().unwrap();
    assert!(report.is_interrupted);
    let report = &report.streams[0];
    assert_eq!((report.recording.completed(), report.planned), (0, report.interrupted));
}

pub(crate) fn intervals_are_told_while_the_phase_runs_and_are_the_whole_of_it(on: On) {
    let address = serve(|_, id| vec![Act::Write(reply(id))]);
    let (mut fleet, _) = fleet(on.kind(), target(address, 8, 10), 0);
    fleet.open().unwrap();
    let mut phase = phase(stream(rate(1000.0, Gaps::Uniform, 500 * MILLISECOND)));
    phase.interval_ns = Some(100 * MILLISECOND);
    let mut intervals = Vec::new();
    let report = fleet.run(&phase, |interval| {
        intervals.push(interval.clone());
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert!(!report.is_aborted);
    let busy_ns: u64 = intervals.iter().map(|interval| interval.workers[0].busy_ns).sum();
    assert_eq!(report.workers[0].busy_ns, busy_ns);
    assert!(busy_ns > 0 && busy_ns <= report.cpu_ns + MILLISECOND, "{busy_ns}");
    assert_ne!(report.workers[0].thread, 0);
    let report = &report.streams[0];
    assert_all_ok(report, 500);
    assert!(intervals.len() >= 2, "{}", intervals.len());
    assert!(intervals.is_sorted_by(|a, b| a.end_ns == b.start_ns));
    let mut sum = intervals[0].streams[0].clone();
    intervals[1..].iter().for_each(|interval| sum.append(&interval.streams[0]));
    assert_eq!(sum.recording.whole().response, report.recording.whole().response);
    assert_eq!((sum.data_sent, sum.data_received), (report.data_sent, report.data_received));
}

pub(crate) fn whoever_is_told_of_an_interval_may_end_the_phase(on: On) {
    let address = serve(|_, id| vec![Act::Write(reply(id))]);
    let (mut fleet, _) = fleet(on.kind(), target(address, 2, 10), 0);
    fleet.open().unwrap();
    let mut endless = phase(closed_loop(2, 600 * SECOND));
    endless.interval_ns = Some(50 * MILLISECOND);
    let report = fleet.run(&endless, |_| ControlFlow::Break(())).unwrap();
    assert!(report.is_aborted && !report.is_interrupted);
    let aborted = &report.streams[0];
    assert_eq!(aborted.planned, aborted.iterations + aborted.interrupted + aborted.unserved);
    assert!(aborted.iterations > 0);

    let after = run(&mut fleet, stream(rate(500.0, Gaps::Uniform, 200 * MILLISECOND)));
    assert!(!after.is_aborted, "the next phase is whole");
    assert_all_ok(&after.streams[0], 100);
}
