//! io_uring directly: multishot receives into provided buffers, registered files, sends without a
//! completion, and one enter a turn. The shape that was measured cheapest.

mod buffers;
mod setup;
mod slot;
mod sockets;
mod stamps;

use std::{io, os::fd::AsRawFd, time::Duration};

use io_uring::{
    EnterFlags, IoUring, cqueue,
    types::{Napi, SubmitArgs, Timespec},
};

pub(super) use self::setup::probe;
use self::{
    buffers::Buffers,
    slot::{GENERATION_MAX, Slot},
    sockets::{Action, Sockets},
    stamps::Stamps,
};
use super::{Clock, Driver, DriverError, Setup, socket, spun_ns};
use crate::{ConnectionId, Nanos, Transport, Worker};

const SQ_ENTRIES: u32 = 1024;
/// Each connection has at most a receive, a connect or a send that completes in one turn; the
/// kernel keeps what does not fit (IORING_FEAT_NODROP).
const CQ_ENTRIES: u32 = 8192;
const BUFFER_GROUP: u16 = 0;
const BUFFER_COUNT: u16 = 512;
const BUFFER_BYTES: usize = 16 * 1024;

/// The driver: a ring, its buffers, and a slot for each connection.
pub(crate) struct Uring {
    ring: IoUring,
    /// [`EnterFlags::ABS_TIMER`] where the kernel waits until an instant instead of for a while.
    timer: EnterFlags,
    buffers: Option<Buffers>,
    sockets: Sockets,
    /// A deadline this near is waited for by spinning, in ns: timers fire tens of microseconds
    /// late, a spin does not.
    spin_ns: Nanos,
    spun_ns: Nanos,
    completions: Vec<(u64, i32, u32)>,
}

impl Uring {
    /// A ring of this thread's.
    pub(crate) fn new(setup: &Setup) -> Result<Self, DriverError> {
        let ring = setup::ring(SQ_ENTRIES, CQ_ENTRIES)?;
        let connections = setup.connections;
        let register = |what| move |error| DriverError::Register { what, error };
        ring.submitter()
            .register_files_sparse(connections.max(1) as u32)
            .map_err(register("registered files (see ulimit -n)"))?;
        if setup.options.busy_poll_us > 0 {
            let mut napi = Napi::new()
                .set_busy_poll_timeout(setup.options.busy_poll_us)
                .set_prefer_busy_poll(true);
            ring.submitter()
                .register_napi(&mut napi)
                .map_err(register("polling of the network card (Linux 6.9)"))?;
        }
        let buffers =
            Buffers::register(&ring.submitter(), BUFFER_GROUP, BUFFER_COUNT, BUFFER_BYTES)
                .map_err(register("buffer ring"))?;
        Ok(Self {
            timer: setup::timer(&ring),
            ring,
            buffers: Some(buffers),
            sockets: Sockets {
                maker: socket::Sockets::new(setup),
                slots: (0..connections).map(|_| Slot::default()).collect(),
                outgrown: Vec::new(),
                addresses: Vec::new(),
                turn: 1,
                entries: Vec::with_capacity(SQ_ENTRIES as usize),
                files: Vec::new(),
                stamps: setup.options.stamps.then(Stamps::new),
                failed: Vec::new(),
                receives: 0,
            },
            spin_ns: setup.options.spin_ns,
            spun_ns: 0,
            completions: Vec::with_capacity(CQ_ENTRIES as usize),
        })
    }

    fn report_failed(&mut self, worker: &mut Worker, clock: &Clock) {
        for (id, error) in std::mem::take(&mut self.sockets.failed) {
            worker.connect_failed(id, &error.to_string(), clock.now(), &mut self.sockets);
        }
    }

    /// Moves the entries into the submission queue; enters on the way only if it is full.
    fn submit(&mut self) -> Result<(), DriverError> {
        for (id, fd) in self.sockets.files.drain(..) {
            self.ring
                .submitter()
                .register_files_update(id, &[fd])
                .map_err(|error| DriverError::Register { what: "a registered file", error })?;
        }
        let mut entries = &self.sockets.entries[..];
        while !entries.is_empty() {
            let mut queue = self.ring.submission();
            let room = (queue.capacity() - queue.len()).min(entries.len());
            // SAFETY: every entry's memory (a target's address, a slot's send buffers, the buffer
            // group, the header of stamped receives) outlives its operation: addresses and small buffers are neither moved nor
            // freed before `Uring::drop` has seen the operations end, and bytes of a send that is
            // waited for stay in `large` until its completion.
            unsafe { queue.push_multiple(&entries[..room]).expect("there is room") };
            drop(queue);
            entries = &entries[room..];
            if !entries.is_empty() {
                self.ring.submit().map_err(DriverError::Enter)?;
            }
        }
        self.sockets.entries.clear();
        self.sockets.turn += 1;
        Ok(())
    }

