//! A server that is asked beside a load.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{ObserveError, ObserverThread};

/// A connection that only looks, on the observers' thread. One that is lost is opened again with the next
/// question; one that does not answer is waited for once, and asked nothing until it has: what it would
/// have said is missing, and the load goes on.
pub(crate) struct Aside<T> {
    what: &'static str,
    /// It goes on as long as this is there.
    _thread: ObserverThread,
    orders: UnboundedSender<Order<T>>,
    asked: u64,
    answered: Arc<AtomicU64>,
    pub(super) patience: Duration,
    pub(crate) gaps: Gaps,
}

/// What came to nothing.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    pub(crate) questions: u64,
    pub(crate) failures: u64,
    /// Why, the first time.
    pub(crate) error: Option<String>,
}

type Task<'a, A> = Pin<Box<dyn Future<Output = A> + 'a>>;
type Order<T> = Box<dyn for<'a> FnOnce(&'a mut Link<T>) -> Task<'a, ()> + Send>;

/// The connection, on its thread.
pub(super) struct Link<T> {
    open: Box<dyn Fn() -> Task<'static, Result<T, ObserveError>>>,
    opened: Option<T>,
}

/// A console that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

impl<T: 'static> Aside<T> {
    /// To `what`. `open` opens it with the first question, and where it was lost.
    pub(crate) fn start<F: Future<Output = Result<T, ObserveError>> + 'static>(
        thread: &ObserverThread,
        what: &'static str,
        open: impl Fn() -> F + Send + 'static,
    ) -> Self {
        let (orders, mut ordered) = unbounded_channel::<Order<T>>();
        // Without a thread there are no answers, and the first question tells so.
        thread.spawn(move || async move {
            let mut link = Link { open: Box::new(move || Box::pin(open())), opened: None };
            while let Some(order) = ordered.recv().await {
                order(&mut link).await;
            }
        });
        Self {
            what,
            _thread: thread.clone(),
            orders,
            asked: 0,
            answered: Arc::default(),
            patience: PATIENCE,
            gaps: Gaps::default(),
        }
    }

    /// The answer, if it comes in time; nothing at once where an earlier one is still due.
    pub(crate) fn ask<A: Send + 'static>(
        &mut self,
        question: impl AsyncFnOnce(&mut T) -> Result<A, ObserveError> + Send + 'static,
    ) -> Option<A> {
        let Some(answer) = self.order(async move |link| link.ask(question).await) else {
            self.gaps.count(1, 0);
            return None;
        };
        let answer = match answer.recv_timeout(self.patience) {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(self.silence()),
        };
        self.gaps.count(1, u64::from(answer.is_ok()));
        answer.map_err(|error| self.gaps.name(error)).ok()
    }

    /// The answer, or why there is none: for questions that come before any load.
    pub(crate) fn must_know<A: Send + 'static>(
        &mut self,
        question: impl AsyncFnOnce(&mut T) -> Result<A, ObserveError> + Send + 'static,
    ) -> Result<A, ObserveError> {
        let answer = self.order(async move |link| link.ask(question).await);
        answer.and_then(|answer| answer.recv().ok()).ok_or(ObserveError::NoThread)?
    }

    /// Has the thread do this, and does not wait; nothing where it is not done with what it was told
    /// before.
    pub(super) fn order<A: Send + 'static>(
        &mut self,
        work: impl AsyncFnOnce(&mut Link<T>) -> A + Send + 'static,
    ) -> Option<Receiver<A>> {
        if self.answered.load(Ordering::Acquire) < self.asked {
            return None;
        }
        let (sender, answer) = mpsc::channel();
        let answered = Arc::clone(&self.answered);
        let order: Order<T> = Box::new(move |link| {
            Box::pin(async move {
                let answer = work(link).await;
                // Whoever has the answer may ask again.
                answered.fetch_add(1, Ordering::Release);
                // Nobody waits for it any more where this fails.
                let _ = sender.send(answer);
            })
        });
        self.asked += 1;
        // Where the thread has ended, the answer does not come.
        let _ = self.orders.send(order);
        Some(answer)
    }

    pub(super) fn silence(&self) -> String {
        format!("{} did not answer for {:?}", self.what, self.patience)
    }
}

impl Gaps {
    /// What is missing, in a sentence, where there is a reason to tell; `looks` says at what.
    pub(crate) fn told(&self, looks: &str) -> Option<String> {
        let Self { questions, failures, error } = self;
        Some(format!("{}: {failures} of {questions} looks {looks} are missing", error.as_ref()?))
    }

    pub(super) fn count(&mut self, questions: u64, answers: u64) {
        self.questions += questions;
        self.failures += questions - answers;
    }

    /// The reason of one of them: the first is kept.
    pub(super) fn name(&mut self, error: String) {
        self.error.get_or_insert(error);
    }
}

impl<T> Link<T> {
    pub(super) async fn ask<A>(
        &mut self,
        question: impl AsyncFnOnce(&mut T) -> Result<A, ObserveError>,
    ) -> Result<A, ObserveError> {
        let mut opened = match self.opened.take() {
            Some(opened) => opened,
            None => (self.open)().await?,
        };
        let answer = question(&mut opened).await?;
        self.opened = Some(opened);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn lost() -> ObserveError {
        ObserveError::Query { what: "the console", place: "here".into(), problem: "lost".into() }
    }

    /// Connections are numbered as they are opened.
    fn aside() -> Aside<u64> {
        let opened = AtomicU64::new(0);
        let open = move || {
            let number = opened.fetch_add(1, Ordering::Relaxed) + 1;
            async move { Ok(number) }
        };
        Aside::start(&ObserverThread::start(&[]), "the console", open)
    }

    #[test]
    fn a_connection_that_is_lost_is_a_gap_and_the_next_question_opens_another() {
        let mut aside = aside();
        let number = async |connection: &mut u64| Ok(*connection);
        assert_eq!(aside.ask(number), Some(1));
        assert_eq!(aside.ask(async |_| Err::<(), _>(lost())), None);
        assert_eq!((aside.ask(number), aside.ask(number)), (Some(2), Some(2)));
        let Gaps { questions, failures, error } = &aside.gaps;
        assert_eq!((*questions, *failures), (4, 1));
        assert_eq!(error.as_deref(), Some("the console at here: lost"));
        assert!(matches!(
            aside.must_know(async |_| Err::<(), _>(lost())),
            Err(ObserveError::Query { .. })
        ));
        assert_eq!((aside.must_know(number).ok(), aside.gaps.questions), (Some(3), 4));
    }

    #[test]
    fn one_that_stands_still_is_waited_for_once_and_answers_again_when_it_goes_on() {
        let mut aside = aside();
        aside.patience = Duration::from_millis(10);
        let (go_on, frozen) = oneshot::channel::<()>();
        let (told, is_done) = mpsc::channel();
        let answer = aside.ask(async move |_| {
            let _ = frozen.await;
            told.send(()).map_err(|_| lost())
        });
        assert_eq!(answer, None);
        // It would take as long again; nothing is waited for.
        aside.patience = Duration::MAX;
        assert_eq!(aside.ask(async |_| Ok(())), None);
        assert_eq!((aside.gaps.failures, aside.gaps.questions), (2, 2));
        assert_eq!(aside.gaps.error.as_deref(), Some("the console did not answer for 10ms"));
        drop(go_on);
        is_done.recv().unwrap();
        let mut answers = std::iter::from_fn(|| Some(aside.ask(async |number| Ok(*number))));
        // The answer is counted a moment after it was given.
        assert_eq!(answers.find_map(|answer| answer), Some(1));
    }
}
