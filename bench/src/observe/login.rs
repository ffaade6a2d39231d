//! Logging in and asking, each with an end to the patience.

use tokio::runtime::{Builder, Runtime};

use super::ObserveError;

/// A connection whose answers are waited for on this thread.
pub(crate) struct Login<C> {
    /// Its connection task runs here, while an answer is waited for.
    runtime: Runtime,
    connection: C,
}

impl<C> Login<C> {
    /// As it is opened.
    pub(super) fn open(
        open: impl AsyncFnOnce() -> Result<C, ObserveError>,
    ) -> Result<Self, ObserveError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ObserveError::Runtime)?;
        match runtime.block_on(open()) {
            Ok(connection) => Ok(Self { runtime, connection }),
            Err(error) => {
                // A name that is looked up for ever is left behind.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// What is said to a question.
    pub(crate) fn ask<A>(
        &mut self,
        question: impl AsyncFnOnce(&mut C) -> Result<A, ObserveError>,
    ) -> Result<A, ObserveError> {
        self.runtime.block_on(question(&mut self.connection))
    }
}
