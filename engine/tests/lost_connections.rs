//! A connection's life under errors, in virtual time, against a scripted Postgres.

use std::sync::Arc;

use engine::driver::sim::{Event, Peer, Sim};
use engine::{
    ConnectionId, Ending, Gaps, Load, MILLISECOND, Mix, MixEntry, Nanos, Opening, Phase, SECOND,
    Script, Stream, StreamReport, Target, Worker,
};
use wire::postgres::{Login, Protocol, Statement};
use wire::{Class, Operation, Request};

const CONNECTIONS: u32 = 5;
/// The phase's start.
const START: Nanos = SECOND;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn error(severity: &str, sqlstate: &str, words: &str) -> Vec<u8> {
    message(b'E', format!("V{severity}\0C{sqlstate}\0M{words}\0\0").as_bytes())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// A server that lets a client in, and answers the query; the answer to cancel it by is its place.
fn greeting(id: ConnectionId) -> Vec<u8> {
    let key = [&id.to_be_bytes()[..], &[0, 0, 0, 9]].concat();
    [message(b'R', &[0; 4]), message(b'K', &key), ready()].concat()
}

fn answer() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), ready()].concat()
}

fn bytes(at: Nanos, bytes: Vec<u8>) -> Vec<(Nanos, Event)> {
    vec![(at, Event::Bytes(bytes))]
}

/// What came to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// A client wants to log in.
    Login,
    /// Request number n, counted over all connections.
    Query(u64),
}

/// A scripted server.
struct Postgres<F> {
    script: F,
    queries: u64,
    /// When connections for requests were begun, and by which place.
    connects: Vec<(Nanos, ConnectionId)>,
    /// When cancels came, and for which place.
    cancels: Vec<(Nanos, ConnectionId)>,
    answers_cancels: bool,
}

impl<F: FnMut(Came, ConnectionId, Nanos) -> Vec<(Nanos, Event)>> Peer for Postgres<F> {
    fn connect(&mut self, id: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        if id < CONNECTIONS {
            self.connects.push((now, id));
        }
        vec![(now + 1000, Event::Connected)]
    }

    fn receive(&mut self, id: ConnectionId, now: Nanos, bytes: &[u8]) -> Vec<(Nanos, Event)> {
        match bytes {
            [b'Q', ..] => {
                self.queries += 1;
                (self.script)(Came::Query(self.queries - 1), id, now)
            }
            // CancelRequest: its length, its code, the place, the secret.
            [0, 0, 0, 16, 4, 210, 22, 46, place @ .., 0, 0, 0, 9] => {
                let place = ConnectionId::from_be_bytes(place.try_into().unwrap());
                assert!(id >= CONNECTIONS, "on a connection of its own");
                self.cancels.push((now, place));
                if self.answers_cancels { vec![(now + 1000, Event::Closed)] } else { Vec::new() }
            }
            _ => (self.script)(Came::Login, id, now),
        }
    }
}

struct Run {
    timeout_ns: Nanos,
    answers_cancels: bool,
}

const RUN: Run = Run { timeout_ns: 100 * MILLISECOND, answers_cancels: true };

struct Seen {
    connects: Vec<(Nanos, ConnectionId)>,
    cancels: Vec<(Nanos, ConnectionId)>,
}

