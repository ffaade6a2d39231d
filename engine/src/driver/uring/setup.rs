//! Whether the kernel has what this driver needs.

use std::io;

use io_uring::{EnterFlags, IoUring, types::SubmitArgs};
use rustix::io::Errno;

use super::DriverError;

/// Provided buffer rings came with 5.19, multishot receives with 6.0, and both were first in a
/// kernel that is still maintained with this one.
const KERNEL_LEAST: (u32, u32) = (6, 1);

/// Whether the driver can be had here.
pub(in crate::driver) fn probe() -> Result<(), DriverError> {
    ring(8, 16).map(drop)
}

/// A ring with the best flags that the kernel takes.
pub(super) fn ring(entries: u32, completions: u32) -> Result<IoUring, DriverError> {
    let ring = with_flags(entries, completions).map_err(DriverError::Setup)?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let has_features = ring.params().is_feature_nodrop() && ring.params().is_feature_ext_arg();
    if !has_features || version(&release).is_some_and(|version| version < KERNEL_LEAST) {
        return Err(DriverError::Kernel(release));
    }
    Ok(ring)
}

/// What makes a wait end at an instant, where the kernel knows it (Linux 6.12): a duration would
/// start later than the clock was read.
pub(super) fn timer(ring: &IoUring) -> EnterFlags {
    let absolute = EnterFlags::ABS_TIMER;
    match ring.submitter().submit_with_args_and_flags(0, &SubmitArgs::new(), absolute) {
        Ok(_) => absolute,
        Err(_) => EnterFlags::empty(),
    }
}

/// Flags that spare interrupts, each set without those that a kernel may refuse with EINVAL.
fn with_flags(entries: u32, completions: u32) -> io::Result<IoUring> {
    let build = |flags: u8| {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(completions).dontfork();
        if flags >= 1 {
            builder.setup_coop_taskrun().setup_taskrun_flag();
        }
        if flags >= 2 {
            builder.setup_single_issuer();
        }
        if flags >= 3 {
            builder.setup_defer_taskrun();
        }
        builder.build(entries)
    };
    let mut result = build(3);
    for flags in (0..3).rev() {
        match &result {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                result = build(flags);
            }
            _ => break,
        }
    }
    result
}

/// Major and minor version of a kernel release like `6.1.0-18-amd64`; nothing where it is none.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_and_what_is_none_is_not_held_against_the_kernel() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.15.0"), Some((5, 15)));
        assert_eq!(version("6.18"), Some((6, 18)));
        assert_eq!(version("6.1-rc3"), Some((6, 1)));
        assert_eq!(version("custom"), None);
        assert_eq!(version(""), None);
        assert!(version("5.15.0").unwrap() < KERNEL_LEAST);
        assert!(version("6.0.19").unwrap() < KERNEL_LEAST);
        assert!(version("10.0.1").unwrap() > KERNEL_LEAST);
    }

    #[test]
    fn a_ring_can_be_had_here_or_the_error_says_what_is_missing() {
        if let Err(error) = probe() {
            assert!(error.to_string().contains("--driver monoio"), "{error}");
        }
    }
}
