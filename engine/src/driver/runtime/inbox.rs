//! What the tasks tell the driver.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::{Poll, Waker},
};

use super::link::Link;

/// Something that happened on a connection.
pub(super) struct Event {
    pub(super) link: Rc<Link>,
    pub(super) what: What,
}

/// What happened.
pub(super) enum What {
    Connected,
    Failed(io::Error),
    /// The whole buffer, to be given back.
    Bytes(Vec<u8>),
    Closed,
}

/// Shared by the driver and all of its tasks.
#[derive(Default)]
pub(in crate::driver) struct Inbox {
    events: RefCell<Vec<Event>>,
    /// Whether the timer has fired since the last wait.
    has_fired: Cell<bool>,
    /// Whether the driver waits for the timer task to run, just to be woken by it.
    is_asked: Cell<bool>,
    /// Connections whose task has not ended.
    pub(super) living: Cell<usize>,
    waker: Cell<Option<Waker>>,
}

impl Inbox {
    pub(super) fn push(&self, link: &Rc<Link>, what: What) {
        self.events.borrow_mut().push(Event { link: Rc::clone(link), what });
        self.wake();
    }

    pub(super) fn fire(&self) {
        self.has_fired.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// What the timer task does each time that it runs.
    pub(super) fn answer(&self) {
        if self.is_asked.take() {
            self.wake();
        }
    }

    /// Waits until the timer task, which must have been woken, has run.
    pub(super) async fn answered(&self) {
        self.is_asked.set(true);
        self.wait_until(|| !self.is_asked.get()).await;
    }

    /// Waits until there are events or the timer has fired. Says whether it had to wait.
    pub(super) async fn wait(&self) -> bool {
        self.wait_until(|| self.has_fired.get() || !self.events.borrow().is_empty()).await
    }

    async fn wait_until(&self, is_so: impl Fn() -> bool) -> bool {
        let mut has_waited = false;
        std::future::poll_fn(|context| {
            if is_so() {
                return Poll::Ready(has_waited);
            }
            has_waited = true;
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Swaps the events for `empty`. Says whether the timer has fired.
    pub(super) fn take(&self, empty: &mut Vec<Event>) -> bool {
        std::mem::swap(&mut *self.events.borrow_mut(), empty);
        self.has_fired.take()
    }
}
