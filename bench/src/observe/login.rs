//! Logging in and asking, each with an end to the patience.

use tokio::runtime::Runtime;

use super::ObserveError;
use super::session::{Answer, Session};

/// A connection whose answers are waited for on this thread.
pub(super) struct Login {
    /// Its connection task runs here, while an answer is waited for. `None` once it was given up.
    runtime: Option<Runtime>,
    session: Session,
}

impl Login {
    /// Logs in to `what`, at `conninfo`; `remedy` is for the reader where that fails.
    pub(super) fn open(
        what: &'static str,
        conninfo: &str,
        remedy: &'static str,
    ) -> Result<Self, ObserveError> {
        Self::of(Session::new(what, conninfo, remedy)?)
    }

    pub(super) fn of(session: Session) -> Result<Self, ObserveError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| session.fault(error.to_string()))?;
        let mut login = Self { runtime: Some(runtime), session };
        login.wait(async |session| session.open().await.map(drop))?;
        Ok(login)
    }

    /// What is said to `query`. Once there was no answer, there is none to the next ones.
    pub(super) fn ask(&mut self, query: &str) -> Result<Answer, ObserveError> {
        self.wait(async |session| session.ask(query).await)
    }

    pub(super) fn fault(&self, problem: String) -> ObserveError {
        self.session.fault(problem)
    }

    fn wait<A>(
        &mut self,
        what: impl AsyncFnOnce(&mut Session) -> Result<A, ObserveError>,
    ) -> Result<A, ObserveError> {
        let Self { runtime, session } = self;
        let Some(open) = runtime else { return Err(session.fault("it is not open".into())) };
        let answer = open.block_on(what(session));
        if answer.is_err() {
            // A name that is looked up for ever is left behind.
            runtime.take().map(Runtime::shutdown_background).unwrap_or_default();
        }
        answer
    }
}
