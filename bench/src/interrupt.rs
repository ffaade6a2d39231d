//! The one place where signals are handled.
//!
//! SIGINT, SIGTERM and SIGHUP only set a flag. Whoever waits looks at the flag, returns, and lets its
//! values be dropped; so a second Ctrl-C cannot cut the cleaning up short.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// How long a wait may go on after the signal came.
const SLICE: Duration = Duration::from_millis(10);

/// The command was told to stop by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted;

/// Makes the three signals set the flag. To be called once, before anything is started.
pub(crate) fn install() -> io::Result<()> {
    let flag = REQUESTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// The flag that the signals set, for threads that look at it themselves.
pub(crate) fn flag() -> Arc<AtomicBool> {
    Arc::clone(REQUESTED.get_or_init(Arc::default))
}

/// An error once a signal has come.
pub(crate) fn check() -> Result<(), Interrupted> {
    match REQUESTED.get() {
        Some(flag) if flag.load(Ordering::Relaxed) => Err(Interrupted),
        _ => Ok(()),
    }
}

/// Sleeps, but no longer than until a signal comes.
pub(crate) fn sleep(duration: Duration) -> Result<(), Interrupted> {
    let end = Instant::now() + duration;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(SLICE));
    }
}
