//! When the kernel received what it hands over: SO_TIMESTAMPING through multishot recvmsg (Linux,
//! Documentation/networking/timestamping.rst; io_uring_prep_recvmsg_multishot(3)).

use std::io;

use io_uring::{opcode, squeue, types::Fixed};
use rustix::time::{ClockId, clock_gettime};
use socket2::Socket;

use super::super::{Clock, socket};
use crate::{ConnectionId, Nanos, SECOND};

/// SOF_TIMESTAMPING_RX_SOFTWARE and SOF_TIMESTAMPING_SOFTWARE: a stamp as each packet enters the
/// stack, and the stamp told.
const FLAGS: libc::c_int =
    (libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE) as libc::c_int;
/// What a filled buffer begins with: struct io_uring_recvmsg_out, four numbers of 32 bits. Behind it
/// is room for the control data, as much of it in use as the second number says, and then the
/// payload.
const OUT_BYTES: usize = 16;
/// A control message's head (cmsg(3)), and the three times of scm_timestamping behind it.
const HEAD_BYTES: usize = size_of::<libc::cmsghdr>();
const CONTROL_BYTES: usize = HEAD_BYTES + 3 * size_of::<libc::timespec>();

/// Receives that bring stamps.
pub(super) struct Stamps {
    /// Not moved or freed while the ring lives: the kernel reads how long the control data may be.
    header: Box<libc::msghdr>,
    /// The system's clock less the run's, in ns.
    offset_ns: i128,
    /// When that was read, on the run's clock.
    read: Option<Nanos>,
}

/// The system's clock is compared with the run's this often: it may be set meanwhile.
const READ_AGAIN_NS: Nanos = SECOND;
/// So many times in a row.
const READINGS: usize = 3;

impl Stamps {
    pub(super) fn new() -> Self {
        // SAFETY: a msghdr of zeros is one without name, data and control.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_controllen = CONTROL_BYTES as _;
        Self { header: Box::new(header), offset_ns: 0, read: None }
    }

    /// Has the kernel stamp what `socket` receives.
    pub(super) fn ask(socket: &Socket) -> io::Result<()> {
        socket::set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, FLAGS)
    }

    /// The receive for place `id`.
    pub(super) fn receive(&self, id: ConnectionId, group: u16) -> squeue::Entry {
        opcode::RecvMsgMulti::new(Fixed(id), &raw const *self.header, group).build()
    }

    /// What is in a buffer that such a receive filled: the bytes, and how long before `now` the
    /// kernel had the last of them, in ns. Nothing where it is no message.
    pub(super) fn read<'a>(
        &self,
        buffer: &'a [u8],
        now: Nanos,
    ) -> Option<(&'a [u8], Option<Nanos>)> {
        let (head, payload) = buffer.split_at_checked(OUT_BYTES + CONTROL_BYTES)?;
        let control_bytes = u32::from_ne_bytes(*head[4..].first_chunk()?) as usize;
        let control = head[OUT_BYTES..].get(..control_bytes)?;
        let delay_ns = software_stamp(control).map(|stamp| {
            let arrived = stamp - self.offset_ns;
            Nanos::try_from(i128::from(now) - arrived).unwrap_or(0)
        });
        Some((payload, delay_ns))
    }

    /// Compares the clocks, if it is time. What happens between reading one and the other, as
    /// where another thread takes the core, would be in every delay of the next second: of several
    /// readings the quickest counts.
    pub(super) fn compare(&mut self, clock: &Clock, now: Nanos) {
        if self.read.is_some_and(|read| now - read < READ_AGAIN_NS) {
            return;
        }
        let readings = [(); READINGS].map(|()| {
            let before = clock.now();
            let system = clock_gettime(ClockId::Realtime);
            (clock.now() - before, before, system)
        });
        let quickest = readings.into_iter().min_by_key(|(took, ..)| *took);
        let Some((took, before, system)) = quickest else { return };
        let system = i128::from(system.tv_sec) * i128::from(SECOND) + i128::from(system.tv_nsec);
        self.offset_ns = system - i128::from(before + took / 2);
        self.read = Some(now);
    }
}

/// The first time of a SCM_TIMESTAMPING message, in ns of the system's clock.
fn software_stamp(control: &[u8]) -> Option<i128> {
    const AT: usize = size_of::<libc::size_t>();
    let int = |at: usize| Some(i32::from_ne_bytes(*control.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(i64::from_ne_bytes(*control.get(at..)?.first_chunk()?));
    let (level, kind) = (int(AT)?, int(AT + size_of::<libc::c_int>())?);
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) {
        return None;
    }
    let (seconds, nanoseconds) = (long(HEAD_BYTES)?, long(HEAD_BYTES + size_of::<i64>())?);
    // Zero is a time that was not taken.
    (seconds > 0).then(|| i128::from(seconds) * i128::from(SECOND) + i128::from(nanoseconds))
}