impl Run {
    /// A thousand requests in a second.
    fn against(
        &self,
        script: impl FnMut(Came, ConnectionId, Nanos) -> Vec<(Nanos, Event)>,
    ) -> (StreamReport, Seen) {
        let login = Login::new("nova", "nova", "poolbench", None).unwrap();
        let statement = Statement::new("SELECT 1", &[], Protocol::Simple, "one").unwrap();
        let operation = Operation {
            name: "one".into(),
            idempotent: false,
            request: Request::Postgres(statement),
            checks: Vec::new(),
        };
        let target = Target {
            name: "postgres".into(),
            address: "127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap().into(),
            opening: Opening::Postgres(Arc::new(login)),
            operations: [operation].into(),
            connections: CONNECTIONS,
            connections_max: CONNECTIONS,
            opening_at_once: 1,
            timeout_ns: self.timeout_ns,
        };
        let stream = Stream {
            target: 0,
            script: Script::Mix(Arc::new(
                Mix::new(vec![MixEntry { weight: 1, generators: vec![] }]).unwrap(),
            )),
            load: Load::ConstantArrivalRate {
                rate: 1000.0,
                gaps: Gaps::Uniform,
                duration_ns: SECOND,
                pre_allocated_vus: CONNECTIONS,
                max_vus: CONNECTIONS,
            },
            think_time_ns: (0, 0),
            start_ns: 0,
            graceful_stop_ns: 60 * SECOND,
            reconnect: false,
            cancel: None,
            seed: 1,
        };
        let mut phase = Phase::new(vec![stream]).unwrap();
        (phase.drain_ns, phase.waiting_max) = (60 * SECOND, usize::MAX);
        let mut worker = Worker::new(0, 1, Arc::new([target]));
        assert_eq!(worker.connections(), 2 * CONNECTIONS as usize, "one more each, to cancel by");
        let peer = Postgres {
            script,
            queries: 0,
            connects: Vec::new(),
            cancels: Vec::new(),
            answers_cancels: self.answers_cancels,
        };
        let mut sim = Sim::new(&worker, peer);
        sim.open(&mut worker);
        assert!(worker.refusal().is_none());
        worker.begin(&phase, START);
        sim.run(&mut worker, |worker, now| worker.is_drained(now) && !worker.is_cancelling());
        let now = sim.now();
        let (_, mut rest) = worker.finish(Ending::Complete, now, &mut sim).unwrap();
        let report = rest.streams.remove(0);
        assert_eq!(report.planned, 1000, "the schedule is kept");
        assert_eq!(report.recording.completed(), 1000, "each has its outcome");
        (report, Seen { connects: sim.peer.connects, cancels: sim.peer.cancels })
    }
}

fn failures(report: &StreamReport) -> Vec<(Class, u64)> {
    report.recording.whole().failures().map(|(class, count, _)| (class, count)).collect()
}

#[test]
fn a_request_that_timed_out_is_cancelled_before_its_connection_is_replaced() {
    let mut place = None;
    let (report, seen) = RUN.against(|came, id, now| match came {
        Came::Login => bytes(now + 1000, greeting(id)),
        Came::Query(7) => {
            place = Some(id);
            // An answer on its way as the cancel is: nobody's.
            bytes(now + RUN.timeout_ns + 4 * MILLISECOND, answer())
        }
        Came::Query(_) => bytes(now + MILLISECOND, answer()),
    });
    assert_eq!(failures(&report), [(Class::Timeout, 1)]);
    assert_eq!(seen.cancels.len(), 1);
    let (cancelled, cancelled_place) = seen.cancels[0];
    assert_eq!(Some(cancelled_place), place);
    assert_eq!(seen.connects.len(), CONNECTIONS as usize + 1);
    let (reopened, reopened_place) = seen.connects[CONNECTIONS as usize];
    assert_eq!((reopened, Some(reopened_place)), (cancelled + 1000, place), "once it was told");
    assert_eq!(report.reopened, 1);
    assert!(report.disconnected_ns >= 4000 && report.disconnected_ns < MILLISECOND);
    assert_eq!(report.outage_ns, 0, "a slow request is no outage");
}

#[test]
fn a_server_that_does_not_take_cancels_is_not_waited_for() {
    let run = Run { answers_cancels: false, ..RUN };
    let (report, seen) = run.against(|came, id, now| match came {
        Came::Login => bytes(now + 1000, greeting(id)),
        Came::Query(7) => Vec::new(),
        Came::Query(_) => bytes(now + MILLISECOND, answer()),
    });
    assert_eq!(failures(&report), [(Class::Timeout, 1)]);
    let (reopened, _) = seen.connects[CONNECTIONS as usize];
    let waited = reopened - seen.cancels[0].0;
    assert!((RUN.timeout_ns / 2..2 * RUN.timeout_ns).contains(&waited), "{waited}");
}

/// From the phase's start on.
const OUTAGE: std::ops::Range<Nanos> = START + 300 * MILLISECOND..START + 800 * MILLISECOND;

