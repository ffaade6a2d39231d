//! A server of our own, which notes when each request came and when its reply went.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::cores::Cores;

/// One connection's side of a protocol, without sockets.
pub(crate) trait Protocol: Clone + Send + 'static {
    /// Takes whole messages off the front of `input`, appends replies to `output`, and gives the
    /// number of requests that are now complete.
    fn receive(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<usize, Malformed>;
}

/// The client speaks another protocol; its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How long replies are held back. The default is not at all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Holds {
    /// Each reply.
    pub(crate) usual: Duration,
    /// One in [`RARE_EVERY`] instead.
    pub(crate) rare: Duration,
    /// In every [`STALL_EVERY`] after the first request, from `stall_at` on, for so long, nothing
    /// is sent.
    pub(crate) stall: Duration,
    /// Within each period.
    pub(crate) stall_at: Duration,
}

/// Request numbers that this divides are held for [`Holds::rare`].
const RARE_EVERY: u64 = 100;
/// From one stall to the next.
const STALL_EVERY: Duration = Duration::from_secs(10);

impl Holds {
    /// When the reply to request `number`, received at `received`, may go; both since the first
    /// request came.
    fn due(&self, number: u64, received: Duration) -> Duration {
        let is_rare = number % RARE_EVERY == RARE_EVERY - 1;
        let due = received + if is_rare { self.rare } else { self.usual };
        let period = (due.as_nanos() / STALL_EVERY.as_nanos()) as u32;
        let stall = STALL_EVERY * period + self.stall_at;
        if (stall..stall + self.stall).contains(&due) { stall + self.stall } else { due }
    }
}

/// When each request came and when its reply went, since the first came, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) received: Vec<Duration>,
    /// Zero where the connection was closed before.
    pub(crate) sent: Vec<Duration>,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Notes>>>,
}

impl Own {
    /// Starts a thread that serves `protocol` on a free port of 127.0.0.1, on the servers' core,
    /// which it keeps busy all the time: a server that sleeps would note when it woke.
    pub(crate) fn start(
        protocol: impl Protocol,
        holds: Holds,
        cores: Cores,
    ) -> Result<Self, String> {
        let fault = |error: io::Error| format!("our own server: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(fault)?;
        let port = listener.local_addr().map_err(fault)?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("server".into()).spawn(move || {
            cores.to_server()?;
            Loop::new(listener, protocol, holds)?.run(&flag)
        });
        Ok(Self { port, stop, thread: Some(thread.map_err(fault)?) })
    }

    /// Stops it and gives what it noted.
    pub(crate) fn stop(mut self) -> Result<Notes, String> {
        self.join().map_err(|error| format!("our own server: {error}"))
    }

    fn join(&mut self) -> io::Result<Notes> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(Notes::default()) };
        thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

struct Connection<P> {
    stream: TcpStream,
    protocol: P,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// A reply that is held back.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Duration,
    /// The request's number.
    number: u64,
    token: usize,
}

struct Loop<P> {
    poll: Poll,
    listener: TcpListener,
    protocol: P,
    holds: Holds,
    /// Never used again once closed.
    connections: Vec<Option<Connection<P>>>,
    held: BinaryHeap<Reverse<Held>>,
    notes: Notes,
    first: Option<Instant>,
}

const LISTENER: Token = Token(usize::MAX);
/// The flag is looked at once in so many turns.
const TURNS: usize = 256;

impl<P: Protocol> Loop<P> {
    fn new(mut listener: TcpListener, protocol: P, holds: Holds) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            protocol,
            holds,
            connections: Vec::new(),
            held: BinaryHeap::new(),
            notes: Notes::default(),
            first: None,
        })
    }

    fn run(mut self, stop: &AtomicBool) -> io::Result<Notes> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..TURNS {
                match self.poll.poll(&mut events, Some(Duration::ZERO)) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    other => other?,
                }
                let now = Instant::now();
                for event in &events {
                    match event.token() {
                        LISTENER => self.accept()?,
                        Token(token) => self.receive(token, now, &mut buffer),
                    }
                }
                self.send_due();
            }
        }
        Ok(self.notes)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.connections.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
            let protocol = self.protocol.clone();
            let (input, output) = (Vec::new(), Vec::new());
            self.connections.push(Some(Connection { stream, protocol, input, output }));
        }
    }

    fn receive(&mut self, token: usize, now: Instant, buffer: &mut [u8]) {
        let Some(connection) = &mut self.connections[token] else { return };
        let Ok(requests) = connection.receive(buffer) else {
            self.connections[token] = None;
            return;
        };
        if requests == 0 {
            // A greeting, or a part of an answer.
            self.send(token);
            return;
        }
        let received = now.duration_since(*self.first.get_or_insert(now));
        for _ in 0..requests {
            let number = self.notes.received.len() as u64;
            let due = self.holds.due(number, received);
            self.notes.received.push(received);
            self.notes.sent.push(Duration::ZERO);
            self.held.push(Reverse(Held { due, number, token }));
        }
    }

    fn send_due(&mut self) {
        let Some(first) = self.first else { return };
        while let Some(Reverse(next)) = self.held.peek()
            && next.due <= first.elapsed()
        {
            let (number, token) = (next.number, next.token);
            self.held.pop();
            if self.send(token) {
                self.notes.sent[number as usize] = first.elapsed();
            }
        }
    }

    /// Whether it went; otherwise the connection is closed. Its client has one request under way
    /// and waits for the reply, so that the kernel has room for it.
    fn send(&mut self, token: usize) -> bool {
        let Some(connection) = &mut self.connections[token] else { return false };
        let sent = connection.stream.write_all(&connection.output);
        connection.output.clear();
        if sent.is_err() {
            self.connections[token] = None;
        }
        sent.is_ok()
    }
}

