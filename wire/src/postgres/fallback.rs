//! What becomes of prepared statements where a pooler hands them to a server that has none of them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether the prepared statements of a target are sent unnamed by now, since one of their names was
/// missing or taken (SQLSTATE 26000, 42P05): one for all its statements and sessions, on every
/// worker.
#[derive(Clone, Debug, Default)]
pub struct Fallback(Arc<AtomicBool>);

impl Fallback {
    /// Statements go by their names so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether they no longer do.
    #[inline]
    pub fn has_happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn happen(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
