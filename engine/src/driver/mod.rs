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

pub(crate) use runtime::{Monoio, RuntimeDriver, TokioUring};
pub(crate) use uring::Uring;

use crate::{Nanos, Transport, Worker};

/// What all drivers on real sockets have in common.
pub(crate) trait Driver {
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
}

/// What a driver needs to know of its worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Places for connections.
    pub(crate) connections: usize,
    /// How many workers share the machine's ports.
    pub(crate) workers: usize,
    /// A deadline this near is waited for by spinning, in ns: timers fire tens of microseconds
    /// late, a spin does not.
    pub(crate) spin_ns: Nanos,
}
