//! How the generator runs: its driver, its cores, its spin. The same for every experiment.

mod work;

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use core_affinity::CoreId;
use engine::Nanos;
use engine::driver::{Decision, DriverChoice, DriverError, DriverKind, Options};
use serde::Serialize;

pub(crate) use self::work::{Busiest, BusySeconds, Work, share};
use crate::cores::{self, Cores, CoresError};
use crate::duration;
use crate::validity::Machine;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct GeneratorOptions {
    /// What carries the requests
    #[arg(long, value_enum, default_value_t = DriverArgument::Auto)]
    driver: DriverArgument,
    /// Worker threads, each on a core of its own [default: all cores but one]
    #[arg(long, conflicts_with = "cores")]
    pub(crate) workers: Option<usize>,
    /// The workers' cores, such as 2,3 or 4-7: a worker on each
    #[arg(long, value_name = "LIST")]
    cores: Option<Cores>,
    /// How long before each request to stop sleeping and spin; 0 never [default: 50us where two
    /// cores are left to others, else 0]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    spin: Option<Nanos>,
    /// Who says when replies arrived [default: kernel with the uring driver, else app]
    #[arg(long, value_enum)]
    timestamps: Option<Timestamps>,
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
    /// Whether the cores were named.
    pub(crate) fn has_cores(&self) -> bool {
        self.cores.is_some()
    }

    /// One for each worker.
    pub(crate) fn chosen_cores(&self) -> Result<Vec<CoreId>, CoresError> {
        match &self.cores {
            Some(list) => list.pick(),
            None => Ok(cores::choose(self.workers)),
        }
    }

    /// Asks the machine what it has.
    pub(crate) fn decide(&self) -> Result<Generator, GeneratorError> {
        let cores = self.chosen_cores()?;
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
            // 4 % of CPU at full load, and nothing else says what is our own of a latency.
            stamps: match self.timestamps {
                Some(timestamps) => timestamps == Timestamps::Kernel,
                None => kind == DriverKind::Uring,
            },
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
            timestamps: None,
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
    /// How much of the workers' time was work, 0 to 1.
    ceiling_share: f64,
    /// Requests a second at which all of it would be.
    ceiling_rate: f64,
    #[serde(flatten)]
    pub(crate) busiest: Busiest,
    /// What its machine did meanwhile.
    pub(crate) machine: Machine,
}

impl GeneratorSummary {
    /// `connection_bytes` are those of one.
    pub(crate) fn new(
        generator: &Generator,
        connection_bytes: u64,
        work: &Work,
        machine: Machine,
    ) -> Self {
        let Generator { cores, options, reason } = generator;
        Self {
            driver: options.kind.name(),
            driver_io: options.kind.io(),
            driver_reason: reason.clone(),
            workers: cores.len(),
            cores: cores.iter().map(|core| core.id).collect(),
            spin_ns: options.spin_ns,
            own_bytes_per_connection: connection_bytes,
            ceiling_share: work.share(),
            ceiling_rate: work.ceiling(),
            busiest: work.busiest(),
            machine,
        }
    }

    /// What people should know of it: the share of the ceiling that was used, and the driver where
    /// it is not the one that goes first.
    pub(crate) fn note(&self) -> String {
        let mut note = format!(
            "the generator used {:.0} % of its ceiling, about {} of these requests a second; {} B \
             a connection",
            self.ceiling_share * 100.0,
            rounded(self.ceiling_rate),
            self.own_bytes_per_connection,
        );
        if let Some(reason) = &self.driver_reason {
            note += &format!("\ndriver: {} over {}, since {reason}", self.driver, self.driver_io);
        }
        note
    }
}

/// To two digits: it is an estimate.
fn rounded(rate: f64) -> String {
    let scale = 10_f64.powf((rate.max(1.0).log10().floor() - 1.0).max(0.0));
    format!("{:.0}", (rate / scale).round() * scale)
}

#[cfg(test)]
impl GeneratorSummary {
    /// As on a machine of two cores, at ease.
    pub(crate) fn example() -> Self {
        Self::example_of(0.04, Machine::default())
    }

    /// A generator that worked such a share of its time.
    pub(crate) fn example_of(share: f64, machine: Machine) -> Self {
        let options = Options::new(DriverKind::Uring);
        let generator = Generator { cores: vec![CoreId { id: 1 }], options, reason: None };
        let work = Work::example(share);
        let summary = Self::new(&generator, 800, &work, machine);
        Self { busiest: Busiest { share, at: Some("pooler at 2000/s".into()) }, ..summary }
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
        let summary = GeneratorSummary::new(&generator, 1000, &Work::default(), Machine::default());
        assert_eq!(
            summary.note(),
            "the generator used 0 % of its ceiling, about 0 of these requests a second; 1000 B a \
             connection\ndriver: monoio over epoll, since io_uring is not available (Operation not \
             permitted)"
        );
    }

    #[test]
    fn the_ceiling_is_where_work_would_fill_all_the_time() {
        assert_eq!(
            GeneratorSummary::example().note(),
            "the generator used 4 % of its ceiling, about 50000 of these requests a second; 800 B \
             a connection"
        );
        assert_eq!(rounded(123_456.0), "120000");
        assert_eq!(rounded(7.4), "7");
    }
}
