//! Drivers on an asynchronous runtime: a task a connection, and one worker that they all feed.

mod inbox;
mod link;
mod monoio;
mod task;
mod timer;
mod tokio_uring;

use std::{
    future::Future,
    io,
    os::fd::{AsRawFd, OwnedFd},
    rc::Rc,
    task::Poll,
};

use io_uring_monoio::Builder;
use rustix::io::Errno;
use socket2::{SockAddr, Socket};

use self::{
    inbox::{Event, Inbox, What},
    link::Link,
    timer::Timer,
};
pub(crate) use self::{monoio::Monoio, tokio_uring::TokioUring};
use super::{Clock, Driver, DriverError, Setup, socket, spun_ns};
use crate::{ConnectionId, MILLISECOND, Nanos, Transport, Worker};

/// What is asked of a runtime: tasks, streams, and a file descriptor's readiness.
pub(crate) trait Runtime: Sized + 'static {
    /// Its name in messages.
    const NAME: &'static str;
    /// Whether [`Runtime::look`] hands to the kernel what the tasks want of it.
    const LOOK_SUBMITS: bool;
    type Reader: 'static;
    type Writer: 'static;
    /// Waits for a timerfd.
    type Timer: 'static;

    /// Starts it on this thread.
    fn start() -> io::Result<Self>;
    /// Runs all tasks until `future` is done.
    fn block_on<F: Future>(&mut self, future: F) -> F::Output;
    /// Adds a task. Within `block_on` only, as all that follow.
    fn spawn(task: impl Future<Output = ()> + 'static);
    /// Lets the runtime see what the kernel has for it, without waiting for anything.
    fn look(inbox: &Inbox, timer_link: &Link) -> impl Future<Output = ()>;
    /// Waits until a nonblocking socket that has begun to connect is connected.
    fn connected(socket: Socket) -> impl Future<Output = io::Result<(Self::Reader, Self::Writer)>>;
    /// Reads into the capacity of `buffer`, which must be empty.
    fn read(
        reader: &mut Self::Reader,
        buffer: Vec<u8>,
    ) -> impl Future<Output = (io::Result<usize>, Vec<u8>)>;
    /// Writes all of `bytes`.
    fn write(
        writer: &mut Self::Writer,
        bytes: Vec<u8>,
    ) -> impl Future<Output = (io::Result<()>, Vec<u8>)>;
    /// Ends the connection for the peer, and whatever the kernel still does on it.
    fn close(reader: Self::Reader, writer: Self::Writer);
    /// Makes a timerfd known to the runtime.
    fn timer(fd: OwnedFd) -> io::Result<Self::Timer>;
    /// Waits until it may have fired.
    fn fires(timer: &Self::Timer) -> impl Future<Output = io::Result<()>>;
}

/// The driver.
pub(crate) struct RuntimeDriver<R: Runtime> {
    runtime: R,
    sockets: Sockets,
    timer: Timer,
    /// The timer task's.
    timer_link: Rc<Link>,
    spin_ns: Nanos,
    spun_ns: Nanos,
    /// Empty between turns.
    events: Vec<Event>,
}

/// What the worker's decisions become: work for the tasks.
struct Sockets {
    maker: socket::Sockets,
    links: Vec<Option<Rc<Link>>>,
    /// Connections whose task is to be started.
    begun: Vec<(Rc<Link>, Socket)>,
    /// Links with news for their task.
    noted: Vec<Rc<Link>>,
    /// Whether tasks were given work since the runtime last waited.
    is_unsubmitted: bool,
    inbox: Rc<Inbox>,
}

/// A driver that ends waits this long at most for its tasks to end.
const END_NS: Nanos = 1000 * MILLISECOND;

