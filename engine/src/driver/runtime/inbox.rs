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
pub(super) struct Inbox {
    events: RefCell<Vec<Event>>,
    /// Whether the timer has fired since the last wait.
    has_fired: Cell<bool>,
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

    /// Waits until there are events or the timer has fired; swaps the events for `empty`. Says
    /// whether the timer has fired.
    pub(super) async fn wait(&self, empty: &mut Vec<Event>) -> bool {
        std::future::poll_fn(|context| {
            if self.has_fired.get() || !self.events.borrow().is_empty() {
                return Poll::Ready(());
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        std::mem::swap(&mut *self.events.borrow_mut(), empty);
        self.has_fired.take()
    }
}
