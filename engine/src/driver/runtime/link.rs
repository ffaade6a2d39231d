//! One connection, as its task on the runtime and the driver share it.

use std::{
    cell::{Cell, RefCell},
    os::fd::RawFd,
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::ConnectionId;

/// One connection from its socket's making to its end; the next one in its place has another link.
pub(in crate::driver) struct Link {
    pub(super) id: ConnectionId,
    /// Bytes to send that the task has not taken yet.
    outgoing: RefCell<Vec<u8>>,
    /// The receive buffer, on its way back to the task: a peer that sends without end is read no
    /// faster than the worker looks at what it sent.
    buffer: Cell<Option<Vec<u8>>>,
    buffer_bytes: Cell<usize>,
    /// The task's socket, while it has one.
    fd: Cell<Option<RawFd>>,
    is_closed: Cell<bool>,
    /// Whether the driver has noted that the task is to be woken.
    is_noted: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Link {
    pub(super) fn new(id: ConnectionId) -> Self {
        Self {
            id,
            outgoing: RefCell::default(),
            buffer: Cell::new(Some(Vec::new())),
            buffer_bytes: Cell::new(0),
            fd: Cell::new(None),
            is_closed: Cell::new(false),
            is_noted: Cell::new(false),
            waker: Cell::new(None),
        }
    }

    pub(super) fn fd(&self) -> Option<RawFd> {
        self.fd.get()
    }

    pub(super) fn set_fd(&self, fd: Option<RawFd>) {
        self.fd.set(fd);
    }

    pub(super) fn send(&self, bytes: &[u8]) {
        self.outgoing.borrow_mut().extend_from_slice(bytes);
    }

    /// Swaps what is to be sent for `spare`, an empty buffer.
    pub(super) fn take_outgoing(&self, spare: &mut Vec<u8>) -> Poll<()> {
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.is_empty() {
            return Poll::Pending;
        }
        std::mem::swap(&mut *outgoing, spare);
        Poll::Ready(())
    }

    pub(super) fn give_buffer(&self, buffer: Vec<u8>) {
        self.buffer.set(Some(buffer));
    }

    /// The buffer, empty and with room for `bytes`, once it is back.
    pub(super) fn take_buffer(&self, bytes: usize) -> Poll<Vec<u8>> {
        let Some(mut buffer) = self.buffer.take() else { return Poll::Pending };
        buffer.clear();
        buffer.reserve_exact(bytes);
        self.buffer_bytes.set(buffer.capacity());
        Poll::Ready(buffer)
    }

    /// Has the task end; it sends no more than `last_words`.
    pub(super) fn end(&self, last_words: &[u8]) {
        self.is_closed.set(true);
        let mut outgoing = self.outgoing.borrow_mut();
        outgoing.clear();
        outgoing.extend_from_slice(last_words);
    }

    /// What the ended task has still to send.
    pub(super) fn last_words(&self) -> Vec<u8> {
        self.outgoing.take()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// What it holds, in bytes.
    pub(super) fn own_bytes(&self) -> usize {
        size_of::<Self>() + self.buffer_bytes.get() + self.outgoing.borrow().capacity()
    }

    /// Whether this is the first note since the last wake.
    pub(super) fn note(&self) -> bool {
        !self.is_noted.replace(true)
    }

    /// Lets the task look at what has changed. On the runtime only.
    pub(super) fn wake(&self) {
        self.is_noted.set(false);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn keep_waker(&self, context: &Context<'_>) {
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(context.waker()) => waker,
            _ => context.waker().clone(),
        };
        self.waker.set(Some(waker));
    }

    /// What `work` comes to; nothing once the link is closed. `work` is polled whenever the link
    /// is woken.
    pub(super) async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            self.keep_waker(context);
            if self.is_closed() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }
}