impl<R: Runtime> RuntimeDriver<R> {
    /// A runtime on this thread.
    pub(crate) fn new(setup: &Setup) -> Result<Self, DriverError> {
        let failed = |error| DriverError::Runtime { runtime: R::NAME, error };
        let mut runtime = R::start().map_err(failed)?;
        let timer = Timer::new().map_err(failed)?;
        let fd = timer.fd().map_err(failed)?;
        let inbox = Rc::<Inbox>::default();
        let timer_link = Rc::new(Link::new(0));
        let ticking = task::timer::<R>(Rc::clone(&timer_link), Rc::clone(&inbox), fd);
        runtime.block_on(async { R::spawn(ticking) });
        Ok(Self {
            runtime,
            sockets: Sockets {
                maker: socket::Sockets::new(setup),
                links: (0..setup.connections).map(|_| None).collect(),
                begun: Vec::new(),
                noted: Vec::new(),
                is_unsubmitted: false,
                inbox,
            },
            timer,
            timer_link,
            spin_ns: setup.options.spin_ns,
            spun_ns: 0,
            events: Vec::new(),
        })
    }

    fn arm(&mut self, clock: &Clock, now: Nanos, at: Nanos) -> Result<(), DriverError> {
        let result = self.timer.arm(clock, now, at);
        result.map_err(|error| DriverError::Runtime { runtime: R::NAME, error })
    }

    /// Runs the tasks until something has happened or the timer has fired; once only unless it may
    /// `wait`. Says whether something has happened.
    fn pass(&mut self, worker: &mut Worker, clock: &Clock, wait: bool) -> bool {
        let Self { runtime, sockets, timer, timer_link, events, .. } = self;
        runtime.block_on(async {
            sockets.hand_over::<R>();
            let inbox = Rc::clone(&sockets.inbox);
            if wait {
                // A runtime that waits has handed over everything before.
                sockets.is_unsubmitted &= !inbox.wait().await;
            } else {
                R::look(&inbox, timer_link).await;
                sockets.is_unsubmitted &= !R::LOOK_SUBMITS;
            }
            if inbox.take(events) {
                timer.has_fired();
            }
            if events.is_empty() {
                return false;
            }
            // Read once, before anything is parsed: our parsing is not the server's time.
            let now = clock.now();
            for event in events.drain(..) {
                sockets.deliver(worker, event, now);
            }
            // Here rather than in the next turn: the tasks then run before the runtime first
            // looks for something to wait for.
            sockets.hand_over::<R>();
            true
        })
    }
}

impl<R: Runtime> Driver for RuntimeDriver<R> {
    fn transport(&mut self) -> &mut impl Transport {
        &mut self.sockets
    }

    fn turn(
        &mut self,
        worker: &mut Worker,
        clock: &Clock,
        deadline: Nanos,
    ) -> Result<(), DriverError> {
        let mut now = clock.now();
        loop {
            let spin_start = deadline.saturating_sub(self.spin_ns);
            // The last stretch is spun: passes that do not wait, until the time has come.
            let wait = now < spin_start || self.sockets.is_unsubmitted && !R::LOOK_SUBMITS;
            if wait {
                self.arm(clock, now, spin_start)?;
            }
            // A pass in which something is sent is work.
            let is_spin = !wait && !self.sockets.has_to_submit();
            if self.pass(worker, clock, wait) {
                return Ok(());
            }
            let before = std::mem::replace(&mut now, clock.now());
            if is_spin {
                self.spun_ns += spun_ns(before, now);
            }
            if now >= deadline {
                return Ok(());
            }
        }
    }

    fn spun_ns(&self) -> Nanos {
        self.spun_ns
    }

    fn min_rtt_ns(&self, id: ConnectionId) -> Option<Nanos> {
        let link = self.sockets.links[id as usize].as_ref()?;
        socket::min_rtt_ns(link.fd()?)
    }

    fn own_bytes(&self) -> usize {
        let links = self.sockets.links.iter().flatten().map(|link| link.own_bytes());
        self.sockets.links.len() * size_of::<Rc<Link>>() + links.sum::<usize>()
    }
}

