//! How connections begin and end.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::driver::{self, Clock, Driver, Options, Pump, Setup};
use engine::{Fleet, Gaps, MILLISECOND, SECOND, Target, Worker};
use wire::{Class, Outcome};

use crate::peer::{Act, Greeting, full, nobody, reply, serve, serve_from_the_second, serve_unix};
use crate::rig::{
    Case, On, assert_all_ok, closed_loop, failures, fleet, open_loop, rate, refusal, run, target,
};
use engine::null_server::{self, NullServer, Speaks, stream};

pub(crate) fn a_connection_closed_after_each_reply_is_reopened_for_the_next_request(on: On) {
    let case = Case::new(4, open_loop(200), |_, id| {
        let text = String::from_utf8(reply(id)).unwrap();
        let text = text.replace("200 OK\r\n", "200 OK\r\nConnection: close\r\n");
        vec![Act::Write(text.into_bytes()), Act::Close]
    });
    let report = case.run(on).streams.remove(0);
    assert_all_ok(&report, 200);
    assert_eq!(report.reopened, 200);
}

pub(crate) fn a_connection_lost_in_the_middle_of_a_reply_is_one_failure_and_a_new_connection(
    on: On,
) {
    let case = Case::new(1, open_loop(100), |number, id| {
        let bytes = reply(id);
        match number % 10 {
            9 => vec![Act::Write(bytes[..bytes.len() - 3].into()), Act::Close],
            _ => vec![Act::Write(bytes)],
        }
    });
    let report = case.run(on).streams.remove(0);
    assert_eq!(failures(&report), [(Class::Disconnected, 10)]);
    assert_eq!((report.recording.completed(), report.reopened), (100, 10));
}

pub(crate) fn a_reset_is_one_failure_and_a_new_connection(on: On) {
    let mut case = Case::new(1, open_loop(100), |number, id| match number % 10 {
        9 => vec![Act::Reset],
        _ => vec![Act::Write(reply(id))],
    });
    // Nothing of the reply has come: a query would be sent again.
    case.is_idempotent = false;
    let report = case.run(on).streams.remove(0);
    assert_eq!(failures(&report).iter().map(|(_, count)| count).sum::<u64>(), 10);
    assert_eq!((report.recording.completed(), report.reopened), (100, 10));
}

pub(crate) fn a_refused_connection_is_told(on: On) {
    let refusal = refusal(on, nobody(), Greeting::Refuse, 20 * SECOND);
    assert_eq!(refusal.outcome, Outcome::Failed(Class::ConnectFailed));
    assert!(refusal.failure.message.contains("refused"), "{refusal:?}");
}

pub(crate) fn a_server_that_does_not_accept_is_given_up_in_time(on: On) {
    let (address, _sockets) = full();
    let refusal = refusal(on, address, Greeting::Ignore, 200 * MILLISECOND);
    assert_eq!(refusal.outcome, Outcome::Failed(Class::Timeout));
    assert!(refusal.failure.message.contains("no answer within the time limit"), "{refusal:?}");
}

pub(crate) fn thousands_of_connections_are_opened_and_used(on: On) {
    let server = NullServer::start(Speaks::Http, None).unwrap();
    let mut target = target(server.address(), 2000, 10);
    target.opening_at_once = 64;
    let (mut fleet, _) = fleet(on.kind(), target, 0);
    let opened = fleet.open().unwrap();
    assert_eq!(opened[0].connections, 2000);
    assert_eq!(opened[0].connect.len(), 2000);
    let report = run(&mut fleet, closed_loop(2000, SECOND / 5)).streams.remove(0);
    assert!(report.sent >= 2000, "each virtual user sends at once: {}", report.sent);
    assert_all_ok(&report, report.planned);
    assert_eq!((report.sent, report.reopened), (server.requests(), 0));
}

