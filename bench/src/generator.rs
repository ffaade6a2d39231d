//! How the generator runs: its driver, its cores, its spin. The same for every experiment.

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use core_affinity::CoreId;
use engine::Nanos;
use engine::driver::{Decision, DriverChoice, DriverError, DriverKind, Options};
use serde::Serialize;

use crate::cores::{self, Cores, CoresError};
use crate::duration;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct GeneratorOptions {
    /// What carries the requests
    #[arg(long, value_enum, default_value_t = DriverArgument::Auto)]
    driver: DriverArgument,
    /// Worker threads, each on a core of its own [default: all cores but one]
    #[arg(long, conflicts_with = "cores")]
    workers: Option<usize>,
    /// The workers' cores, such as 2,3 or 4-7: a worker on each
    #[arg(long, value_name = "LIST")]
    cores: Option<Cores>,
    /// How long before each request to stop sleeping and spin; 0 never [default: 50us where two
    /// cores are left to others, else 0]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    spin: Option<Nanos>,
    /// Who says when replies arrived
    #[arg(long, value_enum, default_value_t = Timestamps::App)]
    timestamps: Timestamps,
    /// Has the kernel poll the network card for so long before it waits for an interrupt
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "0s")]
    busy_poll: Nanos,
    /// Where connections to other machines come from: 28,000 from each address, in this order
    /// [default: the system's choice]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    source_address: Vec<IpAddr>,
    /// Whether connections end with a reset: not for every experiment.
    #[arg(skip)]
    pub(crate) reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Timestamps {
    /// The worker, when it takes them from the kernel
    App,
    /// The kernel too: how long they lay there is shown beside the lateness
    Kernel,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DriverArgument {
    /// uring where the kernel allows it, else monoio
    Auto,
    /// io_uring directly, from Linux 6.1 on: the cheapest and most punctual
    Uring,
    /// The monoio runtime: over io_uring, and over epoll where that is denied
    Monoio,
    /// The tokio-uring runtime
    TokioUring,
}

/// Why the generator can't run as it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GeneratorError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Cores(#[from] CoresError),
    /// An option that only one driver has.
    #[error("{0} needs --driver uring, and {1} carries the requests here")]
    UringOnly(&'static str, &'static str),
}

/// What was decided.
#[derive(Debug)]
pub(crate) struct Generator {
    pub(crate) cores: Vec<CoreId>,
    pub(crate) options: Options,
    /// Why it was not the driver that goes first, if it was not.
    reason: Option<String>,
}

impl GeneratorOptions {
    /// Asks the machine what it has.
    pub(crate) fn decide(&self) -> Result<Generator, GeneratorError> {
        let cores = match &self.cores {
            Some(list) => list.pick()?,
            None => cores::choose(self.workers),
        };
        let choice = match self.driver {
            DriverArgument::Auto => DriverChoice::Auto,
            DriverArgument::Uring => DriverChoice::Uring,
            DriverArgument::Monoio => DriverChoice::Monoio,
            DriverArgument::TokioUring => DriverChoice::TokioUring,
        };
        let Decision { kind, reason } = choice.decide()?;
        let options = Options {
            kind,
            spin_ns: self.spin.unwrap_or_else(|| cores::spin_ns(&cores)),
            stamps: self.timestamps == Timestamps::Kernel,
            busy_poll_us: (self.busy_poll / 1000).try_into().unwrap_or(u32::MAX),
            sources: self.source_address.clone().into(),
            reset: self.reset,
        };
        for (is_asked, flag) in
            [(options.stamps, "--timestamps kernel"), (options.busy_poll_us > 0, "--busy-poll")]
        {
            if is_asked && kind != DriverKind::Uring {
                return Err(GeneratorError::UringOnly(flag, kind.name()));
            }
        }
        Ok(Generator { cores, options, reason })
    }
}

#[cfg(test)]
impl Default for GeneratorOptions {
    fn default() -> Self {
        Self {
            driver: DriverArgument::Auto,
            workers: None,
            cores: None,
            spin: None,
            timestamps: Timestamps::App,
            busy_poll: 0,
            source_address: Vec::new(),
            reset: false,
        }
    }
}

/// How the generator ran, as it is written to summary.json.
#[derive(Debug, Serialize)]
pub(crate) struct GeneratorSummary {
    driver: &'static str,
    /// `io_uring` or `epoll`.
    driver_io: &'static str,
    /// Why it was not the driver that goes first, if it was not.
    driver_reason: Option<String>,
    workers: usize,
    cores: Vec<usize>,
    spin_ns: Nanos,
    /// What a connection holds in the generator; the kernel's socket buffers are not in it.
    own_bytes_per_connection: u64,
}

impl GeneratorSummary {
    /// `own_bytes` are those of all `connections` together.
    pub(crate) fn new(generator: &Generator, own_bytes: u64, connections: u64) -> Self {
        let Generator { cores, options, reason } = generator;
        Self {
            driver: options.kind.name(),
            driver_io: options.kind.io(),
            driver_reason: reason.clone(),
            workers: cores.len(),
            cores: cores.iter().map(|core| core.id).collect(),
            spin_ns: options.spin_ns,
            own_bytes_per_connection: own_bytes / connections.max(1),
        }
    }

    /// A line for people, where the driver is not the one that goes first.
    pub(crate) fn note(&self) -> Option<String> {
        let reason = self.driver_reason.as_ref()?;
        Some(format!("driver: {} over {}, since {reason}", self.driver, self.driver_io))
    }
}

#[cfg(test)]
impl GeneratorSummary {
    /// As on a machine of two cores.
    pub(crate) fn example() -> Self {
        let options = Options::new(DriverKind::Uring);
        let generator = Generator { cores: vec![CoreId { id: 1 }], options, reason: None };
        Self::new(&generator, 50 * 800, 50)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_had_to_be_taken_is_told_with_the_reason() {
        let reason = Some("io_uring is not available (Operation not permitted)".into());
        let options = Options::new(DriverKind::MonoioEpoll);
        let generator = Generator { cores: vec![CoreId { id: 1 }], options, reason };
        let summary = GeneratorSummary::new(&generator, 1000, 0);
        assert_eq!(
            summary.note().unwrap(),
            "driver: monoio over epoll, since io_uring is not available (Operation not permitted)"
        );
        assert_eq!(GeneratorSummary::example().note(), None);
    }
}
