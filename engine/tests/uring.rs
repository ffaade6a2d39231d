//! The io_uring driver on real sockets, against small servers that misbehave in one way each.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::{
    Fleet, FleetError, Gaps, Generator, Load, MILLISECOND, Mix, MixEntry, Nanos, Opening, Phase,
    PhaseReport, SECOND, Stream, StreamReport, Target,
};
use socket2::SockAddr;
use wire::http::{Expect, Request};
use wire::{Class, Operation, Piece, Template};

trait Socket: Read + Write + Send {}
impl<S: Read + Write + Send> Socket for S {}

/// Answers each request on each connection; `answer` gets the request's number on the connection
/// and its id, and says whether to go on.
type Answer = fn(&mut dyn Socket, u64, &str) -> bool;

fn serve_stream(mut stream: impl Socket, answer: Answer) {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    for number in 0.. {
        let request = loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                if length.is_some_and(|length| length.parse() == Ok(body.len())) {
                    break body.to_owned();
                }
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(length) => bytes.extend_from_slice(&chunk[..length]),
            }
        };
        bytes.clear();
        let id = request.rsplit(':').next().unwrap_or_default().trim_end_matches('}').to_owned();
        if !answer(&mut stream, number, &id) {
            return;
        }
    }
}

fn serve(answer: Answer) -> SockAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || serve_stream(stream, answer));
        }
    });
    address.into()
}