#[test]
fn logins_that_are_refused_are_tried_again_ever_later_and_the_time_is_counted() {
    let (report, seen) = RUN.against(|came, id, now| match came {
        Came::Login if OUTAGE.contains(&now) => {
            let words = "no more connections allowed (max_client_conn)";
            vec![
                (now + 1000, Event::Bytes(error("ERROR", "08P01", words))),
                (now + 1000, Event::Closed),
            ]
        }
        Came::Login => bytes(now + 1000, greeting(id)),
        Came::Query(_) if OUTAGE.contains(&now) => vec![(now + 1000, Event::Closed)],
        Came::Query(_) => bytes(now + MILLISECOND / 2, answer()),
    });
    assert_eq!(failures(&report), [(Class::StaleConnection, u64::from(CONNECTIONS))]);
    let of_one = seen.connects.iter().filter(|(at, id)| *id == 0 && *at >= START);
    let gaps: Vec<_> = of_one.map(|(at, _)| *at).collect();
    let gaps: Vec<_> = gaps.windows(2).map(|pair| (pair[1] - pair[0]) / MILLISECOND).collect();
    assert_eq!(gaps, [10, 20, 40, 80, 160, 320], "and then it was let in");
    assert_eq!(report.reopened, u64::from(CONNECTIONS) * 7);
    // 630 ms of waiting each, and as many trips.
    let each = report.disconnected_ns / u64::from(CONNECTIONS);
    assert!((630 * MILLISECOND..631 * MILLISECOND).contains(&each), "{each}");
    let outage = report.outage_ns;
    assert!((630 * MILLISECOND..635 * MILLISECOND).contains(&outage), "{outage}");
    assert!(!report.is_out);
}

#[test]
fn a_pooler_that_lets_clients_in_and_ends_their_first_request_is_not_run_at() {
    let words = "server login has been failing, try again later (server_login_retry)";
    let (report, seen) = RUN.against(|came, id, now| match came {
        Came::Login => bytes(now + 1000, greeting(id)),
        Came::Query(_) if OUTAGE.contains(&now) => vec![
            (now + 1000, Event::Bytes(error("ERROR", "08P01", words))),
            (now + 1000, Event::Closed),
        ],
        Came::Query(_) => bytes(now + MILLISECOND / 2, answer()),
    });
    let [(Class::Unavailable, failed)] = failures(&report)[..] else {
        panic!("{:?}", failures(&report));
    };
    // At once after the first, and then after 10, 20, 40, 80, 160 and 320 ms.
    assert_eq!(failed, u64::from(CONNECTIONS) * 7);
    assert_eq!(seen.connects.len() as u64, u64::from(CONNECTIONS) + failed);
    assert!(report.outage_ns >= OUTAGE.end - OUTAGE.start && !report.is_out);
}

#[test]
fn an_error_and_a_close_with_requests_in_flight_fails_them_all_at_once() {
    let held = u64::from(CONNECTIONS);
    let end = START + 50 * MILLISECOND;
    let (report, _) = RUN.against(|came, id, now| match came {
        Came::Login => bytes(now + 1000, greeting(id)),
        Came::Query(n) if n < held => vec![
            (end, Event::Bytes(error("ERROR", "57P01", "terminating connection"))),
            (end, Event::Bytes(error("ERROR", "08P01", "server conn crashed?"))),
            (end, Event::Closed),
        ],
        Came::Query(_) => bytes(now + MILLISECOND / 2, answer()),
    });
    assert_eq!(failures(&report), [(Class::Unavailable, held)]);
    let failed = report.recording.whole().failed;
    assert!(failed.max() <= 51 * MILLISECOND, "none hangs: {}", failed.max());
}

#[test]
fn a_server_that_answers_no_connect_any_more_is_given_up_and_asked_again() {
    let (report, seen) = RUN.against(|came, id, now| match came {
        // Silence, as behind a firewall that drops everything.
        Came::Login if OUTAGE.contains(&now) => Vec::new(),
        Came::Login => bytes(now + 1000, greeting(id)),
        Came::Query(_) if OUTAGE.contains(&now) => vec![(now + 1000, Event::Closed)],
        Came::Query(_) => bytes(now + MILLISECOND / 2, answer()),
    });
    assert_eq!(failures(&report), [(Class::StaleConnection, u64::from(CONNECTIONS))]);
    let attempts = seen.connects.iter().filter(|(at, id)| *id == 0 && OUTAGE.contains(at)).count();
    assert!((3..=6).contains(&attempts), "one each 100 ms, and a pause: {attempts}");
}
