//! Servers that misbehave in one way each: on threads, or as a script in virtual time.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use engine::driver::sim::{Event, Peer};
use engine::{ConnectionId, MILLISECOND, Nanos};
use rustls::{ServerConnection, StreamOwned};
use socket2::{SockAddr, SockRef};

use engine::null_server::tls;

/// What a server does about a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Write(Vec<u8>),
    /// In as many writes as there are bytes.
    Trickle(Vec<u8>),
    Close,
    /// With a TCP reset instead of an orderly end.
    Reset,
}

/// What a server does about request `number` of a connection, which holds `id`.
pub(crate) type Answer = fn(number: u64, id: &str) -> Vec<Act>;

/// The reply that the requests expect.
pub(crate) fn reply(id: &str) -> Vec<u8> {
    let body = format!("{{\"data\":{{\"user\":{{\"id\":{id}}}}}}}");
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Cuts one whole request off; gives the id that it holds.
fn take_request(bytes: &mut Vec<u8>) -> Option<String> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let end = head_end + length.expect("a length").parse::<usize>().expect("a number");
    if bytes.len() < end {
        return None;
    }
    let body = String::from_utf8_lossy(&bytes[head_end..end]).into_owned();
    bytes.drain(..end);
    Some(body.rsplit(':').next().unwrap_or_default().trim_end_matches('}').to_owned())
}

pub(crate) trait Stream: Read + Write + Send + 'static {
    /// Has the drop send a reset.
    fn reset(&self);
}

impl Stream for TcpStream {
    fn reset(&self) {
        SockRef::from(self).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Stream for UnixStream {
    fn reset(&self) {
        // It has none: this is as abrupt as it gets.
        let _ = self.shutdown(std::net::Shutdown::Both);
    }
}

/// A stream that writes so many bytes at a time.
pub(crate) struct Pieces(TcpStream, usize);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(self.1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Stream for StreamOwned<ServerConnection, Pieces> {
    fn reset(&self) {
        self.sock.0.reset();
    }
}

fn serve_stream(mut stream: impl Stream, answer: Answer) {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    for number in 0.. {
        let id = loop {
            if let Some(id) = take_request(&mut bytes) {
                break id;
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(length) => bytes.extend_from_slice(&chunk[..length]),
            }
        };
        for act in answer(number, &id) {
            let result = match act {
                Act::Write(bytes) => stream.write_all(&bytes),
                Act::Trickle(bytes) => bytes.iter().try_for_each(|byte| stream.write_all(&[*byte])),
                Act::Close => return,
                Act::Reset => return stream.reset(),
            };
            if result.is_err() {
                return;
            }
        }
    }
}

/// A server on a port of its own, a thread a connection.
pub(crate) fn serve(answer: Answer) -> SockAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve_each(listener.incoming().flatten(), answer));
    address.into()
}

/// The same, that serves nobody before a request has come on the second connection.
pub(crate) fn serve_from_the_second(answer: Answer) -> SockAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut streams = listener.incoming().flatten();
        let two: Vec<_> = streams.by_ref().take(2).collect();
        two[1].peek(&mut [0]).unwrap();
        serve_each(two.into_iter().chain(streams), answer);
    });
    address.into()
}

fn serve_each(streams: impl Iterator<Item = TcpStream>, answer: Answer) {
    for stream in streams {
        stream.set_nodelay(true).unwrap();
        std::thread::spawn(move || serve_stream(stream, answer));
    }
}

/// The same over TLS, whose records are sent in pieces of so many bytes.
pub(crate) fn serve_secured(piece: usize, answer: Answer) -> SockAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls::server().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            let connection = ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let stream = StreamOwned::new(connection, Pieces(stream, piece));
            std::thread::spawn(move || serve_stream(stream, answer));
        }
    });
    address.into()
}

/// A server on a Unix socket.
pub(crate) fn serve_unix(path: &std::path::Path, answer: Answer) -> SockAddr {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve_stream(stream, answer));
        }
    });
    SockAddr::unix(path).unwrap()
}

/// A port where nobody listens.
pub(crate) fn nobody() -> SockAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().into()
}

/// A server whose queue of connections is full: it answers no packet. Keep what is returned.
pub(crate) fn full() -> (SockAddr, Vec<socket2::Socket>) {
    let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let socket = new();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        sockets.push(socket);
    }
    (address, sockets)
}

/// The same server as a script.
pub(crate) struct Script {
    pub(crate) answer: Answer,
    pub(crate) greeting: Greeting,
    connections: HashMap<ConnectionId, (u64, Vec<u8>)>,
}

/// What becomes of a client that connects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Greeting {
    Accept,
    Refuse,
    Ignore,
}

impl Script {
    pub(crate) fn new(greeting: Greeting, answer: Answer) -> Self {
        Self { answer, greeting, connections: HashMap::new() }
    }
}

const LATENCY_NS: Nanos = MILLISECOND / 10;

impl Peer for Script {
    fn connect(&mut self, id: ConnectionId, now: Nanos) -> Vec<(Nanos, Event)> {
        self.connections.insert(id, (0, Vec::new()));
        match self.greeting {
            Greeting::Accept => vec![(now + LATENCY_NS, Event::Connected)],
            Greeting::Refuse => vec![(now + LATENCY_NS, Event::Refused)],
            Greeting::Ignore => Vec::new(),
        }
    }

    fn receive(&mut self, id: ConnectionId, now: Nanos, bytes: &[u8]) -> Vec<(Nanos, Event)> {
        let (number, received) = self.connections.get_mut(&id).expect("connected");
        received.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut at = now;
        while let Some(request) = take_request(received) {
            for act in (self.answer)(*number, &request) {
                at += LATENCY_NS;
                match act {
                    Act::Write(bytes) => events.push((at, Event::Bytes(bytes))),
                    Act::Trickle(bytes) => {
                        let each = bytes.iter().map(|byte| (at, Event::Bytes(vec![*byte])));
                        events.extend(each);
                    }
                    Act::Close | Act::Reset => events.push((at, Event::Closed)),
                }
            }
            *number += 1;
        }
        events
    }
}
