//! What goes to the server.

use std::ops::ControlFlow;

use engine::{Gaps, SECOND};
use wire::http::Request;
use wire::{Operation, Piece, Template};

use crate::peer::{Act, reply, serve, serve_unix};
use crate::rig::{On, assert_all_ok, fleet, open_loop, rate, run_at, target};
use engine::null_server::{self, NullServer, Speaks, phase, stream};

pub(crate) fn requests_larger_than_the_socket_buffer_go_out_whole(on: On) {
    let address = serve(|_, id| vec![Act::Write(reply(id))]);
    let target = target(address, 2, 3 * 1024 * 1024);
    assert_all_ok(&run_at(on.kind(), target, open_loop(6)), 6);
}

pub(crate) fn requests_of_every_size_around_the_small_send_limit_go_out_whole(on: On) {
    for padding in [1700, 1850, 1900, 2000, 2048, 4096] {
        let address = serve(|_, id| vec![Act::Write(reply(id))]);
        assert_all_ok(&run_at(on.kind(), target(address, 3, padding), open_loop(30)), 30);
    }
}

pub(crate) fn a_unix_socket_is_as_good(on: On) {
    let name = format!("poolbench-{:?}-{}", on.kind(), std::process::id());
    let path = std::env::temp_dir().join(name);
    let address = serve_unix(&path, |_, id| vec![Act::Write(reply(id))]);
    let report = run_at(on.kind(), target(address, 4, 10), open_loop(100));
    std::fs::remove_file(&path).unwrap();
    assert_all_ok(&report, 100);
}

pub(crate) fn a_login_and_prepared_statements_go_through(on: On) {
    let server = NullServer::start(Speaks::Postgres, None).unwrap();
    let target = null_server::target(server.address(), Speaks::Postgres, 8);
    let report = run_at(on.kind(), target, open_loop(200));
    assert_all_ok(&report, 200);
}

pub(crate) fn operations_are_exchanged_while_a_phase_runs_and_no_request_is_lost(on: On) {
    let address = serve(|_, id| vec![Act::Write(reply(id))]);
    let (mut fleet, _) = fleet(on.kind(), target(address, 4, 1000), 0);
    fleet.open().unwrap();
    let body = Template::new(vec![Piece::Bytes(br#"{"id":0}"#.as_slice().into())]);
    let request = wire::Request::Http(Request::new("/graphql", "peer", body).unwrap());
    let operations =
        [Operation { name: "user".into(), idempotent: true, request, checks: Vec::new() }].into();
    let exchange = fleet.exchange();
    let mut phase = phase(stream(rate(1000.0, Gaps::Uniform, SECOND / 2)));
    phase.interval_ns = Some(SECOND / 20);
    let mut before = None;
    let told = |interval: &engine::Interval| {
        let stream = &interval.streams[0];
        if stream.sent > 0 {
            before.get_or_insert((stream.sent, stream.data_sent));
            exchange.replace_operations(0, &operations);
        }
        ControlFlow::Continue(())
    };
    let report = fleet.run(&phase, told).unwrap().streams.remove(0);
    assert_all_ok(&report, 500);
    // More than 1000 bytes each before, fewer than 200 afterwards.
    let (sent, bytes) = before.expect("an interval with requests");
    assert!(bytes > sent * 1000, "{bytes} for {sent}");
    assert!(report.data_sent < 500 * 1000, "{}", report.data_sent);
}
