//! tokio-uring: completions from a ring whose file descriptor tokio's epoll waits for.

use std::{future::Future, io, net::Shutdown, os::fd::OwnedFd, rc::Rc};

use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio_uring::net::TcpStream;

use super::{Runtime, inbox::Inbox, link::Link, task::connect_result};

/// The runtime.
pub(crate) struct TokioUring {
    runtime: tokio_uring::Runtime,
}

impl Runtime for TokioUring {
    const NAME: &'static str = "tokio-uring";
    /// It submits only where it goes to sleep.
    const LOOK_SUBMITS: bool = false;
    type Reader = Rc<TcpStream>;
    type Writer = Rc<TcpStream>;
    type Timer = AsyncFd<OwnedFd>;

    fn start() -> io::Result<Self> {
        let runtime = super::with_coop_taskrun(|builder| {
            let mut settings = tokio_uring::builder();
            settings.entries(1024).uring_builder(&builder);
            tokio_uring::Runtime::new(&settings)
        })?;
        Ok(Self { runtime })
    }

    fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        tokio_uring::spawn(task);
    }

    async fn look(_inbox: &Inbox, _timer_link: &Link) {
        tokio::task::yield_now().await;
    }

    async fn connected(socket: Socket) -> io::Result<(Self::Reader, Self::Writer)> {
        // SAFETY: the socket owns its descriptor, which stays open until `into_inner` or the drop.
        let socket = unsafe { AsyncFd::register(socket)? };
        socket.writable().await?.retain_ready();
        connect_result(socket.get_ref().take_error())?;
        let socket = socket.into_inner();
        // A nonblocking socket would fail with EAGAIN on the ring, where another waits.
        socket.set_nonblocking(false)?;
        // Only its file descriptor counts: a Unix socket is as good.
        let stream = Rc::new(TcpStream::from_std(socket.into()));
        Ok((Rc::clone(&stream), stream))
    }

    async fn read(reader: &mut Self::Reader, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        reader.read(buffer).await
    }

    async fn write(writer: &mut Self::Writer, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        writer.write_all(bytes).await
    }

    /// The runtime does not cancel an operation whose future is dropped, and keeps the socket open
    /// until it completes: the shutdown makes it.
    fn close(reader: Self::Reader, _writer: Self::Writer) {
        let _ = reader.shutdown(Shutdown::Both);
    }

    fn timer(fd: OwnedFd) -> io::Result<Self::Timer> {
        // SAFETY: an owned descriptor stays open until the drop.
        Ok(unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) }?)
    }

    /// The readiness is cleared before the timer is read: should it fire in between, it is read
    /// once and fires once more in vain.
    async fn fires(timer: &Self::Timer) -> io::Result<()> {
        timer.readable().await?.clear_ready();
        Ok(())
    }
}
