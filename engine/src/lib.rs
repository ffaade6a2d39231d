//! Load, time, connections, drivers and recordings.
//!
//! A [`Fleet`] runs one [`Worker`] a core, each pumped by a driver of its own. It opens
//! every connection to every [`Target`] first and then runs one [`Phase`] after another.
//! Knows no file format, prints nothing.

mod arrivals;
mod cancel_times;
mod connection_times;
pub mod driver;
mod fleet;
mod generator;
mod interval;
mod load;
mod mix;
pub mod null_server;
mod opened;
pub mod pgbench;
mod phase;
mod pool;
mod ramp;
mod random;
mod recording;
mod report;
mod script;
mod steps;
mod stream;
mod target;
mod transport;
mod words;
mod worker;
mod zipfian;

pub use arrivals::{Arrival, Arrivals};
pub use cancel_times::{Cancel, CancelTimes};
pub use connection_times::ConnectionTimes;
pub use fleet::{Exchange, Fleet, FleetError};
pub use generator::{Column, Generator, Order};
pub use interval::Interval;
pub use load::{
    DURATION_MAX_NS, Gaps, Load, LoadError, MILLISECOND, Nanos, RATE_MAX, SECOND, Stage, VUS_MAX,
};
pub use mix::{Mix, MixEntry};
pub use opened::{Opened, Refusal};
pub use phase::Phase;
pub use random::Random;
pub use recording::{
    Checked, HISTOGRAM_TOP_NS, OperationRecording, Recording, ServerTimes, histogram,
};
pub use report::{PhaseReport, StreamReport, Vus, WorkerTime};
pub use script::Script;
pub use stream::Stream;
pub use target::{Opening, Target};
pub use transport::{ConnectionId, Transport};
pub use worker::{Ending, Piece, Worker};
pub use zipfian::Zipfian;
