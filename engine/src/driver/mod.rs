//! Drivers pump a [`crate::Worker`] over sockets. They alone read the clock, and hold the only
//! unsafe code of the project.

mod choice;
mod clock;
mod error;
mod open_files;
mod runtime;
pub mod sim;
mod socket;
mod uring;

pub use choice::{Decision, DriverChoice, DriverKind};
pub use clock::{Clock, thread_cpu_ns};
pub use error::DriverError;
pub use open_files::raise_open_files;

use self::{
    runtime::{Monoio, RuntimeDriver, TokioUring},
    uring::Uring,
};
use std::{net::IpAddr, sync::Arc};

use crate::{ConnectionId, Nanos, Transport, Worker};

/// What all drivers on real sockets have in common.
pub trait Driver {
    /// Where the worker's decisions go.
    fn transport(&mut self) -> &mut impl Transport;

    /// One turn: hands over what the worker decided, waits for events up to `deadline`, and gives
    /// them to the worker. With a deadline in the past it does not wait.
    fn turn(
        &mut self,
        worker: &mut Worker,
        clock: &Clock,
        deadline: Nanos,
    ) -> Result<(), DriverError>;

    /// How long it has spun for deadlines, in ns: CPU time that was no work.
    fn spun_ns(&self) -> Nanos;

    /// The shortest round trip on a connection of late, in ns, as the kernel's TCP has seen it;
    /// `None` where the connection is down or no TCP.
    fn min_rtt_ns(&self, id: ConnectionId) -> Option<Nanos>;

    /// Memory that all connections hold here, in bytes; what is shared by all of them, and what a
    /// runtime keeps for its tasks, is not in it.
    fn own_bytes(&self) -> usize;
}

/// One pass of a spin takes less; where it seems to take more, another thread had the core.
const SPIN_PASS_MAX_NS: Nanos = 20_000;

/// CPU time that one pass of a spin took which began and ended at these instants, in ns.
fn spun_ns(from: Nanos, to: Nanos) -> Nanos {
    to.saturating_sub(from).min(SPIN_PASS_MAX_NS)
}

/// What is done with a driver, whichever it is.
pub trait Pump {
    /// What it comes to.
    type Output;

    /// Does it, on the thread that the driver was made for.
    fn pump(self, driver: impl Driver) -> Self::Output;
}

/// How connections are driven.
#[derive(Clone, Debug)]
pub struct Options {
    /// What carries out the worker's decisions.
    pub kind: DriverKind,
    /// A deadline this near is waited for by spinning, in ns: timers fire tens of microseconds
    /// late, a spin does not.
    pub spin_ns: Nanos,
    /// Whether the kernel is asked when it received what it hands over: the worker then records
    /// how long that lay there. Only [`DriverKind::Uring`] does.
    pub stamps: bool,
    /// For how long the kernel polls the network card before it waits for an interrupt, in us; 0
    /// for not at all (io_uring_register_napi(3)). Only [`DriverKind::Uring`] does.
    pub busy_poll_us: u32,
    /// Where connections to other machines come from: as many as there are ports from each, in
    /// this order. Empty for the system's own choice.
    pub sources: Arc<[IpAddr]>,
    /// Whether connections that we close end with a reset. An orderly end is what clients do, and
    /// keeps the port in TIME_WAIT for a minute: to a server on another machine no more than some
    /// 470 connections a second can be opened and closed from one address. A reset keeps nothing.
    /// On the loopback interface the kernel lends such ports out again after a second
    /// (net.ipv4.tcp_tw_reuse = 2, its default).
    pub reset: bool,
}

impl Options {
    /// No spin, no stamps, no polling, the system's source address, and orderly ends.
    pub fn new(kind: DriverKind) -> Self {
        let sources = [].into();
        Self { kind, spin_ns: 0, stamps: false, busy_poll_us: 0, sources, reset: false }
    }
}

/// What a driver needs to know of its worker.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Places for connections.
    pub connections: usize,
    /// How many workers share the machine's ports.
    pub workers: usize,
    /// How they are driven.
    pub options: Options,
}

/// Makes a driver on this thread, has it pumped, and ends it.
pub fn start<P: Pump>(setup: &Setup, pump: P) -> Result<P::Output, DriverError> {
    // Timers fire up to 50 us late by default; this thread's deadlines are sharper.
    let _ = rustix::thread::set_current_timer_slack(Some(std::num::NonZeroU64::MIN));
    Ok(match setup.options.kind {
        DriverKind::Uring => pump.pump(Uring::new(setup)?),
        DriverKind::MonoioUring => {
            pump.pump(RuntimeDriver::<Monoio<monoio::IoUringDriver>>::new(setup)?)
        }
        DriverKind::MonoioEpoll => {
            pump.pump(RuntimeDriver::<Monoio<monoio::LegacyDriver>>::new(setup)?)
        }
        DriverKind::TokioUring => pump.pump(RuntimeDriver::<TokioUring>::new(setup)?),
    })
}
