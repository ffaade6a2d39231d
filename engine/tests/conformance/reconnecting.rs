//! Loads whose iterations open a connection each.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use engine::driver::Options;
use engine::{Fleet, MILLISECOND, Stream};

use crate::peer::{Act, reply};
use crate::rig::{Case, On, assert_all_ok, closed_loop, failures, open_loop, run};
use engine::null_server::{Speaks, target};

fn reconnecting(stream: Stream) -> Stream {
    Stream { reconnect: true, ..stream }
}

pub(crate) fn each_request_is_the_first_and_last_of_its_connection(on: On) {
    for load in [open_loop(400), closed_loop(4, 200 * MILLISECOND)] {
        let case = Case::new(4, reconnecting(load), |number, id| match number {
            0 => vec![Act::Write(reply(id))],
            _ => vec![Act::Reset],
        });
        let report = case.run(on).streams.remove(0);
        assert!(report.iterations > 4, "{}", report.iterations);
        assert_all_ok(&report, report.planned);
        assert_eq!((report.reopened, report.resent), (0, 0));
        let times = report.connections.expect("a stream that reconnects");
        for histogram in [&times.connect, &times.open, &times.first_query] {
            assert_eq!(histogram.len(), report.iterations);
        }
        assert_eq!(times.login.len(), 0, "HTTP has none");
    }
}

/// What a server read last on a connection, and how the connection ended.
type End = (Vec<u8>, Option<ErrorKind>);

/// A Postgres that serves so many connections, one after the other.
fn serve(connections: usize) -> (socket2::SockAddr, JoinHandle<Vec<End>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    let one = move |_| {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        serve_stream(&mut stream)
    };
    (address, std::thread::spawn(move || (0..connections).map(one).collect()))
}

fn serve_stream(stream: &mut TcpStream) -> End {
    let mut chunk = [0; 4096];
    let mut last = Vec::new();
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return (last, None),
            Err(error) => return (last, Some(error.kind())),
            Ok(length) => last = chunk[..length].to_vec(),
        }
        let reply: &[u8] = match last[0] {
            b'P' => b"1\0\0\0\x04Z\0\0\0\x05I",
            b'B' => b"2\0\0\0\x04D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I",
            b'X' => b"",
            _ => b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I",
        };
        stream.write_all(reply).unwrap();
    }
}

/// What the server heard at the end of connections that had one request each.
fn ends(on: On, reset: bool) -> Vec<End> {
    // The first one is opened before the start.
    let (address, server) = serve(21);
    let options = Options { reset, ..Options::new(on.kind()) };
    let cores = core_affinity::get_core_ids().unwrap();
    let target = target(address, Speaks::Postgres, 1);
    let stop = Arc::new(AtomicBool::new(false));
    let mut fleet = Fleet::start(vec![target], &cores[..1], &options, stop);
    fleet.open().unwrap();
    let report = run(&mut fleet, reconnecting(open_loop(20))).streams.remove(0);
    assert_eq!(failures(&report), []);
    assert_eq!(report.connections.unwrap().login.len(), 20);
    server.join().unwrap().split_off(1)
}

/// Terminate (Postgres manual, 55.7 "Message Formats").
const TERMINATE: &[u8] = b"X\0\0\0\x04";

pub(crate) fn a_postgres_server_hears_that_the_client_goes(on: On) {
    for (last, end) in ends(on, false) {
        assert_eq!((last.as_slice(), end), (TERMINATE, None));
    }
}

pub(crate) fn a_connection_ends_with_a_reset_where_that_is_asked_for(on: On) {
    for (last, end) in ends(on, true) {
        // A reset may overtake the last words.
        assert!(last == TERMINATE || last.starts_with(b"B"), "{last:?}");
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
}
