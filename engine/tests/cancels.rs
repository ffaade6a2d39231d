//! Requests that are cancelled on purpose, in virtual time, against a scripted Postgres.

use std::sync::Arc;

use engine::driver::sim::{Event, Peer, Sim};
use engine::{
    Cancel, CancelTimes, ConnectionId, Ending, Load, MILLISECOND, Mix, MixEntry, Nanos, Opening,
    Phase, SECOND, Script, Stream, StreamReport, Target, Worker,
};
use wire::postgres::{Login, Protocol, Statement};
use wire::{Class, Operation, Request};

const CLIENTS: u32 = 4;
const CANCEL: Cancel = Cancel { after_ns: 10 * MILLISECOND, length_ns: 50 * MILLISECOND };
/// A connection to cancel by is up after so long, and takes as long to be closed.
const TRIP_NS: Nanos = MILLISECOND;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn error(severity: &str, sqlstate: &str, words: &str) -> Vec<u8> {
    message(b'E', format!("V{severity}\0C{sqlstate}\0M{words}\0\0").as_bytes())
}

fn cancelled() -> Vec<u8> {
    let words = "canceling statement due to user request";
    [error("ERROR", "57014", words), message(b'Z', b"I")].concat()
}

fn answer() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

/// What happened at the server, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Query(ConnectionId),
    Cancel(ConnectionId),
}

/// Answers query n, counted over all connections, as the script says: so long after it came.
struct Postgres<F> {
    script: F,
    queries: u64,
    came: Vec<(Nanos, Came)>,
    takes_cancel_connections: bool,
}

impl<F: FnMut(u64) -> (Nanos, Vec<u8>)> Peer for Postgres<F> {
    fn connect(&mut self, id: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        let is_taken = id < CLIENTS || self.takes_cancel_connections;
        vec![(now + TRIP_NS, if is_taken { Event::Connected } else { Event::Refused })]
    }

    fn receive(&mut self, id: ConnectionId, now: Nanos, bytes: &[u8]) -> Vec<(Nanos, Event)> {
        match bytes {
            [b'Q', ..] => {
                self.came.push((now, Came::Query(id)));
                let (after_ns, bytes) = (self.script)(self.queries);
                self.queries += 1;
                vec![(now + after_ns, Event::Bytes(bytes))]
            }
            // CancelRequest: its length, its code, the place, the secret.
            [0, 0, 0, 16, 4, 210, 22, 46, place @ .., 0, 0, 0, 9] => {
                let place = ConnectionId::from_be_bytes(place.try_into().unwrap());
                self.came.push((now, Came::Cancel(place)));
                vec![(now + TRIP_NS, Event::Closed)]
            }
            _ => {
                let key = [&id.to_be_bytes()[..], &[0, 0, 0, 9]].concat();
                let greeting = [message(b'R', &[0; 4]), message(b'K', &key), message(b'Z', b"I")];
                vec![(now + TRIP_NS, Event::Bytes(greeting.concat()))]
            }
        }
    }
}

fn target() -> Target {
    let login = Login::new("nova", "nova", "poolbench", None).unwrap();
    let sql = "SELECT pg_sleep(0.05)";
    let operation = Operation {
        name: "sleep".into(),
        idempotent: true,
        request: Request::Postgres(Statement::new(sql, &[], Protocol::Simple, "sleep").unwrap()),
        checks: Vec::new(),
    };
    Target {
        name: "postgres".into(),
        address: "127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap().into(),
        opening: Opening::Postgres(Arc::new(login)),
        operations: [operation].into(),
        connections: CLIENTS,
        connections_max: CLIENTS,
        opening_at_once: 1,
        timeout_ns: SECOND,
    }
}

fn stream(vus: u32, cancel: Option<Cancel>) -> Stream {
    Stream {
        target: 0,
        script: Script::Mix(Arc::new(
            Mix::new(vec![MixEntry { weight: 1, generators: vec![] }]).unwrap(),
        )),
        load: Load::ConstantVus { vus, duration_ns: SECOND },
        think_time_ns: (0, 0),
        start_ns: 0,
        graceful_stop_ns: 60 * SECOND,
        reconnect: false,
        cancel,
        seed: 1,
    }
}

/// A second of these streams; what came of each, and what came to the server.
fn run(
    streams: Vec<Stream>,
    takes_cancel_connections: bool,
    script: impl FnMut(u64) -> (Nanos, Vec<u8>),
) -> (Vec<StreamReport>, Vec<(Nanos, Came)>) {
    let phase = Phase::new(streams).unwrap();
    let mut worker = Worker::new(0, 1, Arc::new([target()]));
    let peer = Postgres { script, queries: 0, came: Vec::new(), takes_cancel_connections };
    let mut sim = Sim::new(&worker, peer);
    sim.open(&mut worker);
    worker.begin(&phase, SECOND);
    sim.run(&mut worker, |worker, now| worker.is_drained(now) && !worker.is_cancelling());
    let now = sim.now();
    let (_, rest) = worker.finish(Ending::Complete, now, &mut sim).unwrap();
    (rest.streams, sim.peer.came)
}

fn failures(report: &StreamReport) -> Vec<(Class, u64)> {
    report.recording.whole().failures().map(|(class, count, _)| (class, count)).collect()
}

/// The counts of hit, lost, queued, failed and unsent.
fn counts(times: &CancelTimes) -> [u64; 5] {
    let CancelTimes { hit, lost, queued, failed, unsent } = times;
    [hit.len(), lost.len(), queued.len(), *failed, *unsent]
}

