//! The tasks that run on the runtime: one a connection, and one for the timer.

use std::{
    future::poll_fn,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    pin::pin,
    rc::Rc,
};

use socket2::{SockRef, Socket};

use super::{
    Runtime,
    inbox::{Inbox, What},
    link::Link,
    socket::Sockets,
    timer::acknowledge,
};

/// A connection's receive buffer is this large at first.
const BUFFER_BYTES: usize = 4 * 1024;
/// It grows to this where the peer sends that much at once.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// A connection, from a socket that has begun to connect to its end.
pub(super) async fn connection<R: Runtime>(
    link: Rc<Link>,
    inbox: Rc<Inbox>,
    sockets: Sockets,
    socket: Socket,
) {
    let alive = Alive::new(&inbox);
    let fd = socket.as_raw_fd();
    match link.unless_closed(R::connected(socket)).await {
        None => {}
        Some(Err(error)) => inbox.push(&link, What::Failed(error)),
        Some(Ok((mut reader, mut writer))) => {
            inbox.push(&link, What::Connected);
            link.unless_closed(async {
                let mut sending = pin!(send::<R>(&link, &mut writer));
                let mut receiving = pin!(receive::<R>(&link, &inbox, &mut reader));
                let mut has_failed = false;
                poll_fn(|context| {
                    // A send that fails says less than the receive: what the peer sent before it
                    // closed comes first, and then the end of its stream.
                    has_failed = has_failed || sending.as_mut().poll(context).is_ready();
                    receiving.as_mut().poll(context)
                })
                .await;
            })
            .await;
            if link.is_closed() {
                // SAFETY: the halves own the descriptor, and are dropped after the last use of this.
                let fd = unsafe { BorrowedFd::borrow_raw(fd) };
                sockets.end(&SockRef::from(&fd), &link.last_words());
            }
            R::close(reader, writer);
        }
    }
    drop(alive);
}

/// Ends with the first send that fails.
async fn send<R: Runtime>(link: &Link, writer: &mut R::Writer) {
    let mut bytes = Vec::new();
    loop {
        poll_fn(|_| link.take_outgoing(&mut bytes)).await;
        let result;
        (result, bytes) = R::write(writer, bytes).await;
        if result.is_err() {
            return;
        }
        bytes.clear();
    }
}

/// Ends with the peer's stream.
async fn receive<R: Runtime>(link: &Rc<Link>, inbox: &Inbox, reader: &mut R::Reader) {
    let mut size = BUFFER_BYTES;
    loop {
        let mut buffer = poll_fn(|_| link.take_buffer(size)).await;
        let result;
        (result, buffer) = R::read(reader, buffer).await;
        if !result.is_ok_and(|length| length > 0) {
            return inbox.push(link, What::Closed);
        }
        if buffer.len() == buffer.capacity() {
            size = (2 * size).min(BUFFER_BYTES_MAX);
        }
        inbox.push(link, What::Bytes(buffer));
    }
}

/// Tells the driver each time the timer fires, until its link is closed.
pub(super) async fn timer<R: Runtime>(link: Rc<Link>, inbox: Rc<Inbox>, fd: OwnedFd) {
    let ticking = async {
        let timer = R::timer(fd.try_clone()?)?;
        loop {
            let mut firing = pin!(R::fires(&timer));
            let fired = poll_fn(|context| {
                inbox.answer();
                firing.as_mut().poll(context)
            });
            fired.await?;
            if acknowledge(&fd) {
                inbox.fire();
            }
        }
    };
    let _: Option<io::Result<()>> = link.unless_closed(ticking).await;
}

/// Counts a task among the living while it is held.
struct Alive {
    inbox: Rc<Inbox>,
}

impl Alive {
    fn new(inbox: &Rc<Inbox>) -> Self {
        inbox.living.set(inbox.living.get() + 1);
        Self { inbox: Rc::clone(inbox) }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.inbox.living.set(self.inbox.living.get() - 1);
    }
}

/// What a nonblocking connect that has become writable came to.
pub(super) fn connect_result(error: io::Result<Option<io::Error>>) -> io::Result<()> {
    error?.map_or(Ok(()), Err)
}