pub(crate) fn two_workers_share_one_target(on: On) {
    let address = serve(|_, id| vec![Act::Write(reply(id))]);
    let cores = core_affinity::get_core_ids().unwrap();
    let two = [cores[0], *cores.last().unwrap()];
    let stop = Arc::new(AtomicBool::new(false));
    let mut fleet =
        Fleet::start(vec![target(address, 8, 10)], &two, &Options::new(on.kind()), stop);
    fleet.open().unwrap();
    let load = stream(rate(2000.0, Gaps::Uniform, 250 * MILLISECOND));
    assert_all_ok(&run(&mut fleet, load).streams[0], 500);
}

pub(crate) fn round_trips_are_told_of_tcp_alone(on: On) {
    let server = NullServer::start(Speaks::Http, None).unwrap();
    let (mut tcp, _) = fleet(on.kind(), null_server::target(server.address(), Speaks::Http, 4), 0);
    tcp.open().unwrap();
    assert_all_ok(&run(&mut tcp, open_loop(100)).streams[0], 100);
    let shortest = tcp.round_trips().unwrap()[0].expect("TCP knows one");
    assert!(shortest < SECOND, "{shortest}");

    let path = std::env::temp_dir().join(format!("poolbench-rtt-{:?}", on.kind()));
    let address = serve_unix(&path, |_, id| vec![Act::Write(reply(id))]);
    let (mut unix, _) = fleet(on.kind(), target(address, 4, 10), 0);
    unix.open().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(unix.round_trips().unwrap(), [None]);
}

/// Opens all connections and tells where they come from, as the listener sees it.
struct Sources {
    worker: Worker,
    listener: TcpListener,
}

impl Pump for Sources {
    type Output = Vec<String>;

    fn pump(mut self, mut driver: impl Driver) -> Vec<String> {
        let clock = Clock::start();
        self.worker.open(clock.now(), driver.transport());
        while self.worker.opened().is_none() {
            assert!(self.worker.refusal().is_none(), "{:?}", self.worker.refusal());
            let deadline = clock.now() + MILLISECOND;
            driver.turn(&mut self.worker, &clock, deadline).unwrap();
        }
        let accept = |_| self.listener.accept().unwrap().1.ip().to_string();
        (0..self.worker.connections()).map(accept).collect()
    }
}

pub(crate) fn connections_past_an_addresss_ports_come_from_the_next(on: On) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = target(listener.local_addr().unwrap().into(), 50, 10);
    let worker = Worker::new(0, 1, Arc::new([target]));
    // With a thousand workers, each has 28 ports of an address.
    let options = Options::new(on.kind());
    let setup = Setup { connections: worker.connections(), workers: 1000, options };
    let sources = driver::start(&setup, Sources { worker, listener }).unwrap();
    let count = |address: &str| sources.iter().filter(|source| *source == address).count();
    assert_eq!((count("127.0.0.1"), count("127.0.0.2")), (28, 22));
}

pub(crate) fn dropping_the_fleet_closes_every_connection(on: On) {
    let server = NullServer::start(Speaks::Http, None).unwrap();
    let (mut fleet, _) = fleet(on.kind(), target(server.address(), 100, 10), 0);
    fleet.open().unwrap();
    run(&mut fleet, closed_loop(100, SECOND / 20));
    assert_eq!(server.wait_for_connections(100), 100);
    drop(fleet);
    assert_eq!(server.wait_for_connections(0), 0);
}

pub(crate) fn connections_are_opened_during_the_phase_when_all_are_busy(on: On) {
    // The first request has no reply before the second one has come.
    let address = serve_from_the_second(|_, id| vec![Act::Write(reply(id))]);
    let target = Target { connections_max: 20, ..target(address, 1, 10) };
    let (mut fleet, _) = fleet(on.kind(), target, 0);
    assert_eq!(fleet.open().unwrap()[0].connections, 1);
    let load = stream(rate(100.0, Gaps::Uniform, 500 * MILLISECOND));
    let report = run(&mut fleet, load).streams.remove(0);
    assert_all_ok(&report, 50);
    assert!((2..=20).contains(&report.vus.max), "{:?}", report.vus);
    assert_eq!(report.reopened, 0);
}
