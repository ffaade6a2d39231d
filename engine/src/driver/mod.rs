//! Drivers pump a [`crate::Worker`] over sockets. They alone read the clock, and hold the only
//! unsafe code of the project.

mod clock;
mod files;
pub mod sim;
pub mod uring;

pub use clock::{Clock, thread_cpu_ns};
pub(crate) use files::raise_limit;