fn reply(id: &str) -> Vec<u8> {
    let body = format!("{{\"data\":{{\"user\":{{\"id\":{id}}}}}}}");
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn target(address: SockAddr, connections: u32, padding: usize) -> Target {
    let query = format!("{{\"query\":\"{}\",\"id\":", "q".repeat(padding));
    let body = Template::new(vec![
        Piece::Bytes(query.as_bytes().into()),
        Piece::Hole(0),
        Piece::Bytes(b"}".as_slice().into()),
    ]);
    let request = Request::new("/graphql", "peer", body).unwrap();
    let request = request.with_expect(Expect::parse("data.user.id", 0).unwrap());
    Target {
        name: "peer".into(),
        address,
        opening: Opening::Http,
        operations: [Operation {
            name: "user".into(),
            idempotent: true,
            request: wire::Request::Http(request),
        }]
        .into(),
        connections,
        connections_max: connections,
        opening_at_once: 16,
        timeout_ns: 20 * SECOND,
    }
}

fn fleet(target: Target) -> (Fleet, Arc<AtomicBool>) {
    let cores = core_affinity::get_core_ids().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    (Fleet::start(vec![target], &cores[..1], 0, Arc::clone(&stop)), stop)
}

fn phase(load: Load) -> Phase {
    let entry = MixEntry { weight: 1, generators: vec![Generator::Sequence(1)] };
    let stream = Stream {
        target: 0,
        mix: Arc::new(Mix::new(vec![entry]).unwrap()),
        load,
        think_time_ns: (0, 0),
        start_ns: 0,
        graceful_stop_ns: 20 * SECOND,
        seed: 1,
    };
    let mut phase = Phase::new(vec![stream]).unwrap();
    phase.drain_ns = 20 * SECOND;
    phase
}

fn rate(rate: f64, gaps: Gaps, duration_ns: Nanos) -> Load {
    Load::ConstantArrivalRate { rate, gaps, duration_ns, pre_allocated_vus: 1, max_vus: 1000 }
}

/// Runs a phase without reports of intervals.
fn run_whole(fleet: &mut Fleet, phase: &Phase) -> PhaseReport {
    fleet.run(phase, |_| unreachable!("no intervals are asked for")).unwrap()
}

/// So many requests as fast as they are due, over all connections.
fn run(target: Target, requests: u32) -> StreamReport {
    let (mut fleet, _) = fleet(target);
    fleet.open().unwrap();
    let load = rate(f64::from(requests) * 5.0, Gaps::Uniform, SECOND / 5);
    run_whole(&mut fleet, &phase(load)).streams.remove(0)
}

fn assert_all_ok(report: &StreamReport, requests: u64) {
    let failures: Vec<_> =
        report.recording.whole().failures().map(|(c, n, f)| (c, n, f.cloned())).collect();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(report.recording.completed(), requests);
    assert_eq!(report.sent, requests + report.resent);
}

#[test]
fn replies_that_come_byte_by_byte_are_whole() {
    let address =
        serve(|stream, _, id| reply(id).iter().all(|byte| stream.write_all(&[*byte]).is_ok()));
    assert_all_ok(&run(target(address, 4, 10), 100), 100);
}

#[test]
fn requests_larger_than_the_socket_buffer_go_out_whole() {
    let address = serve(|stream, _, id| stream.write_all(&reply(id)).is_ok());
    assert_all_ok(&run(target(address, 2, 3 * 1024 * 1024), 6), 6);
}

#[test]
fn requests_of_every_size_around_the_small_send_limit_go_out_whole() {
    for padding in [1700, 1850, 1900, 2000, 2048, 4096] {
        let address = serve(|stream, _, id| stream.write_all(&reply(id)).is_ok());
        assert_all_ok(&run(target(address, 3, padding), 30), 30);
    }
}

#[test]
fn more_bytes_at_once_than_there_are_buffers_all_arrive() {
    // 64 connections of 1 MiB each are eight times what the buffer ring holds.
    let address = serve(|stream, _, id| {
        let filler = "x".repeat(1024 * 1024);
        let body = format!("{{\"data\":{{\"user\":{{\"id\":{id},\"bio\":\"{filler}\"}}}}}}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_ok()
    });
    assert_all_ok(&run(target(address, 64, 10), 128), 128);
}

#[test]
fn a_thousand_connections_are_opened_and_used() {
    let address = serve(|stream, _, id| stream.write_all(&reply(id)).is_ok());
    let (mut fleet, _) = fleet(target(address, 1000, 10));
    let opened = fleet.open().unwrap();
    assert_eq!(opened[0].connections, 1000);
    assert_eq!(opened[0].connect.len(), 1000);
    let load = rate(10_000.0, Gaps::Poisson, SECOND / 5);
    let report = run_whole(&mut fleet, &phase(load)).streams.remove(0);
    assert_all_ok(&report, report.planned);
    assert_eq!(report.reopened, 0);
}

#[test]
fn a_connection_closed_after_each_reply_is_reopened_for_the_next_request() {
    let address = serve(|stream, _, id| {
        let text = String::from_utf8(reply(id)).unwrap();
        let text = text.replace("200 OK\r\n", "200 OK\r\nConnection: close\r\n");
        let _ = stream.write_all(text.as_bytes());
        false
    });
    let report = run(target(address, 4, 10), 200);
    assert_all_ok(&report, 200);
    assert_eq!(report.reopened, 200);
}

#[test]
fn a_connection_lost_in_the_middle_of_a_reply_is_one_failure_and_a_new_connection() {
    let address = serve(|stream, number, id| {
        let bytes = reply(id);
        if number % 10 == 9 {
            let _ = stream.write_all(&bytes[..bytes.len() - 3]);
            return false;
        }
        stream.write_all(&bytes).is_ok()
    });
    let report = run(target(address, 1, 10), 100);
    let failures: Vec<_> = report.recording.whole().failures().map(|(c, n, _)| (c, n)).collect();
    assert_eq!(failures, [(Class::Disconnected, 10)]);
    assert_eq!((report.recording.completed(), report.reopened), (100, 10));
}

#[test]
fn a_reply_with_another_requests_id_is_a_wrong_reply() {
    let address = serve(|stream, number, id| {
        let id = if number == 5 { "999" } else { id };
        stream.write_all(&reply(id)).is_ok()
    });
    let report = run(target(address, 1, 10), 20);
    let whole = report.recording.whole();
    let (class, count, failure) = whole.failures().next().expect("one");
    assert_eq!((class, count), (Class::WrongReply, 1));
    assert!(failure.unwrap().message.contains("got 999"), "{failure:?}");
}

#[test]
fn a_unix_socket_is_as_good() {
    let folder = std::env::temp_dir().join(format!("poolbench-uring-{}", std::process::id()));
    let listener = UnixListener::bind(&folder).unwrap();
    let address = SockAddr::unix(&folder).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer: Answer = |stream, _, id| stream.write_all(&reply(id)).is_ok();
            std::thread::spawn(move || serve_stream(stream, answer));
        }
    });
    let report = run(target(address, 4, 10), 100);
    std::fs::remove_file(&folder).unwrap();
    assert_all_ok(&report, 100);
}

#[test]
fn a_refused_connection_is_told_with_the_systems_words() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut fleet, _) = fleet(target(address.into(), 4, 10));
    match fleet.open() {
        Err(FleetError::Refused(refusal)) => {
            assert!(refusal.failure.message.contains("refused"), "{refusal:?}");
        }
        other => panic!("refused, not {other:?}"),
    }
}

#[test]
fn the_stop_flag_ends_a_phase_whose_server_never_answers() {
    let address = serve(|_, _, _| true);
    let (mut fleet, stop) = fleet(target(address, 2, 10));
    fleet.open().unwrap();
    let raiser = std::thread::spawn(move || stop.store(true, Ordering::Relaxed));
    let load = Load::ConstantVus { vus: 2, duration_ns: 600 * SECOND };
    let report = run_whole(&mut fleet, &phase(load));
    raiser.join().unwrap();
    assert!(report.is_interrupted);
    let report = &report.streams[0];
    assert_eq!((report.recording.completed(), report.planned), (0, report.interrupted));
}

