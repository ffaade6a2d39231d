//! Why a driver can't run.

use std::io;

use thiserror::Error;

/// Why a driver can't be had on this machine, or can't go on.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The kernel refuses to set up a ring at all.
    #[error(
        "io_uring is not available ({0}): it needs kernel.io_uring_disabled = 0 and a container \
         runtime whose seccomp profile allows io_uring_setup; --driver monoio does without"
    )]
    Setup(io::Error),
    /// The kernel has a ring, and not what this driver needs of it.
    #[error(
        "io_uring of Linux {0} is too old for --driver uring, which needs 6.1: \
         --driver monoio does with less"
    )]
    Kernel(String),
    /// A registration failed.
    #[error("io_uring: {what}: {error}")]
    Register {
        /// What was registered.
        what: &'static str,
        /// The system's word.
        error: io::Error,
    },
    /// The ring failed while in use.
    #[error("io_uring: enter: {0}")]
    Enter(io::Error),
    /// A runtime could not be started.
    #[error("the {runtime} runtime: {error}")]
    Runtime {
        /// Which.
        runtime: &'static str,
        /// The system's word.
        error: io::Error,
    },
}
