//! A server that costs next to nothing: what the generator itself can do shows on it.
//!
//! One thread, one epoll, replies made in advance. On the other end of a loopback connection it is
//! cheaper than any gateway or database, so a closed loop on it is the generator's ceiling.

mod target;
pub mod tls;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustls::{ServerConfig, ServerConnection};
use socket2::{Domain, SockAddr, Socket, Type};

pub use self::target::{phase, stream, target};

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// GraphQL over HTTP; the id of the request comes back as `data.user.id`.
    Http,
    /// The Postgres protocol: one row of one column, `1`, for whatever is asked.
    Postgres,
    /// The first over TLS.
    Https,
    /// The second over TLS.
    SecuredPostgres,
}

impl Speaks {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Http, Self::Postgres, Self::Https, Self::SecuredPostgres];

    fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Whether it speaks TLS.
    pub fn is_secured(self) -> bool {
        matches!(self, Self::Https | Self::SecuredPostgres)
    }
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct NullServer {
    address: SockAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What tests ask for: how many connections there are, and how many requests there were.
struct Counts(Arc<AtomicUsize>, Arc<AtomicU64>);

struct Connection {
    stream: TcpStream,
    tls: Option<ServerConnection>,
    received: Vec<u8>,
    has_started: bool,
}

const LISTENER: u64 = u64::MAX;
/// It looks so often whether it is to end.
const STOP_WITHIN_NS: i64 = 50_000_000;
/// Connections that may wait to be accepted, where net.core.somaxconn lets them.
const BACKLOG: i32 = 4096;
const WAIT_MAX: Duration = Duration::from_secs(20);

impl NullServer {
    /// On a free port of this machine; on `core`, or wherever the system likes.
    pub fn start(speaks: Speaks, core: Option<core_affinity::CoreId>) -> io::Result<Self> {
        crate::driver::raise_open_files();
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        listener.listen(BACKLOG)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&poll, &listener, data, epoll::EventFlags::IN)?;
        let tls = speaks.is_secured().then(tls::server).transpose()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicU64::new(0));
        let counts = Counts(Arc::clone(&connections), Arc::clone(&requests));
        let flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("null-server".into());
        let thread = thread.spawn(move || {
            core.map(core_affinity::set_for_current);
            serve(&listener.into(), &poll, (speaks, tls), &counts, &flag);
        })?;
        Ok(Self { address, connections, requests, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SockAddr {
        self.address.clone()
    }

    /// Requests answered so far; with Postgres, messages that are answered with a row.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Waits until there are so many connections, or for a long time; gives how many there are.
    #[expect(clippy::disallowed_methods, reason = "the server's side waits for real time")]
    pub fn wait_for_connections(&self, wanted: usize) -> usize {
        let begun = Instant::now();
        while self.connections.load(Ordering::Relaxed) != wanted && begun.elapsed() < WAIT_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn serve(
    listener: &TcpListener,
    poll: &OwnedFd,
    (speaks, tls): (Speaks, Option<Arc<ServerConfig>>),
    counts: &Counts,
    stop: &AtomicBool,
) {
    let mut connections = HashMap::new();
    let mut accepted = 0;
    let mut events = Vec::with_capacity(1024);
    let mut chunk = vec![0; 64 * 1024];
    let mut out = Vec::new();
    let timeout = Timespec { tv_sec: 0, tv_nsec: STOP_WITHIN_NS };
    while !stop.load(Ordering::Relaxed) {
        events.clear();
        let buffer = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(poll, buffer, Some(&timeout)).is_err() {
            continue;
        }
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    // One that can't be watched is closed.
                    let tls = tls.as_ref().map(|config| ServerConnection::new(Arc::clone(config)));
                    if let Ok(tls) = tls.transpose()
                        && watch(poll, &stream, accepted).is_ok()
                    {
                        let received = Vec::new();
                        let connection = Connection { stream, tls, received, has_started: false };
                        connections.insert(accepted, connection);
                        accepted += 1;
                    }
                }
            } else if let Some(connection) = connections.get_mut(&key)
                && !connection.answer(speaks, &mut chunk, &mut out, &counts.1)
            {
                connections.remove(&key);
            }
        }
        counts.0.store(connections.len(), Ordering::Relaxed);
    }
}

fn watch(poll: &OwnedFd, stream: &TcpStream, key: u64) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let data = epoll::EventData::new_u64(key);
    Ok(epoll::add(poll, stream.as_fd(), data, epoll::EventFlags::IN)?)
}

