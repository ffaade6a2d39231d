//! What goes to the server.

use crate::null_server::{NullServer, Speaks};
use crate::peer::{Act, reply, serve, serve_unix};
use crate::rig::{On, assert_all_ok, open_loop, postgres_target, run_at, target};

pub(crate) fn requests_larger_than_the_socket_buffer_go_out_whole(on: On) {
    let address = serve(|_, id| vec![Act::Write(reply(id))]);
    let target = target(address, 2, 3 * 1024 * 1024);
    assert_all_ok(&run_at(on.kind(), target, &open_loop(6)), 6);
}

pub(crate) fn requests_of_every_size_around_the_small_send_limit_go_out_whole(on: On) {
    for padding in [1700, 1850, 1900, 2000, 2048, 4096] {
        let address = serve(|_, id| vec![Act::Write(reply(id))]);
        assert_all_ok(&run_at(on.kind(), target(address, 3, padding), &open_loop(30)), 30);
    }
}

pub(crate) fn a_unix_socket_is_as_good(on: On) {
    let name = format!("poolbench-{:?}-{}", on.kind(), std::process::id());
    let path = std::env::temp_dir().join(name);
    let address = serve_unix(&path, |_, id| vec![Act::Write(reply(id))]);
    let report = run_at(on.kind(), target(address, 4, 10), &open_loop(100));
    std::fs::remove_file(&path).unwrap();
    assert_all_ok(&report, 100);
}

pub(crate) fn a_login_and_prepared_statements_go_through(on: On) {
    let server = NullServer::start(Speaks::Postgres, None);
    let report = run_at(on.kind(), postgres_target(server.address(), 8), &open_loop(200));
    assert_all_ok(&report, 200);
}
