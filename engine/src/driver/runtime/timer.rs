//! A timer of the kernel's: the runtimes' own tick once a millisecond.

use std::{io, os::fd::OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::{Nanos, SECOND, driver::Clock};

/// A timerfd, and when it is to fire.
pub(super) struct Timer {
    fd: OwnedFd,
    armed: Option<Nanos>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { fd, armed: None })
    }

    /// The same timer for the task that waits for it.
    pub(super) fn fd(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Lets it fire no later than `at`: at once, if that has passed. One that is due earlier stays:
    /// to be woken in vain now and then is cheaper than to set it anew each time.
    pub(super) fn arm(&mut self, clock: &Clock, now: Nanos, at: Nanos) -> io::Result<()> {
        if self.armed.is_some_and(|armed| armed <= at.max(now)) {
            return Ok(());
        }
        let until = clock.monotonic(at);
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: (until / SECOND) as i64,
                tv_nsec: (until % SECOND) as i64,
            },
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &spec)?;
        self.armed = Some(at);
        Ok(())
    }

    pub(super) fn has_fired(&mut self) {
        self.armed = None;
    }
}

/// Takes note of a timer that has fired; whether it had.
pub(super) fn acknowledge(fd: &OwnedFd) -> bool {
    rustix::io::read(fd, &mut [0; 8]).is_ok()
}