#[test]
fn open_loops_are_split_over_workers_without_a_gap() {
    let address = serve(|stream, _, id| stream.write_all(&reply(id)).is_ok());
    let cores = core_affinity::get_core_ids().unwrap();
    let two = [cores[0], *cores.last().unwrap()];
    let stop = Arc::new(AtomicBool::new(false));
    let mut fleet = Fleet::start(vec![target(address, 8, 10)], &two, 0, stop);
    fleet.open().unwrap();
    let load = rate(2000.0, Gaps::Uniform, 250 * MILLISECOND);
    let report = run_whole(&mut fleet, &phase(load));
    assert_all_ok(&report.streams[0], 500);
}

#[test]
fn intervals_are_told_while_the_phase_runs_and_are_the_whole_of_it() {
    let address = serve(|stream, _, id| stream.write_all(&reply(id)).is_ok());
    let (mut fleet, _) = fleet(target(address, 8, 10));
    fleet.open().unwrap();
    let mut phase = phase(rate(1000.0, Gaps::Uniform, 500 * MILLISECOND));
    phase.interval_ns = Some(100 * MILLISECOND);
    let mut intervals = Vec::new();
    let report = fleet.run(&phase, |interval| {
        intervals.push(interval.clone());
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert!(!report.is_aborted);
    let report = &report.streams[0];
    assert_all_ok(report, 500);
    assert!((2..=6).contains(&intervals.len()), "{}", intervals.len());
    assert!(intervals.is_sorted_by(|a, b| a.end_ns == b.start_ns));
    let mut sum = intervals[0].streams[0].clone();
    intervals[1..].iter().for_each(|interval| sum.append(&interval.streams[0]));
    assert_eq!(sum.recording.whole().response, report.recording.whole().response);
    assert_eq!((sum.data_sent, sum.data_received), (report.data_sent, report.data_received));
}

#[test]
fn whoever_is_told_of_an_interval_may_end_the_phase() {
    let address = serve(|stream, _, id| stream.write_all(&reply(id)).is_ok());
    let (mut fleet, _) = fleet(target(address, 2, 10));
    fleet.open().unwrap();
    let mut endless = phase(Load::ConstantVus { vus: 2, duration_ns: 600 * SECOND });
    endless.interval_ns = Some(50 * MILLISECOND);
    let report = fleet.run(&endless, |_| ControlFlow::Break(())).unwrap();
    assert!(report.is_aborted && !report.is_interrupted);
    let stream = &report.streams[0];
    assert_eq!(stream.planned, stream.iterations + stream.interrupted + stream.unserved);
    assert!(stream.iterations > 0);

    let after = run_whole(&mut fleet, &phase(rate(500.0, Gaps::Uniform, 200 * MILLISECOND)));
    assert!(!after.is_aborted, "the next phase is whole");
    assert_all_ok(&after.streams[0], 100);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the peer is slow, not the worker")]
fn connections_are_opened_during_the_phase_when_all_are_busy() {
    let address = serve(|stream, _, id| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        stream.write_all(&reply(id)).is_ok()
    });
    let target = Target { connections_max: 20, ..target(address, 1, 10) };
    let (mut fleet, _) = fleet(target);
    assert_eq!(fleet.open().unwrap()[0].connections, 1);
    let report = run_whole(&mut fleet, &phase(rate(100.0, Gaps::Uniform, 500 * MILLISECOND)));
    let stream = &report.streams[0];
    assert_all_ok(stream, 50);
    assert!((2..=20).contains(&stream.vus.max), "{:?}", stream.vus);
    assert_eq!(stream.reopened, 0);
}

#[test]
fn operations_are_exchanged_while_a_phase_runs_and_no_request_is_lost() {
    static RENEWED: AtomicU64 = AtomicU64::new(0);
    let address = serve(|stream, _, id| {
        RENEWED.fetch_add(u64::from(id == "0"), Ordering::Relaxed);
        stream.write_all(&reply(id)).is_ok()
    });
    let (mut fleet, _) = fleet(target(address, 4, 0));
    fleet.open().unwrap();
    let body = Template::new(vec![Piece::Bytes(br#"{"id":0}"#.as_slice().into())]);
    let request = wire::Request::Http(Request::new("/graphql", "peer", body).unwrap());
    let operations = [Operation { name: "user".into(), idempotent: true, request }].into();
    let exchange = fleet.exchange();
    let mut phase = phase(rate(1000.0, Gaps::Uniform, SECOND / 2));
    phase.interval_ns = Some(50 * MILLISECOND);
    let told = |_: &engine::Interval| {
        exchange.replace_operations(0, &operations);
        ControlFlow::Continue(())
    };
    let report = fleet.run(&phase, told).unwrap().streams.remove(0);
    assert_all_ok(&report, 500);
    let renewed = RENEWED.load(Ordering::Relaxed);
    assert!(0 < renewed && renewed < 500, "{renewed}");
}