#[test]
fn each_request_has_one_of_the_outcomes_and_its_time() {
    let sent_ns = CANCEL.after_ns + TRIP_NS;
    let (reports, came) = run(vec![stream(1, Some(CANCEL))], true, |n| match n % 7 {
        0 => (sent_ns + 3 * MILLISECOND, cancelled()),
        1 => (CANCEL.length_ns, answer()),
        // Began 5 ms after its cancel.
        2 => (sent_ns + 5 * MILLISECOND + CANCEL.length_ns, answer()),
        3 => (
            sent_ns + 7 * MILLISECOND,
            [error("ERROR", "08P01", "query_wait_timeout"), message(b'Z', b"I")].concat(),
        ),
        4 => (
            sent_ns + 2 * MILLISECOND,
            [error("ERROR", "53100", "disk full"), message(b'Z', b"I")].concat(),
        ),
        // The answer was quicker than the cancel, or than the connection for it.
        5 => (MILLISECOND, answer()),
        _ => (CANCEL.after_ns + TRIP_NS / 2, answer()),
    });
    let [report] = &reports[..] else { panic!("one stream") };
    let times = report.cancels.as_deref().expect("it cancels");
    let whole = report.iterations / 7;
    assert!(whole >= 3, "{}", report.iterations);
    let [hit, lost, queued, failed, unsent] = counts(times);
    assert_eq!(hit + lost + queued + failed + unsent, report.iterations, "each has one");
    assert_eq!(hit, times.hit.count_between(3 * MILLISECOND, 3 * MILLISECOND));
    assert!((whole..=whole + 1).contains(&hit), "{hit}");
    assert!((whole..=whole + 1).contains(&lost), "{lost}");
    assert!((2 * whole..=2 * whole + 2).contains(&queued), "{queued}");
    assert!((whole..=whole + 1).contains(&failed), "{failed}");
    assert!((2 * whole..=2 * whole + 2).contains(&unsent), "{unsent}");
    let longest = |times: &hdrhistogram::Histogram<u64>| times.max() / MILLISECOND;
    assert_eq!((longest(&times.lost), longest(&times.queued)), (39, 55));
    let cancels = came.iter().filter(|(_, came)| matches!(came, Came::Cancel(_))).count() as u64;
    assert_eq!(cancels, times.sent(), "none for a request that had its answer");
    let classes: Vec<_> = failures(report).into_iter().map(|(class, _)| class).collect();
    assert_eq!(classes, [Class::Capacity, Class::WaitTimeout, Class::Cancelled]);
}

#[test]
fn a_request_that_is_cancelled_and_was_not_to_be_is_a_victim() {
    // The second stream's user cancels nothing; every fifth query is hit all the same.
    let streams = vec![stream(1, Some(CANCEL)), stream(1, None)];
    let (reports, _) = run(streams, true, |n| match n % 5 {
        // Before its own cancel is sent, if it has one.
        0 => (CANCEL.after_ns / 2, cancelled()),
        _ => (CANCEL.after_ns + TRIP_NS + MILLISECOND, answer()),
    });
    for report in &reports {
        let [(Class::WrongCancel, hit)] = failures(report)[..] else { panic!("{report:?}") };
        assert!(hit > 3, "{hit}");
    }
    assert!(reports[1].cancels.is_none());
    let [hit, _, _, _, unsent] = counts(reports[0].cancels.as_deref().unwrap());
    assert_eq!((hit, unsent), (0, failures(&reports[0])[0].1), "its own had not been sent");
}

#[test]
fn the_next_request_waits_until_the_cancel_is_over() {
    // The answer comes just after the cancel was sent: it would hit what comes next.
    let answered_ns = CANCEL.after_ns + TRIP_NS + TRIP_NS / 4;
    let (_, came) = run(vec![stream(CLIENTS, Some(CANCEL))], true, |_| (answered_ns, answer()));
    let of_one = came.iter().filter(|(_, came)| matches!(came, Came::Query(0) | Came::Cancel(0)));
    let of_one: Vec<_> = of_one.collect();
    let mut waited = 0;
    for pair in of_one.windows(2) {
        if let [(cancel, Came::Cancel(_)), (next, Came::Query(_))] = pair {
            assert_eq!(next - cancel, TRIP_NS, "when the server has closed its connection");
            waited += 1;
        }
    }
    assert!(waited > 50, "{waited}");
}

#[test]
fn where_no_connection_can_be_had_to_cancel_by_the_load_goes_on() {
    let (reports, came) =
        run(vec![stream(CLIENTS, Some(CANCEL))], false, |_| (CANCEL.length_ns, answer()));
    let times = reports[0].cancels.as_deref().unwrap();
    assert_eq!(counts(times), [0, 0, 0, 0, u64::from(CLIENTS) * 20]);
    assert_eq!(came.len() as u64, reports[0].iterations);
}

#[test]
fn a_request_that_times_out_is_cancelled_once_more_and_has_one_outcome() {
    // A cancel that was lost, and an answer that never comes in time.
    let (reports, came) = run(vec![stream(1, Some(CANCEL))], true, |n| match n {
        3 => (5 * SECOND, answer()),
        _ => (CANCEL.length_ns, answer()),
    });
    let [report] = &reports[..] else { panic!("one stream") };
    assert_eq!(failures(report), [(Class::Timeout, 1)]);
    let [_, lost, _, failed, _] = counts(report.cancels.as_deref().unwrap());
    assert_eq!((lost + failed, failed), (report.iterations, 1));
    let cancels = came.iter().filter(|(_, came)| matches!(came, Came::Cancel(_))).count() as u64;
    assert_eq!(cancels, report.iterations + 1);
}