impl Connection {
    /// Reads once and answers what is whole; whether the connection goes on.
    fn answer(
        &mut self,
        speaks: Speaks,
        chunk: &mut [u8],
        out: &mut Vec<u8>,
        requests: &AtomicU64,
    ) -> bool {
        let length = match self.stream.read(chunk) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        };
        out.clear();
        match self.tls.take() {
            Some(tls) => match self.unseal(tls, speaks, &chunk[..length], out, requests) {
                Ok(tls) => self.tls = Some(tls),
                Err(_) => return false,
            },
            None => self.read(speaks, &chunk[..length], out, requests),
        }
        // Replies are far smaller than a socket buffer.
        self.stream.write_all(out).is_ok()
    }

    /// Answers what is whole in what came.
    fn read(&mut self, speaks: Speaks, bytes: &[u8], out: &mut Vec<u8>, requests: &AtomicU64) {
        if self.received.is_empty() {
            let used = self.take(speaks, bytes, out, requests);
            self.received.extend_from_slice(&bytes[used..]);
        } else {
            self.received.extend_from_slice(bytes);
            let received = std::mem::take(&mut self.received);
            let used = self.take(speaks, &received, out, requests);
            self.received = received[used..].to_vec();
        }
    }

    /// The same over TLS; gives its state back.
    fn unseal(
        &mut self,
        mut tls: ServerConnection,
        speaks: Speaks,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        requests: &AtomicU64,
    ) -> io::Result<ServerConnection> {
        const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
        if bytes == SSL_REQUEST {
            out.push(b'S');
            return Ok(tls);
        }
        let (mut plain, mut replies) = (Vec::new(), Vec::new());
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            // It ends with WouldBlock where there is nothing more.
            let _ = tls.reader().read_to_end(&mut plain);
        }
        self.read(speaks, &plain, &mut replies, requests);
        tls.writer().write_all(&replies)?;
        while tls.wants_write() {
            tls.write_tls(out)?;
        }
        Ok(tls)
    }

    /// Answers all whole requests; gives the bytes that they had.
    fn take(
        &mut self,
        speaks: Speaks,
        bytes: &[u8],
        out: &mut Vec<u8>,
        requests: &AtomicU64,
    ) -> usize {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let length = match speaks.is_http() {
                true => http(rest, out),
                false => postgres(rest, &mut self.has_started, out),
            };
            match length {
                Some(length) => {
                    if speaks.is_http() || matches!(rest[0], b'E' | b'Q') {
                        requests.fetch_add(1, Ordering::Relaxed);
                    }
                    used += length;
                }
                None => return used,
            }
        }
    }
}

fn http(bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    const LENGTH: &[u8] = b"Content-Length: ";
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|at| at == what);
    let head_end = find(bytes, b"\r\n\r\n")? + 4;
    let value = &bytes[find(bytes, LENGTH)? + LENGTH.len()..head_end];
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    let body = bytes.get(head_end..head_end + length)?;
    // A body ends in `:id}`, or in more braces.
    let start = body.iter().rposition(|byte| *byte == b':')? + 1;
    let id = body[start..].split(|byte| *byte == b'}').next()?;
    let (before, after) = (b"{\"data\":{\"user\":{\"id\":", b"}}}");
    let reply_length = before.len() + id.len() + after.len();
    write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {reply_length}\r\n\r\n").ok()?;
    out.extend_from_slice(before);
    out.extend_from_slice(id);
    out.extend_from_slice(after);
    Some(head_end + length)
}

fn postgres(bytes: &[u8], has_started: &mut bool, out: &mut Vec<u8>) -> Option<usize> {
    let at = usize::from(*has_started);
    let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize + at;
    let message = bytes.get(..length)?;
    let ready: &[u8] = b"Z\0\0\0\x05I";
    let row: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\x0dSELECT 1\0";
    match message[0] {
        _ if !*has_started => {
            *has_started = true;
            out.extend_from_slice(b"R\0\0\0\x08\0\0\0\0");
            out.extend_from_slice(ready);
        }
        b'P' => out.extend_from_slice(b"1\0\0\0\x04"),
        b'B' => out.extend_from_slice(b"2\0\0\0\x04"),
        b'C' => out.extend_from_slice(b"3\0\0\0\x04"),
        b'D' => out.extend_from_slice(b"n\0\0\0\x04"),
        b'E' => out.extend_from_slice(row),
        b'S' => out.extend_from_slice(ready),
        b'Q' => {
            out.extend_from_slice(row);
            out.extend_from_slice(ready);
        }
        _ => {}
    }
    Some(length)
}
