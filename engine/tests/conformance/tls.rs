//! Secured connections.

use engine::{Opening, Target};
use wire::tls::Begin;

use crate::peer::{Act, reply, serve_secured};
use crate::rig::{On, assert_all_ok, fleet, open_loop, run, run_at, target};
use engine::null_server::{self, NullServer, Speaks, tls};

fn secured(target: Target) -> Target {
    let opening = Opening::Secured(tls::client(Begin::Https), Box::new(target.opening));
    Target { opening, ..target }
}

pub(crate) fn records_that_come_byte_by_byte_are_whole(on: On) {
    let address = serve_secured(1, |_, id| vec![Act::Write(reply(id))]);
    assert_all_ok(&run_at(on.kind(), secured(target(address, 4, 10)), open_loop(50)), 50);
}

pub(crate) fn replies_of_many_records_all_arrive(on: On) {
    // Records have 16 KiB and their own overhead: hardly one of them ends where a read does.
    let address = serve_secured(50_000, |_, id| {
        let filler = "x".repeat(1024 * 1024);
        let body = format!("{{\"data\":{{\"user\":{{\"id\":{id},\"bio\":\"{filler}\"}}}}}}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        vec![Act::Write(head.into_bytes()), Act::Write(body.into_bytes())]
    });
    assert_all_ok(&run_at(on.kind(), secured(target(address, 8, 10)), open_loop(24)), 24);
}

pub(crate) fn hundreds_of_connections_of_each_kind_are_opened_and_used(on: On) {
    const CONNECTIONS: u32 = 300;
    for speaks in Speaks::ALL {
        let server = NullServer::start(speaks, None).unwrap();
        let target = null_server::target(server.address(), speaks, CONNECTIONS);
        let (mut fleet, _) = fleet(on.kind(), target, 0);
        let opened = fleet.open().unwrap().remove(0);
        assert_eq!(opened.connections, u64::from(CONNECTIONS));
        let versions = opened.security.iter().map(|security| Some(&*security.as_ref()?.version));
        let expected = speaks.is_secured().then_some("TLSv1.3");
        assert_eq!(versions.collect::<Vec<_>>(), [expected], "the same for all");
        let report = run(&mut fleet, open_loop(2 * CONNECTIONS)).streams.remove(0);
        assert_all_ok(&report, u64::from(2 * CONNECTIONS));
    }
}
