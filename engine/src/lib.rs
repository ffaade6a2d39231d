//! Load, time, connections, drivers and recordings.
//!
//! A [`Fleet`] runs one [`Worker`] a core, each pumped by a driver over its own io_uring. It opens
//! every connection to every [`Target`] first and then runs one [`Phase`] after another.
//! Knows no file format, prints nothing.

pub mod driver;
mod fleet;
mod mix;
mod phase;
mod pool;
mod random;
mod recording;
mod schedule;
mod target;
mod transport;
mod worker;

pub use fleet::{Fleet, FleetError};
pub use mix::{Generator, Mix, MixEntry};
pub use phase::{Opened, Phase, PhaseReport, Refusal};
pub use random::Random;
pub use recording::{Checked, HISTOGRAM_TOP_NS, OperationRecording, Recording, histogram};
pub use schedule::{Arrival, Arrivals, Gaps, Load, MILLISECOND, Nanos, SECOND};
pub use target::{Opening, Target};
pub use transport::{ConnectionId, Transport};
pub use worker::Worker;