    fn wait(&mut self, clock: &Clock, deadline: Nanos) -> Result<(), DriverError> {
        let start = clock.now();
        let spin_start = deadline.saturating_sub(self.spin_ns);
        if spin_start > start {
            return self.enter(1, clock, spin_start);
        }
        let mut spun_to = start;
        loop {
            let queue = self.ring.submission();
            let has_work = !queue.is_empty() || queue.taskrun();
            drop(queue);
            if has_work {
                self.enter(0, clock, 0)?;
                // What was sent in it was work.
                spun_to = clock.now();
            }
            let now = clock.now();
            self.spun_ns += spun_ns(spun_to, now);
            spun_to = now;
            if !self.ring.completion().is_empty() || now >= deadline {
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }

    /// Hands over what was submitted, and waits for so many completions, until `deadline` at most.
    fn enter(&self, want: usize, clock: &Clock, deadline: Nanos) -> Result<(), DriverError> {
        let until = if self.timer.contains(EnterFlags::ABS_TIMER) {
            clock.monotonic(deadline)
        } else {
            deadline.saturating_sub(clock.now())
        };
        let until = Timespec::from(Duration::from_nanos(until));
        let arguments = SubmitArgs::new().timespec(&until);
        match self.ring.submitter().submit_with_args_and_flags(want, &arguments, self.timer) {
            Ok(_) => Ok(()),
            Err(error) if is_no_fault(&error) => Ok(()),
            Err(error) => Err(DriverError::Enter(error)),
        }
    }

    fn buffers(&mut self) -> &mut Buffers {
        self.buffers.as_mut().expect("taken in drop only")
    }

    fn complete(&mut self, worker: &mut Worker, now: Nanos, data: u64, result: i32, flags: u32) {
        let id = data as u32;
        let generation = (data >> 32) as u32 & GENERATION_MAX;
        let is_current = self.sockets.slots[id as usize].generation == generation;
        match (data >> 56) as u8 {
            action if action == Action::Receive as u8 => {
                self.complete_receive(worker, now, (id, generation), result, flags);
            }
            action if action == Action::Connect as u8 && is_current => match errno(result) {
                None => {
                    self.sockets.receive(id);
                    worker.connected(id, now, &mut self.sockets);
                }
                Some(error) => {
                    worker.connect_failed(id, &error.to_string(), now, &mut self.sockets);
                }
            },
            action if action == Action::LargeSend as u8 => {
                let is_whole = self.sockets.large_sent(id, result);
                if is_current && !is_whole {
                    worker.closed(id, now, &mut self.sockets);
                }
            }
            action if action == Action::Send as u8 && is_current => {
                // Only failures complete. What the peer sent before it closed comes first, and
                // then the end of its stream, so that is left to the receive.
                debug_assert!(errno(result).is_some() || cqueue::more(flags));
            }
            _ => {}
        }
    }

    fn complete_receive(
        &mut self,
        worker: &mut Worker,
        now: Nanos,
        (id, generation): (ConnectionId, u32),
        result: i32,
        flags: u32,
    ) {
        let is_current = self.sockets.slots[id as usize].generation == generation;
        let is_armed = cqueue::more(flags);
        if !is_armed {
            self.sockets.receives -= 1;
        }
        let mut is_end = result == 0;
        let buffers = self.buffers.as_mut().expect("taken in drop only");
        if let Some(buffer) = cqueue::buffer_select(flags) {
            if is_current && result > 0 {
                let filled = buffers.bytes(buffer, result as usize);
                let (bytes, delay_ns) = match &self.sockets.stamps {
                    Some(stamps) => stamps.read(filled, now).unwrap_or_default(),
                    None => (filled, None),
                };
                is_end = bytes.is_empty();
                if let Some(delay_ns) = delay_ns {
                    worker.stamp(delay_ns);
                }
                worker.received(id, bytes, now, &mut self.sockets);
            }
            buffers.give(buffer);
        }
        // The worker may have closed the connection over what it received.
        let is_current = is_current && self.sockets.slots[id as usize].generation == generation;
        if !is_current || is_armed {
            return;
        }
        match result {
            _ if is_end => worker.closed(id, now, &mut self.sockets),
            0.. => self.sockets.receive(id),
            error if -error == rustix::io::Errno::NOBUFS.raw_os_error() => {
                self.sockets.receive(id);
            }
            _ => worker.closed(id, now, &mut self.sockets),
        }
    }
}

impl Driver for Uring {
    fn transport(&mut self) -> &mut impl Transport {
        &mut self.sockets
    }

    fn turn(
        &mut self,
        worker: &mut Worker,
        clock: &Clock,
        deadline: Nanos,
    ) -> Result<(), DriverError> {
        self.report_failed(worker, clock);
        self.submit()?;
        // What failed without the kernel's help is told in the next turn, not in twenty ms.
        let has_failed = !self.sockets.failed.is_empty();
        self.wait(clock, if has_failed { 0 } else { deadline })?;
        self.completions.clear();
        for completion in self.ring.completion() {
            self.completions.push((
                completion.user_data(),
                completion.result(),
                completion.flags(),
            ));
        }
        if self.completions.is_empty() {
            return Ok(());
        }
        // Read once, before anything is parsed: our parsing is not the server's time.
        let now = clock.now();
        if let Some(stamps) = &mut self.sockets.stamps {
            stamps.compare(clock, now);
        }
        for index in 0..self.completions.len() {
            let (data, result, flags) = self.completions[index];
            self.complete(worker, now, data, result, flags);
        }
        self.buffers().publish();
        Ok(())
    }

    fn spun_ns(&self) -> Nanos {
        self.spun_ns
    }

    fn min_rtt_ns(&self, id: ConnectionId) -> Option<Nanos> {
        let socket = self.sockets.slots[id as usize].socket.as_ref()?;
        socket::min_rtt_ns(socket.as_raw_fd())
    }

    fn own_bytes(&self) -> usize {
        let outgrown = self.sockets.outgrown.iter().map(|memory| memory.len());
        self.sockets.slots.iter().map(Slot::own_bytes).chain(outgrown).sum()
    }
}

impl Drop for Uring {
    /// The kernel may write to the buffers until every receive has ended: wait for that, and where
    /// it does not come, leave the memory to the process's end.
    fn drop(&mut self) {
        let Sockets { slots, maker, .. } = &mut self.sockets;
        for socket in slots.iter_mut().filter_map(Slot::leave) {
            maker.end(&socket, &[]);
        }
        let clock = Clock::start();
        let is_pending = |sockets: &Sockets| {
            sockets.receives > 0 || sockets.slots.iter().any(|slot| !slot.large.is_empty())
        };
        while is_pending(&self.sockets) && clock.now() < crate::SECOND {
            if self.enter(1, &clock, clock.now() + 10 * crate::MILLISECOND).is_err() {
                break;
            }
            for completion in self.ring.completion() {
                let (data, flags) = (completion.user_data(), completion.flags());
                let action = (data >> 56) as u8;
                if action == Action::Receive as u8 && !cqueue::more(flags) {
                    self.sockets.receives -= 1;
                } else if action == Action::LargeSend as u8 {
                    self.sockets.slots[data as u32 as usize].large.pop_front();
                }
            }
        }
        if is_pending(&self.sockets) {
            std::mem::forget(self.buffers.take());
            std::mem::forget(std::mem::take(&mut self.sockets.slots));
            std::mem::forget(std::mem::take(&mut self.sockets.outgrown));
            std::mem::forget(std::mem::take(&mut self.sockets.addresses));
            std::mem::forget(self.sockets.stamps.take());
        }
    }
}

fn errno(result: i32) -> Option<io::Error> {
    (result < 0).then(|| io::Error::from_raw_os_error(-result))
}

/// The time was up, a signal came, or completions must be taken before more can be submitted.
fn is_no_fault(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::TIME, Errno::INTR, Errno::BUSY, Errno::AGAIN]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        MILLISECOND,
        driver::{DriverKind, Options},
    };

    #[test]
    fn a_wait_ends_when_the_time_has_come_whichever_timer_the_kernel_has() {
        let options = Options { spin_ns: 0, ..Options::new(DriverKind::Uring) };
        let setup = Setup { connections: 1, workers: 1, options };
        let Ok(uring) = Uring::new(&setup) else { return };
        // The clock's start is not the kernel's: what is taken for the other kind never ends.
        for timer in [uring.timer, EnterFlags::empty()] {
            let mut uring = Uring::new(&setup).unwrap();
            uring.timer = timer;
            let clock = Clock::start();
            for wait in 1..4 {
                let deadline = clock.now() + wait * MILLISECOND;
                uring.wait(&clock, deadline).unwrap();
                assert!(clock.now() >= deadline, "{timer:?}");
            }
        }
    }
}
