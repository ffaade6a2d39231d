//! A gateway and a pooler that add a known time to each request, and remember it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use engine::Random;

/// At least so much, and on average so much more, distributed exponentially.
#[derive(Debug, Clone, Copy)]
pub struct Delay {
    /// The least.
    pub least: Duration,
    /// The mean of what comes on top.
    pub more: Duration,
}

/// How long each request took a stand-in, in ns.
#[derive(Debug, Clone, Default)]
pub struct Times(Arc<Mutex<Vec<u64>>>);

impl Times {
    /// What half of all requests did not exceed.
    pub fn median(&self) -> f64 {
        let mut times = self.0.lock().expect("nobody panics with it").clone();
        times.sort_unstable();
        times[times.len() / 2] as f64
    }

    fn push(&self, time: Duration) {
        self.0.lock().expect("nobody panics with it").push(time.as_nanos() as u64);
    }
}

/// A pooler without a pool: it holds what a client sends for a time that is drawn anew for each
/// message, and passes it on to a server; answers go back at once. A thread a connection and
/// direction, until the client goes.
pub fn pooler(server: SocketAddr, delay: Delay, seed: u64) -> (SocketAddr, Times) {
    let times = Times::default();
    let held = times.clone();
    let address = listen(seed, move |mut client, mut random| {
        let mut server = connect(server);
        let (mut answers, mut back) = (clone(&server), clone(&client));
        thread::spawn(move || {
            // Ends with the connection.
            let _ = std::io::copy(&mut answers, &mut back);
        });
        let mut message = [0; 16 * 1024];
        let mut is_login = true;
        while let Ok(length @ 1..) = client.read(&mut message) {
            let begun = Instant::now();
            let is_request = !std::mem::take(&mut is_login);
            if is_request {
                hold(delay, &mut random);
            }
            if server.write_all(&message[..length]).is_err() {
                break;
            }
            if is_request {
                held.push(begun.elapsed());
            }
        }
        let _ = server.shutdown(std::net::Shutdown::Both);
    });
    (address, times)
}

/// A gateway that holds each request and then asks the pooler at `address` one thing; each of its
/// connections has one to the pooler.
pub fn gateway(address: SocketAddr, delay: Delay, seed: u64) -> (SocketAddr, Times) {
    let times = Times::default();
    let taken = times.clone();
    let address = listen(seed, move |mut client, mut random| {
        let mut pooler = connect(address);
        // Protocol 3.0, no parameters but a user.
        pooler.write_all(b"\0\0\0\x10\0\x03\0\0user\0u\0\0").expect("the pooler listens");
        until_ready(&mut pooler);
        let mut request = Vec::new();
        let mut bytes = [0; 16 * 1024];
        while let Ok(length @ 1..) = client.read(&mut bytes) {
            request.extend_from_slice(&bytes[..length]);
            if !is_whole(&request) {
                continue;
            }
            request.clear();
            let begun = Instant::now();
            hold(delay, &mut random);
            pooler.write_all(b"Q\0\0\0\x0dSELECT 1\0").expect("the pooler listens");
            until_ready(&mut pooler);
            let reply =
                b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"data\":{\"user\":{\"id\":1}}}";
            if client.write_all(reply).is_err() {
                break;
            }
            taken.push(begun.elapsed());
        }
    });
    (address, times)
}

/// Postgres for whoever only looks: to every question one row of two columns, `1` and `1`.
pub fn observed() -> SocketAddr {
    const GREETING: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    const COLUMN: &[u8] = b"c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
    let answer = [
        b"T\0\0\0\x2e\0\x02",
        COLUMN,
        COLUMN,
        b"D\0\0\0\x10\0\x02\0\0\0\x011\0\0\0\x011",
        b"C\0\0\0\x0dSELECT 1\0",
        b"Z\0\0\0\x05I",
    ]
    .concat();
    listen(0, move |mut client, _| {
        let mut bytes = [0; 16 * 1024];
        let mut reply = GREETING;
        while let Ok(1..) = client.read(&mut bytes) {
            if client.write_all(reply).is_err() {
                break;
            }
            reply = &answer;
        }
    })
}

fn listen(
    seed: u64,
    serve: impl Fn(TcpStream, Random) + Send + Sync + Clone + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for (number, client) in listener.incoming().flatten().enumerate() {
            client.set_nodelay(true).expect("TCP");
            let (serve, random) = (serve.clone(), Random::new(seed, number as u64));
            thread::spawn(move || serve(client, random));
        }
    });
    address
}

fn hold(delay: Delay, random: &mut Random) {
    thread::sleep(delay.least + delay.more.mul_f64(random.exponential()));
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("TCP");
    stream
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor is free")
}

/// Reads up to a ReadyForQuery, which nothing follows.
fn until_ready(stream: &mut TcpStream) {
    const READY: &[u8] = b"Z\0\0\0\x05I";
    let mut received = Vec::new();
    let mut bytes = [0; 1024];
    while !received.ends_with(READY) {
        let length = stream.read(&mut bytes).expect("an answer");
        assert!(length > 0, "the pooler closed");
        received.extend_from_slice(&bytes[..length]);
    }
}

/// Whether a request has come with all of its body.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap_or(0))
}
