//! Load, time, connections, drivers and recordings.
//!
//! A [`Fleet`] runs one [`Worker`] a core, each pumped by a driver over its own io_uring. It opens
//! every connection to every [`Target`] first and then runs one [`Phase`] after another.
//! Knows no file format, prints nothing.

pub mod driver;
mod fleet;
mod generator;
pub mod load;
mod mix;
mod phase;
mod pool;
mod random;
mod recording;
pub mod report;
mod schedule;
pub mod stream;
mod target;
mod transport;
mod words;
mod worker;
mod zipfian;

pub use fleet::{Fleet, FleetError};
pub use generator::{Column, Generator, Order};
pub use mix::{Mix, MixEntry};
pub use phase::{Opened, Phase, PhaseReport, Refusal};
pub use random::Random;
pub use recording::{HISTOGRAM_TOP_NS, OperationRecording, Recording, histogram};
pub use schedule::{Arrival, Arrivals, Gaps, Load, MILLISECOND, Nanos, SECOND};
pub use target::{Opening, Target};
pub use transport::{ConnectionId, Transport};
pub use worker::Worker;
pub use zipfian::Zipfian;