impl<P: Protocol> Connection<P> {
    /// Reads all that has come. An error where the client has gone or makes no sense.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut requests = 0;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => {
                    self.input.extend_from_slice(&buffer[..bytes]);
                    let received = self.protocol.receive(&mut self.input, &mut self.output);
                    requests += received.map_err(|_| io::ErrorKind::InvalidData)?;
                    // Edge-triggered, but a short read has emptied the socket.
                    if bytes < buffer.len() {
                        return Ok(requests);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(requests),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDS: Holds = Holds {
        usual: Duration::from_millis(2),
        rare: Duration::from_millis(50),
        stall: Duration::from_secs(1),
        stall_at: Duration::from_secs(4),
    };

    #[test]
    fn replies_are_held_as_long_as_was_said() {
        let due = |number, ms| HOLDS.due(number, Duration::from_millis(ms)).as_millis();
        assert_eq!(due(0, 0), 2);
        assert_eq!(due(99, 100), 150);
        assert_eq!(due(199, 100), 150);
        // In the stall, before it, after it, and in the next one.
        assert_eq!((due(1, 4_500), due(1, 3_999), due(99, 3_949)), (5_000, 5_000, 3_999));
        assert_eq!((due(1, 5_000), due(1, 4_997), due(99, 4_950)), (5_002, 5_000, 5_000));
        assert_eq!((due(1, 9_999), due(1, 14_000)), (10_001, 15_000));
        assert_eq!(Holds::default().due(99, Duration::from_secs(1)), Duration::from_secs(1));
    }

    /// Line in, line out.
    #[derive(Clone)]
    struct Echo;

    impl Protocol for Echo {
        fn receive(
            &mut self,
            input: &mut Vec<u8>,
            output: &mut Vec<u8>,
        ) -> Result<usize, Malformed> {
            let lines = input.iter().filter(|byte| **byte == b'\n').count();
            if lines > 0 {
                output.append(input);
            }
            Ok(lines)
        }
    }

    #[test]
    fn it_serves_several_connections_and_notes_each_request() {
        use std::io::{BufRead as _, BufReader};
        use std::net::TcpStream;
        let core = Cores::choose().unwrap().map_or(0, |cores| cores.server);
        let cores = Cores { server: core, client: core };
        let holds = Holds { usual: Duration::from_millis(5), ..Holds::default() };
        let server = Own::start(Echo, holds, cores).unwrap();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
        for mut stream in [connect(), connect()] {
            for line in ["one\n", "two\n"] {
                stream.write_all(line.as_bytes()).unwrap();
                let mut reply = String::new();
                BufReader::new(&stream).read_line(&mut reply).unwrap();
                assert_eq!(reply, line);
            }
        }
        let notes = server.stop().unwrap();
        assert_eq!((notes.received.len(), notes.sent.len()), (4, 4));
        let held = notes.received.iter().zip(&notes.sent).map(|(came, went)| *went - *came);
        assert!(held.into_iter().all(|held| held >= holds.usual), "{notes:?}");
    }
}
