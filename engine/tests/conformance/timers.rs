//! What happens at a time. Counts only, and no more of the clock than that nothing is early.

use std::sync::atomic::Ordering;

use engine::{Gaps, Load, MILLISECOND, SECOND};
use wire::Class;

use crate::peer::{Act, reply, serve};
use crate::rig::{Case, On, assert_all_ok, failures, fleet, open_loop, phase, target};

pub(crate) fn open_loops_send_all_that_is_due_and_nothing_before(on: On) {
    let load = Load::ConstantArrivalRate { rate: 1000.0, gaps: Gaps::Poisson };
    let mut case = Case::new(16, phase(load, SECOND / 4), |_, id| vec![Act::Write(reply(id))]);
    case.phase.seed = 7;
    let report = case.run(on);
    assert_all_ok(&report, report.planned);
    assert!(report.planned > 150, "{}", report.planned);
    assert_eq!((report.dropped, report.unserved), (0, 0));
    // The last arrival is at most some gaps before the end, so the phase cannot end much earlier.
    assert!(report.end - report.start > SECOND / 5);
}

pub(crate) fn a_spin_changes_nothing_but_punctuality(on: On) {
    let mut case = Case::new(4, open_loop(200), |_, id| vec![Act::Write(reply(id))]);
    case.spin_ns = 50_000;
    let report = case.run(on);
    assert_all_ok(&report, 200);
    // The arrivals are 1 ms apart, from the start on.
    assert!(report.end - report.start >= 199 * MILLISECOND);
}

pub(crate) fn requests_without_a_reply_are_given_up_in_time(on: On) {
    let load = Load::ConstantVus { vus: 4, think_time_ns: (0, 0) };
    let mut case = Case::new(4, phase(load, 10 * MILLISECOND), |_, _| Vec::new());
    case.timeout_ns = 100 * MILLISECOND;
    let report = case.run(on);
    assert_eq!(failures(&report), [(Class::Timeout, 4)]);
    assert_eq!(report.reopened, 4);
    assert!(report.end - report.start >= 100 * MILLISECOND);
}

pub(crate) fn think_times_are_kept(on: On) {
    let think = 20 * MILLISECOND;
    let load = Load::ConstantVus { vus: 8, think_time_ns: (think, think) };
    let case = Case::new(8, phase(load, SECOND / 5), |_, id| vec![Act::Write(reply(id))]);
    let report = case.run(on);
    // 200 ms hold at most ten pauses of 20 ms, and one iteration begins before the first.
    assert!((8..=80).contains(&report.planned), "{}", report.planned);
    assert_all_ok(&report, report.planned);
}

pub(crate) fn the_stop_flag_ends_a_phase_whose_server_never_answers(on: On) {
    let address = serve(|_, _| Vec::new());
    let (mut fleet, stop) = fleet(on.kind(), target(address, 2, 10), 0);
    fleet.open().unwrap();
    let raiser = std::thread::spawn(move || stop.store(true, Ordering::Relaxed));
    let load = Load::ConstantVus { vus: 2, think_time_ns: (0, 0) };
    let report = fleet.run(&phase(load, 600 * SECOND)).unwrap();
    raiser.join().unwrap();
    assert!(report.is_interrupted);
    assert_eq!(report.recording.completed(), 0);
}
