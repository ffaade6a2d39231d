//! What comes from the server.

use wire::Class;

use crate::peer::{Act, reply, serve};
use crate::rig::{Case, On, assert_all_ok, failures, open_loop, run_at, target};

pub(crate) fn a_reply_is_matched_to_its_request(on: On) {
    let case = Case::new(4, open_loop(200), |_, id| vec![Act::Write(reply(id))]);
    let report = case.run(on).streams.remove(0);
    assert_all_ok(&report, 200);
    assert_eq!((report.planned, report.sent, report.reopened), (200, 200, 0));
}

pub(crate) fn replies_that_come_byte_by_byte_are_whole(on: On) {
    let case = Case::new(4, open_loop(100), |_, id| vec![Act::Trickle(reply(id))]);
    assert_all_ok(&case.run(on).streams[0], 100);
}

pub(crate) fn a_reply_with_another_requests_id_is_a_wrong_reply(on: On) {
    let case = Case::new(1, open_loop(20), |number, id| {
        vec![Act::Write(reply(if number == 5 { "999" } else { id }))]
    });
    let report = case.run(on).streams.remove(0);
    let whole = report.recording.whole();
    let (class, count, failure) = whole.failures().next().expect("one");
    assert_eq!((class, count), (Class::WrongReply, 1));
    assert!(failure.unwrap().message.contains("got 999"), "{failure:?}");
}

pub(crate) fn more_bytes_at_once_than_there_are_buffers_all_arrive(on: On) {
    // 64 connections of 1 MiB each are eight times what uring's buffer ring holds.
    let address = serve(|_, id| {
        let filler = "x".repeat(1024 * 1024);
        let body = format!("{{\"data\":{{\"user\":{{\"id\":{id},\"bio\":\"{filler}\"}}}}}}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        vec![Act::Write(head.into_bytes()), Act::Write(body.into_bytes())]
    });
    assert_all_ok(&run_at(on.kind(), target(address, 64, 10), open_loop(128)), 128);
}

pub(crate) fn a_head_without_end_is_refused_at_its_limit(on: On) {
    // Two requests a connection would never be answered; the limit is 64 KiB.
    let case = Case::new(2, open_loop(10), |_, _| {
        let head = format!("HTTP/1.1 200 OK\r\n{}", "X-Filler: 0123456789\r\n".repeat(10_000));
        vec![Act::Write(head.into_bytes())]
    });
    let report = case.run(on).streams.remove(0);
    assert_eq!(failures(&report), [(Class::TooLarge, 10)]);
    assert_eq!(report.reopened, 10);
}
