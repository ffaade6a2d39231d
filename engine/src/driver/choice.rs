//! Which driver runs.

use super::{DriverError, uring};

/// A driver as it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring directly, and monoio where that can't be had.
    #[default]
    Auto,
    /// io_uring directly.
    Uring,
    /// The monoio runtime: over io_uring, and over epoll where that is denied.
    Monoio,
    /// The tokio-uring runtime.
    TokioUring,
}

/// A driver that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// io_uring directly.
    Uring,
    /// monoio over io_uring.
    MonoioUring,
    /// monoio over epoll.
    MonoioEpoll,
    /// tokio-uring.
    TokioUring,
}

impl DriverKind {
    /// All there are.
    pub const ALL: [Self; 4] =
        [Self::Uring, Self::MonoioUring, Self::MonoioEpoll, Self::TokioUring];

    /// Its name in reports, and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::MonoioUring | Self::MonoioEpoll => "monoio",
            Self::TokioUring => "tokio-uring",
        }
    }

    /// The system calls that it uses: `io_uring` or `epoll`.
    pub fn io(self) -> &'static str {
        match self {
            Self::Uring | Self::MonoioUring | Self::TokioUring => "io_uring",
            Self::MonoioEpoll => "epoll",
        }
    }
}

/// The driver that runs, and why it is not the one that was wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The driver that runs.
    pub kind: DriverKind,
    /// Why the first choice can't be had, if it can't.
    pub reason: Option<String>,
}

impl DriverChoice {
    /// Asks the kernel what can be had. An error where the driver that was asked for can't be.
    pub fn decide(self) -> Result<Decision, DriverError> {
        self.decide_with(uring::probe())
    }

    fn decide_with(self, ring: Result<(), DriverError>) -> Result<Decision, DriverError> {
        let without =
            |kind, error: &DriverError| Decision { kind, reason: Some(error.to_string()) };
        let as_wished = |kind| Decision { kind, reason: None };
        match (self, ring) {
            (Self::Auto | Self::Uring, Ok(())) => Ok(as_wished(DriverKind::Uring)),
            (Self::Uring, Err(error)) => Err(error),
            (Self::Auto | Self::Monoio, Err(error @ DriverError::Setup(_))) => {
                Ok(without(DriverKind::MonoioEpoll, &error))
            }
            // The runtimes need no more than a ring.
            (Self::Auto, Err(error)) => Ok(without(DriverKind::MonoioUring, &error)),
            (Self::Monoio, _) => Ok(as_wished(DriverKind::MonoioUring)),
            (Self::TokioUring, Err(error @ DriverError::Setup(_))) => Err(error),
            (Self::TokioUring, _) => Ok(as_wished(DriverKind::TokioUring)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn denied() -> Result<(), DriverError> {
        Err(DriverError::Setup(io::Error::from_raw_os_error(1)))
    }

    fn old() -> Result<(), DriverError> {
        Err(DriverError::Kernel("5.15.0".into()))
    }

    #[test]
    fn auto_takes_the_best_that_can_be_had_and_says_why() {
        let decide = |ring| DriverChoice::Auto.decide_with(ring).unwrap();
        assert_eq!(decide(Ok(())), Decision { kind: DriverKind::Uring, reason: None });
        let decision = decide(denied());
        assert_eq!(decision.kind, DriverKind::MonoioEpoll);
        assert!(decision.reason.unwrap().contains("Operation not permitted"));
        let decision = decide(old());
        assert_eq!(decision.kind, DriverKind::MonoioUring);
        assert!(decision.reason.unwrap().contains("Linux 5.15.0"));
    }

    #[test]
    fn monoio_goes_over_epoll_where_the_ring_is_denied() {
        let kind = |ring| DriverChoice::Monoio.decide_with(ring).unwrap().kind;
        assert_eq!(kind(Ok(())), DriverKind::MonoioUring);
        assert_eq!(kind(old()), DriverKind::MonoioUring);
        assert_eq!(kind(denied()), DriverKind::MonoioEpoll);
    }

    #[test]
    fn what_was_asked_for_by_name_is_had_or_refused() {
        assert!(DriverChoice::Uring.decide_with(old()).is_err());
        assert!(DriverChoice::Uring.decide_with(denied()).is_err());
        assert!(DriverChoice::TokioUring.decide_with(denied()).is_err());
        let decision = DriverChoice::TokioUring.decide_with(old()).unwrap();
        assert_eq!(decision.kind, DriverKind::TokioUring);
    }
}
