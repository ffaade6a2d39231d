//! When the kernel received a reply, as only the uring driver can know.

use engine::driver::{DriverKind, Options};
use engine::{Fleet, StreamReport, Target};

use crate::peer::{Act, reply, serve, serve_unix};
use crate::rig::{assert_all_ok, open_loop, run, target};

/// Runs until so many of the 200 replies of a run have a stamp: the kernel begins to stamp packets
/// a while after the first socket has asked for that (net_enable_timestamp, net/core/dev.c).
fn run_stamped(target: Target, stamps: u64) -> StreamReport {
    const RUNS_MAX: usize = 50;
    let cores = core_affinity::get_core_ids().unwrap();
    let options = Options { stamps: true, ..Options::new(DriverKind::Uring) };
    let mut fleet = Fleet::start(vec![target], &cores[..1], &options, Default::default());
    fleet.open().unwrap();
    let mut reports = (0..RUNS_MAX).map(|_| run(&mut fleet, open_loop(200)).streams.remove(0));
    let report = reports.find(|report| report.recording.whole().receive_delay.len() == stamps);
    let report = report.expect("a run with so many stamps");
    assert_all_ok(&report, 200);
    report
}

#[test]
fn every_reply_is_stamped_and_lay_no_longer_than_its_request_took() {
    let address = serve(|_, id| vec![Act::Write(reply(id))]);
    let report = run_stamped(target(address, 4, 10), 200);
    let whole = report.recording.whole();
    assert!(whole.receive_delay.max() <= whole.service.max(), "{:?}", whole.receive_delay.max());
    assert!(whole.receive_delay.mean() < whole.service.mean());
}

#[test]
fn replies_larger_than_a_buffer_arrive_whole_and_are_stamped_once() {
    let address = serve(|_, id| {
        let filler = "x".repeat(100 * 1024);
        let body = format!("{{\"data\":{{\"user\":{{\"id\":{id},\"bio\":\"{filler}\"}}}}}}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        vec![Act::Write(head.into_bytes())]
    });
    run_stamped(target(address, 4, 10), 200);
}

#[test]
fn a_unix_socket_has_no_stamps() {
    let path = std::env::temp_dir().join(format!("poolbench-stamps-{}", std::process::id()));
    let address = serve_unix(&path, |_, id| vec![Act::Write(reply(id))]);
    run_stamped(target(address, 4, 10), 0);
    std::fs::remove_file(&path).unwrap();
}
