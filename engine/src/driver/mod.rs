//! Drivers pump a [`crate::Worker`] over sockets. They alone read the clock, and hold the only
//! unsafe code of the project.

mod clock;
pub mod sim;
pub mod uring;

pub use clock::{Clock, thread_cpu_ns};