impl<R: Runtime> Drop for RuntimeDriver<R> {
    /// Ends all tasks: neither runtime drops those that wait for the kernel, and their sockets
    /// would stay open.
    fn drop(&mut self) {
        for id in 0..self.sockets.links.len() as ConnectionId {
            self.sockets.close(id);
        }
        let clock = Clock::start();
        let mut is_last = false;
        while !is_last && clock.now() < END_NS {
            // One more pass after the last task, in which the kernel's answers come.
            is_last = self.sockets.inbox.living.get() == 0;
            if is_last {
                self.timer_link.end(&[]);
                self.sockets.noted.push(Rc::clone(&self.timer_link));
            }
            let now = clock.now();
            if self.timer.arm(&clock, now, now + MILLISECOND).is_err() {
                return;
            }
            let Self { runtime, sockets, timer, events, .. } = self;
            runtime.block_on(async {
                sockets.hand_over::<R>();
                let inbox = Rc::clone(&sockets.inbox);
                if !is_last {
                    inbox.wait().await;
                }
                if inbox.take(events) {
                    timer.has_fired();
                }
                events.clear();
            });
        }
        self.runtime.block_on(yield_once());
    }
}

/// Lets every task that can run do so.
async fn yield_once() {
    let mut has_yielded = false;
    std::future::poll_fn(|context| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A runtime on a ring whose completions do not interrupt this thread, where the kernel can
/// (5.19). Without that flag a request costs half as much again. DEFER_TASKRUN on top of it gained
/// nothing on monoio; tokio-uring, which waits for the ring in epoll, then stands still.
fn with_coop_taskrun<T>(mut build: impl FnMut(Builder) -> io::Result<T>) -> io::Result<T> {
    let mut builder = io_uring_monoio::IoUring::builder();
    match build(builder.setup_coop_taskrun().clone()) {
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            build(io_uring_monoio::IoUring::builder())
        }
        result => result,
    }
}

impl Sockets {
    /// Starts the tasks of new connections, and wakes those that have something new to do.
    fn hand_over<R: Runtime>(&mut self) {
        self.is_unsubmitted = self.has_to_submit();
        for (link, socket) in self.begun.drain(..) {
            let (inbox, maker) = (Rc::clone(&self.inbox), self.maker.clone());
            R::spawn(task::connection::<R>(link, inbox, maker, socket));
        }
        self.noted.drain(..).for_each(|link| link.wake());
    }

    /// Whether tasks have something to do that nobody has handed to the kernel.
    fn has_to_submit(&self) -> bool {
        self.is_unsubmitted || !self.begun.is_empty() || !self.noted.is_empty()
    }

    fn deliver(&mut self, worker: &mut Worker, event: Event, now: Nanos) {
        let Event { link, what } = event;
        if link.is_closed() {
            return;
        }
        if let What::Failed(_) | What::Closed = what {
            link.set_fd(None);
        }
        match what {
            What::Connected => worker.connected(link.id, now, self),
            What::Failed(error) => worker.connect_failed(link.id, &error.to_string(), now, self),
            What::Closed => worker.closed(link.id, now, self),
            What::Bytes(buffer) => {
                worker.received(link.id, &buffer, now, self);
                link.give_buffer(buffer);
                self.note(link);
            }
        }
    }

    fn note(&mut self, link: Rc<Link>) {
        if link.note() {
            self.noted.push(link);
        }
    }
}

impl Transport for Sockets {
    fn connect(&mut self, id: ConnectionId, address: &SockAddr) {
        let link = Rc::new(Link::new(id));
        match begin(&self.maker, id, address) {
            Ok(socket) => {
                link.set_fd(Some(socket.as_raw_fd()));
                self.begun.push((Rc::clone(&link), socket));
            }
            Err(error) => self.inbox.push(&link, What::Failed(error)),
        }
        self.links[id as usize] = Some(link);
    }

    fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(link) = &self.links[id as usize] {
            link.send(bytes);
            self.note(Rc::clone(link));
        }
    }

    fn end(&mut self, id: ConnectionId, last_words: &[u8]) {
        if let Some(link) = self.links[id as usize].take() {
            link.end(last_words);
            self.note(link);
        }
    }
}

/// A nonblocking socket that has begun to connect.
fn begin(maker: &socket::Sockets, id: ConnectionId, address: &SockAddr) -> io::Result<Socket> {
    let socket = maker.open(id, address)?;
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(socket),
    }
}
