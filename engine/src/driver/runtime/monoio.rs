//! monoio, over io_uring or over epoll.

use std::{
    future::Future,
    io,
    net::TcpStream as StdStream,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use monoio::{
    Buildable, IoUringDriver, LegacyDriver, RuntimeBuilder,
    io::{AsyncReadRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable},
    net::TcpStream,
};
use socket2::{SockRef, Socket};

use super::{Runtime, inbox::Inbox, link::Link, task::connect_result};

/// The runtime, over one of its two drivers.
pub(crate) struct Monoio<D> {
    runtime: monoio::Runtime<D>,
}

/// What differs between monoio's two drivers.
pub(crate) trait Variant: monoio::Driver + Buildable + 'static {
    const NAME: &'static str;
    /// Whether sockets stay nonblocking: epoll needs that; on a ring such a socket fails with
    /// EAGAIN where another waits.
    const IS_NONBLOCKING: bool;

    fn start() -> io::Result<monoio::Runtime<Self>>;
}

impl Variant for IoUringDriver {
    const NAME: &'static str = "monoio (io_uring)";
    const IS_NONBLOCKING: bool = false;

    fn start() -> io::Result<monoio::Runtime<Self>> {
        super::with_coop_taskrun(|builder| {
            RuntimeBuilder::<Self>::new().uring_builder(builder).build()
        })
    }
}

impl Variant for LegacyDriver {
    const NAME: &'static str = "monoio (epoll)";
    const IS_NONBLOCKING: bool = true;

    fn start() -> io::Result<monoio::Runtime<Self>> {
        RuntimeBuilder::<Self>::new().build()
    }
}

impl<D: Variant> Runtime for Monoio<D> {
    const NAME: &'static str = D::NAME;
    const LOOK_SUBMITS: bool = true;
    type Reader = OwnedReadHalf<TcpStream>;
    type Writer = OwnedWriteHalf<TcpStream>;
    type Timer = TcpStream;

    fn start() -> io::Result<Self> {
        Ok(Self { runtime: D::start()? })
    }

    fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        monoio::spawn(task);
    }

    /// Between the polls of `block_on`'s future and of a task that it has woken, the runtime enters
    /// the kernel.
    async fn look(inbox: &Inbox, timer_link: &Link) {
        timer_link.wake();
        inbox.answered().await;
    }

    async fn connected(socket: Socket) -> io::Result<(Self::Reader, Self::Writer)> {
        // Only its file descriptor counts: a Unix socket is as good.
        let stream = TcpStream::from_std(socket.into())?;
        stream.writable(false).await?;
        // SAFETY: `stream` owns the descriptor, and is not dropped before the last use of this.
        let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        connect_result(SockRef::from(&fd).take_error())?;
        SockRef::from(&fd).set_nonblocking(D::IS_NONBLOCKING)?;
        Ok(stream.into_split())
    }

    async fn read(reader: &mut Self::Reader, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        reader.read(buffer).await
    }

    async fn write(writer: &mut Self::Writer, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let (result, bytes) = writer.write_all(bytes).await;
        (result.map(drop), bytes)
    }

    /// Dropping the halves shuts the socket down and closes it; operations were cancelled when
    /// their futures were dropped.
    fn close(reader: Self::Reader, writer: Self::Writer) {
        drop((reader, writer));
    }

    /// As a stream, since only those can be waited for: nothing is received from it.
    fn timer(fd: OwnedFd) -> io::Result<Self::Timer> {
        TcpStream::from_std(StdStream::from(fd))
    }

    async fn fires(timer: &Self::Timer) -> io::Result<()> {
        timer.readable(false).await
    }
}
